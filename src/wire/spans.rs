//! A response whose payload leaves from where it lies (memory or a file) instead of being copied: fields are written around spans.

use super::frame::{Frame, PREFIX_BYTES};
use super::message::DecodeError;
use crate::span::Span;
use bytes::{BufMut, BytesMut};

/// Payload below this is cheaper to copy than to send on its own.
const COPIED_MAX: usize = 1024;

/// Bytes that are written now, and spans between them.
#[derive(Debug)]
pub(super) struct SpanWriter {
    pub now: BytesMut,
    /// What comes before `now`.
    done: Vec<Span>,
}

impl SpanWriter {
    /// Begins a frame: its size, which [`SpanWriter::finish`] fills in, and the correlation id.
    pub fn new(correlation_id: i32, capacity: usize) -> SpanWriter {
        let mut now = BytesMut::with_capacity(PREFIX_BYTES + 4 + capacity);
        now.put_i32(0);
        now.put_i32(correlation_id);
        SpanWriter { now, done: Vec::new() }
    }

    /// Puts `spans` here, behind one another.
    pub fn spans(&mut self, spans: Vec<Span>) {
        let bytes: usize = spans.iter().map(Span::len).sum();
        for span in spans {
            match span {
                Span::Memory(copied) if bytes <= COPIED_MAX => self.now.put_slice(&copied),
                span => {
                    if !self.now.is_empty() {
                        self.done.push(Span::Memory(self.now.split().freeze()));
                    }
                    self.done.push(span);
                }
            }
        }
    }

    /// An unsigned varint.
    pub fn varint(&mut self, value: usize) {
        let mut left = value;
        while left > 0x7f {
            self.now.put_u8(0x80 | (left & 0x7f) as u8);
            left >>= 7;
        }
        self.now.put_u8(left as u8);
    }

    /// The length of a compact array, or of compact bytes.
    pub fn compact_length(&mut self, length: usize) {
        self.varint(length + 1);
    }

    /// A compact string, or null.
    pub fn compact_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => {
                self.compact_length(value.len());
                self.now.put_slice(value.as_bytes());
            }
            None => self.now.put_u8(0),
        }
    }

    /// The whole frame.
    ///
    /// # Errors
    /// More than 2 GiB.
    pub fn finish(mut self) -> Result<Frame, DecodeError> {
        if !self.now.is_empty() {
            self.done.push(Span::Memory(self.now.freeze()));
        }
        let size = self.done.iter().map(Span::len).sum::<usize>() - PREFIX_BYTES;
        let size = i32::try_from(size).map_err(|_| DecodeError(format!("a response of {size} bytes")))?;
        let mut spans = self.done.into_iter();
        let Some(Span::Memory(head)) = spans.next() else { return Err(DecodeError("a response without a head".to_owned())) };
        let mut head = BytesMut::from(head);
        head[..PREFIX_BYTES].copy_from_slice(&size.to_be_bytes());
        Ok(Frame { head: head.freeze(), rest: spans.collect() })
    }
}
