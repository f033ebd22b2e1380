//! The compact primitives of flexible messages (KIP-482), for the few messages that the protocol library cannot read.
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

/// Reads past the tagged fields that end a structure: we know none of them.
pub(super) fn skip_tagged_fields<B: ByteBuf>(buf: &mut B) -> Result<()> {
    for _ in 0..varint(buf)? {
        varint(buf)?;
        let size = varint(buf)?;
        buf.try_get_bytes(usize::try_from(size)?)?;
    }
    Ok(())
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
