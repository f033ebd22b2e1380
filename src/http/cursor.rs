//! Positions of several partitions in one opaque word: the `cursor` of a replay, and the ids of a live stream.
//!
//! Inside, behind the version: `topic:partition=offset,partition=offset;topic:…`, in base64 for URLs. Names are Kafka's, which have none of these separators, as HTTP
//! calls them.

use super::records::Offsets;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The longest cursor that is read: some 100,000 partitions.
const BYTES_MAX: usize = 2 * 1024 * 1024;
const VERSION: char = '1';

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
    // Never empty: an empty word is easily lost on the way.
    format!("{VERSION}{}", BASE64_URL_SAFE_NO_PAD.encode(text))
}

/// # Errors
/// When the text is none of ours.
pub fn decode(cursor: &str) -> Result<Offsets, String> {
    let read = || {
        let cursor = cursor.strip_prefix(VERSION).filter(|cursor| cursor.len() <= BYTES_MAX)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let text = String::from_utf8(bytes).ok()?;
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
        for bad in ["", "2", "1%%%", "1YQ"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
        for bad in ["a:0=-1", "a:x=1", "a:1"] {
            assert!(decode(&format!("1{}", BASE64_URL_SAFE_NO_PAD.encode(bad))).is_err(), "{bad}");
        }
    }
}
