//! Positions of several partitions in one opaque word: the `cursor` of a replay, and the ids of a live stream.
//!
//! Inside: `topic@tag:partition=offset,partition=offset;topic@tag:…`, compressed when it is long, in base64 for URLs. Names are Kafka's, which have none of these
//! separators, as HTTP calls them. The tag tells a topic from one that was made anew under its name, which is read from its beginning.

use crate::ids::TopicId;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// What a cursor may hold: some 100,000 partitions of a topic.
const TEXT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Longer ones are compressed.
const PLAIN_MAX: usize = 256;
/// The first letter says how the rest is to be read.
const PLAIN: &str = "1";
const PACKED: &str = "2";

/// Which topic of its name one is: the beginning of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicTag(u32);

impl TopicTag {
    #[must_use]
    pub fn of(topic: TopicId) -> TopicTag {
        TopicTag(topic.0.as_fields().0)
    }
}

/// How far a reader is in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// `None`: a cursor of a release that did not say, which is taken for the topic that is there.
    pub topic: Option<TopicTag>,
    /// What is to be read next, by partition.
    pub offsets: BTreeMap<i32, i64>,
}

impl Place {
    /// Whether it is a place in this topic.
    #[must_use]
    pub fn is_in(&self, topic: TopicId) -> bool {
        self.topic.is_none_or(|tag| tag == TopicTag::of(topic))
    }
}

/// How far a reader is, by HTTP's names of topics.
pub type Places = BTreeMap<String, Place>;

#[must_use]
pub fn encode(places: &Places) -> String {
    let mut text = String::new();
    for (topic, place) in places {
        if !text.is_empty() {
            text.push(';');
        }
        text.push_str(topic);
        if let Some(TopicTag(tag)) = place.topic {
            text.push_str(&format!("@{tag:08x}"));
        }
        for (at, (partition, offset)) in place.offsets.iter().enumerate() {
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
pub fn decode(cursor: &str) -> Result<Places, String> {
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
        let mut places = Places::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (topic, partitions) = part.split_once(':')?;
            let (topic, tag) = match topic.split_once('@') {
                Some((topic, tag)) => (topic, Some(TopicTag(u32::from_str_radix(tag, 16).ok()?))),
                None => (topic, None),
            };
            let own = places.entry(topic.to_owned()).or_default();
            own.topic = tag;
            for pair in partitions.split(',') {
                let (partition, offset) = pair.split_once('=')?;
                own.offsets.insert(partition.parse().ok()?, offset.parse().ok().filter(|offset| *offset >= 0)?);
            }
        }
        Some(places)
    };
    read().ok_or_else(|| "this is no cursor of ours; send one as it was in an answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let topic = Some(TopicTag::of(TopicId(Uuid::from_u128(0x0a00_0001 << 96))));
        let places = Places::from([
            ("a.b_c-d".to_owned(), Place { topic, offsets: BTreeMap::from([(0, 12), (7, i64::MAX)]) }),
            ("z".to_owned(), Place { topic: None, offsets: BTreeMap::from([(3, 0)]) }),
        ]);
        assert_eq!(decode(&encode(&places)), Ok(places));
        assert_eq!(decode(&encode(&Places::new())), Ok(Places::new()));
        let offsets = (0..5000).map(|partition| (partition, 1_000_000 + i64::from(partition))).collect();
        let many = Places::from([("topic".to_owned(), Place { topic, offsets })]);
        let cursor = encode(&many);
        assert!(cursor.len() < 40_000, "{} characters", cursor.len());
        assert_eq!(decode(&cursor), Ok(many));
        for bad in ["", "3", "2YQ", "2%", "1%%%", "1YQ", "é"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
        for bad in ["a:0=-1", "a:x=1", "a:1", "a@:0=1", "a@x:0=1", "a@123456789:0=1"] {
            assert!(decode(&format!("1{}", BASE64_URL_SAFE_NO_PAD.encode(bad))).is_err(), "{bad}");
        }
    }
}
