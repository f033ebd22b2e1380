//! Bytes on their way to a socket: in memory, or still in a file, from where the kernel can send them without a copy in this process.

use bytes::{Buf, Bytes};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Some bytes that will not change while this is held.
#[derive(Debug, Clone)]
pub enum Span {
    Memory(Bytes),
    File(FileSpan),
}

/// `length` bytes of a file, from `at` on.
#[derive(Debug, Clone)]
pub struct FileSpan {
    pub file: Arc<File>,
    pub at: u64,
    pub length: usize,
}

impl Span {
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Span::Memory(bytes) => bytes.len(),
            Span::File(span) => span.length,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn memory(&self) -> Option<&Bytes> {
        match self {
            Span::Memory(bytes) => Some(bytes),
            Span::File(_) => None,
        }
    }

    #[must_use]
    pub fn file(&self) -> Option<&FileSpan> {
        match self {
            Span::Memory(_) => None,
            Span::File(span) => Some(span),
        }
    }

    /// Drops the first `bytes`; more than there are is a bug.
    pub fn advance(&mut self, bytes: usize) {
        match self {
            Span::Memory(memory) => memory.advance(bytes),
            Span::File(span) => {
                span.at += bytes as u64;
                span.length -= bytes;
            }
        }
    }
}

impl From<Bytes> for Span {
    fn from(bytes: Bytes) -> Span {
        Span::Memory(bytes)
    }
}

/// All of `spans` in one piece of memory; not copied when it is one already. Blocks for the reads of files.
///
/// # Errors
/// See [`FileSpan::read`].
pub fn load(spans: &[Span]) -> io::Result<Bytes> {
    match spans {
        [Span::Memory(bytes)] => return Ok(bytes.clone()),
        [Span::File(span)] => return span.read().map(Bytes::from),
        _ => {}
    }
    let mut all = Vec::with_capacity(spans.iter().map(Span::len).sum());
    for span in spans {
        match span {
            Span::Memory(bytes) => all.extend_from_slice(bytes),
            Span::File(span) => all.extend_from_slice(&span.read()?),
        }
    }
    Ok(Bytes::from(all))
}

impl FileSpan {
    /// The bytes, in memory that was not zeroed before. Blocks.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file is shorter than the span; what the device says.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes: Vec<u8> = Vec::with_capacity(self.length);
        while bytes.len() < self.length {
            let at = self.at + bytes.len() as u64;
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(self.length);
        Ok(bytes)
    }

    /// Reads as many bytes as `place` has, from the first one on. Blocks.
    ///
    /// # Errors
    /// As [`FileSpan::read`].
    pub fn read_into(&self, place: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(place, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn memory_and_files_are_read_in_order() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        let file = Arc::new(file);
        let part = |at, length| Span::File(FileSpan { file: file.clone(), at, length });
        let spans = [part(3, 2), Span::from(Bytes::from_static(b"--")), part(0, 10), part(10, 0)];
        assert_eq!(load(&spans).expect("read"), b"34--0123456789"[..]);
        assert_eq!(spans.map(|span| span.len()), [2, 2, 10, 0]);
        assert_eq!(load(&[]).expect("read"), b""[..]);
        assert!(load(&[part(8, 3)]).is_err(), "more than the file has");
    }

    #[test]
    fn the_rest_is_what_follows() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        for mut span in
            [Span::File(FileSpan { file: Arc::new(file), at: 1, length: 8 }), Span::from(Bytes::from_static(b"12345678"))]
        {
            span.advance(0);
            span.advance(3);
            assert_eq!((load(std::slice::from_ref(&span)).expect("read"), span.len()), (Bytes::from_static(b"45678"), 5));
            span.advance(5);
            assert!(span.is_empty());
        }
    }
}
