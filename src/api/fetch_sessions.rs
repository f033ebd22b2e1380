//! Incremental fetch sessions (KIP-227): the broker remembers what a consumer reads, and both sides speak only of changes.
//!
//! ```text
//!  epoch −1: no session; an open one is closed      epoch 0: a new session with everything asked for
//!  epoch n:  the n-th turn of a session; the request adds, changes and forgets partitions, the answer holds what is new
//! ```
//! Owner: one map under a short mutex, no await inside. Bounds: `max.incremental.fetch.session.cache.slots` sessions, and [`BYTES_MAX`] for
//! all that their consumers named; where there is no more room, those that were idle for two minutes make some, else the fetch is answered in
//! full, without a session. Source: FetchSession.scala, which bounds the sessions only.

use crate::catalog::topics::NAME_LENGTH_MAX;
use crate::ids::{Offset, Timestamp, TopicId};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session that was used within this time is not evicted (`MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_MS: i64 = 120_000;
/// What all sessions may hold: half a million partitions. Partitions need not exist to be named, and a session grows with each turn.
const BYTES_MAX: usize = 64 << 20;
const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;

/// How a request names a topic: by name before version 13, by id since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// Shared by all partitions of the topic in a request: a name may be long, and partitions many.
    Name(Arc<str>),
    Id(TopicId),
}

/// What a consumer wants of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub topic: TopicKey,
    pub index: i32,
    pub from: Offset,
    pub max_bytes: usize,
    /// −1: the client does not say.
    pub current_leader_epoch: i32,
}

impl TopicKey {
    /// As if each partition had its own copy of the name: what it costs to look one up.
    fn bytes(&self) -> usize {
        match self {
            TopicKey::Name(name) => name.len(),
            TopicKey::Id(_) => 0,
        }
    }
}

impl Asked {
    /// What a session takes to remember this.
    fn bytes(&self) -> usize {
        size_of::<Remembered>() + self.topic.bytes()
    }
}

/// Why a session cannot go on; the client falls back to a full fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// Closed, by the client or for want of room.
    NotFound,
    WrongEpoch,
    /// The session was opened with names and is continued with ids, or the other way round.
    OtherTopicNames,
}

/// What a turn belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    Sessionless,
    New(i32),
    Incremental(i32),
}

/// One fetch: what to read, in this order.
#[derive(Debug, Clone)]
pub struct Turn {
    pub session: Opened,
    pub asked: Vec<Asked>,
}

/// What the consumer is told of a partition, as far as it decides whether to tell it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    pub watermark: i64,
    pub start: i64,
    pub is_error: bool,
    pub has_records: bool,
}

struct Session {
    /// The epoch that the next request must carry.
    epoch: i32,
    uses_ids: bool,
    used: Timestamp,
    /// In the order in which they are read; what had records goes to the end, so that all get their turn.
    partitions: Vec<Remembered>,
    /// What `partitions` take.
    bytes: usize,
}

type Remembered = (Asked, Option<Told>);

/// All sessions of this broker.
pub struct FetchSessions {
    slots: usize,
    bytes_max: usize,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<i32, Session>,
    /// Of all sessions together.
    bytes: usize,
    last_id: i32,
}

impl FetchSessions {
    /// At most `slots` sessions; 0 answers every fetch in full.
    #[must_use]
    pub fn new(slots: usize) -> FetchSessions {
        FetchSessions { slots, bytes_max: BYTES_MAX, sessions: Mutex::default() }
    }

    /// Numbers sessions from a place that another life of this broker did not: a client that comes back closes its former session by
    /// its number, which must not be somebody else's by now.
    #[must_use]
    pub fn numbered_from(self, place: u64) -> FetchSessions {
        self.lock().last_id = i32::try_from(place % (1 << 31)).unwrap_or(0);
        self
    }

    /// Opens, continues or closes the session that a request names, and says what to read now.
    ///
    /// # Errors
    /// [`SessionError`]; the session, if there is one, is as before. One that outgrows the room that there is does not go on.
    pub fn open(
        &self,
        id: i32,
        epoch: i32,
        uses_ids: bool,
        asked: Vec<Asked>,
        forgotten: Vec<(TopicKey, i32)>,
        now: Timestamp,
    ) -> Result<Turn, SessionError> {
        let mut sessions = self.lock();
        if epoch == FINAL_EPOCH || epoch == INITIAL_EPOCH {
            sessions.remove(id);
            let session = if epoch == INITIAL_EPOCH && !asked.is_empty() {
                self.create(&mut sessions, &asked, uses_ids, now).map_or(Opened::Sessionless, Opened::New)
            } else {
                Opened::Sessionless
            };
            return Ok(Turn { session, asked });
        }
        let session = sessions.by_id.get_mut(&id).ok_or(SessionError::NotFound)?;
        if session.epoch != epoch {
            return Err(SessionError::WrongEpoch);
        }
        if session.uses_ids != uses_ids {
            return Err(SessionError::OtherTopicNames);
        }
        if self.is_too_much(&asked, &forgotten) {
            sessions.remove(id);
            return Err(SessionError::NotFound);
        }
        session.epoch = next_epoch(epoch);
        session.used = now;
        let before = session.bytes;
        session.change(asked, &forgotten);
        let after = session.bytes;
        let asked = session.partitions.iter().map(|(asked, _)| asked.clone()).collect();
        sessions.bytes = sessions.bytes - before + after;
        if sessions.bytes > self.bytes_max {
            sessions.remove(id);
            return Err(SessionError::NotFound);
        }
        Ok(Turn { session: Opened::Incremental(id), asked })
    }

    /// Which answers of a turn the consumer needs to hear, by position in `turn.asked`, and remembers that it was told.
    /// `answers` are in the order of `turn.asked`. Source: FetchSession.CachedPartition.maybeUpdateResponseData.
    #[must_use]
    pub fn news(&self, turn: &Turn, answers: &[Told]) -> Vec<bool> {
        let (id, is_full) = match turn.session {
            Opened::Sessionless => return vec![true; answers.len()],
            Opened::New(id) => (id, true),
            Opened::Incremental(id) => (id, false),
        };
        let mut sessions = self.lock();
        let Some(session) = sessions.by_id.get_mut(&id) else { return vec![true; answers.len()] };
        let mut news = Vec::with_capacity(answers.len());
        let mut served = vec![false; session.partitions.len()];
        for (at, (asked, now)) in turn.asked.iter().zip(answers).enumerate() {
            // The session's partitions are in the order of the turn, unless the session was used by someone else meanwhile: then everything is told.
            let known =
                session.partitions.get_mut(at).filter(|(known, _)| known.topic == asked.topic && known.index == asked.index);
            let Some((_, told)) = known else {
                news.push(true);
                continue;
            };
            // After an error the next good answer is news, whatever it says.
            let remembered = (!now.is_error).then_some(Told { has_records: false, ..*now });
            news.push(is_full || now.has_records || now.is_error || *told != remembered);
            *told = remembered;
            if let Some(served) = served.get_mut(at) {
                *served = now.has_records;
            }
        }
        session.served_last(&served);
        news
    }

    fn create(&self, sessions: &mut Sessions, asked: &[Asked], uses_ids: bool, now: Timestamp) -> Option<i32> {
        if sessions.by_id.len() >= self.slots {
            // Nothing is built where there will be no place.
            sessions.idle(now)?;
        }
        if self.is_too_much(asked, &[]) {
            return None;
        }
        let mut session = Session { epoch: 1, uses_ids, used: now, partitions: Vec::with_capacity(asked.len()), bytes: 0 };
        session.change(asked.to_vec(), &[]);
        while sessions.by_id.len() >= self.slots || sessions.bytes + session.bytes > self.bytes_max {
            let idle = sessions.idle(now)?;
            sessions.remove(idle);
        }
        // Ids are positive and not in use; they wrap after two thousand million sessions.
        let id = loop {
            sessions.last_id = if sessions.last_id == i32::MAX { 1 } else { sessions.last_id + 1 };
            if !sessions.by_id.contains_key(&sessions.last_id) {
                break sessions.last_id;
            }
        };
        sessions.bytes += session.bytes;
        sessions.by_id.insert(id, session);
        Some(id)
    }

    /// Whether a request could never be remembered: nothing is looked up for it. Topics of longer names do not exist, and each turn of a session
    /// looks at all of its names.
    fn is_too_much(&self, asked: &[Asked], forgotten: &[(TopicKey, i32)]) -> bool {
        let bytes: usize = asked.iter().map(Asked::bytes).chain(forgotten.iter().map(|(topic, _)| topic.bytes())).sum();
        bytes > self.bytes_max || asked.iter().any(|one| one.topic.bytes() > NAME_LENGTH_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// The session that was not used for the longest time, if that is long enough for it to make room.
    fn idle(&self, now: Timestamp) -> Option<i32> {
        let (id, session) = self.by_id.iter().min_by_key(|(_, session)| session.used)?;
        (now.ms_since(session.used) >= EVICTION_MS).then_some(*id)
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.by_id.remove(&id) {
            self.bytes -= session.bytes;
        }
    }
}

impl Session {
    /// Moves the partitions that were served behind those that were not, each in their order.
    fn served_last(&mut self, served: &[bool]) {
        if !served.contains(&true) {
            return;
        }
        let mut marked: Vec<(bool, Remembered)> =
            std::mem::take(&mut self.partitions).into_iter().zip(served).map(|(one, served)| (*served, one)).collect();
        marked.sort_by_key(|(served, _)| *served);
        self.partitions = marked.into_iter().map(|(_, one)| one).collect();
    }

    /// Applies what a request says: changed and added partitions, then forgotten ones.
    fn change(&mut self, asked: Vec<Asked>, forgotten: &[(TopicKey, i32)]) {
        if asked.is_empty() && forgotten.is_empty() {
            return;
        }
        // Where each is, or is to be.
        let known = self.partitions.iter().enumerate();
        let mut places: HashMap<(&TopicKey, i32), usize> =
            known.map(|(at, (known, _))| ((&known.topic, known.index), at)).collect();
        let mut end = self.partitions.len();
        let mut place = |wanted| {
            *places.entry(wanted).or_insert_with(|| {
                end += 1;
                end - 1
            })
        };
        let places: Vec<usize> = asked.iter().map(|wanted| place((&wanted.topic, wanted.index))).collect();
        for (wanted, at) in asked.into_iter().zip(places) {
            self.bytes += wanted.bytes();
            match self.partitions.get_mut(at) {
                Some((known, _)) => {
                    self.bytes -= known.bytes();
                    *known = wanted;
                }
                None => self.partitions.push((wanted, None)),
            }
        }
        if !forgotten.is_empty() {
            let forgotten: HashSet<(&TopicKey, i32)> = forgotten.iter().map(|(topic, index)| (topic, *index)).collect();
            self.partitions.retain(|(known, _)| {
                let is_forgotten = forgotten.contains(&(&known.topic, known.index));
                self.bytes -= if is_forgotten { known.bytes() } else { 0 };
                !is_forgotten
            });
        }
    }
}

/// Epochs count from 1 and skip 0 when they wrap (FetchMetadata.nextEpoch).
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(index: i32, from: i64) -> Asked {
        Asked { topic: TopicKey::Name("t".into()), index, from: Offset(from), max_bytes: 100, current_leader_epoch: -1 }
    }

    fn open(sessions: &FetchSessions, id: i32, epoch: i32, wants: Vec<Asked>) -> Result<Turn, SessionError> {
        sessions.open(id, epoch, false, wants, Vec::new(), Timestamp(0))
    }

    fn session_of(turn: &Turn) -> i32 {
        match turn.session {
            Opened::New(id) | Opened::Incremental(id) => id,
            Opened::Sessionless => 0,
        }
    }

    #[test]
    fn unknown_sessions_and_wrong_epochs_are_refused() {
        let sessions = FetchSessions::new(10);
        assert_eq!(open(&sessions, 7, 1, vec![]).unwrap_err(), SessionError::NotFound);
        let id = session_of(&open(&sessions, 0, 0, vec![asked(0, 0)]).unwrap());
        assert_eq!(open(&sessions, id, 2, vec![]).unwrap_err(), SessionError::WrongEpoch);
        assert_eq!(
            sessions.open(id, 1, true, vec![], vec![], Timestamp(0)).unwrap_err(),
            SessionError::OtherTopicNames,
            "names cannot turn into ids within a session"
        );
        assert!(open(&sessions, id, 1, vec![]).is_ok(), "a refused request changes nothing");
    }

    #[test]
    fn an_incremental_turn_reads_what_was_asked_before_with_its_changes() {
        let sessions = FetchSessions::new(10);
        let id = session_of(&open(&sessions, 0, 0, vec![asked(0, 0), asked(1, 0)]).unwrap());
        let turn = sessions
            .open(id, 1, false, vec![asked(1, 5), asked(2, 0)], vec![(TopicKey::Name("t".into()), 0)], Timestamp(0))
            .unwrap();
        assert_eq!(turn.asked, vec![asked(1, 5), asked(2, 0)]);
    }

    #[test]
    fn only_news_is_told_and_served_partitions_go_last() {
        let sessions = FetchSessions::new(10);
        let first = open(&sessions, 0, 0, vec![asked(0, 0), asked(1, 0)]).unwrap();
        let id = session_of(&first);
        let quiet = Told { watermark: 10, start: 0, is_error: false, has_records: false };
        assert_eq!(sessions.news(&first, &[quiet, quiet]), [true, true], "a full fetch tells everything");
        let second = open(&sessions, id, 1, vec![]).unwrap();
        assert_eq!(sessions.news(&second, &[quiet, quiet]), [false, false], "nothing changed");
        let third = open(&sessions, id, 2, vec![]).unwrap();
        let moved = Told { watermark: 11, ..quiet };
        let error = Told { is_error: true, ..quiet };
        assert_eq!(sessions.news(&third, &[moved, error]), [true, true], "a moved watermark and an error are news");
        let fourth = open(&sessions, id, 3, vec![]).unwrap();
        let records = Told { has_records: true, ..moved };
        assert_eq!(sessions.news(&fourth, &[records, quiet]), [true, true], "records, and the end of an error, are news");
        let fifth = open(&sessions, id, 4, vec![]).unwrap();
        assert_eq!(fifth.asked.iter().map(|asked| asked.index).collect::<Vec<_>>(), vec![1, 0]);
        assert_eq!(sessions.news(&fifth, &[quiet, moved]), [false, false]);
    }

    #[test]
    fn full_slots_evict_idle_sessions_only() {
        let sessions = FetchSessions::new(1);
        let turn = open(&sessions, 0, 0, vec![asked(0, 0)]).unwrap();
        assert!(matches!(turn.session, Opened::New(_)));
        let busy = sessions.open(0, 0, false, vec![asked(0, 0)], vec![], Timestamp(EVICTION_MS - 1)).unwrap();
        assert_eq!(busy.session, Opened::Sessionless);
        let later = sessions.open(0, 0, false, vec![asked(0, 0)], vec![], Timestamp(EVICTION_MS)).unwrap();
        assert!(matches!(later.session, Opened::New(_)));
        assert_eq!(open(&sessions, session_of(&turn), 1, vec![]).unwrap_err(), SessionError::NotFound);
    }

    #[test]
    fn sessions_hold_no_more_than_their_bytes() {
        let three = 3 * asked(0, 0).bytes();
        let sessions = FetchSessions { bytes_max: three, ..FetchSessions::new(10) };
        let id = session_of(&open(&sessions, 0, 0, vec![asked(0, 0), asked(1, 0)]).unwrap());
        assert_eq!(
            open(&sessions, 0, 0, vec![asked(0, 0), asked(1, 0)]).unwrap().session,
            Opened::Sessionless,
            "no room for two more"
        );
        open(&sessions, id, 1, vec![asked(2, 0), asked(0, 7)]).unwrap();
        let forgotten = vec![(TopicKey::Name("t".into()), 0)];
        sessions.open(id, 2, false, vec![asked(3, 0)], forgotten, Timestamp(0)).unwrap();
        assert_eq!(open(&sessions, id, 3, vec![asked(4, 0)]).unwrap_err(), SessionError::NotFound, "one too many ends it");
        assert!(matches!(open(&sessions, 0, 0, vec![asked(0, 0), asked(1, 0), asked(2, 0)]).unwrap().session, Opened::New(_)));
        let later = sessions.open(0, 0, false, vec![asked(0, 0)], vec![], Timestamp(EVICTION_MS)).unwrap();
        assert!(matches!(later.session, Opened::New(_)), "an idle one makes room");
        assert_eq!(sessions.lock().bytes, asked(0, 0).bytes());
    }

    #[test]
    fn names_that_no_topic_can_have_are_not_remembered() {
        let sessions = FetchSessions::new(10);
        let long = Asked { topic: TopicKey::Name("n".repeat(250).into()), ..asked(0, 0) };
        assert_eq!(open(&sessions, 0, 0, vec![long.clone()]).unwrap().session, Opened::Sessionless);
        let id = session_of(&open(&sessions, 0, 0, vec![asked(0, 0)]).unwrap());
        assert_eq!(open(&sessions, id, 1, vec![long]).unwrap_err(), SessionError::NotFound);
    }

    #[test]
    fn epoch_minus_one_closes() {
        let sessions = FetchSessions::new(10);
        let id = session_of(&open(&sessions, 0, 0, vec![asked(0, 0)]).unwrap());
        assert_eq!(open(&sessions, id, -1, vec![]).unwrap().session, Opened::Sessionless);
        assert_eq!(open(&sessions, id, 1, vec![]).unwrap_err(), SessionError::NotFound);
    }
}
