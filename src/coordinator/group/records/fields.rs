//! What the records of groups of the newer protocols have in common: keys of group and member, and values of version 0.

use crate::coordinator::MalformedRecord;
use crate::coordinator::wire::{Reader, Writer};
use bytes::Bytes;

/// A key: kind, group, and for most kinds the member, or another name, within it.
pub(super) fn key(kind: i16, group: &str, within: Option<&str>) -> Vec<u8> {
    let mut key = Writer::new(kind, false);
    key.string(group);
    if let Some(within) = within {
        key.string(within);
    }
    key.into_bytes()
}

/// A value to be written.
pub(super) fn value() -> Writer {
    Writer::new(0, true)
}

/// Reads a value; `None` is a tombstone.
pub(super) fn read<T>(
    value: Option<&Bytes>,
    decode: impl FnOnce(&mut Reader) -> Result<T, MalformedRecord>,
) -> Result<Option<T>, MalformedRecord> {
    let Some(value) = value else { return Ok(None) };
    let mut fields = Reader::new(value)?;
    if fields.version() != 0 {
        return Err(MalformedRecord(format!("a group's record of version {}; only 0 exists", fields.version())));
    }
    fields.set_flexible(true);
    decode(&mut fields).map(Some)
}

/// A tagged field whose whole content is one number.
pub(super) fn tagged_number(fields: &mut Reader) -> Result<i64, MalformedRecord> {
    let mut number = 0;
    for (tag, field) in fields.tagged()? {
        if tag == 0 {
            number = Reader::headless(field).i64()?;
        }
    }
    Ok(number)
}

/// Kafka leaves a tagged number out when it is 0.
pub(super) fn tag_number(out: &mut Writer, number: i64) {
    if number == 0 {
        out.tagged(&[]);
    } else {
        out.tagged(&[(0, number.to_be_bytes().as_slice())]);
    }
}

pub(super) fn read_numbers(fields: &mut Reader) -> Result<Vec<i32>, MalformedRecord> {
    let mut numbers = Vec::new();
    for _ in 0..fields.array_length()? {
        numbers.push(fields.i32()?);
    }
    Ok(numbers)
}
