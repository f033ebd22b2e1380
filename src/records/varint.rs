//! The variable-length integers of records: seven bits per byte, least significant first, zigzag for the sign (as Protocol Buffers).

use super::RecordError;

const VARINT_BYTES_MAX: u32 = 5;
const VARLONG_BYTES_MAX: u32 = 10;

/// Takes a 32-bit number off the front of `input`.
pub(super) fn take_varint(input: &mut &[u8]) -> Result<i32, RecordError> {
    let raw = take_unsigned(input, VARINT_BYTES_MAX)?;
    let raw = u32::try_from(raw).map_err(|_| RecordError::BadRecord("a number does not fit 32 bits".into()))?;
    Ok(signed(raw))
}

/// Takes a 64-bit number off the front of `input`.
pub(super) fn take_varlong(input: &mut &[u8]) -> Result<i64, RecordError> {
    let raw = take_unsigned(input, VARLONG_BYTES_MAX)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// The number of at most three bytes at `*at`, which moves behind it. `None`: it is longer, or does not end here.
#[inline]
pub(super) fn take_short(input: &[u8], at: &mut usize) -> Option<i32> {
    // One branch for each length, so that a processor that guesses it right need not wait for where the next number begins.
    let (raw, bytes) = match *input.get(*at..)? {
        [a @ 0..0x80, ..] => (u32::from(a), 1),
        [a, b @ 0..0x80, ..] => (u32::from(a & 0x7f) | u32::from(b) << 7, 2),
        [a, b, c @ 0..0x80, ..] => (u32::from(a & 0x7f) | u32::from(b & 0x7f) << 7 | u32::from(c) << 14, 3),
        _ => return None,
    };
    *at += bytes;
    Some(signed(raw))
}

/// A 32-bit number out of its zigzag.
#[inline]
fn signed(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// Appends `value`; any 32-bit number takes at most five bytes and is written as a 32-bit reader expects it.
pub(super) fn put_varint(output: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        output.push(raw.to_le_bytes()[0] | 0x80);
        raw >>= 7;
    }
    output.push(raw.to_le_bytes()[0]);
}

#[inline]
fn take_unsigned(input: &mut &[u8], bytes_max: u32) -> Result<u64, RecordError> {
    // Nearly all of them: lengths and distances are small.
    if let [byte @ 0..0x80, rest @ ..] = *input {
        *input = rest;
        return Ok(u64::from(*byte));
    }
    take_longer(input, bytes_max)
}

fn take_longer(input: &mut &[u8], bytes_max: u32) -> Result<u64, RecordError> {
    let mut value = 0_u64;
    for index in 0..bytes_max {
        let (byte, rest) = input.split_first().ok_or_else(|| RecordError::BadRecord("it ends inside a number".into()))?;
        *input = rest;
        // The tenth byte holds one bit of use; what it has above that falls off, as in Kafka's ByteUtils.
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordError::BadRecord(format!("a number takes more than {bytes_max} bytes")))
}
