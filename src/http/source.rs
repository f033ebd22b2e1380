//! Where events are read from: the topics behind a name or a pattern, and from which point of them on.

use super::caller::Caller;
use super::cursor::{self, Place, Places, TopicTag};
use super::errors::HttpError;
use super::json::parse_rfc3339;
use super::records::{EARLIEST, LATEST, Page, Wanted, offset_at};
use super::topics;
use crate::catalog::Topic;
use crate::catalog::patterns::Pattern;
use std::sync::Arc;

/// What the path named.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    is_pattern: bool,
    /// One partition instead of all.
    pub partition: Option<i32>,
}

/// A point in topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    Earliest,
    Latest,
    /// Milliseconds since the epoch.
    Time(i64),
    Offset(i64),
}

impl From {
    /// `earliest`, `latest`, an offset, or an RFC 3339 time.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<From, HttpError> {
        match text {
            "earliest" => Ok(From::Earliest),
            "latest" => Ok(From::Latest),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() => {
                number.parse().map(From::Offset).map_err(|_| HttpError::invalid(format!("{number} is too large for an offset")))
            }
            time => match parse_rfc3339(time) {
                Ok(time) => Ok(From::Time(time.0.max(0))),
                Err(error) => Err(HttpError::invalid(format!("{error}; write earliest, latest, an offset, or a time"))),
            },
        }
    }

    /// The offset in one partition; an explicit one is not checked.
    ///
    /// # Errors
    /// What looking it up answers.
    pub async fn offset(&self, caller: &Caller, topic: &Topic, partition: i32) -> Result<i64, HttpError> {
        match self {
            From::Earliest => offset_at(caller, topic, partition, EARLIEST).await,
            From::Latest => offset_at(caller, topic, partition, LATEST).await,
            From::Time(time) => offset_at(caller, topic, partition, *time).await,
            From::Offset(offset) => Ok(*offset),
        }
    }
}

impl Source {
    /// # Errors
    /// A pattern that is none, and a partition beside a pattern.
    pub fn parse(name: String, partition: Option<i32>) -> Result<Source, HttpError> {
        let is_pattern = Pattern::is_pattern(&name);
        if is_pattern {
            Pattern::parse(&name).map_err(HttpError::invalid)?;
            if partition.is_some() {
                return Err(HttpError::invalid("a partition can be named with a topic, not with a pattern"));
            }
        }
        Ok(Source { name, is_pattern, partition })
    }

    /// The name or pattern.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.is_pattern
    }

    /// The topics that there are now.
    ///
    /// # Errors
    /// NOT_FOUND when a topic was named and is not there; a pattern may match none.
    pub fn topics(&self, caller: &Caller) -> Result<Vec<Arc<Topic>>, HttpError> {
        if self.is_pattern {
            let shared = &caller.shared;
            let mut topics =
                shared.patterns.topics(&shared.broker.catalog, caller.prefix(), &self.name).map_err(HttpError::invalid)?;
            topics.retain(|topic| caller.http_name(&topic.name).is_some());
            return Ok(topics);
        }
        let topic = topics::resolve(caller, &self.name)?;
        match self.partition {
            Some(partition) if !topic.has(partition) => Err(HttpError::invalid(topics::no_such_partition(&topic, partition))),
            _ => Ok(vec![topic]),
        }
    }

    /// The partitions of `topics` that are meant.
    pub fn partitions<'a>(&self, topics: &'a [Arc<Topic>]) -> impl Iterator<Item = (&'a Arc<Topic>, i32)> + use<'a> {
        let only = self.partition;
        topics.iter().flat_map(move |topic| {
            topic.partitions().filter(move |index| only.is_none_or(|only| only == *index)).map(move |index| (topic, index))
        })
    }
}

/// Positions in all partitions of a source, for readers without a group.
#[derive(Debug, Clone)]
pub struct Positions {
    source: Source,
    pub places: Places,
    /// Whose turn it is to be read first.
    turn: usize,
}

impl Positions {
    /// Begins at the same point in all partitions that there are now.
    ///
    /// # Errors
    /// As [`Source::topics`], and what looking offsets up answers.
    pub async fn begin(caller: &Caller, source: Source, from: &From) -> Result<Positions, HttpError> {
        let mut positions = Positions { source, places: Places::new(), turn: 0 };
        let topics = positions.source.topics(caller)?;
        for (topic, partition) in positions.source.partitions(&topics) {
            let Some(name) = caller.http_name(&topic.name) else { continue };
            let mut offset = from.offset(caller, topic, partition).await?;
            if matches!(from, From::Offset(_)) {
                // Behind the end there is nothing, and what comes there is not what was meant.
                offset = offset.min(From::Latest.offset(caller, topic, partition).await?);
            }
            positions.advance(name, topic, partition, offset);
        }
        Ok(positions)
    }

    /// Goes on where a cursor says; what it says of other topics, and of one that was there under the same name, is left out.
    ///
    /// # Errors
    /// When the cursor is none; as [`Source::topics`].
    pub fn resume(caller: &Caller, source: Source, cursor: &str) -> Result<Positions, HttpError> {
        let said = cursor::decode(cursor).map_err(HttpError::invalid)?;
        let mut positions = Positions { source, places: Places::new(), turn: 0 };
        let topics = positions.source.topics(caller)?;
        for (topic, partition) in positions.source.partitions(&topics) {
            let Some(name) = caller.http_name(&topic.name) else { continue };
            if let Some(offset) = said.get(name).filter(|own| own.is_in(topic.id)).and_then(|own| own.offsets.get(&partition)) {
                positions.advance(name, topic, partition, *offset);
            }
        }
        // A reader that comes back with a cursor each time has its turns, too: whose it is differs as what it has read does. Mixed (Fibonacci hashing), since
        // pages of a hundred records would else come to the same turn again and again.
        let offsets = positions.places.values().flat_map(|own| own.offsets.values());
        let read = offsets.fold(0_u64, |sum, offset| sum.wrapping_add(offset.unsigned_abs()));
        positions.turn = usize::try_from(read.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).unwrap_or(0);
        Ok(positions)
    }

    #[must_use]
    pub fn is_of_pattern(&self) -> bool {
        self.source.is_pattern
    }

    /// What is to be read next; partitions that came later are read from their beginning.
    ///
    /// # Errors
    /// As [`Source::topics`].
    pub fn wanted(&self, caller: &Caller) -> Result<Vec<Wanted>, HttpError> {
        let topics = self.source.topics(caller)?;
        let wanted = self.source.partitions(&topics).map(|(topic, partition)| {
            let own = caller.http_name(&topic.name).and_then(|name| self.places.get(name)).filter(|own| own.is_in(topic.id));
            let from = own.and_then(|own| own.offsets.get(&partition)).copied().unwrap_or(0);
            Wanted { topic: topic.clone(), partition, from, to: i64::MAX }
        });
        let mut wanted: Vec<Wanted> = wanted.collect();
        if !wanted.is_empty() {
            // Where a page does not hold all, each partition has its turn to be the first: else one that always fills it keeps the others from being read.
            let turn = self.turn % wanted.len();
            wanted.rotate_left(turn);
        }
        Ok(wanted)
    }

    /// Goes on behind what was read; whether that is further than before.
    pub fn go_on(&mut self, caller: &Caller, wanted: &[Wanted], pages: &[Page]) -> bool {
        let mut has_advanced = false;
        self.turn = self.turn.wrapping_add(1);
        for (one, page) in wanted.iter().zip(pages) {
            let Some(name) = caller.http_name(&one.topic.name) else { continue };
            // A log that ends before what was read of it is another one: the topic was made anew, and the cursor did not say which it is of.
            let next = if page.is_beyond { 0 } else { page.next };
            has_advanced |= next != one.from;
            self.advance(name, &one.topic, one.partition, next);
        }
        has_advanced
    }

    /// Everything before `next` was read of `topic`, which HTTP calls `name`.
    pub fn advance(&mut self, name: &str, topic: &Topic, partition: i32, next: i64) {
        let place = self.places.entry(name.to_owned()).or_default();
        if !place.is_in(topic.id) {
            *place = Place::default();
        }
        place.topic = Some(TopicTag::of(topic.id));
        place.offsets.insert(partition, next);
    }
}
