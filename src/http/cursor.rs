//! Positions of several partitions in one opaque word: the `cursor` of a replay, and the ids of a live stream.
//!
//! Inside: `topic:partition=offset,partition=offset;topic:…`, compressed when it is long, in base64 for URLs. Names are Kafka's, which have none of these separators, as HTTP
//! calls them.

use super::records::Offsets;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{Read, Write};

/// What a cursor may hold: some 100,000 partitions of a topic.
const TEXT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Longer ones are compressed.
const PLAIN_MAX: usize = 256;
/// The first letter says how the rest is to be read.
const PLAIN: &str = "1";
const PACKED: &str = "2";

#[must_use]
pub fn encode(positions: &Offsets) -> String {
    let mut text = String::new();
    for (topic, partitions) in positions {
        if !text.is_empty() {
            text.push(';');
        }
        text.push_str(topic);
        for (at, (partition, offset)) in partitions.iter().enumerate() {
            text.push(if at == 0 { ':' } else { ',' });
            text.push_str(&format!("{partition}={offset}"));
        }
    }
    if text.len() <= PLAIN_MAX {
        // Never empty: an empty word is easily lost on the way.
        return format!("{PLAIN}{}", BASE64_URL_SAFE_NO_PAD.encode(text));
    }
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    // A vector takes whatever is written.
    let packed = packer.write_all(text.as_bytes()).and_then(|()| packer.finish()).unwrap_or_default();
    format!("{PACKED}{}", BASE64_URL_SAFE_NO_PAD.encode(packed))
}

/// # Errors
/// When the text is none of ours.
pub fn decode(cursor: &str) -> Result<Offsets, String> {
    let read = || {
        let text = match cursor.split_at_checked(1)? {
            (PLAIN, cursor) => String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?,
            (PACKED, cursor) => {
                let packed = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
                let mut text = String::new();
                DeflateDecoder::new(&packed[..]).take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
                text
            }
            _ => return None,
        };
        let mut positions = Offsets::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (topic, partitions) = part.split_once(':')?;
            let own = positions.entry(topic.to_owned()).or_default();
            for pair in partitions.split(',') {
                let (partition, offset) = pair.split_once('=')?;
                own.insert(partition.parse().ok()?, offset.parse().ok().filter(|offset| *offset >= 0)?);
            }
        }
        Some(positions)
    };
    read().ok_or_else(|| "this is no cursor of ours; send one as it was in an answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let positions = Offsets::from([
            ("a.b_c-d".to_owned(), BTreeMap::from([(0, 12), (7, i64::MAX)])),
            ("z".to_owned(), BTreeMap::from([(3, 0)])),
        ]);
        assert_eq!(decode(&encode(&positions)), Ok(positions));
        assert_eq!(decode(&encode(&Offsets::new())), Ok(Offsets::new()));
        let many = Offsets::from([(
            "topic".to_owned(),
            (0..5000).map(|partition| (partition, 1_000_000 + i64::from(partition))).collect(),
        )]);
        let cursor = encode(&many);
        assert!(cursor.len() < 40_000, "{} characters", cursor.len());
        assert_eq!(decode(&cursor), Ok(many));
        for bad in ["", "3", "2YQ", "2%", "1%%%", "1YQ", "é"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
        for bad in ["a:0=-1", "a:x=1", "a:1"] {
            assert!(decode(&format!("1{}", BASE64_URL_SAFE_NO_PAD.encode(bad))).is_err(), "{bad}");
        }
    }
}
