//! Share sessions (KIP-932): which partitions a member of a share group reads, so that requests speak only of changes.
//!
//! ```text
//!  epoch 0: a new session, in place of an older one of the same member    epoch n: its n-th turn    epoch −1: its end
//! ```
//! A session ends with the connection that opened it, too; who ends it releases what its member has acquired.
//! Owner: one map under a short mutex, no await inside. Bound: `group.share.max.share.sessions` sessions and [`BYTES_MAX`]; what would take more is
//! refused. Source: ShareSessionCache, ShareSession, SharePartitionManager.newContext.

use crate::ids::TopicId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;
/// What all sessions may remember: two million partitions, some.
const BYTES_MAX: usize = 64 << 20;
/// Of one session, beside names and partitions.
const SESSION_BYTES: usize = 256;

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
    bytes_max: usize,
    sessions: Mutex<Sessions>,
    /// A session has ended: there may be room for another.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Sessions {
    by_member: HashMap<Member, Session>,
    /// Of all sessions together.
    bytes: usize,
}

impl ShareSessions {
    /// At most `slots` sessions.
    #[must_use]
    pub fn new(slots: usize) -> ShareSessions {
        ShareSessions { slots, bytes_max: BYTES_MAX, sessions: Mutex::default(), ended: Notify::new() }
    }

    /// Done when a session has ended since this was asked for.
    pub fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// Opens or continues the session of `member`, and says what to read now. `acknowledges`: whether the request acknowledges anything.
    ///
    /// # Errors
    /// [`ShareSessionError`]; what session there is, is as before, but for [`ShareSessionError::LimitReached`] with epoch 0.
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
            FINAL_EPOCH if sessions.by_member.contains_key(member) => Ok(Turn { kind: Kind::Last, parts: Vec::new() }),
            FINAL_EPOCH => Err(ShareSessionError::NotFound),
            INITIAL_EPOCH if acknowledges => Err(ShareSessionError::AcknowledgesBeforeFetching),
            INITIAL_EPOCH => {
                sessions.remove(member);
                // Before anything is built. What is named twice counts twice: nobody does that.
                if sessions.by_member.len() >= self.slots || sessions.bytes + bytes_of(member, asked.len()) > self.bytes_max {
                    return Err(ShareSessionError::LimitReached);
                }
                let mut session = Session { epoch: 1, connection, parts: Vec::new() };
                session.change(asked, &[], false);
                let parts = session.parts();
                sessions.bytes += bytes_of(member, session.parts.len());
                sessions.by_member.insert(member.clone(), session);
                Ok(Turn { kind: Kind::First, parts })
            }
            _ => {
                let room = self.bytes_max.saturating_sub(sessions.bytes) / PART_BYTES;
                sessions.with(member, |session| {
                    if session.epoch != epoch {
                        return Err(ShareSessionError::WrongEpoch);
                    }
                    // Partitions are also named to acknowledge what was read of them: that takes no room.
                    if asked.len() > room && session.lacks(&asked) > room {
                        return Err(ShareSessionError::LimitReached);
                    }
                    session.epoch = next_epoch(epoch);
                    session.change(asked, forgotten, true);
                    Ok(Turn { kind: Kind::Later, parts: session.parts() })
                })
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
        self.lock().with(member, |session| {
            if epoch == FINAL_EPOCH {
                return Ok(());
            }
            if session.epoch != epoch {
                return Err(ShareSessionError::WrongEpoch);
            }
            session.epoch = next_epoch(epoch);
            Ok(())
        })
    }

    /// Ends a session, and says what its member has read.
    #[must_use]
    pub fn close(&self, member: &Member) -> Vec<Part> {
        let ended = self.lock().remove(member);
        self.ended.notify_waiters();
        ended.map(|session| session.parts()).unwrap_or_default()
    }

    /// Ends the sessions that were opened over a connection which is gone.
    #[must_use]
    pub fn connection_closed(&self, connection: u64) -> Vec<(Member, Vec<Part>)> {
        let mut sessions = self.lock();
        if sessions.by_member.is_empty() {
            return Vec::new();
        }
        let gone: Vec<_> = sessions.by_member.extract_if(|_, session| session.connection == connection).collect();
        sessions.bytes -= gone.iter().map(|(member, session)| bytes_of(member, session.parts.len())).sum::<usize>();
        drop(sessions);
        if !gone.is_empty() {
            self.ended.notify_waiters();
        }
        gone.into_iter().map(|(member, session)| (member, session.parts())).collect()
    }

    /// Which answers of a turn the member needs to hear, in the order of `answers`, and remembers that it was told. What had records is read
    /// last the next time; what does not exist is forgotten, or a session would grow with whatever its member thinks of.
    /// Source: CachedSharePartition.maybeUpdateResponseData.
    #[must_use]
    pub fn news(&self, member: &Member, turn: &Turn, answers: &[(Part, Told)]) -> Vec<bool> {
        let heard = self.lock().with(member, |session| Ok(session.news(turn, answers)));
        heard.unwrap_or_else(|_| vec![true; answers.len()])
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session of `member` with so many partitions takes.
fn bytes_of(member: &Member, parts: usize) -> usize {
    SESSION_BYTES + member.group.len() + member.id.len() + parts * PART_BYTES
}

const PART_BYTES: usize = size_of::<(Part, bool)>();

impl Sessions {
    fn remove(&mut self, member: &Member) -> Option<Session> {
        let session = self.by_member.remove(member)?;
        self.bytes -= bytes_of(member, session.parts.len());
        Some(session)
    }

    /// Changes the session of `member`, and counts what it takes then.
    fn with<T>(
        &mut self,
        member: &Member,
        change: impl FnOnce(&mut Session) -> Result<T, ShareSessionError>,
    ) -> Result<T, ShareSessionError> {
        let session = self.by_member.get_mut(member).ok_or(ShareSessionError::NotFound)?;
        let before = session.parts.len() * PART_BYTES;
        let changed = change(session);
        self.bytes = self.bytes - before + session.parts.len() * PART_BYTES;
        changed
    }
}

impl Session {
    fn parts(&self) -> Vec<Part> {
        self.parts.iter().map(|(part, _)| *part).collect()
    }

    /// How many of `asked` it does not have.
    fn lacks(&self, asked: &[Part]) -> usize {
        let known: HashSet<&Part> = self.parts.iter().map(|(part, _)| part).collect();
        asked.iter().filter(|part| !known.contains(part)).count()
    }

    /// See [`ShareSessions::news`].
    fn news(&mut self, turn: &Turn, answers: &[(Part, Told)]) -> Vec<bool> {
        self.forget(answers.iter().filter(|(_, told)| told.is_unknown).map(|(part, _)| part));
        if turn.kind == Kind::First {
            return vec![true; answers.len()];
        }
        let places: HashMap<Part, usize> = self.parts.iter().enumerate().map(|(at, (part, _))| (*part, at)).collect();
        let mut served = HashSet::new();
        let mut news = Vec::with_capacity(answers.len());
        for (part, told) in answers {
            let known = places.get(part).and_then(|at| self.parts.get_mut(*at));
            // After an error, and for a partition that is new, the next good answer is news, too.
            news.push(told.has_records || told.is_error || known.as_ref().is_none_or(|(_, is_awaited)| *is_awaited));
            if let Some((_, is_awaited)) = known {
                *is_awaited = told.is_error;
            }
            if told.has_records {
                served.insert(*part);
            }
        }
        self.parts.sort_by_key(|(part, _)| served.contains(part));
        news
    }

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
    fn sessions_take_so_much_memory_and_no_more() {
        let mut sessions = ShareSessions::new(10);
        sessions.bytes_max = 2 * bytes_of(&member("a"), 3);
        let parts = |count| (0..count).map(part).collect::<Vec<_>>();
        fetch(&sessions, "a", 0, parts(3)).expect("opened");
        fetch(&sessions, "b", 0, parts(1)).expect("opened");
        assert_eq!(fetch(&sessions, "c", 0, vec![]), Err(ShareSessionError::LimitReached));
        assert_eq!(fetch(&sessions, "b", 1, parts(4)), Err(ShareSessionError::LimitReached));
        assert_eq!(fetch(&sessions, "b", 1, vec![part(5), part(6)]).expect("as before").parts, [part(0), part(5), part(6)]);
        let unknown = Told { is_unknown: true, ..Told::default() };
        let turn = fetch(&sessions, "b", 2, vec![]).expect("full, and nothing more is asked for");
        let _ = sessions.news(&member("b"), &turn, &[(part(5), unknown), (part(6), unknown)]);
        fetch(&sessions, "b", 3, parts(3)).expect("what was forgotten made room");
        assert_eq!(sessions.close(&member("a")), parts(3));
        fetch(&sessions, "c", 0, parts(3)).expect("a place is free");
        assert_eq!(sessions.connection_closed(7).len(), 2);
        assert_eq!(sessions.lock().bytes, 0);
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
            sessions.lock().by_member.get_mut(&member("a")).expect("open").epoch = epoch + 1;
        }
    }
}
