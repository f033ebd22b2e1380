//! The wire format of Protocol Buffers, read piece by piece. Source: protobuf.dev/programming-guides/encoding.

/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 10;

/// Why bytes are no piece of a message.
pub(super) type Fault = &'static str;

/// How the bytes of a field are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Length,
    GroupStart,
    GroupEnd,
    Fixed32,
}

impl WireType {
    pub(super) fn name(self) -> &'static str {
        match self {
            WireType::Varint => "a varint",
            WireType::Fixed64 => "8 bytes",
            WireType::Length => "bytes with a length",
            WireType::GroupStart => "a group",
            WireType::GroupEnd => "the end of a group",
            WireType::Fixed32 => "4 bytes",
        }
    }
}

/// Bytes, a position in them, and an end that may lie before theirs: that of the message that is being read.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, end: bytes.len() }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// What was read between `start` and here.
    pub(super) fn since(&self, start: usize) -> Reader<'a> {
        Reader { bytes: self.bytes, at: start, end: self.at }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let rest = self.bytes.get(self.at..self.end).unwrap_or_default();
        let mut value = 0_u64;
        for (index, byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            // The tenth byte has room for one bit; parsers drop the others.
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(if rest.len() < VARINT_BYTES_MAX { "the bytes end inside a varint" } else { "a varint has more than 10 bytes" })
    }

    /// The varint of a signed number that is written in zigzag.
    pub(super) fn zigzag(&mut self) -> Result<i64, Fault> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Number and wire type of the next field.
    pub(super) fn tag(&mut self) -> Result<(u32, WireType), Fault> {
        let tag = u32::try_from(self.varint()?).map_err(|_| "a tag is larger than 32 bits")?;
        let number = tag >> 3;
        if number == 0 {
            return Err("a field has number 0");
        }
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Length,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err("a tag has a wire type that does not exist (6 or 7)"),
        };
        Ok((number, wire_type))
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > self.end.saturating_sub(self.at) {
            return Err("the bytes end inside a field");
        }
        self.at += bytes;
        Ok(())
    }

    /// Reads a length and the bytes that it announces.
    pub(super) fn delimited(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        let start = self.at;
        self.at += length;
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Reads a length and ends where the bytes do that it announces; answers the end that was before, for [`Reader::leave`].
    pub(super) fn enter(&mut self) -> Result<usize, Fault> {
        let length = self.length()?;
        let outer_end = self.end;
        self.end = self.at + length;
        Ok(outer_end)
    }

    pub(super) fn leave(&mut self, outer_end: usize) {
        self.end = outer_end;
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let length = self.varint()?;
        let room = self.end.saturating_sub(self.at);
        usize::try_from(length).ok().filter(|length| *length <= room).ok_or("a length goes beyond the end")
    }

    /// Skips a field; `depth_left`: how deep groups in it may nest.
    pub(super) fn skip_field(&mut self, number: u32, wire_type: WireType, depth_left: usize) -> Result<(), Fault> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.skip(8),
            WireType::Fixed32 => self.skip(4),
            WireType::Length => self.delimited().map(drop),
            WireType::GroupEnd => Err("a group ends that did not begin"),
            WireType::GroupStart => {
                let depth_left = depth_left.checked_sub(1).ok_or("groups nest too deep")?;
                while !self.is_at_end() {
                    match self.tag()? {
                        (inner, WireType::GroupEnd) if inner == number => return Ok(()),
                        (inner, wire_type) => self.skip_field(inner, wire_type, depth_left)?,
                    }
                }
                Err("a group has no end")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_at_most_ten_bytes() {
        assert_eq!(Reader::new(&[0x96, 0x01]).varint(), Ok(150));
        assert_eq!(Reader::new(&[0xff; 9]).varint(), Err("the bytes end inside a varint"));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err("a varint has more than 10 bytes"));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).varint(), Ok(u64::MAX));
    }

    #[test]
    fn zigzag_alternates_between_positive_and_negative() {
        for (byte, expected) in [(0, 0), (1, -1), (2, 1), (3, -2), (0x7f, -64)] {
            assert_eq!(Reader::new(&[byte]).zigzag(), Ok(expected));
        }
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).zigzag(),
            Ok(i64::MIN),
            "no overflow"
        );
    }

    #[test]
    fn lengths_end_within_the_message_that_they_are_in() {
        let mut reader = Reader::new(&[2, 2, 0, 9]);
        let outer_end = reader.enter().unwrap();
        assert_eq!(reader.delimited(), Err("a length goes beyond the end"));
        reader.leave(outer_end);
        assert_eq!(reader.position(), 2);
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 7]).delimited().ok(), None);
    }
}
