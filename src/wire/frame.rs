//! Size-prefixed frames on a byte stream (Kafka protocol guide, "Common Request and Response Structure").
//!
//! Nothing is allocated before the announced size has been checked, and the caller holds a memory permit for it.

use crate::span::Span;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of the size prefix.
pub const PREFIX_BYTES: usize = 4;

/// A response frame, size prefix and all: what was encoded, and between it what is sent from where it lies.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Mostly all of it.
    pub head: Bytes,
    pub rest: Vec<Span>,
}

impl Frame {
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.rest.iter().map(Span::len).sum::<usize>()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Frame {
    fn from(head: Bytes) -> Frame {
        Frame { head, rest: Vec::new() }
    }
}

/// Why a connection's next frame cannot be read; every variant ends the connection.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The peer closed between two frames: the ordinary end.
    #[error("closed by the peer")]
    Closed,
    /// The announced size is negative, zero or too small for a header.
    #[error("frame size {0} is not possible; is this a Kafka client?")]
    Impossible(i32),
    /// The announced size is above the limit that holds for this connection now.
    #[error("frame of {size} bytes is above the limit of {limit}")]
    TooLarge { size: i32, limit: usize },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads the size prefix of the next frame and checks it against `limit`.
///
/// # Errors
/// [`FrameError::Closed`] at a clean end of the stream; see the other variants.
pub async fn read_size(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<usize, FrameError> {
    let mut prefix = [0u8; PREFIX_BYTES];
    let mut filled = 0;
    while filled < PREFIX_BYTES {
        let rest = prefix.get_mut(filled..).unwrap_or_default();
        match stream.read(rest).await? {
            0 if filled == 0 => return Err(FrameError::Closed),
            0 => return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            n => filled += n,
        }
    }
    let size = i32::from_be_bytes(prefix);
    // The smallest request header (v0) has eight bytes: key, version, correlation id.
    let Ok(bytes) = usize::try_from(size) else { return Err(FrameError::Impossible(size)) };
    if bytes < 8 {
        return Err(FrameError::Impossible(size));
    }
    if bytes > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    Ok(bytes)
}

/// What a frame has room for before its bytes are there.
pub const FIRST_BYTES: usize = 64 << 10;

/// Who gives memory to frames.
pub trait Cover: Send {
    /// Waits for memory for the first `bytes` bytes of a frame, which are about to be read.
    fn cover(&mut self, bytes: usize) -> impl Future<Output = std::io::Result<()>> + Send;
}

/// Reads the `size` bytes that follow the prefix. Memory grows with what arrives, not with what was announced, so that a
/// peer that announces much and sends little costs little; and so does its share of `room`. The bytes may take `patience` to come, and what is waited for
/// room besides.
///
/// # Errors
/// [`FrameError::Io`] when the peer goes away inside the frame, or takes too long.
pub async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    size: usize,
    room: &mut impl Cover,
    mut patience: Duration,
) -> Result<Bytes, FrameError> {
    /// Of address space: pages that nothing has arrived for are not there.
    const STEP: usize = 1 << 20;
    let mut covered = size.min(FIRST_BYTES);
    room.cover(covered).await?;
    let mut body = BytesMut::with_capacity(size.min(STEP));
    while body.len() < size {
        if body.len() == covered {
            covered = size.min(covered * 2);
            room.cover(covered).await?;
        }
        if body.capacity() == body.len() {
            body.reserve((size - body.len()).min(body.len().max(STEP)));
        }
        let begun = tokio::time::Instant::now();
        let mut limited = (&mut *stream).take((covered - body.len()) as u64);
        let read = tokio::time::timeout(patience, limited.read_buf(&mut body)).await;
        if read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? == 0 {
            return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        patience = patience.saturating_sub(begun.elapsed());
    }
    Ok(body.freeze())
}
