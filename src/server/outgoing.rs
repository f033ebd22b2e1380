//! The write half of a connection: small frames leave together, spans of memory and of files leave from where they lie.
//!
//! ```text
//! small frame ──copy──▶ buffer ──┐
//! large frame: head, spans ──────┴─▶ see `unsent.rs`
//! ```
//! Bound: one buffer of [`BUFFER_BYTES`], and what the kernel takes into the socket's.

use super::unsent::Unsent;
use crate::span::Span;
use crate::wire::frame::Frame;
use bytes::Bytes;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// Small answers that are ready together leave in one write.
pub(super) const BUFFER_BYTES: usize = 16 << 10;

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
        Unsent::new(spans.into_iter().chain(frame.rest)).send(self.write.as_ref()).await
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

#[cfg(test)]
mod tests {
    use super::super::unsent::tests::{file, pair};
    use super::*;
    use crate::span::FileSpan;
    use tokio::io::AsyncReadExt;

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
}
