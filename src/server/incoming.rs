//! The read half of a connection: a request arrives in one read with its size, and a connection that waits has no buffer.
//!
//! ```text
//! socket ──one read──▶ buffer ──copy──▶ size, small bodies
//!                        └──as it is──▶ a body that is most of it
//! socket ──reads of what is missing──▶ large bodies
//! ```
//! Bound: one buffer of [`BUFFER_BYTES`], from the moment that something has arrived until all of it has been taken; a body that was taken as it is
//! keeps its buffer.

use bytes::{Buf, Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

/// Holds a request with one batch of 16 KiB, the default of producers.
const BUFFER_BYTES: usize = 20 << 10;
/// What is kept of a smaller body would hold a third more memory than it is charged for, or worse.
const WHOLE_BYTES_MIN: usize = BUFFER_BYTES / 4 * 3;

/// Reads what the peer sends.
pub(super) struct Incoming {
    read: OwnedReadHalf,
    /// What has arrived and was not taken; without memory when that is nothing.
    buffer: BytesMut,
}

impl Incoming {
    pub fn new(read: OwnedReadHalf) -> Incoming {
        Incoming { read, buffer: BytesMut::new() }
    }

    /// The next `size` bytes without a copy, where all of them have arrived and are most of the buffer: whoever keeps them keeps all of its memory.
    pub fn take_whole(&mut self, size: usize) -> Option<Bytes> {
        if size < WHOLE_BYTES_MIN || size > self.buffer.len() {
            return None;
        }
        let taken = self.buffer.split_to(size).freeze();
        self.drop_if_empty();
        Some(taken)
    }

    /// An empty buffer may have memory still.
    fn drop_if_empty(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Waits for the peer, and takes what has arrived into the buffer, which is empty.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Memory comes after something to put into it.
        ready!(self.read.as_ref().poll_read_ready(context))?;
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        ready!(pin!(self.read.read_buf(&mut buffer)).poll(context))?;
        self.buffer = buffer;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            if into.remaining() >= BUFFER_BYTES {
                return Pin::new(&mut self.read).poll_read(context, into);
            }
            ready!(self.poll_fill(context))?;
        }
        let length = into.remaining().min(self.buffer.len());
        into.put_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        self.drop_if_empty();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    /// Pieces smaller and larger than the buffer arrive whole and in order; when all are taken, no memory is held.
    #[tokio::test]
    async fn what_is_sent_arrives_and_leaves_no_buffer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let mut there = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (here, _) = listener.accept().await.expect("accepts");
        let (read, _write) = here.into_split();
        let mut incoming = Incoming::new(read);
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let sizes = [4, 10, 4, 16_500, 4, 300_000, 1, BUFFER_BYTES, BUFFER_BYTES - 1, 4, WHOLE_BYTES_MIN];
        let mut wholes = 0;
        let expected = sent.clone();
        let writer = crate::tasks::spawn("writer", async move {
            there.write_all(&sent).await.expect("sent");
            there
        });
        let mut taken = 0;
        for size in sizes.into_iter().cycle().take(25) {
            let piece = match incoming.take_whole(size) {
                Some(whole) => {
                    wholes += 1;
                    assert!(whole.len() == size && size >= WHOLE_BYTES_MIN, "{size} bytes");
                    whole.to_vec()
                }
                None => {
                    let mut piece = vec![0; size.min(expected.len() - taken)];
                    incoming.read_exact(&mut piece).await.expect("arrives");
                    piece
                }
            };
            assert!(piece == expected[taken..taken + piece.len()], "the bytes at {taken}");
            taken += piece.len();
        }
        assert!(wholes > 0, "some lay in the buffer");
        let mut rest = vec![0; expected.len() - taken];
        incoming.read_exact(&mut rest).await.expect("arrives");
        assert!(rest == expected[taken..], "the rest");
        assert_eq!(incoming.buffer.capacity(), 0, "all is taken");
        drop(writer.await.expect("writes"));
        assert_eq!(incoming.read(&mut [0; 8]).await.expect("the end"), 0);
        assert_eq!(incoming.buffer.capacity(), 0, "at the end, too");
    }
}
