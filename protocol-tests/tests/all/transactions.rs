//! Goal: transactions by the wire, in both protocols (KIP-98, KIP-890): what is refused, what is fenced, what readers see, and what a
//! crash leaves. Method: raw requests of one producer and one reader, error paths first.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;
use protocol_tests::batch::{Batch, TRANSACTIONAL};
use protocol_tests::client::Client;
use protocol_tests::frame::{group_id, text, topic_name};
use protocol_tests::records::{Fetch, batches, only_fetched, only_produced, produce_request, values};
use protocol_tests::server::Server;
use protocol_tests::topics::{Topic, unique};
use protocol_tests::two_phase::{AbortMarker, InitTwoPhase};

/// EndTxn and Produce of the two protocols.
pub(crate) const V1: (i16, i16) = (4, 11);
const V2: (i16, i16) = (5, 12);

pub(crate) type Outcome<T> = Result<T, ResponseError>;

/// A transactional producer: what it would send, and the plain answers.
pub(crate) struct Producer {
    client: Client,
    id: String,
    producer: (i64, i16),
    sequence: i32,
}

fn checked<T>(code: i16, value: T) -> Outcome<T> {
    code.err().map_or(Ok(value), Err)
}

impl Producer {
    pub(crate) fn new(server: &Server, id: &str) -> Producer {
        let mut producer = Producer { client: server.connect(), id: id.to_owned(), producer: (-1, -1), sequence: 0 };
        producer.init().expect("initialised");
        producer
    }

    fn init_request(&self, timeout_ms: i32) -> InitProducerIdRequest {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(&self.id))))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }

    fn init(&mut self) -> Outcome<()> {
        let request = self.init_request(60_000);
        let answer = self.client.call(5, &request);
        self.producer = checked(answer.error_code, (answer.producer_id.0, answer.producer_epoch))?;
        self.sequence = 0;
        Ok(())
    }

    pub(crate) fn add(&mut self, topics: &[(&str, i32)]) -> Vec<Option<ResponseError>> {
        let topics = topics
            .iter()
            .map(|(topic, index)| AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![*index]));
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&self.id)))
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(topics.collect());
        let answer = self.client.call(3, &request);
        let partitions = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
        partitions.map(|partition| partition.partition_error_code.err()).collect()
    }

    pub(crate) fn send(&mut self, topic: &Topic, version: i16, value: &str) -> Outcome<i64> {
        let (id, epoch) = self.producer;
        let mut batch = Batch::of(&[value]).idempotent(id, epoch, self.sequence);
        batch.attributes |= TRANSACTIONAL;
        let request = produce_request(topic, 0, -1, batch.build()).with_transactional_id(Some(TransactionalId(text(&self.id))));
        let answer = only_produced(self.client.call(version, &request));
        let offset = checked(answer.error_code, answer.base_offset)?;
        self.sequence += 1;
        Ok(offset)
    }

    fn end_request(&self, is_commit: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(is_commit)
    }

    pub(crate) fn end(&mut self, version: i16, is_commit: bool) -> Outcome<()> {
        let request = self.end_request(is_commit);
        let answer = self.client.call(version, &request);
        checked(answer.error_code, ())?;
        if version >= V2.0 {
            self.producer = (answer.producer_id.0, answer.producer_epoch);
            self.sequence = 0;
        }
        Ok(())
    }

    fn commit_offset(&mut self, version: i16, group: &str, topic: &Topic, offset: i64) -> Option<ResponseError> {
        let partition = TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_group_id(group_id(group))
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        self.client.call(version, &request).topics[0].partitions[0].error_code.err()
    }

    fn add_offsets(&mut self, group: &str) -> Option<ResponseError> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_group_id(group_id(group))
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1);
        self.client.call(3, &request).error_code.err()
    }

    fn state(&mut self) -> String {
        let id = TransactionalId(text(&self.id));
        let answer = self.client.call(0, &DescribeTransactionsRequest::default().with_transactional_ids(vec![id]));
        answer.transaction_states[0].transaction_state.to_string()
    }
}

/// What a read_committed consumer reads: values, last stable offset, and the first offsets of aborted transactions.
fn committed(client: &mut Client, topic: &Topic) -> (Vec<String>, i64, Vec<i64>) {
    let mut fetch = Fetch::of(topic, 0, 0);
    fetch.isolation_level = 1;
    let answer = only_fetched(client.call(12, &fetch.request()));
    assert_eq!(answer.error_code.err(), None);
    let data: Vec<_> = batches(&answer).into_iter().filter(|batch| !batch.is_control()).collect();
    let aborted = answer.aborted_transactions.unwrap_or_default().iter().map(|one| one.first_offset).collect();
    (values(&data), answer.last_stable_offset, aborted)
}

fn stable_offset(client: &mut Client, group: &str, topic: &Topic) -> Outcome<i64> {
    let asked = OffsetFetchRequestTopics::default().with_name(topic_name(&topic.name)).with_partition_indexes(vec![0]);
    let asked = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![asked]));
    let answer = client.call(8, &OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(true));
    assert_eq!(answer.groups[0].error_code.err(), None);
    let partition = &answer.groups[0].topics[0].partitions[0];
    checked(partition.error_code, partition.committed_offset)
}

#[test]
fn a_transactional_id_needs_a_name_and_a_time_out_within_bounds() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    for timeout_ms in [0, -1, 900_001] {
        let request = producer.init_request(timeout_ms);
        let answer = producer.client.call(5, &request);
        assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidTransactionTimeout), "{timeout_ms} ms");
    }
    producer.id = String::new();
    assert_eq!(producer.init(), Err(ResponseError::InvalidRequest));
}

#[test]
fn partitions_that_do_not_exist_are_not_added_nor_are_those_beside_them() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("add", 1, &[]);
    let (unknown, untried) = (Some(ResponseError::UnknownTopicOrPartition), Some(ResponseError::OperationNotAttempted));
    assert_eq!(producer.add(&[(&topic.name, 0), (&topic.name, 1), ("nowhere", 0)]), [untried, unknown, unknown]);
    assert_eq!(producer.state(), "Empty");
    let internal = ("__transaction_state", 0);
    let refused = Some(ResponseError::TopicAuthorizationFailed);
    assert_eq!(producer.add(&[(&topic.name, 0), internal]), [untried, refused], "no client's marker belongs there");
    producer.producer.1 += 1;
    assert_eq!(producer.add(&[(&topic.name, 0)]), [Some(ResponseError::ProducerFenced)]);
    producer.producer.0 += 1;
    assert_eq!(producer.add(&[(&topic.name, 0)]), [Some(ResponseError::InvalidProducerIdMapping)]);
}

#[test]
fn records_of_a_partition_that_was_not_added_are_refused_in_the_first_protocol() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("unverified", 1, &[]);
    assert_eq!(producer.send(&topic, 10, "x"), Err(ResponseError::InvalidTxnState));
    assert_eq!(producer.send(&topic, 11, "x"), Err(ResponseError::TransactionAbortable));
    let mut batch = Batch::of(&["x"]).idempotent(producer.producer.0, producer.producer.1, 0);
    batch.attributes |= TRANSACTIONAL;
    let nameless = producer.client.produce(&topic, 0, batch.build());
    assert_eq!(nameless.error_code.err(), Some(ResponseError::TransactionalIdAuthorizationFailed), "without a transactional id");
    // Nor where the transaction is open already.
    assert_eq!(producer.add(&[(&topic.name, 0)]), [None]);
    assert_eq!(producer.send(&topic, 10, "y"), Ok(0));
    let mut batch = Batch::of(&["z"]).idempotent(producer.producer.0, producer.producer.1, 1);
    batch.attributes |= TRANSACTIONAL;
    let nameless = producer.client.produce(&topic, 0, batch.build());
    assert_eq!(nameless.error_code.err(), Some(ResponseError::TransactionalIdAuthorizationFailed));
    assert_eq!(producer.end(4, false), Ok(()));
    assert_eq!(committed(&mut producer.client, &topic), (vec!["y".to_owned()], 2, vec![0]), "nothing between y and its marker");
}

#[test]
fn topics_of_the_house_are_part_of_no_transaction() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let internal = Topic { name: "__transaction_state".to_owned(), ..producer.client.create_topic("any", 1, &[]) };
    // In the second protocol a batch would add its partition.
    assert_eq!(producer.send(&internal, 12, "x"), Err(ResponseError::InvalidTopicException));
    assert_eq!(producer.state(), "Empty");
}

#[test]
fn offsets_of_a_group_without_a_name_belong_to_no_transaction() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("unnamed", 1, &[]);
    for version in 3..=5 {
        assert_eq!(producer.commit_offset(version, "", &topic, 1), Some(ResponseError::InvalidGroupId));
    }
    assert_eq!(producer.state(), "Empty", "nor does it begin one");
}

#[test]
fn an_end_of_nothing_of_another_or_of_an_older_epoch_is_refused() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    assert_eq!(producer.end(4, true), Err(ResponseError::InvalidTxnState));
    assert_eq!(producer.end(5, true), Err(ResponseError::InvalidTxnState));
    let (id, epoch) = producer.producer;
    producer.producer = (id + 1, epoch);
    assert_eq!(producer.end(4, true), Err(ResponseError::InvalidProducerIdMapping));
    producer.producer = (id, epoch + 1);
    assert_eq!(producer.end(4, true), Err(ResponseError::ProducerFenced));
    assert_eq!(producer.end(1, true), Err(ResponseError::InvalidProducerEpoch), "before KIP-588");
    producer.id = unique("nobody");
    assert_eq!(producer.end(4, true), Err(ResponseError::InvalidProducerIdMapping));
}

#[test]
fn committed_readers_see_whole_transactions_and_no_aborted_one() {
    let server = Server::shared();
    for (end, produce) in [V1, V2] {
        let mut producer = Producer::new(&server, &unique("id"));
        let mut reader = server.connect();
        let topic = producer.client.create_topic("whole", 1, &[]);
        for (round, is_commit) in [true, false, true].into_iter().enumerate() {
            if end == V1.0 {
                assert_eq!(producer.add(&[(&topic.name, 0)]), [None]);
            }
            let before = committed(&mut reader, &topic);
            let first = producer.send(&topic, produce, &format!("{round}a")).expect("taken");
            producer.send(&topic, produce, &format!("{round}b")).expect("taken");
            assert_eq!(committed(&mut reader, &topic), before, "an open transaction is not there yet");
            assert_eq!(before.1, first);
            producer.end(end, is_commit).expect("ended");
            assert_eq!(committed(&mut reader, &topic).1, first + 3, "two records and a marker");
        }
        let (values, end, aborted) = committed(&mut reader, &topic);
        // The reader itself leaves out what the answer says is aborted.
        assert_eq!((values, end, aborted), (["0a", "0b", "1a", "1b", "2a", "2b"].map(str::to_owned).to_vec(), 9, vec![3]));
    }
}

#[test]
fn the_second_protocol_answers_repeated_ends_and_fences_late_ones() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("late", 1, &[]);
    producer.send(&topic, V2.1, "a").expect("taken");
    let first = producer.end_request(true);
    producer.end(V2.0, true).expect("committed");
    let again = producer.client.call(V2.0, &first);
    assert_eq!((again.error_code.err(), (again.producer_id.0, again.producer_epoch)), (None, producer.producer));
    producer.send(&topic, V2.1, "b").expect("taken");
    let late = producer.client.call(V2.0, &first);
    assert_eq!(late.error_code.err(), Some(ResponseError::ProducerFenced));
    assert_eq!(producer.state(), "Ongoing");
    producer.end(V2.0, false).expect("aborted");
}

#[test]
fn a_new_producer_with_the_same_id_fences_the_old_one_in_every_request() {
    let server = Server::shared();
    let id = unique("id");
    let mut old = Producer::new(&server, &id);
    let topic = old.client.create_topic("fenced", 1, &[]);
    let group = unique("group");
    old.send(&topic, V2.1, "zombie").expect("taken");
    let mut new = Producer::new(&server, &id);
    assert_eq!(new.producer.0, old.producer.0);
    assert_eq!(committed(&mut new.client, &topic).2, [0], "what was open is aborted");
    assert_eq!(old.send(&topic, V2.1, "zombie"), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(old.send(&topic, V1.1, "zombie"), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(old.add(&[(&topic.name, 0)]), [Some(ResponseError::ProducerFenced)]);
    assert_eq!(old.add_offsets(&group), Some(ResponseError::ProducerFenced));
    assert_eq!(old.commit_offset(5, &group, &topic, 1), Some(ResponseError::InvalidProducerEpoch));
    assert_eq!(old.end(4, true), Err(ResponseError::ProducerFenced));
    new.send(&topic, V2.1, "new").expect("taken");
    new.end(V2.0, true).expect("committed");
}

#[test]
fn offsets_count_with_the_transaction_and_are_unstable_before() {
    let server = Server::shared();
    for (version, end) in [(4, V1.0), (5, V2.0)] {
        let mut producer = Producer::new(&server, &unique("id"));
        let topic = producer.client.create_topic("offsets", 1, &[]);
        let group = unique("group");
        producer.client.find_coordinator(&group);
        if version == 4 {
            let refused = producer.commit_offset(4, &group, &topic, 5);
            assert_eq!(refused, Some(ResponseError::TransactionAbortable), "the group was not added");
            assert_eq!(producer.add_offsets(&group), None);
        }
        assert_eq!(producer.commit_offset(version, &group, &topic, 5), None);
        assert_eq!(stable_offset(&mut producer.client, &group, &topic), Err(ResponseError::UnstableOffsetCommit));
        producer.end(end, true).expect("committed");
        assert_eq!(stable_offset(&mut producer.client, &group, &topic), Ok(5));
        if version == 4 {
            assert_eq!(producer.add_offsets(&group), None);
        }
        assert_eq!(producer.commit_offset(version, &group, &topic, 9), None);
        producer.end(end, false).expect("aborted");
        assert_eq!(stable_offset(&mut producer.client, &group, &topic), Ok(5));
        // A member that does not exist commits for nobody.
    }
}

#[test]
fn a_transaction_whose_groups_topic_is_deleted_ends_all_the_same() {
    let server = Server::start();
    let mut producer = Producer::new(&server, "id");
    let topic = producer.client.create_topic("groupless", 1, &[]);
    producer.client.find_coordinator("group");
    producer.send(&topic, V2.1, "a").expect("taken");
    assert_eq!(producer.commit_offset(V2.0, "group", &topic, 5), None);
    let offsets = producer.client.topic_metadata("__consumer_offsets");
    producer.client.delete_topic(&Topic { name: "__consumer_offsets".to_owned(), id: offsets.topic_id });
    producer.end(V2.0, true).expect("committed");
    assert_eq!(producer.state(), "CompleteCommit");
    assert_eq!(committed(&mut producer.client, &topic).0, ["a"]);
    producer.send(&topic, V2.1, "b").expect("the next transaction");
}

#[test]
fn a_transaction_that_is_left_open_is_aborted_when_its_time_is_up() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("timeout", 1, &[]);
    let request = producer.init_request(100);
    let answer = producer.client.call(5, &request);
    producer.producer = (answer.producer_id.0, answer.producer_epoch);
    producer.send(&topic, V2.1, "a").expect("taken");
    let mut reader = server.connect();
    // Waits for the marker rather than for a time: the last stable offset moves when it is there.
    let patience = std::time::Instant::now();
    while committed(&mut reader, &topic).1 == 0 {
        assert!(patience.elapsed() < protocol_tests::client::PATIENCE, "the transaction is still open");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(committed(&mut reader, &topic).2, [0]);
    assert_eq!(producer.send(&topic, V2.1, "b"), Err(ResponseError::InvalidProducerEpoch));
}

#[test]
fn transactions_are_listed_and_described() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("described", 1, &[]);
    let offset = producer.send(&topic, V2.1, "a").expect("taken");
    let nobody = TransactionalId(text(&unique("nobody")));
    let own = TransactionalId(text(&producer.id));
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![nobody, own.clone()]);
    let described = producer.client.call(0, &request).transaction_states;
    assert_eq!(described[0].error_code.err(), Some(ResponseError::TransactionalIdNotFound));
    let found = &described[1];
    assert_eq!((found.error_code.err(), found.transaction_state.as_str()), (None, "Ongoing"));
    assert_eq!((found.producer_id.0, found.producer_epoch), producer.producer);
    assert_eq!((found.transaction_timeout_ms, found.topics[0].topic.as_str()), (60_000, topic.name.as_str()));
    let request = ListTransactionsRequest::default()
        .with_state_filters(vec![text("Ongoing")])
        .with_producer_id_filters(vec![ProducerId(producer.producer.0)])
        .with_duration_filter(-1);
    let listed = producer.client.call(2, &request).transaction_states;
    assert_eq!(listed.iter().map(|one| &one.transactional_id).collect::<Vec<_>>(), [&own]);
    let bad = ListTransactionsRequest::default().with_duration_filter(-1).with_transactional_id_pattern(Some(text("(")));
    assert_eq!(producer.client.call(2, &bad).error_code.err(), Some(ResponseError::InvalidRegularExpression));

    let asked = |name: &str, index| TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(vec![index]);
    let request = DescribeProducersRequest::default().with_topics(vec![asked("nowhere", 0), asked(&topic.name, 0)]);
    let described = producer.client.call(0, &request).topics;
    assert_eq!(described[0].partitions[0].error_code.err(), Some(ResponseError::UnknownTopicOrPartition));
    let active = &described[1].partitions[0].active_producers[0];
    assert_eq!((active.producer_id.0, active.current_txn_start_offset, active.last_sequence), (producer.producer.0, offset, 0));
}

#[test]
fn an_administrator_ends_a_hanging_transaction_with_a_marker_of_its_epoch() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("hanging", 1, &[]);
    producer.send(&topic, V2.1, "a").expect("taken");
    let marker = |epoch: i16, name: &str| {
        let topic = WritableTxnMarkerTopic::default().with_name(topic_name(name)).with_partition_indexes(vec![0]);
        WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer.producer.0))
            .with_producer_epoch(epoch)
            .with_transaction_result(false)
            .with_coordinator_epoch(0)
            .with_topics(vec![topic])
    };
    let epoch = producer.producer.1;
    let markers = vec![marker(epoch - 1, &topic.name), marker(epoch, "nowhere"), marker(epoch, &topic.name)];
    let answer = producer.client.call(1, &WriteTxnMarkersRequest::default().with_markers(markers)).markers;
    let codes: Vec<_> = answer.iter().map(|one| one.topics[0].partitions[0].error_code.err()).collect();
    let (stale, unknown) = (Some(ResponseError::InvalidProducerEpoch), Some(ResponseError::UnknownTopicOrPartition));
    assert_eq!(codes, [stale, unknown, None]);
    assert_eq!(committed(&mut producer.client, &topic).1, 2, "a record and its marker");
    // Once a coordinator epoch is in the log, markers of older ones are refused: the coordinator's own would be.
    let foreign = marker(epoch, &topic.name).with_coordinator_epoch(1);
    let answer = producer.client.call(1, &WriteTxnMarkersRequest::default().with_markers(vec![foreign])).markers;
    assert_eq!(answer[0].topics[0].partitions[0].error_code.err(), Some(ResponseError::InvalidRequest));
}

#[test]
fn what_is_named_twice_in_a_request_is_answered_once() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("twice", 1, &[]);
    producer.send(&topic, V2.1, "a").expect("taken");
    let repeated = Some(ResponseError::InvalidRequest);

    let own = TransactionalId(text(&producer.id));
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![own.clone(), own]);
    let described = producer.client.call(0, &request).transaction_states;
    assert_eq!(described.iter().map(|one| one.error_code.err()).collect::<Vec<_>>(), [None, repeated]);
    assert!(described[1].topics.is_empty());

    let asked = TopicRequest::default().with_name(topic_name(&topic.name)).with_partition_indexes(vec![0, 0]);
    let described = producer.client.call(0, &DescribeProducersRequest::default().with_topics(vec![asked.clone(), asked])).topics;
    let partitions: Vec<_> = described.iter().flat_map(|topic| &topic.partitions).collect();
    assert_eq!(partitions.iter().map(|one| one.error_code.err()).collect::<Vec<_>>(), [None, repeated, repeated, repeated]);
    assert_eq!(partitions.iter().map(|one| one.active_producers.len()).collect::<Vec<_>>(), [1, 0, 0, 0]);

    let partitions = WritableTxnMarkerTopic::default().with_name(topic_name(&topic.name)).with_partition_indexes(vec![0, 0, 0]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(producer.producer.0))
        .with_producer_epoch(producer.producer.1)
        .with_topics(vec![partitions]);
    let answer = producer.client.call(1, &WriteTxnMarkersRequest::default().with_markers(vec![marker])).markers;
    let codes: Vec<_> = answer[0].topics[0].partitions.iter().map(|one| one.error_code.err()).collect();
    assert_eq!(codes, [None, repeated, repeated]);
    assert_eq!(committed(&mut producer.client, &topic).1, 2, "a record and one marker");
}

#[test]
fn partitions_by_the_million_that_do_not_exist_cost_no_more_than_their_answer() {
    let server = Server::start();
    let mut producer = Producer::new(&server, &unique("id"));
    let name = "n".repeat(32_000);
    let asked = AddPartitionsToTxnTopic::default().with_name(topic_name(&name)).with_partitions((0..1_000_000).collect());
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text(&producer.id)))
        .with_v3_and_below_producer_id(ProducerId(producer.producer.0))
        .with_v3_and_below_producer_epoch(producer.producer.1)
        .with_v3_and_below_topics(vec![asked]);
    let answer = producer.client.call(3, &request).results_by_topic_v3_and_below;
    let codes = answer[0].results_by_partition.iter().map(|one| one.partition_error_code.err());
    assert!(codes.eq(std::iter::repeat_n(Some(ResponseError::UnknownTopicOrPartition), 1_000_000)));
    // A copy of the name for each would be 32 GB.
    assert!(server.peak_memory_bytes() < 1 << 30, "{} bytes", server.peak_memory_bytes());
}

#[test]
fn markers_of_the_second_protocol_have_a_greater_epoch_than_their_records() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("strict", 1, &[]);
    producer.send(&topic, V2.1, "a").expect("taken");
    let (id, epoch) = producer.producer;
    let mut abort = |epoch: i16, transaction_version: i8| {
        let marker = AbortMarker { producer: (id, epoch), topic: topic.name.clone(), transaction_version };
        let answer = producer.client.call(2, &marker).0;
        answer.markers[0].topics[0].partitions[0].error_code.err()
    };
    assert_eq!(abort(epoch, 2), Some(ResponseError::InvalidProducerEpoch), "KIP-1228");
    assert_eq!(abort(epoch + 1, 2), None);
    assert_eq!(abort(epoch + 1, 2), None, "repeated");
    assert_eq!(committed(&mut producer.client, &topic).1, 2, "and written once");
}

#[test]
fn two_phase_commit_is_refused_as_by_a_kafka_that_has_it_turned_off() {
    let server = Server::shared();
    let mut client = server.connect();
    let mut init = |enable_2_pc, keep_prepared_txn| {
        let answer = client.call(6, &InitTwoPhase { id: unique("id"), enable_2_pc, keep_prepared_txn });
        (answer.error_code.err(), answer.ongoing_txn_producer_id.0, answer.ongoing_txn_producer_epoch)
    };
    assert_eq!(init(true, false), (Some(ResponseError::TransactionalIdAuthorizationFailed), -1, -1));
    assert_eq!(init(false, true), (Some(ResponseError::UnsupportedVersion), -1, -1));
    assert_eq!(init(false, false), (None, -1, -1));
}

/// redpanda#6018. A client of the first protocol adds a partition, and a group, once in a transaction.
#[test]
fn what_was_added_survives_a_crash_before_the_first_record() {
    let mut server = Server::start();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("added", 1, &[]);
    let group = unique("group");
    producer.client.find_coordinator(&group);
    assert_eq!(producer.add(&[(&topic.name, 0)]), [None]);
    assert_eq!(producer.add_offsets(&group), None);
    server.kill9();
    server.restart();
    producer.client = server.connect();
    producer.client.find_coordinator(&group);
    assert_eq!(producer.state(), "Ongoing");
    producer.send(&topic, V1.1, "a").expect("its partition is part of it");
    assert_eq!(producer.commit_offset(V1.0, &group, &topic, 7), None);
    producer.end(V1.0, true).expect("committed");
    assert_eq!(committed(&mut producer.client, &topic), (vec!["a".to_owned()], 2, vec![]));
    assert_eq!(stable_offset(&mut producer.client, &group, &topic), Ok(7));
}

#[test]
fn an_open_transaction_survives_a_crash_and_an_answered_end_stands() {
    let mut server = Server::start();
    for (end, produce) in [V1, V2] {
        let mut producer = Producer::new(&server, &unique("id"));
        let topic = producer.client.create_topic("crash", 1, &[]);
        let group = unique("group");
        producer.client.find_coordinator(&group);
        if end == V1.0 {
            assert_eq!(producer.add(&[(&topic.name, 0)]), [None]);
            assert_eq!(producer.add_offsets(&group), None);
        }
        producer.send(&topic, produce, "a").expect("taken");
        assert_eq!(producer.commit_offset(end, &group, &topic, 7), None);
        server.kill9();
        server.restart();
        producer.client = server.connect();
        let mut reader = server.connect();
        reader.find_coordinator(&group);
        assert_eq!(producer.state(), "Ongoing");
        assert_eq!(committed(&mut reader, &topic).1, 0);
        assert_eq!(stable_offset(&mut reader, &group, &topic), Err(ResponseError::UnstableOffsetCommit));
        producer.send(&topic, produce, "b").expect("goes on where it was");
        producer.end(end, true).expect("committed");
        server.kill9();
        server.restart();
        let mut reader = server.connect();
        reader.find_coordinator(&group);
        assert_eq!(committed(&mut reader, &topic), (vec!["a".to_owned(), "b".to_owned()], 3, vec![]));
        assert_eq!(stable_offset(&mut reader, &group, &topic), Ok(7));
    }
}

#[test]
fn brokers_of_the_second_protocol_ask_for_many_transactions_at_once() {
    let server = Server::shared();
    let mut producer = Producer::new(&server, &unique("id"));
    let topic = producer.client.create_topic("batched", 1, &[]);
    let ask = |producer: &mut Producer, version: i16, verify_only: bool| {
        let asked = AddPartitionsToTxnTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![0]);
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(TransactionalId(text(&producer.id)))
            .with_producer_id(ProducerId(producer.producer.0))
            .with_producer_epoch(producer.producer.1)
            .with_verify_only(verify_only)
            .with_topics(vec![asked]);
        let answer = producer.client.call(version, &AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]));
        answer.results_by_transaction[0].topic_results[0].results_by_partition[0].partition_error_code.err()
    };
    assert_eq!(ask(&mut producer, 4, true), Some(ResponseError::InvalidTxnState));
    assert_eq!(ask(&mut producer, 5, true), Some(ResponseError::TransactionAbortable));
    assert_eq!(ask(&mut producer, 5, false), None);
    assert_eq!(ask(&mut producer, 5, true), None);
}
