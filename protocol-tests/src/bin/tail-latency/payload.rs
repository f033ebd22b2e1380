//! A record's value: its number, the time at which it was due, and bytes that make it as large as it should be.

use std::time::Duration;

/// The smallest value: number and time.
pub const BYTES_MIN: usize = 16;

pub fn write(number: u64, intended: Duration, bytes: usize) -> Vec<u8> {
    let mut value = vec![b'x'; bytes.max(BYTES_MIN)];
    let nanoseconds = u64::try_from(intended.as_nanos()).expect("a run is shorter than 500 years");
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..BYTES_MIN].copy_from_slice(&nanoseconds.to_be_bytes());
    value
}

/// Number and time; nothing when it is too short for them.
pub fn read(value: &[u8]) -> Option<(u64, Duration)> {
    let number: [u8; 8] = value.get(..8)?.try_into().ok()?;
    let nanoseconds: [u8; 8] = value.get(8..BYTES_MIN)?.try_into().ok()?;
    Some((u64::from_be_bytes(number), Duration::from_nanos(u64::from_be_bytes(nanoseconds))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let value = write(7, Duration::from_micros(350), 1024);
        assert_eq!(value.len(), 1024);
        assert_eq!(read(&value), Some((7, Duration::from_micros(350))));
        assert_eq!(read(&value[..BYTES_MIN - 1]), None);
    }
}
