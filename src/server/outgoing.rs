//! The write half of a connection: small frames leave together, spans of memory and of files leave from where they lie.
//!
//! ```text
//! small frame ──copy──▶ buffer ──┐
//! large frame: head, spans ──────┴─▶ sendmsg of many slices │ sendfile │ sendmsg …
//! ```
//! Bound: one buffer of [`BUFFER_BYTES`], and what the kernel takes into the socket's.

use crate::span::{FileSpan, Span};
use crate::tasks;
use crate::wire::frame::Frame;
use bytes::{Buf, Bytes};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Small answers that are ready together leave in one write.
pub(super) const BUFFER_BYTES: usize = 16 << 10;
/// Slices of one sendmsg.
const SLICES_MAX: usize = 64;
/// What is read at a time where the kernel cannot send from the file.
const READ_BYTES: usize = 256 << 10;

/// Writes frames in order.
pub(super) struct Outgoing {
    write: OwnedWriteHalf,
    buffer: Vec<u8>,
}

impl Outgoing {
    pub fn new(write: OwnedWriteHalf) -> Outgoing {
        Outgoing { write, buffer: Vec::new() }
    }

    /// Takes a frame: into the buffer when it fits, else onto the socket behind what is in the buffer.
    ///
    /// # Errors
    /// What the socket or a file says; the connection is of no use any more.
    pub async fn push(&mut self, frame: Frame) -> io::Result<()> {
        if frame.rest.is_empty() && self.buffer.len() + frame.head.len() <= BUFFER_BYTES {
            self.buffer.extend_from_slice(&frame.head);
            return Ok(());
        }
        let buffered = std::mem::take(&mut self.buffer);
        let spans = [Span::Memory(Bytes::from(buffered)), Span::Memory(frame.head)];
        send(self.write.as_ref(), spans.into_iter().chain(frame.rest)).await
    }

    /// Sends what is in the buffer.
    ///
    /// # Errors
    /// As [`Outgoing::push`].
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.write.write_all(&self.buffer).await?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Sends what is in the buffer and says that nothing follows.
    ///
    /// # Errors
    /// As [`Outgoing::push`].
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.write.shutdown().await
    }
}

/// Sends `spans`, in order.
async fn send(socket: &TcpStream, spans: impl Iterator<Item = Span>) -> io::Result<()> {
    let mut spans = spans.filter(|span| !span.is_empty()).peekable();
    let mut memory = VecDeque::new();
    while let Some(span) = spans.next() {
        match span {
            Span::Memory(bytes) => {
                memory.push_back(bytes);
                let is_last_of_run = !matches!(spans.peek(), Some(Span::Memory(_)));
                if is_last_of_run || memory.len() == SLICES_MAX {
                    send_memory(socket, &mut memory, spans.peek().is_some()).await?;
                }
            }
            Span::File(span) => send_file(socket, &span).await?,
        }
    }
    Ok(())
}

/// Sends all of `memory`. `has_more`: it need not leave before what comes next.
async fn send_memory(socket: &TcpStream, memory: &mut VecDeque<Bytes>, has_more: bool) -> io::Result<()> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT | if has_more { SendFlags::MORE } else { SendFlags::empty() };
    while !memory.is_empty() {
        let mut sent = socket
            .async_io(Interest::WRITABLE, || {
                let slices: Vec<IoSlice<'_>> = memory.iter().map(|bytes| IoSlice::new(bytes)).collect();
                Ok(rustix::net::sendmsg(socket, &slices, &mut SendAncillaryBuffer::default(), flags)?)
            })
            .await?;
        while let Some(front) = memory.front_mut() {
            if sent < front.len() {
                front.advance(sent);
                break;
            }
            sent -= front.len();
            memory.pop_front();
        }
    }
    Ok(())
}

/// Sends a span of a file out of the page cache.
async fn send_file(socket: &TcpStream, span: &FileSpan) -> io::Result<()> {
    let (mut at, end) = (span.at, span.at + span.length as u64);
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let sent =
            socket.async_io(Interest::WRITABLE, || Ok(rustix::fs::sendfile(socket, &span.file, Some(&mut at), left)?)).await;
        match sent {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            // This file system does not do it (sendfile(2)).
            Err(error) if is_unsupported(&error) => return copy_file(socket, span, at).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS))
}

/// Sends the rest of a span by reading it.
async fn copy_file(socket: &TcpStream, span: &FileSpan, from: u64) -> io::Result<()> {
    let (mut at, end) = (from, span.at + span.length as u64);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_BYTES);
        let piece = FileSpan { file: span.file.clone(), at, length };
        let read = tasks::blocking("read to send", move || piece.read());
        let mut memory = VecDeque::from([Bytes::from(read.await?)]);
        at += length as u64;
        send_memory(socket, &mut memory, at < end).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    async fn pair() -> (OwnedWriteHalf, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let here = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (there, _) = listener.accept().await.expect("accepts");
        (here.into_split().1, there)
    }

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Arc::new(file)
    }

    /// More than socket buffers hold, from memory and files, behind and before small frames; the reader is slow to begin.
    #[tokio::test]
    async fn frames_arrive_whole_and_in_order() {
        let (write, mut there) = pair().await;
        let mut out = Outgoing::new(write);
        let content: Vec<u8> = (0..6_000_000u32).map(|n| (n % 251) as u8).collect();
        let file = file(&content);
        let memory = |from: usize, to: usize| Span::Memory(Bytes::copy_from_slice(&content[from..to]));
        let filed = |at: usize, length| Span::File(FileSpan { file: file.clone(), at: at as u64, length });
        let many = (0..200).map(|n| memory(n * 10, n * 10 + 7)).collect();
        let frames = [
            Frame::from(Bytes::from_static(b"small one")),
            Frame {
                head: Bytes::from_static(b"head"),
                rest: vec![filed(1, 5_000_000), memory(0, 3_000_000), filed(0, 0), filed(77, 9)],
            },
            Frame::from(Bytes::from_static(b"small two")),
            Frame { head: Bytes::from_static(b"head"), rest: many },
            Frame::from(Bytes::from(vec![9; 100_000])),
            Frame::from(Bytes::from_static(b"last")),
        ];
        let mut expected = Vec::new();
        for frame in &frames {
            expected.extend_from_slice(&frame.head);
            expected.extend_from_slice(&crate::span::load(&frame.rest).expect("readable"));
        }
        let writer = async {
            for frame in frames {
                out.push(frame).await.expect("sent");
            }
            out.shutdown().await.expect("ends");
        };
        let mut received = Vec::new();
        let reader = async {
            tokio::task::yield_now().await;
            there.read_to_end(&mut received).await.expect("read");
        };
        tokio::join!(writer, reader);
        assert_eq!(received.len(), expected.len());
        assert!(received == expected, "the same bytes");
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let (write, _there) = pair().await;
        let span = Span::File(FileSpan { file: file(b"12345"), at: 3, length: 3 });
        let error =
            Outgoing::new(write).push(Frame { head: Bytes::new(), rest: vec![span] }).await.expect_err("two bytes of three");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_from_the_file_is_read() {
        let (write, mut there) = pair().await;
        let content = vec![5; READ_BYTES + 10];
        let span = FileSpan { file: file(&content), at: 0, length: content.len() };
        let mut received = vec![0; content.len() - 4];
        let (sent, read) = tokio::join!(copy_file(write.as_ref(), &span, 4), there.read_exact(&mut received));
        sent.expect("sent");
        read.expect("all of it");
        assert!(received == content[4..]);
    }
}
