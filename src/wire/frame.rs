//! Size-prefixed frames on a byte stream (Kafka protocol guide, "Common Request and Response Structure").
//!
//! Nothing is allocated before the announced size has been checked, and the caller holds a memory permit for it.

use crate::span::Span;
use bytes::Bytes;
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
    #[error(
        "frame of {size} bytes is above the limit of {limit} (limits.request_bytes); or the client begins with TLS or HTTP, which are not spoken here"
    )]
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
/// The same, where memory is plenty: a batch of the largest size that topics take by default (`max.message.bytes`), and what is around it.
pub const EARLY_BYTES: usize = (1 << 20) + (4 << 10);

/// Who gives memory to frames.
pub trait Cover: Send {
    /// Takes memory for the first `bytes` bytes of a frame at once, where there is plenty of it; answers whether it did.
    fn cover_if_plenty(&mut self, bytes: usize) -> bool;

    /// Waits for memory for the first `bytes` bytes of a frame, which are about to be read.
    fn cover(&mut self, bytes: usize) -> impl Future<Output = std::io::Result<()>> + Send;
}

/// Reads the `size` bytes that follow the prefix. Memory grows with what arrives, not with what was announced, so that a
/// peer that announces much and sends little costs little. The bytes may take `patience` to come, and what is waited for room besides.
///
/// No more is allocated than `room` covers: pages that nothing has arrived for may be there all the same, since the allocator hands out again what was
/// freed. Where memory is plenty, that is up to [`EARLY_BYTES`] from the beginning, so that such a frame is not copied while it grows.
///
/// # Errors
/// [`FrameError::Io`] when the peer goes away inside the frame, or takes too long.
pub async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    size: usize,
    room: &mut impl Cover,
    mut patience: Duration,
) -> Result<Bytes, FrameError> {
    let mut covered = size.min(FIRST_BYTES);
    room.cover(covered).await?;
    let early = size.min(EARLY_BYTES);
    if early > covered && room.cover_if_plenty(early) {
        covered = early;
    }
    let mut body = Vec::with_capacity(covered);
    while body.len() < size {
        if body.len() == covered {
            covered = size.min(covered * 2);
            room.cover(covered).await?;
            body.reserve_exact(covered - body.len());
        }
        let begun = tokio::time::Instant::now();
        let mut limited = (&mut *stream).take((covered - body.len()) as u64);
        let read = tokio::time::timeout(patience, limited.read_buf(&mut body)).await;
        if read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? == 0 {
            return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        patience = patience.saturating_sub(begun.elapsed());
    }
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::AsyncWriteExt;

    const MIB: usize = 1 << 20;

    /// Memory that notes what it was asked for.
    struct Noted {
        covered: Arc<AtomicUsize>,
        is_plenty: bool,
    }

    impl Cover for Noted {
        fn cover_if_plenty(&mut self, bytes: usize) -> bool {
            if self.is_plenty {
                self.covered.fetch_max(bytes, Ordering::Relaxed);
            }
            self.is_plenty
        }

        async fn cover(&mut self, bytes: usize) -> std::io::Result<()> {
            self.covered.fetch_max(bytes, Ordering::Relaxed);
            Ok(())
        }
    }

    /// Reads a frame of `size` bytes of which `sent` arrive; answers what was covered when no more came, and the frame, if it is whole.
    async fn read(size: usize, sent: usize, is_plenty: bool) -> (usize, Option<Bytes>) {
        let (mut here, mut there) = tokio::io::duplex(4 * MIB);
        let content: Vec<u8> = (0..sent).map(|at| (at % 251) as u8).collect();
        there.write_all(&content).await.expect("sent");
        let covered = Arc::new(AtomicUsize::new(0));
        let mut room = Noted { covered: covered.clone(), is_plenty };
        let body = read_body(&mut here, size, &mut room, Duration::from_millis(50)).await.ok();
        assert!(body.as_ref().is_none_or(|body| *body == content), "what was sent");
        (covered.load(Ordering::Relaxed), body)
    }

    #[tokio::test]
    async fn memory_is_asked_for_as_bytes_arrive() {
        assert_eq!(read(3 * MIB, 10, false).await, (FIRST_BYTES, None));
        assert_eq!(read(3 * MIB, 200_000, false).await, (256 << 10, None));
        assert_eq!(read(3 * MIB, 10, true).await, (EARLY_BYTES, None));
        assert_eq!(read(1000, 10, true).await, (1000, None));
        for size in [1000, FIRST_BYTES, FIRST_BYTES + 1, 600_000, MIB, MIB + 100, 3 * MIB] {
            for is_plenty in [false, true] {
                let (covered, body) = read(size, size, is_plenty).await;
                let body = body.expect("all of it").try_into_mut().expect("nobody else has it");
                assert_eq!((covered, body.len(), body.capacity()), (size, size, size), "and no more");
            }
        }
    }
}
