//! What the records of groups of the newer protocols have in common: keys of group and member, and values of version 0.

use crate::coordinator::MalformedRecord;
use crate::coordinator::wire::{Reader, Writer};
use bytes::Bytes;
use std::collections::BTreeMap;

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

/// Partitions, and behind them the epoch of each in a tagged field, which ends the structure that they stand in.
pub(super) fn write_with_epochs(out: &mut Writer, partitions: &BTreeMap<i32, i32>) {
    out.array_length(partitions.len());
    partitions.keys().for_each(|partition| out.i32(*partition));
    let mut epochs = Writer::headless();
    epochs.array_length(partitions.len());
    partitions.values().for_each(|epoch| epochs.i32(*epoch));
    out.tagged(&[(0, epochs.into_bytes().as_slice())]);
}

/// What [`write_with_epochs`] writes. Without an epoch for each, all have `default_epoch`.
pub(super) fn read_with_epochs(fields: &mut Reader, default_epoch: i32) -> Result<BTreeMap<i32, i32>, MalformedRecord> {
    let partitions = read_numbers(fields)?;
    let mut epochs = Vec::new();
    for (tag, field) in fields.tagged()? {
        if tag == 0 {
            epochs = read_numbers(&mut Reader::headless(field))?;
        }
    }
    if epochs.len() != partitions.len() {
        epochs = vec![default_epoch; partitions.len()];
    }
    Ok(partitions.into_iter().zip(epochs).collect())
}
