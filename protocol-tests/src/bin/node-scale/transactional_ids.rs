//! Many transactional ids: each initialised, and then with one transaction of one record (KIP-98's protocol, which every broker speaks). All of
//! them are live at the end, which the broker is asked.

use crate::usage::{Usage, headings, line};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, ListTransactionsRequest, ProducerId,
    TransactionalId,
};
use protocol_tests::batch::{Batch, TRANSACTIONAL};
use protocol_tests::broker::{self, Broker};
use protocol_tests::client::Client;
use protocol_tests::frame::{text, topic_name};
use protocol_tests::options::Given;
use protocol_tests::records::{only_produced, produce_request};
use protocol_tests::server::Launch;
use protocol_tests::topics::Topic;
use protocol_tests::txn_producer::again;
use std::net::SocketAddr;
use std::time::Duration;

const PARTITIONS: i32 = 16;
const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT_MS: i32 = 60_000;
/// FindCoordinator's key type.
const TRANSACTION: i8 = 1;
/// The first versions that these transactions need, and that Kafka 4 still speaks.
const FIND_COORDINATOR: i16 = 4;
const INIT: i16 = 4;
const ADD_PARTITIONS: i16 = 3;
const PRODUCE: i16 = 11;
const END: i16 = 4;
const LIST: i16 = 0;
const COLUMNS: [&str; 8] = ["ids", "init/s", "CPU us/init", "RSS MB", "txn/s", "CPU us/txn", "RSS MB", "B/id"];

/// A transactional id that is initialised.
struct Live {
    id: String,
    producer_id: i64,
    epoch: i16,
}

/// # Errors
/// What the broker refused, or ids that are not there any more.
pub fn measure(given: &Given) -> Result<(), String> {
    let count = given.positive("--count", 10_000)?;
    let connections = given.positive("--connections", 8)?.min(count);
    let broker = Broker::of(given, Launch::new())?;
    let mut client = broker.connect();
    let topic = client.create_topic("transactions", PARTITIONS, &[]);
    client.wait_led(&topic, PARTITIONS, PATIENCE)?;
    find_coordinator(&mut client)?;
    println!("{}", headings(&COLUMNS));
    let before = Usage::of(broker.process());
    let shares: Vec<Vec<u64>> = (0..connections).map(|own| (own..count).step_by(connections as usize).collect()).collect();
    let live = init_all(broker.address(), &shares)?;
    let initialised = Usage::of(broker.process());
    transact_all(broker.address(), &topic, &live)?;
    let done = Usage::of(broker.process());
    let per_id = |cpu: f64| cpu / count as f64 * 1e6;
    let row = [
        count.to_string(),
        format!("{:.0}", count as f64 / initialised.seconds_since(&before)),
        format!("{:.0}", per_id(initialised.cpu_since(&before))),
        format!("{:.1}", initialised.memory_mb()),
        format!("{:.0}", count as f64 / done.seconds_since(&initialised)),
        format!("{:.0}", per_id(done.cpu_since(&initialised))),
        format!("{:.1}", done.memory_mb()),
        format!("{:.0}", done.bytes_each_since(&before, count)),
    ];
    println!("{}", line(&row));
    check_live(&mut client, count)
}

/// Kafka makes its topic of transactions when a coordinator is first asked for.
fn find_coordinator(client: &mut Client) -> Result<(), String> {
    let request = FindCoordinatorRequest::default().with_key_type(TRANSACTION).with_coordinator_keys(vec![text("scale-0")]);
    let found: Result<(), ResponseError> = again(|| {
        let answer = client.call(FIND_COORDINATOR, &request);
        (answer.coordinators.first().map_or(answer.error_code, |coordinator| coordinator.error_code), ())
    });
    found.map_err(|error| format!("finding the coordinator: {error}"))
}

fn init_all(address: SocketAddr, shares: &[Vec<u64>]) -> Result<Vec<Vec<Live>>, String> {
    let results: Vec<Result<Vec<Live>, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = shares.iter().map(|share| scope.spawn(move || init_share(address, share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that initialises does not panic")).collect()
    });
    results.into_iter().collect()
}

fn init_share(address: SocketAddr, share: &[u64]) -> Result<Vec<Live>, String> {
    let mut client = broker::patient(address);
    let mut live = Vec::new();
    for number in share {
        live.push(init(&mut client, format!("scale-{number}"))?);
    }
    Ok(live)
}

fn init(client: &mut Client, id: String) -> Result<Live, String> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(&id))))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer: Result<(i64, i16), ResponseError> = again(|| {
        let answer = client.call(INIT, &request);
        (answer.error_code, (answer.producer_id.0, answer.producer_epoch))
    });
    let (producer_id, epoch) = answer.map_err(|error| format!("initialising {id}: {error}"))?;
    Ok(Live { id, producer_id, epoch })
}

fn transact_all(address: SocketAddr, topic: &Topic, shares: &[Vec<Live>]) -> Result<(), String> {
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = shares.iter().map(|share| scope.spawn(move || transact_share(address, topic, share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread with transactions does not panic")).collect()
    });
    results.into_iter().collect()
}

fn transact_share(address: SocketAddr, topic: &Topic, share: &[Live]) -> Result<(), String> {
    let mut client = broker::patient(address);
    for (partition, live) in (0..PARTITIONS).cycle().zip(share) {
        transact(&mut client, topic, partition, live).map_err(|error| format!("a transaction of {}: {error}", live.id))?;
    }
    Ok(())
}

/// One record, committed.
fn transact(client: &mut Client, topic: &Topic, partition: i32, live: &Live) -> Result<(), ResponseError> {
    let id = TransactionalId(text(&live.id));
    let added = AddPartitionsToTxnTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![partition]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id.clone())
        .with_v3_and_below_producer_id(ProducerId(live.producer_id))
        .with_v3_and_below_producer_epoch(live.epoch)
        .with_v3_and_below_topics(vec![added]);
    again(|| {
        let answer = client.call(ADD_PARTITIONS, &add);
        (answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, ())
    })?;
    let mut batch = Batch::of(&["a record"]).idempotent(live.producer_id, live.epoch, 0);
    batch.attributes |= TRANSACTIONAL;
    let produce = produce_request(topic, partition, -1, batch.build()).with_transactional_id(Some(id.clone()));
    again(|| (only_produced(client.call(PRODUCE, &produce)).error_code, ()))?;
    let end = EndTxnRequest::default()
        .with_transactional_id(id)
        .with_producer_id(ProducerId(live.producer_id))
        .with_producer_epoch(live.epoch)
        .with_committed(true);
    again(|| (client.call(END, &end).error_code, ()))
}

/// Whether the broker still knows all of them.
fn check_live(client: &mut Client, count: u64) -> Result<(), String> {
    let answer = client.call(LIST, &ListTransactionsRequest::default());
    if let Some(error) = answer.error_code.err() {
        return Err(format!("listing transactions: {error}"));
    }
    let own = answer.transaction_states.iter().filter(|state| state.transactional_id.0.starts_with("scale-")).count() as u64;
    println!("{own} transactional ids are live");
    if own < count { Err(format!("{} transactional ids are gone", count - own)) } else { Ok(()) }
}
