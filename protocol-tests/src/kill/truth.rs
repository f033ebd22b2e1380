//! What the log holds, as read so far, and the rules that it is held against.

use crate::client::Client;
use crate::kill::{PARTITIONS, PRODUCERS};
use crate::records::{Fetch, batches};
use crate::topics::Topic;
use bytes::{Buf, BufMut};
use kafka_protocol::error::ParseResponseErrorCode;

/// Who wrote a record, and its number in all that this producer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub producer: u32,
    pub number: u64,
}

impl Mark {
    /// A record's value: the mark, and padding whose length follows from the number.
    #[must_use]
    pub fn value(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(200);
        value.put_u32(self.producer);
        value.put_u64(self.number);
        let padding = usize::try_from(self.number % 181).expect("a small number");
        value.resize(value.len() + padding, b'.');
        value
    }

    /// The mark in a record's value.
    #[must_use]
    pub fn of(value: Option<&[u8]>) -> Option<Mark> {
        let mut value = value.filter(|value| value.len() >= 12)?;
        let mark = Mark { producer: value.get_u32(), number: value.get_u64() };
        (mark.producer < PRODUCERS && mark.value()[12..] == *value).then_some(mark)
    }
}

/// `count` records with consecutive numbers from `first` on, acknowledged at `base_offset`.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub partition: i32,
    pub base_offset: i64,
    pub first: Mark,
    pub count: u32,
}

/// A record that the consumer was given.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub mark: Mark,
}

/// The records of all partitions; the position in a list is the offset.
pub struct Truth {
    topic: Topic,
    logs: Vec<Vec<Mark>>,
    /// By partition and producer: the number of its last record there.
    last: Vec<Vec<Option<u64>>>,
}

impl Truth {
    #[must_use]
    pub fn new(topic: &Topic) -> Truth {
        let partitions = usize::try_from(PARTITIONS).expect("a small number");
        let producers = usize::try_from(PRODUCERS).expect("a small number");
        Truth { topic: topic.clone(), logs: vec![Vec::new(); partitions], last: vec![vec![None; producers]; partitions] }
    }

    /// How many records were read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.logs.iter().map(|log| log.len() as u64).sum()
    }

    /// The offset after the last record of each partition.
    #[must_use]
    pub fn ends(&self) -> Vec<i64> {
        self.logs.iter().map(|log| end(log)).collect()
    }

    /// Reads what is behind the records that are known.
    ///
    /// # Errors
    /// When a partition lost its end, has a gap, or holds a record twice or out of order.
    pub fn read_on(&mut self, client: &mut Client) -> Result<(), String> {
        for partition in 0..PARTITIONS {
            while self.read_some(client, partition)? {}
        }
        Ok(())
    }

    /// One fetch; answers whether there may be more.
    fn read_some(&mut self, client: &mut Client, partition: i32) -> Result<bool, String> {
        let index = usize::try_from(partition).expect("a partition");
        let next = end(&self.logs[index]);
        let answer = client.fetch(&Fetch::of(&self.topic, partition, next));
        let at = |offset: i64| format!("partition {partition}, offset {offset}");
        if let Some(error) = answer.error_code.err() {
            // OFFSET_OUT_OF_RANGE: what was read before is not there any more.
            return Err(format!("{}: {error:?}; it was read up to there before", at(next)));
        }
        for record in batches(&answer).iter().flat_map(|batch| &batch.records).filter(|record| record.offset >= next) {
            let mark = Mark::of(record.value.as_deref()).ok_or_else(|| format!("{}: not a record of ours", at(record.offset)))?;
            let due = end(&self.logs[index]);
            if record.offset != due {
                return Err(format!("{}: {mark:?} where offset {due} was due", at(record.offset)));
            }
            let producer = usize::try_from(mark.producer).expect("checked");
            if let Some(last) = self.last[index][producer].filter(|last| *last >= mark.number) {
                return Err(format!(
                    "{}: {mark:?} after number {last} of the same producer: twice, or out of order",
                    at(record.offset)
                ));
            }
            self.last[index][producer] = Some(mark.number);
            self.logs[index].push(mark);
        }
        let read = end(&self.logs[index]);
        if read == next && answer.high_watermark > next {
            return Err(format!("{}: nothing, although the end is {}", at(next), answer.high_watermark));
        }
        Ok(read < answer.high_watermark)
    }

    fn at(&self, partition: i32, offset: i64) -> Option<Mark> {
        let log = self.logs.get(usize::try_from(partition).ok()?)?;
        log.get(usize::try_from(offset).ok()?).copied()
    }

    /// # Errors
    /// When an acknowledged record is not where it was acknowledged.
    pub fn check_acknowledged(&self, acknowledged: &Acknowledged) -> Result<(), String> {
        let Acknowledged { partition, base_offset, first, count } = *acknowledged;
        for index in 0..count {
            let wanted = Mark { number: first.number + u64::from(index), ..first };
            let offset = base_offset + i64::from(index);
            match self.at(partition, offset) {
                Some(found) if found == wanted => {}
                Some(found) => {
                    return Err(format!(
                        "partition {partition}, offset {offset} used twice: {wanted:?} was acknowledged there, {found:?} is there"
                    ));
                }
                None => return Err(format!("partition {partition}, offset {offset}: {wanted:?} was acknowledged and is lost")),
            }
        }
        Ok(())
    }

    /// # Errors
    /// When a record that was visible is not there.
    pub fn check_seen(&self, seen: &Seen) -> Result<(), String> {
        let found = self.at(seen.partition, seen.offset);
        if found == Some(seen.mark) {
            return Ok(());
        }
        Err(format!("a consumer saw {seen:?}, but there is {found:?}: it was visible before it was durable"))
    }

    /// # Errors
    /// When a group's committed offset leads beyond the end.
    pub fn check_committed(&self, committed: &[i64]) -> Result<(), String> {
        for (partition, (committed, end)) in committed.iter().zip(self.ends()).enumerate() {
            if *committed > end {
                return Err(format!("partition {partition}: {committed} is committed, the log ends at {end}"));
            }
        }
        Ok(())
    }

    /// Whether all that an idempotent producer ever sent (`assigned`: by partition, first number and count) is there, once, in order.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_complete(&self, producer: u32, assigned: &[Vec<(u64, u32)>]) -> Result<(), String> {
        for (partition, (log, assigned)) in self.logs.iter().zip(assigned).enumerate() {
            let found = log.iter().filter(|mark| mark.producer == producer).map(|mark| mark.number);
            let wanted = assigned.iter().flat_map(|(first, count)| *first..*first + u64::from(*count));
            if !found.clone().eq(wanted.clone()) {
                let (found, wanted): (Vec<u64>, Vec<u64>) = (found.collect(), wanted.collect());
                let place = found.iter().zip(&wanted).take_while(|(found, wanted)| found == wanted).count();
                return Err(format!(
                    "partition {partition}: of idempotent producer {producer} {} records are there, {} were sent; the first difference is \
                     number {:?} where {:?} was sent",
                    found.len(),
                    wanted.len(),
                    found.get(place),
                    wanted.get(place)
                ));
            }
        }
        Ok(())
    }

    /// # Errors
    /// When another reading found something else.
    pub fn check_same(&self, again: &Truth) -> Result<(), String> {
        for (partition, (before, now)) in self.logs.iter().zip(&again.logs).enumerate() {
            if before != now {
                let place = before.iter().zip(now).take_while(|(before, now)| before == now).count();
                return Err(format!(
                    "partition {partition}, offset {place}: {:?} was read once, {:?} now; {} records then, {} now",
                    before.get(place),
                    now.get(place),
                    before.len(),
                    now.len()
                ));
            }
        }
        Ok(())
    }
}

fn end(log: &[Mark]) -> i64 {
    i64::try_from(log.len()).expect("fewer records than offsets")
}
