//! Share sessions (KIP-932): which partitions a member of a share group reads, so that requests speak only of changes.
//!
//! ```text
//!  epoch 0: a new session, in place of an older one of the same member    epoch n: its n-th turn    epoch −1: its end
//! ```
//! A session ends with the connection that opened it, too; who ends it releases what its member has acquired.
//! Owner: one map under a short mutex, no await inside. Bound: `group.share.max.share.sessions` sessions, each as large as the partitions that
//! its member named; when all are taken, new ones are refused. Source: ShareSessionCache, ShareSession, SharePartitionManager.newContext.

use crate::ids::TopicId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;

/// A partition of a topic.
pub type Part = (TopicId, i32);

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    pub group: Arc<str>,
    pub id: Arc<str>,
}

/// Why a request does not fit the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareSessionError {
    NotFound,
    WrongEpoch,
    LimitReached,
    /// What is not delivered yet cannot be acknowledged.
    AcknowledgesBeforeFetching,
}

/// What a fetch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything is told.
    First,
    /// What is new is told.
    Later,
    /// Nothing is read; the session is to be ended.
    Last,
}

/// One fetch: what to read, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub kind: Kind,
    pub parts: Vec<Part>,
}

/// What a member is told of a partition, as far as it decides whether to tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    pub has_records: bool,
    pub is_error: bool,
    /// There is no such partition.
    pub is_unknown: bool,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must carry.
    epoch: i32,
    connection: u64,
    /// In the order in which they are read, each with whether the next answer is told whatever it says.
    parts: Vec<(Part, bool)>,
}

/// All sessions of this broker.
#[derive(Debug, Default)]
pub struct ShareSessions {
    slots: usize,
    sessions: Mutex<HashMap<Member, Session>>,
}

impl ShareSessions {
    /// At most `slots` sessions.
    #[must_use]
    pub fn new(slots: usize) -> ShareSessions {
        ShareSessions { slots, sessions: Mutex::default() }
    }

    /// Opens or continues the session of `member`, and says what to read now. `acknowledges`: whether the request acknowledges anything.
    ///
    /// # Errors
    /// [`ShareSessionError`]; what session there is, is as before, but for [`ShareSessionError::LimitReached`].
    pub fn fetch(
        &self,
        member: &Member,
        epoch: i32,
        asked: Vec<Part>,
        forgotten: &[Part],
        acknowledges: bool,
        connection: u64,
    ) -> Result<Turn, ShareSessionError> {
        let mut sessions = self.lock();
        match epoch {
            FINAL_EPOCH if sessions.contains_key(member) => Ok(Turn { kind: Kind::Last, parts: Vec::new() }),
            FINAL_EPOCH => Err(ShareSessionError::NotFound),
            INITIAL_EPOCH if acknowledges => Err(ShareSessionError::AcknowledgesBeforeFetching),
            INITIAL_EPOCH => {
                sessions.remove(member);
                if sessions.len() >= self.slots {
                    return Err(ShareSessionError::LimitReached);
                }
                let mut session = Session { epoch: 1, connection, parts: Vec::new() };
                session.change(asked, &[], false);
                let parts = session.parts.iter().map(|(part, _)| *part).collect();
                sessions.insert(member.clone(), session);
                Ok(Turn { kind: Kind::First, parts })
            }
            _ => {
                let session = sessions.get_mut(member).ok_or(ShareSessionError::NotFound)?;
                if session.epoch != epoch {
                    return Err(ShareSessionError::WrongEpoch);
                }
                session.epoch = next_epoch(epoch);
                session.change(asked, forgotten, true);
                let parts = session.parts.iter().map(|(part, _)| *part).collect();
                Ok(Turn { kind: Kind::Later, parts })
            }
        }
    }

    /// A member acknowledges without fetching.
    ///
    /// # Errors
    /// [`ShareSessionError::NotFound`], [`ShareSessionError::WrongEpoch`]: such a request cannot open a session.
    pub fn acknowledge(&self, member: &Member, epoch: i32) -> Result<(), ShareSessionError> {
        if epoch == INITIAL_EPOCH {
            return Err(ShareSessionError::WrongEpoch);
        }
        let mut sessions = self.lock();
        let session = sessions.get_mut(member).ok_or(ShareSessionError::NotFound)?;
        if epoch == FINAL_EPOCH {
            return Ok(());
        }
        if session.epoch != epoch {
            return Err(ShareSessionError::WrongEpoch);
        }
        session.epoch = next_epoch(epoch);
        Ok(())
    }

    /// Ends a session, and says what its member has read.
    #[must_use]
    pub fn close(&self, member: &Member) -> Vec<Part> {
        let closed = self.lock().remove(member);
        closed.map(|session| session.parts.into_iter().map(|(part, _)| part).collect()).unwrap_or_default()
    }

    /// Ends the sessions that were opened over a connection which is gone.
    #[must_use]
    pub fn connection_closed(&self, connection: u64) -> Vec<(Member, Vec<Part>)> {
        let mut sessions = self.lock();
        if sessions.is_empty() {
            return Vec::new();
        }
        let gone = sessions.extract_if(|_, session| session.connection == connection);
        gone.map(|(member, session)| (member, session.parts.into_iter().map(|(part, _)| part).collect())).collect()
    }

    /// Which answers of a turn the member needs to hear, in the order of `answers`, and remembers that it was told. What had records is read
    /// last the next time; what does not exist is forgotten, or a session would grow with whatever its member thinks of.
    /// Source: CachedSharePartition.maybeUpdateResponseData.
    #[must_use]
    pub fn news(&self, member: &Member, turn: &Turn, answers: &[(Part, Told)]) -> Vec<bool> {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(member) else { return vec![true; answers.len()] };
        session.forget(answers.iter().filter(|(_, told)| told.is_unknown).map(|(part, _)| part));
        if turn.kind == Kind::First {
            return vec![true; answers.len()];
        }
        let places: HashMap<Part, usize> = session.parts.iter().enumerate().map(|(at, (part, _))| (*part, at)).collect();
        let mut served = HashSet::new();
        let mut news = Vec::with_capacity(answers.len());
        for (part, told) in answers {
            let known = places.get(part).and_then(|at| session.parts.get_mut(*at));
            // After an error, and for a partition that is new, the next good answer is news, too.
            news.push(told.has_records || told.is_error || known.as_ref().is_none_or(|(_, is_awaited)| *is_awaited));
            if let Some((_, is_awaited)) = known {
                *is_awaited = told.is_error;
            }
            if told.has_records {
                served.insert(*part);
            }
        }
        session.parts.sort_by_key(|(part, _)| served.contains(part));
        news
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Member, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn change(&mut self, asked: Vec<Part>, forgotten: &[Part], is_awaited: bool) {
        let mut known: HashSet<Part> = self.parts.iter().map(|(part, _)| *part).collect();
        self.parts.extend(asked.into_iter().filter(|part| known.insert(*part)).map(|part| (part, is_awaited)));
        self.forget(forgotten.iter());
    }

    fn forget<'a>(&mut self, forgotten: impl Iterator<Item = &'a Part>) {
        let forgotten: HashSet<&Part> = forgotten.collect();
        if !forgotten.is_empty() {
            self.parts.retain(|(part, _)| !forgotten.contains(part));
        }
    }
}

/// Epochs count from 1 and skip 0 when they wrap (ShareRequestMetadata.nextEpoch).
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn member(id: &str) -> Member {
        Member { group: "g".into(), id: id.into() }
    }

    fn part(index: i32) -> Part {
        (TopicId(Uuid::from_u128(1)), index)
    }

    fn fetch(sessions: &ShareSessions, id: &str, epoch: i32, asked: Vec<Part>) -> Result<Turn, ShareSessionError> {
        sessions.fetch(&member(id), epoch, asked, &[], false, 7)
    }

    #[test]
    fn unknown_sessions_and_wrong_epochs_are_refused() {
        let sessions = ShareSessions::new(10);
        assert_eq!(fetch(&sessions, "a", 1, vec![]), Err(ShareSessionError::NotFound));
        assert_eq!(fetch(&sessions, "a", -1, vec![]), Err(ShareSessionError::NotFound));
        assert_eq!(sessions.acknowledge(&member("a"), 0), Err(ShareSessionError::WrongEpoch));
        assert_eq!(sessions.acknowledge(&member("a"), 1), Err(ShareSessionError::NotFound));
        assert_eq!(sessions.acknowledge(&member("a"), -1), Err(ShareSessionError::NotFound));
        let early = sessions.fetch(&member("a"), 0, vec![part(0)], &[], true, 7);
        assert_eq!(early, Err(ShareSessionError::AcknowledgesBeforeFetching));
        fetch(&sessions, "a", 0, vec![part(0)]).expect("opened");
        assert_eq!(fetch(&sessions, "a", 2, vec![]), Err(ShareSessionError::WrongEpoch));
        assert_eq!(sessions.acknowledge(&member("a"), 5), Err(ShareSessionError::WrongEpoch));
        assert_eq!(fetch(&sessions, "b", 1, vec![]), Err(ShareSessionError::NotFound), "a session is one member's");
        assert!(fetch(&sessions, "a", 1, vec![]).is_ok(), "a refused request changes nothing");
    }

    #[test]
    fn fetches_and_acknowledgements_count_together() {
        let sessions = ShareSessions::new(10);
        fetch(&sessions, "a", 0, vec![part(0)]).expect("opened");
        sessions.acknowledge(&member("a"), 1).expect("the next");
        fetch(&sessions, "a", 2, vec![]).expect("the next");
        sessions.acknowledge(&member("a"), -1).expect("the last one is any");
        assert_eq!(fetch(&sessions, "a", -1, vec![]).map(|turn| turn.kind), Ok(Kind::Last));
        assert_eq!(sessions.close(&member("a")), [part(0)]);
        assert_eq!(sessions.close(&member("a")), []);
    }

    #[test]
    fn a_turn_reads_what_was_asked_before_with_its_changes() {
        let sessions = ShareSessions::new(10);
        let first = fetch(&sessions, "a", 0, vec![part(0), part(1), part(0)]).expect("opened");
        assert_eq!(first.parts, [part(0), part(1)], "each once");
        let turn = sessions.fetch(&member("a"), 1, vec![part(1), part(2)], &[part(0)], true, 7).expect("the next");
        assert_eq!(turn.parts, [part(1), part(2)]);
        let again = fetch(&sessions, "a", 0, vec![part(3)]).expect("opened anew");
        assert_eq!(again.parts, [part(3)]);
        assert!(fetch(&sessions, "a", 1, vec![]).is_ok());
    }

    #[test]
    fn there_are_only_so_many_sessions() {
        let sessions = ShareSessions::new(1);
        fetch(&sessions, "a", 0, vec![part(0)]).expect("opened");
        assert_eq!(fetch(&sessions, "b", 0, vec![part(0)]), Err(ShareSessionError::LimitReached));
        fetch(&sessions, "a", 0, vec![part(0)]).expect("in place of its own");
    }

    #[test]
    fn a_session_ends_with_its_connection() {
        let sessions = ShareSessions::new(10);
        let open = |id: &str, connection| sessions.fetch(&member(id), 0, vec![part(0)], &[], false, connection).expect("opened");
        open("a", 1);
        open("b", 2);
        open("a", 3);
        assert_eq!(sessions.connection_closed(1), [], "it was opened anew over another one");
        assert_eq!(sessions.connection_closed(3), [(member("a"), vec![part(0)])]);
        assert_eq!(fetch(&sessions, "a", 1, vec![]), Err(ShareSessionError::NotFound));
        assert!(fetch(&sessions, "b", 1, vec![]).is_ok());
    }

    #[test]
    fn only_news_is_told_and_what_was_served_is_read_last() {
        let sessions = ShareSessions::new(10);
        let quiet = Told::default();
        let records = Told { has_records: true, ..quiet };
        let error = Told { is_error: true, ..quiet };
        let first = fetch(&sessions, "a", 0, vec![part(0), part(1)]).expect("opened");
        assert_eq!(sessions.news(&member("a"), &first, &[(part(0), quiet), (part(1), quiet)]), [true, true]);
        let second = fetch(&sessions, "a", 1, vec![part(2)]).expect("the next");
        let told = [(part(0), records), (part(1), error), (part(2), quiet)];
        assert_eq!(sessions.news(&member("a"), &second, &told), [true, true, true], "a new partition is told of once");
        let third = fetch(&sessions, "a", 2, vec![]).expect("the next");
        assert_eq!(third.parts, [part(1), part(2), part(0)]);
        let told = [(part(1), quiet), (part(2), quiet), (part(0), quiet)];
        assert_eq!(sessions.news(&member("a"), &third, &told), [true, false, false], "the end of an error is news");
    }

    #[test]
    fn what_does_not_exist_is_told_and_forgotten() {
        let sessions = ShareSessions::new(10);
        let unknown = Told { is_error: true, is_unknown: true, ..Told::default() };
        for (epoch, asked, left) in [(0, vec![part(0), part(1)], vec![part(0)]), (1, vec![part(2)], vec![part(0)])] {
            let turn = fetch(&sessions, "a", epoch, asked.clone()).expect("its turn");
            let new = *asked.last().expect("it asks");
            assert!(sessions.news(&member("a"), &turn, &[(part(0), Told::default()), (new, unknown)])[1]);
            assert_eq!(fetch(&sessions, "a", epoch + 1, vec![]).map(|turn| turn.parts), Ok(left));
            sessions.lock().get_mut(&member("a")).expect("open").epoch = epoch + 1;
        }
    }
}
