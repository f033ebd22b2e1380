//! Request headers. The first eight bytes (key, version, correlation id) have one form in every version, so they can be
//! read before anything is known about the request (KIP-482 added tagged fields behind them).

use super::compact;
use super::message::DecodeError;
use anyhow::{Context as _, ensure};
use bytes::{Buf, Bytes};

/// What every request starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
}

impl Prefix {
    /// Reads the prefix without consuming it; `None` when the frame is shorter.
    #[must_use]
    pub fn peek(frame: &Bytes) -> Option<Prefix> {
        let mut head = frame.get(..8)?;
        Some(Prefix { api_key: head.get_i16(), api_version: head.get_i16(), correlation_id: head.get_i32() })
    }
}

/// Consumes the header of `header_version` (0: a prefix alone; 1: a client id behind it; 2: tagged fields behind that) from `frame`, and answers the client
/// id, if the client sent one. By hand, since the library keeps all tagged fields, of which a frame may have millions, and we know none.
///
/// # Errors
/// When the bytes are no such header.
pub fn read_client_id(frame: &mut Bytes, header_version: i16) -> Result<Option<String>, DecodeError> {
    Ok(client_id(frame, header_version).context("request header")?)
}

fn client_id(frame: &mut Bytes, header_version: i16) -> anyhow::Result<Option<String>> {
    frame.try_get_u64()?;
    if header_version < 1 {
        return Ok(None);
    }
    // Of the first protocol's form in each version: two bytes of length, -1 for none (RequestHeader.json).
    let length = frame.try_get_i16()?;
    let client_id = match usize::try_from(length) {
        Ok(length) => {
            ensure!(length <= frame.remaining(), "a client id of {length} bytes, {} are left", frame.remaining());
            // Clients in C take it from a host's name, in whatever encoding that is. It only tells clients apart, and Java reads it like this.
            Some(String::from_utf8_lossy(&frame.split_to(length)).into_owned())
        }
        Err(_) => None,
    };
    if header_version >= 2 {
        compact::skip_tagged_fields(frame)?;
    }
    Ok(client_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    /// A header with this client id and these tagged fields, and a byte of what follows.
    fn frame(client_id: Option<&[u8]>, tagged: &[u8]) -> Bytes {
        let mut frame = Vec::new();
        frame.put_i16(3);
        frame.put_i16(12);
        frame.put_i32(7);
        frame.put_i16(client_id.map_or(-1, |id| i16::try_from(id.len()).expect("short")));
        frame.extend_from_slice(client_id.unwrap_or_default());
        frame.extend_from_slice(tagged);
        frame.push(0x77);
        Bytes::from(frame)
    }

    #[test]
    fn each_version_reads_what_it_has_and_leaves_the_rest() {
        let cases: [(&str, Bytes, i16, Option<&str>); 6] = [
            ("a client id", frame(Some(b"me"), &[]), 1, Some("me")),
            ("none", frame(None, &[]), 1, None),
            ("one in Latin-1", frame(Some(b"B\xfcro"), &[0]), 2, Some("B\u{fffd}ro")),
            ("an empty one", frame(Some(b""), &[0]), 2, Some("")),
            ("two tagged fields", frame(Some(b"me"), &[2, 0, 1, 9, 5, 2, 8, 8]), 2, Some("me")),
            ("a prefix alone", Bytes::from_static(&[0, 7, 0, 0, 0, 0, 0, 1, 0x77]), 0, None),
        ];
        for (what, mut frame, version, client_id) in cases {
            assert_eq!(read_client_id(&mut frame, version).expect(what).as_deref(), client_id, "{what}");
            assert_eq!(&frame[..], [0x77], "{what}");
        }
    }

    #[test]
    fn what_is_cut_is_refused() {
        let whole = frame(Some(b"me"), &[1, 0, 2, 9, 9]);
        for end in 0..whole.len() - 1 {
            assert!(read_client_id(&mut whole.slice(..end), 2).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn more_tagged_fields_than_anybody_sends_are_refused() {
        let tagged = |count: usize| {
            let mut tagged = compact::Writer::default();
            tagged.varint(count);
            (0..count).for_each(|_| tagged.number([1, 0]));
            frame(None, &tagged.into_bytes())
        };
        assert!(read_client_id(&mut tagged(10_000), 2).is_ok());
        assert!(read_client_id(&mut tagged(10_001), 2).is_err());
    }
}
