//! What one consumer reads: its partitions' positions, and the fetch session in which the broker remembers them (KIP-227).
//!
//! ```text
//!  none ──(id 0, epoch 0, all partitions)──▶ id given, epoch 1 ──(only moved partitions)──▶ epoch + 1
//!    ▲                                              │
//!    └── the broker has forgotten the session ◀─────┘
//! ```
//! Full fetches have no session (epoch −1) and name all partitions.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_response::FetchResponse;
use protocol_tests::records::Fetch;
use protocol_tests::topics::Topic;
use std::collections::{BTreeMap, BTreeSet};

const MAX_WAIT_MS: i32 = 500;
const BYTES_MAX: i32 = 50 << 20;

pub struct Session {
    topic: Topic,
    positions: BTreeMap<i32, i64>,
    moved: BTreeSet<i32>,
    is_incremental: bool,
    id: i32,
    epoch: i32,
}

impl Session {
    /// From the beginning of `partitions`.
    pub fn new(topic: &Topic, partitions: &[i32], is_incremental: bool) -> Session {
        let positions: BTreeMap<i32, i64> = partitions.iter().map(|partition| (*partition, 0)).collect();
        Session { topic: topic.clone(), positions, moved: BTreeSet::new(), is_incremental, id: 0, epoch: 0 }
    }

    pub fn position(&self, partition: i32) -> i64 {
        self.positions.get(&partition).copied().unwrap_or(0)
    }

    pub fn advance(&mut self, partition: i32, next: i64) {
        self.positions.insert(partition, next);
        self.moved.insert(partition);
    }

    /// The next fetch, which waits until there is anything.
    pub fn request(&self) -> FetchRequest {
        let mut fetch = Fetch {
            topic: self.topic.clone(),
            partitions: Vec::new(),
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: BYTES_MAX,
            isolation_level: 0,
            session_id: self.id,
            session_epoch: if self.is_incremental { self.epoch } else { -1 },
        };
        let is_whole = !self.is_incremental || self.epoch == 0;
        for (partition, position) in &self.positions {
            if is_whole || self.moved.contains(partition) {
                fetch = fetch.and(*partition, *position);
            }
        }
        fetch.request()
    }

    /// Takes note of the answer to [`Session::request`]; false when the session is gone, so that the same has to be asked in a new one.
    pub fn answered(&mut self, response: &FetchResponse) -> Result<bool, String> {
        match response.error_code.err() {
            None => {}
            Some(ResponseError::FetchSessionIdNotFound | ResponseError::InvalidFetchSessionEpoch) => {
                (self.id, self.epoch) = (0, 0);
                return Ok(false);
            }
            Some(error) => return Err(format!("fetching from {}: {error}", self.topic.name)),
        }
        self.moved.clear();
        // A broker without room for one more session answers 0 and all partitions.
        if self.is_incremental && response.session_id != 0 {
            (self.id, self.epoch) = (response.session_id, self.epoch + 1);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(is_incremental: bool) -> Session {
        Session::new(&Topic { name: "t".to_owned(), id: uuid::Uuid::nil() }, &[3, 5], is_incremental)
    }

    fn asked(session: &Session) -> (i32, i32, Vec<(i32, i64)>) {
        let request = session.request();
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        let partitions = partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect();
        (request.session_id, request.session_epoch, partitions)
    }

    #[test]
    fn an_incremental_fetch_names_what_has_moved() {
        let mut session = session(true);
        assert_eq!(asked(&session), (0, 0, vec![(3, 0), (5, 0)]));
        assert_eq!(session.answered(&FetchResponse::default().with_session_id(9)), Ok(true));
        session.advance(5, 7);
        assert_eq!(asked(&session), (9, 1, vec![(5, 7)]));
        assert_eq!(session.answered(&FetchResponse::default().with_session_id(9)), Ok(true));
        assert_eq!(asked(&session), (9, 2, vec![]));
        let gone = FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
        assert_eq!(session.answered(&gone), Ok(false));
        assert_eq!(asked(&session), (0, 0, vec![(3, 0), (5, 7)]));
    }

    #[test]
    fn a_full_fetch_names_all() {
        let mut session = session(false);
        session.advance(3, 1);
        assert_eq!(session.answered(&FetchResponse::default()), Ok(true));
        assert_eq!(asked(&session), (0, -1, vec![(3, 1), (5, 0)]));
    }
}
