//! The primitives of Kafka's message format, as far as coordinator records and embedded subscriptions need them.
//!
//! A reader may be handed a damaged log or bytes from a client: it answers [`MalformedRecord`], never panics, and allocates nothing
//! by a claimed length.

use crate::coordinator::MalformedRecord;
use bytes::{Buf, Bytes};

/// Reads one versioned structure.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    version: i16,
    is_flexible: bool,
}

impl Reader {
    /// Starts behind the version that every structure starts with.
    ///
    /// # Errors
    /// [`MalformedRecord`] when there is none.
    pub fn new(bytes: &Bytes) -> Result<Reader, MalformedRecord> {
        let mut rest = bytes.clone();
        let version = rest.try_get_i16().map_err(|_| cut("version"))?;
        Ok(Reader { rest, version, is_flexible: false })
    }

    /// Reads the content of a tagged field, which is compact and has no version of its own.
    pub fn headless(rest: Bytes) -> Reader {
        Reader { rest, version: 0, is_flexible: true }
    }

    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether strings, arrays and bytes are compact, and structures end with tagged fields (KIP-482).
    pub fn set_flexible(&mut self, is_flexible: bool) {
        self.is_flexible = is_flexible;
    }

    pub fn u8(&mut self) -> Result<u8, MalformedRecord> {
        self.rest.try_get_u8().map_err(|_| cut("int8"))
    }

    /// `length` bytes as they stand.
    pub fn raw(&mut self, length: usize) -> Result<Bytes, MalformedRecord> {
        self.take(length, "fixed bytes")
    }

    pub fn i16(&mut self) -> Result<i16, MalformedRecord> {
        self.rest.try_get_i16().map_err(|_| cut("int16"))
    }

    pub fn i32(&mut self) -> Result<i32, MalformedRecord> {
        self.rest.try_get_i32().map_err(|_| cut("int32"))
    }

    pub fn i64(&mut self) -> Result<i64, MalformedRecord> {
        self.rest.try_get_i64().map_err(|_| cut("int64"))
    }

    pub fn string(&mut self) -> Result<String, MalformedRecord> {
        self.nullable_string()?.ok_or_else(|| MalformedRecord("a string that must not be null is".to_owned()))
    }

    pub fn nullable_string(&mut self) -> Result<Option<String>, MalformedRecord> {
        let length = if self.is_flexible {
            self.compact_length()?
        } else {
            usize::try_from(self.rest.try_get_i16().map_err(|_| cut("string length"))?).ok()
        };
        let Some(length) = length else { return Ok(None) };
        let bytes = self.take(length, "string")?;
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| MalformedRecord("a string is not UTF-8".to_owned()))
    }

    /// Null is empty.
    pub fn bytes(&mut self) -> Result<Bytes, MalformedRecord> {
        let length = self.array_length()?;
        self.take(length, "bytes")
    }

    /// The claimed number of elements, at most the bytes that are left; null is 0.
    pub fn array_length(&mut self) -> Result<usize, MalformedRecord> {
        let length = if self.is_flexible {
            self.compact_length()?
        } else {
            usize::try_from(self.rest.try_get_i32().map_err(|_| cut("length"))?).ok()
        };
        match length.unwrap_or(0) {
            length if length > self.rest.len() => Err(cut("array")),
            length => Ok(length),
        }
    }

    /// The tagged fields that end a flexible structure; none in others.
    pub fn tagged(&mut self) -> Result<Vec<(u32, Bytes)>, MalformedRecord> {
        let mut fields = Vec::new();
        if self.is_flexible {
            for _ in 0..self.varint()? {
                let tag = self.varint()?;
                let length = usize::try_from(self.varint()?).map_err(|_| cut("tagged field"))?;
                fields.push((tag, self.take(length, "tagged field")?));
            }
        }
        Ok(fields)
    }

    fn compact_length(&mut self) -> Result<Option<usize>, MalformedRecord> {
        Ok(usize::try_from(self.varint()?).map_err(|_| cut("length"))?.checked_sub(1))
    }

    fn varint(&mut self) -> Result<u32, MalformedRecord> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.rest.try_get_u8().map_err(|_| cut("varint"))?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(MalformedRecord("a varint is longer than 5 bytes".to_owned()))
    }

    fn take(&mut self, length: usize, what: &str) -> Result<Bytes, MalformedRecord> {
        if length > self.rest.len() {
            return Err(cut(what));
        }
        Ok(self.rest.split_to(length))
    }
}

fn cut(what: &str) -> MalformedRecord {
    MalformedRecord(format!("the bytes end inside of a field ({what})"))
}

/// Writes one versioned structure.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    is_flexible: bool,
}

impl Writer {
    pub fn new(version: i16, is_flexible: bool) -> Writer {
        Writer { bytes: version.to_be_bytes().to_vec(), is_flexible }
    }

    /// Writes the content of a tagged field, which is compact and has no version of its own.
    pub fn headless() -> Writer {
        Writer { bytes: Vec::new(), is_flexible: true }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    /// # Panics
    /// When a string is longer than 32,767 bytes: the state machine refuses those (`NAME_BYTES_MAX`).
    pub fn nullable_string(&mut self, value: Option<&str>) {
        if self.is_flexible {
            self.compact_length(value.map(str::len));
        } else {
            let length = value.map_or(-1, |value| i16::try_from(value.len()).expect("names are checked when they come in"));
            self.bytes.extend_from_slice(&length.to_be_bytes());
        }
        self.bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.array_length(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// # Panics
    /// At 2 GiB, which no request reaches.
    pub fn array_length(&mut self, length: usize) {
        if self.is_flexible {
            self.compact_length(Some(length));
        } else {
            self.i32(i32::try_from(length).expect("requests are far below 2 GiB"));
        }
    }

    /// Ends a flexible structure.
    pub fn tagged(&mut self, fields: &[(u32, &[u8])]) {
        self.varint(fields.len());
        for (tag, field) in fields {
            self.varint(*tag as usize);
            self.varint(field.len());
            self.bytes.extend_from_slice(field);
        }
    }

    fn compact_length(&mut self, length: Option<usize>) {
        self.varint(length.map_or(0, |length| length + 1));
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push((value & 0x7f) as u8);
    }
}
