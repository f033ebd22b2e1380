//! What of a frame is still to be sent: spans of memory and of files, many in one call where they are short.
//!
//! ```text
//! from the front of the queue                one call (and what goes before it)
//! memory                              ─────▶ sendmsg of many slices
//! short spans, one of a file or more  ─────▶ send of the thread's buffer (a read or a copy for each)
//! a longer one of a file              ─────▶ sendfile
//! ```
//! Sent each by itself, short spans would be segments of their own, with a wake-up of the peer each. Longer ones gain nothing by being put together: what the
//! ways cost is in `BENCHMARKS.md`.
//!
//! Bound: nothing is held while the socket takes no more. What the buffer has left then is read again; so a peer that stops taking costs no
//! memory (but for a piece of a file that the kernel cannot send from).

use crate::span::{FileSpan, Span};
use crate::tasks;
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Slices of one sendmsg.
const SLICES_MAX: usize = 64;
/// A span of at most so much is short: below, the buffer costs both sides together less than `sendfile` for each; above, it costs this side half as much again.
const SHORT_BYTES: usize = 8 << 10;
/// How many short spans are read for one call.
const SHORT_MAX: usize = 256;
/// What short spans are put together in.
const BUFFER_BYTES: usize = 128 << 10;
/// After so much others have their turn; a span counts as [`SPAN_BYTES`], at least.
const SHARE_BYTES: usize = 1 << 20;
const SPAN_BYTES: usize = 4 << 10;
/// What is read at a time where the kernel cannot send from the file.
const READ_BYTES: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

/// Spans to send, in order; none is empty.
#[derive(Debug)]
pub(super) struct Unsent {
    spans: VecDeque<Span>,
}

/// How the first so many spans leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Memory(usize),
    Short(usize),
    File,
}

impl Run {
    fn spans(self) -> usize {
        match self {
            Run::Memory(count) | Run::Short(count) => count,
            Run::File => 1,
        }
    }
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    bytes: usize,
    /// The socket takes no more for now, and the kernel will say when it does.
    is_full: bool,
}

impl Sent {
    /// `bytes` of `all`. The kernel takes less only when there is no room, and says when there is (tokio's own writes count on that, too).
    fn of(bytes: usize, all: usize) -> Sent {
        Sent { bytes, is_full: bytes < all }
    }
}

impl Unsent {
    pub fn new(spans: impl IntoIterator<Item = Span>) -> Unsent {
        Unsent { spans: spans.into_iter().filter(|span| !span.is_empty()).collect() }
    }

    /// Sends everything. A future that is dropped has sent some of it.
    ///
    /// # Errors
    /// What the socket or a file says; the connection is of no use any more.
    pub async fn send(mut self, socket: &TcpStream) -> io::Result<()> {
        loop {
            match socket.async_io(Interest::WRITABLE, || self.send_share(socket)).await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported => Box::pin(self.read_front()).await?,
                Err(error) => return Err(error),
            }
            if self.spans.is_empty() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Sends until all is sent, or a share of it, or the socket is full (`WouldBlock`).
    fn send_share(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut share = SHARE_BYTES;
        while share > 0
            && let Some(run) = self.run()
        {
            let sent = match self.send_run(socket, run) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                sent => sent?,
            };
            self.forget(sent.bytes);
            if sent.is_full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            share = share.saturating_sub(sent.bytes.max(run.spans() * SPAN_BYTES));
        }
        Ok(())
    }

    /// What leaves next.
    fn run(&self) -> Option<Run> {
        let short = self.leading_short();
        if self.spans.iter().take(short).any(|span| span.file().is_some()) {
            return Some(Run::Short(short));
        }
        let memory = self.spans.iter().take(SLICES_MAX).take_while(|span| span.memory().is_some()).count();
        if memory > 0 {
            return Some(Run::Memory(memory));
        }
        self.spans.front().map(|_| Run::File)
    }

    /// How many of the first spans are short, as far as they fit into the buffer.
    fn leading_short(&self) -> usize {
        let mut room = BUFFER_BYTES;
        let fits = |span: &&Span| {
            let fits = span.len() <= SHORT_BYTES.min(room);
            room = room.saturating_sub(span.len());
            fits
        };
        self.spans.iter().take(SHORT_MAX).take_while(fits).count()
    }

    fn send_run(&self, socket: &TcpStream, run: Run) -> io::Result<Sent> {
        let spans = self.spans.iter().take(run.spans());
        let has_more = run.spans() < self.spans.len();
        match run {
            Run::Memory(_) => send_memory(socket, spans, has_more),
            Run::Short(_) => send_short(socket, spans, has_more),
            Run::File => self.send_file(socket),
        }
    }

    /// Sends of the first span, which is a file's.
    fn send_file(&self, socket: &TcpStream) -> io::Result<Sent> {
        let FileSpan { file, at, length } = self.spans.front().and_then(Span::file).ok_or(io::ErrorKind::InvalidInput)?;
        match rustix::fs::sendfile(socket, file, Some(&mut at.clone()), (*length).min(SHARE_BYTES)) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            // Less than asked for may be the file's end, too. Of a full socket it says so when it is asked again; only then will it be told that there is room.
            Ok(bytes) => Ok(Sent { bytes, is_full: false }),
            // This file system does not do it (sendfile(2)).
            Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops the first `bytes`, which were sent.
    fn forget(&mut self, mut bytes: usize) {
        while let Some(front) = self.spans.front_mut() {
            if bytes < front.len() {
                front.advance(bytes);
                return;
            }
            bytes -= front.len();
            self.spans.pop_front();
        }
    }

    /// Reads the beginning of the first span, which is a file's, into memory.
    async fn read_front(&mut self) -> io::Result<()> {
        let front = self.spans.front().and_then(Span::file).ok_or(io::ErrorKind::InvalidInput)?;
        let piece = FileSpan { length: front.length.min(READ_BYTES), ..front.clone() };
        let bytes = piece.length;
        let read = tasks::blocking("read to send", move || piece.read()).await?;
        self.forget(bytes);
        self.spans.push_front(Span::Memory(Bytes::from(read)));
        Ok(())
    }
}

fn flags(has_more: bool) -> SendFlags {
    // It need not leave before what comes next.
    let more = if has_more { SendFlags::MORE } else { SendFlags::empty() };
    SendFlags::NOSIGNAL | SendFlags::DONTWAIT | more
}

/// Sends `spans`, those of memory, from where they lie.
fn send_memory<'a>(socket: &TcpStream, spans: impl Iterator<Item = &'a Span>, has_more: bool) -> io::Result<Sent> {
    let slices: Vec<IoSlice<'_>> = spans.filter_map(Span::memory).map(|bytes| IoSlice::new(bytes)).collect();
    let bytes = rustix::net::sendmsg(socket, &slices, &mut SendAncillaryBuffer::default(), flags(has_more))?;
    Ok(Sent::of(bytes, slices.iter().map(|slice| slice.len()).sum()))
}

/// Sends `spans`, which fit into the buffer, out of it. The store has seen to it that what is read of files is in memory, as for `sendfile`.
fn send_short<'a>(socket: &TcpStream, spans: impl Iterator<Item = &'a Span>, has_more: bool) -> io::Result<Sent> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut filled = 0;
        for span in spans {
            let place = buffer.get_mut(filled..filled + span.len()).ok_or(io::ErrorKind::InvalidInput)?;
            match span {
                Span::Memory(bytes) => place.copy_from_slice(bytes),
                Span::File(span) => span.read_into(place)?,
            }
            filled += span.len();
        }
        let bytes = rustix::net::send(socket, buffer.get(..filled).unwrap_or_default(), flags(has_more))?;
        Ok(Sent::of(bytes, filled))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use socket2::SockRef;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::net::tcp::OwnedWriteHalf;

    /// Two ends of a connection.
    pub(in crate::server) async fn pair() -> (OwnedWriteHalf, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let here = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (there, _) = listener.accept().await.expect("accepts");
        (here.into_split().1, there)
    }

    pub(in crate::server) fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Arc::new(file)
    }

    /// No two places of it look the same.
    fn content(bytes: u32) -> Vec<u8> {
        (0..bytes.div_ceil(4)).flat_map(u32::to_be_bytes).collect()
    }

    fn memory(length: usize) -> Span {
        Span::Memory(Bytes::from(vec![7; length]))
    }

    fn filed(file: &Arc<File>, at: usize, length: usize) -> Span {
        Span::File(FileSpan { file: file.clone(), at: at as u64, length })
    }

    async fn received(spans: Vec<Span>) -> io::Result<Vec<u8>> {
        let (mut write, mut there) = pair().await;
        let (sent, read) = tokio::join!(
            async {
                let sent = Unsent::new(spans).send(write.as_ref()).await;
                tokio::io::AsyncWriteExt::shutdown(&mut write).await.expect("ends");
                sent
            },
            async {
                let mut all = Vec::new();
                there.read_to_end(&mut all).await.map(|_| all)
            }
        );
        sent.and(read)
    }

    #[test]
    fn what_leaves_in_one_call() {
        let file = file(b"");
        let of_file = |length| filed(&file, 0, length);
        let cases = [
            (vec![], None),
            (vec![memory(5), memory(100_000), of_file(10)], Some(Run::Memory(2))),
            (vec![memory(5); 100], Some(Run::Memory(SLICES_MAX))),
            (
                vec![memory(5), of_file(10), of_file(SHORT_BYTES), memory(SHORT_BYTES), of_file(SHORT_BYTES + 1)],
                Some(Run::Short(4)),
            ),
            (vec![of_file(SHORT_BYTES); 20], Some(Run::Short(BUFFER_BYTES / SHORT_BYTES))),
            (vec![memory(5), of_file(SHORT_BYTES + 1)], Some(Run::Memory(1))),
            (vec![of_file(SHORT_BYTES + 1), of_file(3), memory(5)], Some(Run::File)),
            (vec![of_file(16_461); 99], Some(Run::File)),
            (vec![of_file(100); 999], Some(Run::Short(SHORT_MAX))),
            (vec![of_file(SHORT_BYTES + 1)], Some(Run::File)),
            (vec![memory(0), of_file(0)], None),
        ];
        for (spans, run) in cases {
            assert_eq!(Unsent::new(spans.clone()).run(), run, "{spans:?}");
        }
    }

    /// Of all lengths, in every order, from places that are no page's beginning, through a socket that is full again and again.
    #[tokio::test]
    async fn spans_of_every_kind_arrive_whole_and_in_order() {
        let all = content(3_000_000);
        let file = file(&all);
        let lengths = [0, 1, 60, 300, 4_000, SHORT_BYTES, SHORT_BYTES + 1, 16_461, 16_461, 50_000, 200_000];
        let mut number = 1_u32;
        let mut draw = |below: usize| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 8) as usize % below
        };
        let mut spans: Vec<Span> = (0..600)
            .map(|_| {
                let length = lengths[draw(lengths.len())];
                let at = draw(all.len() - length);
                if draw(3) == 0 { Span::Memory(Bytes::copy_from_slice(&all[at..at + length])) } else { filed(&file, at, length) }
            })
            .collect();
        spans.insert(300, filed(&file, 1, 2_500_000));
        let expected = crate::span::load(&spans).expect("readable");
        let (write, mut there) = pair().await;
        SockRef::from(write.as_ref()).set_send_buffer_size(150_000).expect("set");
        let (sent, read) = tokio::join!(Unsent::new(spans).send(write.as_ref()), async {
            let mut all = vec![0; expected.len()];
            let (mut filled, mut pieces) = (0, [1_usize, 70_000, 300, 1 << 20].into_iter().cycle());
            while filled < all.len() {
                let end = all.len().min(filled + pieces.next().expect("endless"));
                let bytes = there.read(&mut all[filled..end]).await.expect("read");
                assert!(bytes > 0, "it ends after {filled}");
                filled += bytes;
                tokio::task::yield_now().await;
            }
            all
        });
        sent.expect("sent");
        assert!(read == expected, "the same bytes");
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let file = file(&content(100_000));
        for (length, run) in [(9, Run::Short(2)), (SHORT_BYTES + 1, Run::File)] {
            let spans = vec![filed(&file, 100_000 - length / 2, length), filed(&file, 0, length)];
            assert_eq!(Unsent::new(spans.clone()).run(), Some(run));
            let error = received(spans).await.expect_err("half of it");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{run:?}");
        }
    }

    /// Some files of /proc can be read, but not sent from: here the arguments of a process that waits for its input to end.
    #[tokio::test]
    async fn what_cannot_be_sent_from_the_file_is_read() {
        let mut cat = Command::new("cat");
        cat.arg("-").args((0..2 * READ_BYTES / 50_000).map(|number| format!("{number:050000}")));
        let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        // A process that has not begun has no arguments yet.
        cat.stdin.as_mut().expect("piped").write_all(b"!").expect("written");
        cat.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("read");
        let file = File::open(format!("/proc/{}/cmdline", cat.id())).map(Arc::new).expect("a file");
        let spans = [(5, 100_000), (1, 20_000), (3, 2), (READ_BYTES, 20_000), (0, READ_BYTES + 9), (9, 9)];
        let spans = spans.map(|(at, length)| filed(&file, at, length)).to_vec();
        assert_eq!(Unsent::new(spans.clone()).run(), Some(Run::File));
        let error = Unsent::new(spans.clone()).send_file(pair().await.0.as_ref()).expect_err("not sent from");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let expected = crate::span::load(&spans).expect("readable");
        let sent = received(spans).await;
        cat.kill().and_then(|()| cat.wait()).expect("ended");
        assert!(sent.expect("sent") == expected);
    }
}
