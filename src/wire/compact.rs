//! The compact primitives of flexible messages (KIP-482), for the few messages that the protocol library cannot read or write.
//!
//! Elements of an array are read one by one: a count that the bytes do not bear out ends in an error at the first missing element, and
//! allocates nothing.

use anyhow::{Context, Result, bail};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::ByteBuf;
use uuid::Uuid;

pub(super) fn i8<B: ByteBuf>(buf: &mut B) -> Result<i8> {
    Ok(i8::from_be_bytes(fixed(buf)?))
}

pub(super) fn i16<B: ByteBuf>(buf: &mut B) -> Result<i16> {
    Ok(i16::from_be_bytes(fixed(buf)?))
}

pub(super) fn i64<B: ByteBuf>(buf: &mut B) -> Result<i64> {
    Ok(i64::from_be_bytes(fixed(buf)?))
}

pub(super) fn i32<B: ByteBuf>(buf: &mut B) -> Result<i32> {
    Ok(i32::from_be_bytes(fixed(buf)?))
}

pub(super) fn u16<B: ByteBuf>(buf: &mut B) -> Result<u16> {
    Ok(u16::from_be_bytes(fixed(buf)?))
}

pub(super) fn boolean<B: ByteBuf>(buf: &mut B) -> Result<bool> {
    Ok(fixed::<B, 1>(buf)? != [0])
}

pub(super) fn uuid<B: ByteBuf>(buf: &mut B) -> Result<Uuid> {
    Ok(Uuid::from_bytes(fixed(buf)?))
}

pub(super) fn string<B: ByteBuf>(buf: &mut B) -> Result<StrBytes> {
    nullable_string(buf)?.context("a string that must not be null is")
}

pub(super) fn nullable_string<B: ByteBuf>(buf: &mut B) -> Result<Option<StrBytes>> {
    let Some(length) = length(buf)? else { return Ok(None) };
    let bytes = buf.try_get_bytes(length)?;
    StrBytes::try_from(bytes).map(Some).map_err(|_| anyhow::anyhow!("a string is not UTF-8"))
}

/// A structure that may be null (KIP-893): −1, or 1 and its fields.
pub(super) fn nullable_struct<B: ByteBuf, T>(buf: &mut B, read: impl Fn(&mut B) -> Result<T>) -> Result<Option<T>> {
    if i8(buf)? < 0 { Ok(None) } else { read(buf).map(Some) }
}

/// `None`: a null array.
pub(super) fn nullable_array<B: ByteBuf, T>(buf: &mut B, element: impl Fn(&mut B) -> Result<T>) -> Result<Option<Vec<T>>> {
    let Some(count) = length(buf)? else { return Ok(None) };
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push(element(buf)?);
    }
    Ok(Some(elements))
}

pub(super) fn array<B: ByteBuf, T>(buf: &mut B, element: impl Fn(&mut B) -> Result<T>) -> Result<Vec<T>> {
    nullable_array(buf, element)?.context("an array that must not be null is")
}

/// More of them are not read past: nobody has so many, and each takes its time (the same bound as Apache Kafka's from 4.4 on).
const TAGGED_FIELDS_MAX: u32 = 10_000;

/// Reads past the tagged fields that end a structure: we know none of them.
pub(super) fn skip_tagged_fields<B: ByteBuf>(buf: &mut B) -> Result<()> {
    let count = varint(buf)?;
    if count > TAGGED_FIELDS_MAX {
        bail!("{count} tagged fields; at most {TAGGED_FIELDS_MAX} are read past");
    }
    for _ in 0..count {
        varint(buf)?;
        let size = varint(buf)?;
        buf.try_get_bytes(usize::try_from(size)?)?;
    }
    Ok(())
}

/// Writes the fields of a message, one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number, as its big-endian bytes.
    pub fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.extend_from_slice(&bytes);
    }

    pub fn i32(&mut self, value: i32) {
        self.number(value.to_be_bytes());
    }

    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    pub fn nullable_string(&mut self, value: Option<&str>) {
        self.varint(value.map_or(0, |value| value.len() + 1));
        self.0.extend_from_slice(value.unwrap_or_default().as_bytes());
    }

    pub fn array<T>(&mut self, elements: &[T], write: impl Fn(&mut Writer, &T)) {
        self.nullable_array(Some(elements), write);
    }

    pub fn nullable_array<T>(&mut self, elements: Option<&[T]>, write: impl Fn(&mut Writer, &T)) {
        self.varint(elements.map_or(0, |elements| elements.len() + 1));
        elements.unwrap_or_default().iter().for_each(|element| write(self, element));
    }

    /// See [`nullable_struct`].
    pub fn nullable_struct<T>(&mut self, value: Option<&T>, write: impl Fn(&mut Writer, &T)) {
        match value {
            None => self.number((-1i8).to_be_bytes()),
            Some(value) => {
                self.number([1]);
                write(self, value);
            }
        }
    }

    /// Ends a structure: no tagged fields.
    pub fn end(&mut self) {
        self.number([0]);
    }

    pub fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.number([(value & 0x7f) as u8 | 0x80]);
            value >>= 7;
        }
        self.number([(value & 0x7f) as u8]);
    }
}

fn length<B: ByteBuf>(buf: &mut B) -> Result<Option<usize>> {
    Ok(usize::try_from(varint(buf)?)?.checked_sub(1))
}

fn varint<B: ByteBuf>(buf: &mut B) -> Result<u32> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let [byte] = fixed(buf)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a varint is longer than 5 bytes")
}

fn fixed<B: ByteBuf, const N: usize>(buf: &mut B) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    buf.try_copy_to_slice(&mut bytes).map_err(|_| anyhow::anyhow!("the bytes end inside of a field"))?;
    Ok(bytes)
}
