//! A pipe in which spans of files are put together on their way to a socket.
//!
//! ```text
//! file ──splice──┐
//! file ──splice──┼─▶ pages in the pipe ──splice──▶ socket
//! file ──splice──┘
//! ```
//! Nothing is copied: the pipe has references to pages, as `sendfile` has for a moment. Between two calls it is empty: with what a socket does not take, the
//! pipe is closed.
//! Owner: the thread; none is opened before it is needed.

use crate::span::FileSpan;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::cell::RefCell;
use std::io;

const PAGE_BYTES: usize = 4096;
/// Pages that it holds, at most, or parts of pages.
pub(super) const SLOTS: usize = 128;

thread_local! {
    static PIPE: RefCell<Option<Pipe>> = const { RefCell::new(None) };
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub bytes: usize,
    /// The socket takes no more for now, and the kernel will say when it does.
    pub is_full: bool,
}

impl Sent {
    /// `bytes` of `all`. The kernel takes less only when there is no room, and says when there is (tokio's own writes count on that, too).
    pub fn of(bytes: usize, all: usize) -> Sent {
        Sent { bytes, is_full: bytes < all }
    }
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// How many slots a span takes.
pub(super) fn slots(span: &FileSpan) -> usize {
    let from = usize::try_from(span.at % PAGE_BYTES as u64).unwrap_or(0);
    (from + span.length).div_ceil(PAGE_BYTES)
}

/// Sends of `spans`, from the first one on, as much as a pipe holds; `None` when none can be opened. `has_more`: something will follow them. Does not wait for
/// the socket, which must be non-blocking.
///
/// # Errors
/// `Unsupported` where a file cannot be spliced, `UnexpectedEof` when one is too short; what files and socket say. Nothing was sent then, unless the
/// socket has failed.
pub(super) fn send<'a>(socket: impl AsFd, spans: impl Iterator<Item = &'a FileSpan>, has_more: bool) -> Option<io::Result<Sent>> {
    PIPE.with_borrow_mut(|place| {
        let pipe = match place.take() {
            Some(pipe) => pipe,
            None => Pipe::open().ok()?,
        };
        let sent = pipe.send(socket, spans, has_more);
        if sent.as_ref().is_ok_and(|sent| !sent.is_full) {
            *place = Some(pipe);
        }
        Some(sent)
    })
}

impl Pipe {
    fn open() -> io::Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // A smaller one, where that much is not allowed, does as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, SLOTS * PAGE_BYTES);
        Ok(Pipe { read, write })
    }

    /// It is empty again unless the socket is full, or there was an error.
    fn send<'a>(&self, socket: impl AsFd, spans: impl Iterator<Item = &'a FileSpan>, has_more: bool) -> io::Result<Sent> {
        let (held, is_all) = self.fill(spans)?;
        let bytes = self.drain(socket, held, has_more || !is_all)?;
        Ok(Sent::of(bytes, held))
    }

    /// How much is in it then, and whether that is all of `spans`.
    fn fill<'a>(&self, spans: impl Iterator<Item = &'a FileSpan>) -> io::Result<(usize, bool)> {
        let mut held = 0;
        for FileSpan { file, at, length } in spans {
            let (mut at, mut left) = (*at, *length);
            while left > 0 {
                match rustix::pipe::splice(file, Some(&mut at), &self.write, None, left, SpliceFlags::NONBLOCK) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(bytes) => (held, left) = (held + bytes, left - bytes),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) if held > 0 => return Ok((held, false)),
                    // The pipe is empty, so it is the file that has none for us.
                    Err(Errno::AGAIN | Errno::INVAL | Errno::NOSYS) => return Err(io::ErrorKind::Unsupported.into()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok((held, true))
    }

    /// How much of what is `held` the socket took.
    fn drain(&self, socket: impl AsFd, held: usize, has_more: bool) -> io::Result<usize> {
        let more = if has_more { SpliceFlags::MORE } else { SpliceFlags::empty() };
        let mut sent = 0;
        while sent < held {
            match rustix::pipe::splice(&self.read, None, &socket, None, held - sent, SpliceFlags::NONBLOCK | more) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => sent += bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::unsent::tests::{content, file, pair};
    use super::*;
    use tokio::io::AsyncReadExt;

    /// What a full socket does not take must not go to another one.
    #[tokio::test]
    async fn nothing_is_left_in_it() {
        let all = content(1_000_000);
        let span = |at: usize, length| FileSpan { file: file(&all), at: at as u64, length };
        let spans = [span(1, 100_000), span(200_001, 100_000)];
        let ((silent, _kept), (other, mut there)) = (pair().await, pair().await);
        let mut sent = 0;
        loop {
            let one = send(silent.as_ref(), spans.iter(), true).expect("a pipe").expect("sent");
            sent += one.bytes;
            if one.is_full {
                break;
            }
            assert_eq!(one.bytes, 200_000);
        }
        assert!(sent % 200_000 > 0, "full in the middle");
        let one = send(other.as_ref(), spans.iter(), false).expect("a pipe").expect("sent");
        assert_eq!(one, Sent { bytes: 200_000, is_full: false });
        let mut received = vec![0; 200_000];
        there.read_exact(&mut received).await.expect("read");
        assert!(received == [&all[1..100_001], &all[200_001..300_001]].concat());
    }

    #[tokio::test]
    async fn it_sends_as_much_as_it_holds() {
        let all = content(1_000_000);
        let spans = vec![FileSpan { file: file(&all), at: 4_000, length: 9_000 }; SLOTS];
        assert_eq!(slots(&spans[0]), 4);
        let (write, mut there) = pair().await;
        let one = send(write.as_ref(), spans.iter(), false).expect("a pipe").expect("sent");
        assert_eq!(one, Sent { bytes: SLOTS / 4 * 9_000, is_full: false });
        let mut received = vec![0; one.bytes];
        there.read_exact(&mut received).await.expect("read");
        assert!(received == all[4_000..13_000].repeat(SLOTS / 4));
    }

    #[test]
    fn a_span_takes_each_page_that_it_touches() {
        let file = file(b"");
        for (at, length, count) in [(0, 4_096, 1), (1, 4_096, 2), (4_095, 1, 1), (4_095, 2, 2), (8_192, 16_461, 5)] {
            assert_eq!(slots(&FileSpan { file: file.clone(), at, length }), count, "{length} at {at}");
        }
    }
}
