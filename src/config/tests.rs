//! Goal: every source of the configuration says clearly what is wrong, and otherwise gives what Kafka would. Method: small files in a temporary
//! directory through [`load`], and the tables against themselves.

use super::java_properties::{Entry, parse};
use super::properties::{BROKER, Effect, Kind, TOPIC, Valid};
use super::topic::{Cleanup, TimestampType, TopicSettings};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Sources of files with these contents; the directory must outlive the load.
fn with_files(toml: Option<&str>, properties: Option<&str>, set: &[&str]) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("the temporary directory takes a file");
        path
    };
    let sources = Sources {
        file: toml.map(|text| write("fbf.toml", text)),
        properties: properties.map(|text| write("server.properties", text)),
        set: set.iter().map(|&pair| pair.to_owned()).collect(),
        ..Sources::default()
    };
    (dir, sources)
}

fn loaded(toml: Option<&str>, properties: Option<&str>, set: &[&str]) -> (Config, Vec<String>) {
    let (_dir, sources) = with_files(toml, properties, set);
    load(&sources).unwrap_or_else(|error| panic!("{error}"))
}

fn error(toml: Option<&str>, properties: Option<&str>, set: &[&str]) -> String {
    let (_dir, sources) = with_files(toml, properties, set);
    let error = load(&sources).expect_err("refused").to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    error
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn kafka(pairs: &[(&str, &str)]) -> KafkaSettings {
    KafkaSettings::new(map(pairs)).expect("valid properties")
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    let cases = [
        ("[server]\nlistn = []", "fbf.toml: unknown key server.listn; did you mean server.listen?"),
        ("[sever]\nlisten = []", "fbf.toml: unknown section [sever]; did you mean server?"),
        ("node_id = 3", "fbf.toml: unknown key node_id; did you mean server.node_id?"),
        ("[kafka]\nnum.partition = 3", "fbf.toml: unknown Kafka broker property num.partition; did you mean num.partitions?"),
        ("[kafka]\n\"retention.ms\" = 3", "did you mean the broker's log.retention.ms?"),
        ("[limits]\nentirely_new = 3", "fbf.toml: unknown key limits.entirely_new"),
    ];
    for (toml, expected) in cases {
        let error = error(Some(toml), None, &[]);
        assert!(error.contains(expected), "{toml}: {error}");
    }
    assert_eq!(error(None, None, &["nm.partitions=3"]), "--set: unknown key nm.partitions; did you mean num.partitions?");
    assert_eq!(error(None, None, &["storage.snyc=os"]), "--set: unknown key storage.snyc; did you mean storage.sync?");
    assert_eq!(error(None, None, &["num.partitions"]), "--set: \"num.partitions\" has no '='; write key=value");
}

#[test]
fn bad_values_name_source_key_value_and_what_is_valid() {
    let cases = [
        ("[server]\nnode_id = -1", "server.node_id = -1 is not valid: expected a whole number from 0 to 2147483647"),
        ("[server]\nnode_id = \"1\"", "server.node_id = \"1\" is not valid: expected a whole number from 0"),
        ("[server]\nlisten = []", "server.listen = [] is not valid: expected a list of strings, with at least one"),
        ("[server]\nlisten = [\"nowhere\"]", "\"nowhere\" has no port; write host:port"),
        ("[server]\nlisten = [\"::1:9092\"]", "has an IPv6 address without brackets"),
        ("[server]\nadvertised = \"0.0.0.0:9092\"", "clients need one host that they can reach"),
        ("[storage]\nsync = \"never\"", "storage.sync = \"never\" is not valid: expected \"commit\", \"interval\" or \"os\""),
        ("[storage]\nsegment_bytes = 10", "storage.segment_bytes = 10 is not valid: expected a whole number from 1048576"),
        ("[storage]\nephemeral = 1", "storage.ephemeral = 1 is not valid: expected true or false"),
        ("[log]\nlevel = \"loud\"", "log.level = \"loud\" is not valid: expected one of off, error, warn"),
        ("[kafka]\nnum.partitions = \"x\"", "Invalid value x for configuration num.partitions: Not a number of type INT"),
        ("[kafka]\nnum.partitions = 0", "Invalid value 0 for configuration num.partitions: Value must be at least 1"),
        ("[kafka]\n\"log.retention.ms\" = 0", "log.retention.ms must be unlimited (-1) or, equal or greater than 1"),
        ("[kafka]\n\"log.segment.bytes\" = 10000", "Value must be at least 1048576"),
        ("[kafka]\n\"log.roll.ms\" = 0", "log.roll.ms must be greater than or equal to 1"),
        ("[kafka]\n\"log.cleaner.dedupe.buffer.size\" = 1048576", "must be at least 1MB per cleaner thread"),
        ("[kafka]\n\"group.coordinator.rebalance.protocols\" = \"consumer\"", "must name classic: it cannot be turned off"),
        ("[kafka]\n\"group.consumer.assignors\" = \"range,range\"", "group.consumer.assignors names range twice"),
        ("[http]\ncors_origins = [\"https://app.example.org/\"]", "expected origins, but \"https://app.example.org/\" is none"),
        ("[http]\ncors_origins = [\"https://App.example.org\"]", "is none as browsers send them"),
        ("[server\n", "not valid TOML"),
    ];
    for (toml, expected) in cases {
        let error = error(Some(toml), None, &[]);
        assert!(error.contains("fbf.toml: ") && error.contains(expected), "{toml}: {error}");
    }
    let origins = "[http]\ncors_origins = [\"https://app.example.org\", \"http://localhost:3000\", \"*\"]";
    assert_eq!(loaded(Some(origins), None, &[]).0.http.cors_origins.len(), 3);
    let project = "[http.projects.shop]\ntopic_prefix = \"shop.\"";
    assert!(error(Some(project), None, &[]).contains("have no effect with http.auth = \"none\""));
    let error = |set: &str| error(None, None, &[set]);
    assert!(error("hooks.timeout_max_ms=5000").contains("hooks.timeout_ms (15000) is above hooks.timeout_max_ms (5000)"));
    assert!(
        error("hooks.endpoint_concurrency_max=4")
            .contains("hooks.endpoint_concurrency (16) is above hooks.endpoint_concurrency_max (4)")
    );
    let error = error("limits.request_bytes=1000000000");
    assert!(error.contains("limits.memory_bytes (536870912) is below limits.request_bytes (1000000000)"), "{error}");
}

#[test]
fn missing_files_are_named() {
    let sources = Sources { file: Some(PathBuf::from("/nowhere/fbf.toml")), ..Sources::default() };
    assert!(load(&sources).expect_err("refused").to_string().starts_with("/nowhere/fbf.toml: cannot be read: "));
}

#[test]
fn later_sources_win() {
    let toml = "[kafka]\nnum.partitions = 2\n\"group.max.size\" = 2\n\"node.id\" = 2\n[server]\nrack = \"a\"";
    let properties = "group.max.size=3\nnode.id=3\nlog.retention.hours=3";
    let (config, warnings) =
        loaded(Some(toml), Some(properties), &["server.node_id=4", "kafka.log.retention.hours=4", "limits.tail_bytes=1_000"]);
    assert_eq!((config.kafka.num_partitions, config.kafka.group_max_size, config.server.node_id), (2, 3, 4));
    assert_eq!(config.kafka.value("log.retention.hours"), Some("4"));
    assert_eq!((config.server.rack.as_deref(), config.limits.tail_bytes), (Some("a"), 1000));
    assert_eq!(warnings, Vec::<String>::new());
    let flags = Sources {
        data: Some(PathBuf::from("/d")),
        listen: vec!["127.0.0.1:0".to_owned()],
        ephemeral: true,
        set: vec!["storage.path=/e".to_owned(), "server.listen=*:1,[::1]:2".to_owned()],
        ..Sources::default()
    };
    let (config, _) = load(&flags).expect("valid");
    assert_eq!((config.storage.path, config.storage.ephemeral), (PathBuf::from("/d"), true));
    assert_eq!(config.server.listen, ["127.0.0.1:0"]);
}

#[test]
fn example_file_is_the_defaults_and_names_every_key() {
    let (mut example, warnings) = loaded(Some(EXAMPLE), None, &[]);
    let (defaults, _) = loaded(None, None, &[]);
    for (name, value) in std::mem::take(&mut example.kafka.explicit) {
        assert_eq!(defaults.kafka.value(&name), Some(value.as_str()), "{name}");
    }
    assert_eq!(example, defaults);
    assert_eq!(warnings, Vec::<String>::new());
    let mut section = "";
    let mut named = BTreeSet::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            named.insert(format!("{section}.{key}"));
        }
    }
    for key in keys::KEYS {
        assert!(named.contains(key.name), "{} is not in config.example.toml", key.name);
    }
}

#[test]
fn kafka_names_of_our_settings_land_there() {
    let properties = "\
        process.roles=broker,controller\n\
        listeners=PLAINTEXT://:9092,CONTROLLER://localhost:9093,INSIDE://10.0.0.1:9094\n\
        advertised.listeners=INSIDE://in:9094,PLAINTEXT://out:9092\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT\n\
        log.dirs=/one,/two\n\
        broker.rack=r\n\
        node.id=7\n\
        broker.id=-1\n\
        socket.request.max.bytes=2000000\n\
        connections.max.idle.ms=-1\n\
        max.connections=2147483647\n\
        ssl.keystore.password=secret\n\
        zookeeper.connect=localhost:2181\n\
        transaction.two.phase.commit.enable=true\n";
    let (config, warnings) = loaded(None, Some(properties), &[]);
    assert_eq!(config.server.listen, ["*:9092", "10.0.0.1:9094"]);
    assert_eq!((config.server.advertised.as_deref(), config.server.rack.as_deref()), (Some("out:9092"), Some("r")));
    assert_eq!((config.server.node_id, config.storage.path.clone()), (7, PathBuf::from("/one")));
    assert_eq!((config.limits.request_bytes, config.limits.connections), (2_000_000, 1_000_000));
    assert_eq!(config.limits.idle_ms, 2_592_000_000);
    assert_eq!(config.kafka.value("broker.id"), Some("7"));
    assert_eq!(config.kafka.value("log.dirs"), Some("/one"));
    assert_eq!(config.kafka.value("transaction.two.phase.commit.enable"), Some("true"));
    let expected = [
        "log.dirs: there is one data directory; /one is used and the others are ignored",
        "these Kafka settings have no meaning here and were ignored: controller.listener.names, process.roles, ssl.keystore.password, \
         zookeeper.connect (unknown)",
        "these Kafka settings are kept and shown, but have no effect yet: transaction.two.phase.commit.enable",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn clients_are_told_the_address_of_the_listener_that_they_came_by() {
    let properties = "\
        listeners=PLAINTEXT://:29092,PLAINTEXT_HOST://127.0.0.1:9092\n\
        advertised.listeners=PLAINTEXT://kafka:29092,PLAINTEXT_HOST://localhost:9092,LOST://gone:1\n\
        listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT,LOST:PLAINTEXT\n";
    let (config, warnings) = loaded(None, Some(properties), &[]);
    let told = |config: &Config, local: &str| config.server.advertised_at(local.parse().expect("an address")).map(str::to_owned);
    assert_eq!(told(&config, "172.17.0.2:29092").as_deref(), Some("kafka:29092"));
    assert_eq!(told(&config, "[::ffff:172.17.0.2]:29092").as_deref(), Some("kafka:29092"));
    assert_eq!(told(&config, "127.0.0.1:9092").as_deref(), Some("localhost:9092"));
    assert_eq!(told(&config, "127.0.0.2:9092").as_deref(), Some("kafka:29092"), "no listener is there: the first");
    assert_eq!(warnings, ["advertised.listeners: there is no listener LOST, so nobody is told gone:1"]);

    let (config, _) = loaded(None, Some(properties), &["listeners=PLAINTEXT_HOST://:9999"]);
    assert_eq!(told(&config, "127.0.0.1:9999").as_deref(), Some("localhost:9092"), "of another source");
    let toml = "[kafka]\n\"advertised.listeners\" = \"IN://in:1,OUT://out:2\"\n";
    let (config, _) = loaded(Some(toml), None, &["listeners=IN://:1001,OUT://:1002"]);
    assert_eq!(told(&config, "127.0.0.1:1002").as_deref(), Some("out:2"), "listeners of a later source");
    let (config, _) = loaded(None, Some(properties), &["server.advertised=one:1"]);
    assert_eq!(told(&config, "127.0.0.1:9092").as_deref(), Some("one:1"), "ours wins");
}

#[test]
fn listeners_that_cannot_be_opened_safely_are_refused() {
    let cases = [
        ("listeners=SSL://:9093", "SSL://:9093 asks for SSL, which is not there yet"),
        ("listeners=OUT://:9093\nlistener.security.protocol.map=OUT:SASL_SSL", "OUT://:9093 asks for SASL_SSL"),
        ("listeners=CONTROLLER://:9093", "has no listener for clients"),
        ("listeners=localhost:9092", "\"localhost:9092\" is not NAME://host:port"),
        ("advertised.listeners=PLAINTEXT://:9092", "clients need one host"),
    ];
    for (properties, expected) in cases {
        let error = error(None, Some(properties), &[]);
        assert!(error.contains("server.properties: ") && error.contains(expected), "{properties}: {error}");
    }
}

#[test]
fn names_of_our_keys_behind_kafka_names_exist() {
    for name in kafka_names::own_names() {
        assert!(keys::find(name).is_some(), "{name}");
    }
}

#[test]
fn properties_files_read_as_java_reads_them() {
    let text = "# comment\n! comment\n\n  a = 1 \nb:2\nc 3\nd=x\\\n    y\\\n\n# in\ne\\=\\:f = \\u0041\\t\\\\\ng\nh==i\nj=a\\\\\nk = l\\";
    let pairs: Vec<_> = parse(text).expect("valid").into_iter().map(|Entry { line, key, value }| (line, key, value)).collect();
    let expected = [
        (4, "a", "1 "),
        (5, "b", "2"),
        (6, "c", "3"),
        (7, "d", "xy"),
        (11, "e=:f", "A\t\\"),
        (12, "g", ""),
        (13, "h", "=i"),
        (14, "j", "a\\"),
        (15, "k", "l"),
    ];
    assert_eq!(pairs, expected.map(|(line, key, value)| (line, key.to_owned(), value.to_owned())));
    assert_eq!(parse("ok=1\nbad=\\u00g1").expect_err("refused"), "line 2: \\u00g1 is not a character in four hexadecimal digits");
}

#[test]
fn tables_are_whole_and_their_defaults_are_valid() {
    let mut names = BTreeSet::new();
    for property in BROKER.iter().chain(TOPIC.iter().map(|topic| &topic.property)) {
        if let Some(default) = property.default {
            assert_eq!(property.check(default), Ok(()), "{}", property.name);
        }
        assert!(property.doc.ends_with('.') && property.doc.len() > 10, "{}", property.name);
    }
    for property in BROKER {
        assert!(names.insert(property.name), "{} is there twice", property.name);
    }
    // KafkaConfig of 4.3.1 defines 340 that are not internal, and one of the others works here (group.consumer.regex.refresh.interval.ms);
    // three are about throttles (DynamicConfig.Broker), and five our own.
    assert_eq!((BROKER.len(), TOPIC.len()), (349, 33));
    assert_eq!(BROKER.iter().filter(|property| property.effect == Effect::Works).count(), 111);
    for (row, topic) in properties::topic::synonym_rows().zip(TOPIC) {
        assert_eq!(row, topic.property.name, "the synonyms stand in the order of the properties");
        for synonym in topic.synonym {
            assert!(properties::broker(synonym).is_some(), "{synonym}");
        }
    }
}

/// What came, went or changed between Kafka 4.1 and 4.3.1 (KafkaConfig.configDef, DynamicBrokerConfig).
#[test]
fn broker_properties_are_those_of_kafka_4_3() {
    use properties::Mutability::{ClusterWide, PerBroker, ReadOnly};
    let cases = [
        ("advertised.listeners", Kind::List, None, ReadOnly),
        ("config.providers", Kind::List, Some(""), ClusterWide),
        ("controller.quorum.auto.join.enable", Kind::Boolean, Some("false"), ReadOnly),
        ("controller.quorum.fetch.max.bytes", Kind::Int, Some("1048576"), ReadOnly),
        ("controller.quorum.fetch.snapshot.max.bytes", Kind::Int, Some("1048576"), ReadOnly),
        ("cordoned.log.dirs", Kind::List, Some(""), PerBroker),
        ("follower.fetch.last.tiered.offset.enable", Kind::Boolean, Some("false"), ClusterWide),
        ("group.coordinator.append.linger.ms", Kind::Int, Some("-1"), ReadOnly),
        ("group.coordinator.cached.buffer.max.bytes", Kind::Int, Some("1048588"), ClusterWide),
        ("listeners", Kind::List, Some("PLAINTEXT://:9092"), PerBroker),
        ("log.dirs", Kind::List, None, ReadOnly),
        ("remote.log.manager.follower.thread.pool.size", Kind::Int, Some("2"), ClusterWide),
        ("sasl.oauthbearer.expected.audience", Kind::List, Some(""), ReadOnly),
    ];
    for (name, kind, default, mutability) in cases {
        let known = properties::broker(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((known.kind, known.default, known.mutability), (kind, default, mutability), "{name}");
    }
    assert_eq!(properties::broker("group.consumer.assignor.offload.enable"), None);
    assert!(properties::broker::is_internal("remote.log.manager.task.retry.jitter"));
}

#[test]
fn topic_defaults_agree_with_the_broker_properties_behind_them() {
    let defaults = KafkaSettings::default();
    for topic in TOPIC {
        assert_eq!(topic::broker_value(topic, &defaults).as_deref(), topic.property.default, "{}", topic.property.name);
    }
}

#[test]
fn values_are_checked_with_kafkas_messages() {
    let message = |name: &str, value: &str| properties::topic(name).expect("known").property.check(value).expect_err("refused");
    assert_eq!(message("retention.ms", "x"), "Invalid value x for configuration retention.ms: Not a number of type LONG");
    assert_eq!(message("retention.ms", "-2"), "Invalid value -2 for configuration retention.ms: Value must be at least -1");
    assert_eq!(
        message("compression.lz4.level", "18"),
        "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"
    );
    assert_eq!(
        message("cleanup.policy", "delete, squash"),
        "Invalid value squash for configuration cleanup.policy: String must be one of: compact, delete"
    );
    // Items are judged in turn.
    let empty = "Configuration 'cleanup.policy' values must not be empty.";
    let squash = "Invalid value squash for configuration cleanup.policy: String must be one of: compact, delete";
    for (value, why) in [
        (",", empty),
        ("delete,", empty),
        ("delete,,compact", empty),
        ("delete,,squash", empty),
        ("squash,", squash),
        ("delete,squash,squash", squash),
    ] {
        assert_eq!(message("cleanup.policy", value), why, "{value}");
    }
    let of_broker = |name: &str, value: &str| properties::broker(name).expect("known").check(value);
    assert_eq!(of_broker("log.dirs", "/a,"), Err("Configuration 'log.dirs' values must not be empty.".to_owned()));
    assert_eq!(of_broker("log.cleanup.policy", "compact,compact"), Ok(()));
    assert_eq!(
        message("preallocate", "yes"),
        "Invalid value yes for configuration preallocate: Expected value to be either true or false"
    );
    assert!(message("compression.gzip.level", "0").ends_with("Value must be between 1 and 9 or equal to -1"));
    assert!(message("min.cleanable.dirty.ratio", "1.5").ends_with("Value must be no more than 1"));
    assert!(message("min.cleanable.dirty.ratio", "NaN").ends_with("Value must be at least 0"));
    let throttled = "leader.replication.throttled.replicas";
    for (value, shown) in
        [("1:a", "[1:a]"), ("1", "[1]"), ("1:2:3", "[1:2:3]"), ("*,*", "[*, *]"), ("1:2 ,*", "[1:2, *]"), ("1: 2", "[1: 2]")]
    {
        let why = format!(
            "Invalid value {shown} for configuration {throttled}: {throttled} must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        );
        assert_eq!(message(throttled, value), why, "{value}");
    }
    let secret = properties::broker("ssl.key.password").expect("known");
    assert_eq!((secret.kind, secret.valid), (Kind::Password, Valid::Any));
    for (name, value) in [
        ("retention.ms", " 5 "),
        ("cleanup.policy", "compact , delete"),
        ("cleanup.policy", ""),
        // Kafka drops what comes twice before it judges the list (ConfigDef.parseValue).
        ("cleanup.policy", "delete,delete"),
        ("preallocate", "TRUE"),
        (throttled, " * "),
        (throttled, "*,"),
        (throttled, ""),
        (throttled, ","),
        (throttled, "1:2,"),
        (throttled, "1:2,,3:4"),
        (throttled, "1:2 , 1:2"),
    ] {
        assert_eq!(properties::topic(name).expect("known").property.check(value), Ok(()), "{name}={value}");
    }
}

#[test]
fn topic_settings_come_from_override_then_broker_then_default() {
    let resolve = |overrides: &[(&str, &str)], broker: &[(&str, &str)]| TopicSettings::resolve(&map(overrides), &kafka(broker));
    let defaults = resolve(&[], &[]).expect("valid");
    assert_eq!(defaults.cleanup, Cleanup { delete: true, compact: false });
    assert_eq!((defaults.retention_ms, defaults.retention_bytes, defaults.max_message_bytes), (604_800_000, -1, 1_048_588));
    assert_eq!((defaults.timestamp_type, defaults.timestamp_after_max_ms), (TimestampType::CreateTime, 3_600_000));
    assert_eq!((defaults.segment_ms, defaults.segment_bytes, defaults.compression), (604_800_000, 1 << 30, None));
    let retention = |broker: &[(&str, &str)]| resolve(&[], broker).expect("valid").retention_ms;
    assert_eq!(retention(&[("log.retention.hours", "2")]), 7_200_000);
    assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")]), 180_000);
    assert_eq!(retention(&[("log.retention.minutes", "3"), ("log.retention.ms", "4")]), 4);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
    let own = resolve(
        &[("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("message.timestamp.type", "LogAppendTime")],
        &[("log.retention.ms", "4"), ("message.max.bytes", "99")],
    );
    let own = own.expect("valid");
    assert_eq!((own.cleanup.delete, own.cleanup.compact, own.retention_ms, own.max_message_bytes), (true, true, -1, 99));
    assert_eq!(own.timestamp_type, TimestampType::LogAppendTime);
}

#[test]
fn topic_settings_that_contradict_each_other_are_refused_as_in_kafka() {
    let refusal =
        |overrides: &[(&str, &str)]| TopicSettings::resolve(&map(overrides), &KafkaSettings::default()).expect_err("refused");
    assert_eq!(refusal(&[("retention.mss", "1")]), "Unknown topic config name: retention.mss; did you mean retention.ms?");
    assert_eq!(
        refusal(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]),
        "conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (4)"
    );
    assert!(refusal(&[("remote.storage.enable", "true")]).starts_with("Tiered Storage functionality is disabled"));
}

/// Name, value and source of each synonym.
fn synonyms(described: &describe::Described) -> Vec<(&str, &str, describe::Source)> {
    let shown = described.synonyms.iter().map(|one| (one.name.as_str(), one.value.as_deref().unwrap_or_default(), one.source));
    shown.collect()
}

#[test]
fn descriptions_tell_where_a_value_comes_from() {
    use describe::Source::{Default, DynamicTopic, StaticBroker};
    let given = kafka(&[("log.retention.hours", "2"), ("ssl.key.password", "secret")]);
    let brokers = describe::Brokers::unchanged(&given);
    // Hours are not listed for what is in milliseconds, though they count.
    let topic = describe::topic("retention.ms", &map(&[("retention.ms", "5")]), brokers).expect("known");
    assert_eq!((topic.value.as_deref(), topic.source), (Some("5"), DynamicTopic));
    assert_eq!(synonyms(&topic), [("retention.ms", "5", DynamicTopic)]);
    let topic = describe::topic("retention.ms", &BTreeMap::new(), brokers).expect("known");
    assert_eq!((topic.value.as_deref(), topic.source, topic.synonyms.len()), (Some("7200000"), Default, 0));
    let topic = describe::topic("remote.storage.enable", &BTreeMap::new(), brokers).expect("known");
    assert_eq!((topic.value.as_deref(), topic.source, topic.synonyms.len()), (Some("false"), Default, 0));
    let hours = describe::broker("log.retention.hours", brokers).expect("known");
    assert_eq!((hours.value.as_deref(), hours.source, hours.is_read_only), (Some("2"), StaticBroker, true));
    let unset = describe::broker("log.dirs", brokers).expect("known");
    assert_eq!((unset.value, unset.source, unset.synonyms.len()), (None, Default, 0));
    let secret = describe::broker("ssl.key.password", brokers).expect("known");
    assert!(secret.is_sensitive);
    assert_eq!((secret.value.as_deref(), secret.source), (None, StaticBroker));
    assert_eq!(synonyms(&secret), [("ssl.key.password", "", StaticBroker)]);
    assert_eq!(describe::broker("no.such.thing", brokers), None);
}

#[test]
fn values_are_shown_as_kafka_reads_them_and_synonyms_of_brokers_as_they_were_typed() {
    use describe::Source::{Default, DynamicTopic, StaticBroker};
    let given = kafka(&[("log.cleaner.min.cleanable.ratio", "1"), ("log.cleanup.policy", "compact , delete")]);
    let brokers = describe::Brokers::unchanged(&given);
    let (ratio, policy) = ("log.cleaner.min.cleanable.ratio", "log.cleanup.policy");

    let own = map(&[("min.cleanable.dirty.ratio", " 0 "), ("preallocate", "TRUE")]);
    let topic = describe::topic("min.cleanable.dirty.ratio", &own, brokers).expect("known");
    assert_eq!(topic.value.as_deref(), Some("0.0"));
    let ways = [("min.cleanable.dirty.ratio", "0.0", DynamicTopic), (ratio, "1", StaticBroker), (ratio, "0.5", Default)];
    assert_eq!(synonyms(&topic), ways);
    let topic = describe::topic("preallocate", &own, brokers).expect("known");
    assert_eq!(topic.value.as_deref(), Some("true"));
    let topic = describe::topic("cleanup.policy", &own, brokers).expect("known");
    assert_eq!((topic.value.as_deref(), topic.source), (Some("compact,delete"), StaticBroker));

    let broker = describe::broker(policy, brokers).expect("known");
    assert_eq!(broker.value.as_deref(), Some("compact,delete"));
    assert_eq!(synonyms(&broker), [(policy, "compact , delete", StaticBroker), (policy, "delete", Default)]);
}

#[test]
fn what_was_set_while_the_broker_runs_is_shown_in_front() {
    use describe::Source::{Default, DynamicBroker, DynamicDefaultBroker, StaticBroker};
    let given = kafka(&[("log.retention.hours", "2"), ("message.max.bytes", "1")]);
    let all = map(&[("log.retention.ms", "7"), ("message.max.bytes", "2"), ("odd", "secret")]);
    let own = map(&[("message.max.bytes", "3")]);
    let changed = [Some(&own), Some(&all)];
    let effective = dynamic::effective(&given, changed).expect("valid");
    let brokers = describe::Brokers { given: &given, effective: &effective, changed };

    let bytes = describe::broker("message.max.bytes", brokers).expect("known");
    assert_eq!((bytes.value.as_deref(), bytes.source, bytes.is_read_only), (Some("3"), DynamicBroker, false));
    let name = "message.max.bytes";
    let ways =
        [(name, "3", DynamicBroker), (name, "2", DynamicDefaultBroker), (name, "1", StaticBroker), (name, "1048588", Default)];
    assert_eq!(synonyms(&bytes), ways);
    let topic = describe::topic("max.message.bytes", &BTreeMap::new(), brokers).expect("known");
    assert_eq!((topic.value.as_deref(), topic.source), (Some("3"), DynamicBroker));
    assert_eq!(synonyms(&topic), ways);
    let topic = describe::topic("retention.ms", &BTreeMap::new(), brokers).expect("known");
    assert_eq!((topic.value.as_deref(), topic.source), (Some("7"), DynamicDefaultBroker));
    let hours = describe::broker("log.retention.hours", brokers).expect("known");
    assert_eq!((hours.value.as_deref(), hours.source), (Some("2"), StaticBroker), "the milliseconds are another property");

    let of_all = describe::all_brokers(name, brokers).expect("set");
    assert_eq!((of_all.value.as_deref(), of_all.source), (Some("2"), DynamicDefaultBroker));
    assert_eq!(synonyms(&of_all), [(name, "2", DynamicDefaultBroker)]);
    assert_eq!(describe::all_brokers("log.segment.bytes", brokers), None);
    let odd = describe::all_brokers("odd", brokers).expect("set");
    assert_eq!((odd.value.as_deref(), odd.is_sensitive, odd.kind), (None, true, None));
    assert_eq!(synonyms(&odd), [("odd", "", DynamicDefaultBroker)]);
    assert_eq!(brokers.unknown_names().into_iter().collect::<Vec<_>>(), ["odd"]);
}

#[test]
fn suggestions_are_near_or_none() {
    let keys = ["server.listen", "server.node_id", "num.partitions"];
    assert_eq!(suggest("listen", keys), Some("server.listen"));
    assert_eq!(suggest("server.node-id", keys), Some("server.node_id"));
    assert_eq!(suggest("num.partitoins", keys), Some("num.partitions"));
    assert_eq!(suggest("zzz", keys), None);
    // One that a client made long costs no comparison; 16 MB of it took minutes.
    assert_eq!(suggest(&"x".repeat(16 << 20), keys), None);
}
