//! Measures what the validation of values costs: `schema-bench [--seconds N] [--rounds N]`. Batches of 64 KiB, made once, go to topics with
//! `value.schema.validation` = none, id and full over four connections with five requests in flight, every batch synced; JSON, Avro and
//! Protobuf values of about 200 bytes and 1 KiB. Prints medians: records per second, and processor time of the server for a million records.
//!
//! `schema-bench --plain N` sends N batches of one record each, one after the other, to a topic without validation, and prints nothing: with
//! FBF_BIN naming a script that starts the server under `valgrind --tool=callgrind`, two counts tell what a produce request costs.

use kafka_protocol::messages::ProduceRequest;
use protocol_tests::batch::Batch;
use protocol_tests::client::Client;
use protocol_tests::frame::request;
use protocol_tests::http::HttpClient;
use protocol_tests::records::produce_request;
use protocol_tests::server::{Launch, Server};
use protocol_tests::topics::Topic;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BATCH_BYTES: usize = 64 * 1024;
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 5;
const PRODUCE: i16 = 9;
const DEPTHS: [&str; 3] = ["none", "id", "full"];

const AVRO: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"customer","type":"string"},
 {"name":"total","type":"double"},{"name":"note","type":["null","string"]},{"name":"items","type":{"type":"array","items":
 {"type":"record","name":"Item","fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"int"},{"name":"price","type":"double"}]}}}]}"#;
const PROTOBUF: &str = r#"syntax = "proto3"; message Order { string id = 1; string customer = 2; double total = 3; string note = 4;
 repeated Item items = 5; message Item { string sku = 1; int32 quantity = 2; double price = 3; } }"#;

fn json_schema() -> String {
    let text = json!({"type": "string", "minLength": 1, "maxLength": 200});
    let amount = json!({"type": "number", "minimum": 0});
    let item = json!({"type": "object", "required": ["sku", "quantity", "price"], "additionalProperties": false,
        "properties": {"sku": text, "quantity": {"type": "integer", "minimum": 1}, "price": amount}});
    json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["id", "customer", "total", "items"],
        "properties": {"id": text, "customer": text, "total": amount, "note": {"type": "string"}, "items": {"type": "array", "items": item}}})
    .to_string()
}

/// One order with so many items.
struct Order {
    items: usize,
}

impl Order {
    fn json(&self) -> Vec<u8> {
        let item = |at: usize| json!({"sku": format!("article-{at:05}"), "quantity": at + 1, "price": 12.5});
        let items: Vec<Value> = (0..self.items).map(item).collect();
        json!({"id": "order-0000012345", "customer": "customer-000777", "total": 99.95, "note": "leave it at the door", "items": items})
            .to_string()
            .into_bytes()
    }

    fn avro(&self) -> Vec<u8> {
        let mut to = Vec::new();
        avro_text(&mut to, "order-0000012345");
        avro_text(&mut to, "customer-000777");
        to.extend(99.95_f64.to_le_bytes());
        zigzag(&mut to, 1);
        avro_text(&mut to, "leave it at the door");
        zigzag(&mut to, self.items as i64);
        for at in 0..self.items {
            avro_text(&mut to, &format!("article-{at:05}"));
            zigzag(&mut to, at as i64 + 1);
            to.extend(12.5_f64.to_le_bytes());
        }
        zigzag(&mut to, 0);
        to
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut to = vec![0];
        proto_bytes(&mut to, 1, b"order-0000012345");
        proto_bytes(&mut to, 2, b"customer-000777");
        to.push(3 << 3 | 1);
        to.extend(99.95_f64.to_le_bytes());
        proto_bytes(&mut to, 4, b"leave it at the door");
        for at in 0..self.items {
            let mut item = Vec::new();
            proto_bytes(&mut item, 1, format!("article-{at:05}").as_bytes());
            item.extend([2 << 3, at as u8 + 1, 3 << 3 | 1]);
            item.extend(12.5_f64.to_le_bytes());
            proto_bytes(&mut to, 5, &item);
        }
        to
    }
}

fn zigzag(to: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        to.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    to.push(raw as u8);
}

fn avro_text(to: &mut Vec<u8>, text: &str) {
    zigzag(to, text.len() as i64);
    to.extend(text.as_bytes());
}

fn proto_bytes(to: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    to.push(field << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend(bytes);
}

/// One line of the table.
struct Row {
    name: String,
    topic: Topic,
    batch: bytes::Bytes,
    records: usize,
    measured: Vec<(f64, f64)>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(default, |value| value.parse().expect("a number"))
    };
    let plain = option("--plain", 0);
    if plain > 0 {
        return produce_plain(plain);
    }
    let (seconds, rounds) = (option("--seconds", 2), option("--rounds", 3));
    println!("| values | records/s | broker CPU s per million | records per second and core |\n|---|---|---|---|");
    for (format, schema) in [("JSON", json_schema()), ("AVRO", AVRO.to_owned()), ("PROTOBUF", PROTOBUF.to_owned())] {
        // A server for each, so that the disk bears it.
        let server = Launch::new().set("schema.listen", "127.0.0.1:0").start();
        let mut client = server.connect();
        let mut registry = HttpClient::connect(server.banner_address("schemas"));
        let mut rows = Vec::new();
        for size in [200, 1024] {
            let of_items = |items| match (format, Order { items }) {
                ("JSON", order) => order.json(),
                ("AVRO", order) => order.avro(),
                (_, order) => order.protobuf(),
            };
            // The first number of items whose value is about as large as asked for.
            let payload = (0..).map(of_items).find(|value| value.len() + 20 >= size).expect("values grow");
            for depth in DEPTHS {
                let topic = client.create_topic("bench", 4, &[("value.schema.validation", depth)]);
                let body = json!({"schema": schema, "schemaType": format}).to_string();
                let answer = registry.call("POST", &format!("/subjects/{}-value/versions", topic.name), Some(&body));
                let id = answer.json()["id"].as_u64().unwrap_or_else(|| panic!("{}", answer.json())) as u32;
                let value = [&[0], &id.to_be_bytes()[..], &payload].concat();
                let records = (BATCH_BYTES / value.len()).max(1);
                let batch = (0..records).fold(Batch::of(&[]), |batch, _| batch.record(0, None, Some(&value))).build();
                rows.push(Row {
                    name: format!("{format} {} B, {depth}", value.len()),
                    topic,
                    batch,
                    records,
                    measured: Vec::new(),
                });
            }
        }
        for _ in 0..rounds {
            for row in &mut rows {
                let measured = measure(&server, row, Duration::from_secs(seconds));
                row.measured.push(measured);
            }
        }
        rows.iter().for_each(show);
    }
}

/// The medians.
fn show(row: &Row) {
    let median = |pick: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = row.measured.iter().map(pick).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (rate, cpu) = (median(|one| one.0), median(|one| one.1));
    println!("| {} | {rate:.0} | {cpu:.2} | {:.0} |", row.name, 1e6 / cpu);
}

fn produce_plain(batches: u64) {
    // Nothing is synced: the disk's pace would decide how often threads look for work.
    let mut server = Launch::new().ephemeral().set("server.worker_threads", "1").start();
    let mut client = server.connect();
    let topic = client.create_topic("plain", 1, &[]);
    let batch = Batch::of(&["a plain record"]).build();
    for _ in 0..batches {
        let answer = client.produce(&topic, 0, batch.clone());
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    }
    // In order, so that whoever counts hears of it.
    server.terminate();
}

/// Records per second, and processor seconds of the server for a million of them.
fn measure(server: &Server, row: &Row, time: Duration) -> (f64, f64) {
    let (cpu, started) = (server.cpu(), Instant::now());
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|at| {
            let partition = at as i32;
            let frame = request::<ProduceRequest>(1, PRODUCE, &produce_request(&row.topic, partition, -1, row.batch.clone()));
            let client = server.connect();
            std::thread::spawn(move || produce(client, &frame, started + time))
        })
        .collect();
    let batches: usize = threads.into_iter().map(|thread| thread.join().expect("no thread fails")).sum();
    let records = (batches * row.records) as f64;
    let cpu = server.cpu() - cpu;
    (records / started.elapsed().as_secs_f64(), cpu.as_secs_f64() / records * 1e6)
}

fn produce(mut client: Client, frame: &[u8], end: Instant) -> usize {
    let (mut sent, mut answered) = (0, 0);
    while Instant::now() < end || answered < sent {
        while sent - answered < IN_FLIGHT && Instant::now() < end {
            client.send_raw(frame).expect("the server takes it");
            sent += 1;
        }
        if answered < sent {
            let answer = client.read_frame().expect("an answer");
            let response = protocol_tests::frame::response::<ProduceRequest>(answer, PRODUCE).expect("a response").1;
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!(partition.error_code, 0, "{:?}", partition.error_message);
            answered += 1;
        }
    }
    sent
}
