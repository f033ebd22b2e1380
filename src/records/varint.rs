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

/// Numbers of at most three bytes each that follow one another, out of eight bytes that are read at once: no more than these may be taken.
pub(super) struct ShortNumbers {
    /// Those of the eight bytes that are left, the next one lowest.
    word: u64,
    /// Where the next one is in the input.
    place: usize,
}

impl ShortNumbers {
    /// Those at `place`; `None` when fewer than eight bytes are there.
    #[inline(always)]
    pub fn at(input: &[u8], place: usize) -> Option<ShortNumbers> {
        let bytes = input.get(place..)?.first_chunk()?;
        Some(ShortNumbers { word: u64::from_le_bytes(*bytes), place })
    }

    /// Where the next one is in the input.
    #[inline(always)]
    pub fn place(&self) -> usize {
        self.place
    }

    /// The next one; `None` when it is longer than three bytes.
    #[inline(always)]
    pub fn take(&mut self) -> Option<i32> {
        // Seven bits of each of the first three bytes.
        let [low, middle, high] = [self.word as u32 & 0x7f, self.word as u32 >> 1 & 0x3f80, self.word as u32 >> 2 & 0x1f_c000];
        // One branch for each length, so that a processor that guesses it right need not wait for where the next number begins.
        let (raw, bytes) = match self.word {
            word if word & 0x80 == 0 => (low, 1),
            word if word & 0x8000 == 0 => (low | middle, 2),
            word if word & 0x80_0000 == 0 => (low | middle | high, 3),
            _ => return None,
        };
        self.skip(bytes);
        Some(signed(raw))
    }

    /// Passes over `bytes`, fewer than eight.
    #[inline(always)]
    pub fn skip(&mut self, bytes: usize) {
        self.word >>= 8 * bytes;
        self.place += bytes;
    }
}

/// A 32-bit number out of its zigzag.
#[inline(always)]
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
