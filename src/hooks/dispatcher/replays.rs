//! Sending again what was read before: part of the dispatcher. Each range is a lane of its own.

use super::Dispatcher;
use crate::hooks::error::HooksError;
use crate::hooks::lanes::main_lane;
use crate::hooks::progress::LaneKey;
use crate::ids::TopicId;
use tokio::sync::oneshot;

/// Ranges of one endpoint that are replayed.
const REPLAYS_MAX: usize = 10_000;

/// Offsets of one partition that are to be sent again: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub topic: TopicId,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// What will be looked at: ranges, and offsets in them.
pub type Opened = (usize, i64);

/// What is asked of the task, and whom it answers.
pub struct Replay {
    pub ranges: Vec<Range>,
    pub answer: oneshot::Sender<Result<Opened, HooksError>>,
}

type Waiting = (oneshot::Sender<Result<Opened, HooksError>>, Opened);

/// Those who asked for replays and wait until these are durable.
#[derive(Default)]
pub(super) struct Replayed {
    pub waiting: Vec<Waiting>,
    /// Whom the commit under way is for.
    pub covered: Vec<Waiting>,
}

impl Replayed {
    /// What the last commit was for is durable.
    pub fn answer(&mut self) {
        for (answer, opened) in self.covered.drain(..) {
            // Whoever asked may have gone away.
            let _ = answer.send(Ok(opened));
        }
    }

    /// The last commit did not work: the next one is for them as well, as far as somebody still waits.
    pub fn put_back(&mut self) {
        self.waiting.append(&mut self.covered);
        self.waiting.retain(|(answer, _)| !answer.is_closed());
    }
}

impl Dispatcher {
    /// Adds lanes for what is to be sent again, and answers: when there is something to send, only once that is durable.
    pub(super) fn replay(&mut self, replay: Replay) {
        match self.open_replays(&replay.ranges) {
            Ok(opened) if opened.0 > 0 => {
                self.shared.meters.replayed(opened);
                self.replayed.waiting.push((replay.answer, opened));
            }
            // Whoever asked may have gone away.
            other => drop(replay.answer.send(other)),
        }
    }

    /// What lies behind where the main lane is has not been read yet and comes anyway.
    fn open_replays(&mut self, ranges: &[Range]) -> Result<Opened, HooksError> {
        if !self.is_open {
            return Err(HooksError::Unavailable("the endpoint is being started; try again".to_owned()));
        }
        let replays = self.progress.keys().filter(|key| key.replay != 0).count();
        if replays + ranges.len() > REPLAYS_MAX {
            return Err(HooksError::Full(format!(
                "{replays} ranges are being replayed, and {} more are asked for; the most is {REPLAYS_MAX}: wait, or ask for less",
                ranges.len()
            )));
        }
        let mut next = self.progress.keys().map(|key| key.replay).max().unwrap_or(0);
        let (mut count, mut offsets) = (0, 0);
        for range in ranges {
            let Some((read_up_to, _)) = self.progress.reads(main_lane(range.topic, range.partition)) else { continue };
            let to = range.to.min(read_up_to);
            if range.from >= to {
                continue;
            }
            next += 1;
            let key = LaneKey { topic: range.topic, partition: range.partition, replay: next };
            self.progress.open(key, range.from, Some(to));
            count += 1;
            offsets += to - range.from;
        }
        self.is_touched = true;
        Ok((count, offsets))
    }
}
