//! Goal: the server starts with what it was given, or says in one line why it does not: with exit code 2 when it was told something
//! wrong, with 1 when the machine is in the way.
//! Method: the command line as an operator would type it; error paths first.

use protocol_tests::server::{Exit, Launch, Server, binary};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Wrong usage or configuration.
const USAGE: i32 = 2;
/// Could not start.
const FAILED: i32 = 1;

/// Checks that `exit` is a refusal in one line that names all of `words`.
fn assert_refused(exit: &Exit, code: i32, words: &[&str]) {
    assert_eq!(exit.status.code(), Some(code), "{}", exit.stderr);
    let lines = exit.error_lines();
    assert_eq!(lines.len(), 1, "one line says it:\n{}", exit.stderr);
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is missing in {:?}", lines[0]);
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let exit = Launch::new().port(port).refused();
    assert_refused(&exit, FAILED, &[&port.to_string(), "in use"]);
}

#[test]
fn a_directory_that_another_server_holds_is_refused_and_the_other_lives() {
    let mut server = Server::start();
    let mut client = server.connect();
    let exit = Launch::new().data(&server.data()).refused();
    assert_refused(&exit, FAILED, &[&server.data().display().to_string(), "in use"]);
    assert!(server.is_running());
    client.assert_alive("a second server on the same directory");
}

#[test]
fn a_directory_that_cannot_be_one_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let exit = Launch::new().data(&file).refused();
    assert_refused(&exit, FAILED, &[&file.display().to_string()]);
    let exit = Launch::new().data(&file.join("below")).refused();
    assert_refused(&exit, FAILED, &[&file.display().to_string()]);
}

#[test]
fn the_directory_of_a_kafka_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("meta.properties"), "version=1\n").unwrap();
    std::fs::create_dir(home.path().join("orders-0")).unwrap();
    let exit = Launch::new().data(home.path()).refused();
    assert_refused(&exit, FAILED, &[&home.path().display().to_string(), "Apache Kafka", "--data"]);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2, "nothing was put there");

    // One that was formatted and never used holds nothing, and some tools format it for whatever broker comes.
    std::fs::remove_dir(home.path().join("orders-0")).unwrap();
    Launch::new().data(home.path()).start().connect().assert_alive("a formatted directory");
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_end() {
    let mut server = Launch::new().set("log.level", "debug").log_to(Path::new("/dev/full")).start();
    // Somebody speaks something else: that is logged.
    let mut stranger = TcpStream::connect(server.address()).unwrap();
    stranger.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
    let _ = stranger.read(&mut [0; 1]);
    server.connect().assert_alive("a log on a full disk");
    assert_eq!(server.terminate().status.code(), Some(0), "it stops as ever");
}

#[test]
fn http_listens_on_both_loopback_addresses() {
    let server = Launch::new().set("http.listen", "localhost:0").start();
    let port = server.banner_address("http").port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("by IPv4");
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    assert!(!has_ipv6 || TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok(), "by IPv6");
}

#[test]
fn an_address_that_nobody_comes_to_takes_no_place_from_another() {
    // localhost is two addresses, where there is IPv6.
    let server =
        Launch::new().set("http.listen", "localhost:0").set("schema.listen", "localhost:0").set("http.connections", "1").start();
    for name in ["http", "schemas", "http"] {
        let address = server.banner_address(name);
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(answer.starts_with(b"HTTP/1.1 "), "{name}");
    }
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_one() {
    assert_refused(&Launch::new().set("num.partitons", "8").refused(), USAGE, &["num.partitons", "num.partitions"]);
    assert_refused(&Launch::new().set("storage.pth", "/x").refused(), USAGE, &["storage.pth", "storage.path"]);
    assert_refused(&Launch::new().argument("--set").argument("num.partitions").refused(), USAGE, &["num.partitions", "="]);
}

#[test]
fn a_bad_value_is_refused_with_key_and_value() {
    for (key, value) in
        [("num.partitions", "abc"), ("num.partitions", "0"), ("storage.sync", "sometimes"), ("delete.topic.enable", "maybe")]
    {
        assert_refused(&Launch::new().set(key, value).refused(), USAGE, &[key, value]);
    }
}

#[test]
fn a_configuration_file_with_an_unknown_key_is_refused_with_file_and_key() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("fbf.toml");
    std::fs::write(&file, "[storage]\nsegmnt_bytes = 1\n").unwrap();
    let exit = Launch::new().argument("--config").argument(&file).refused();
    assert_refused(&exit, USAGE, &["fbf.toml", "segmnt_bytes", "segment_bytes"]);
    std::fs::write(&file, "[kafka]\n\"num.partitons\" = 8\n").unwrap();
    let exit = Launch::new().argument("--config").argument(&file).refused();
    assert_refused(&exit, USAGE, &["fbf.toml", "num.partitons", "num.partitions"]);
    let exit = Launch::new().argument("--config").argument(home.path().join("missing.toml")).refused();
    assert_refused(&exit, USAGE, &["missing.toml"]);
}

/// How many partitions a topic gets that nobody has asked for.
fn default_partitions(server: &Server) -> usize {
    server.connect().metadata(&["by-itself"], true);
    server.connect().topic_metadata("by-itself").partitions.len()
}

#[test]
fn settings_come_from_the_command_line() {
    let server = Launch::new().set("num.partitions", "8").start();
    assert_eq!(default_partitions(&server), 8);
}

#[test]
fn settings_come_from_the_configuration_file_and_the_command_line_wins() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("fbf.toml");
    std::fs::write(&file, "[kafka]\n\"num.partitions\" = 5\n").unwrap();
    let server = Launch::new().argument("--config").argument(&file).start();
    assert_eq!(default_partitions(&server), 5);
    let server = Launch::new().argument("--config").argument(&file).set("num.partitions", "6").start();
    assert_eq!(default_partitions(&server), 6);
}

#[test]
fn an_existing_server_properties_works_and_what_it_says_in_vain_is_listed_once() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("server.properties");
    let properties = "# a broker's file\nprocess.roles=broker,controller\nnum.network.threads=3\nnum.partitions=3\n\nlog.retention.hours = 168\n";
    std::fs::write(&file, properties).unwrap();
    let server = Launch::new().argument("--properties").argument(&file).start();
    assert_eq!(default_partitions(&server), 3);
    let said = format!("{}{}", server.stdout(), server.stderr());
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("process.roles")).collect();
    assert_eq!(warnings.len(), 1, "one warning:\n{said}");
    assert!(!warnings[0].contains("num.partitions"), "what works is not in it: {}", warnings[0]);
    // Files of other installations name plug-ins' keys; Kafka takes them without a word, we say so.
    std::fs::write(&file, "num.partitons=3\n").unwrap();
    let server = Launch::new().argument("--properties").argument(&file).start();
    let said = server.stderr();
    assert!(said.lines().any(|line| line.contains("WARN") && line.contains("num.partitons (unknown)")), "{said}");
}

#[test]
fn the_banner_says_where_what_and_how() {
    let server = Server::start();
    let banner = server.stdout();
    let address = server.address().to_string();
    for word in [address.as_str(), &server.data().display().to_string(), "kcat", "sync"] {
        assert!(banner.contains(word), "{word:?} is missing in the banner:\n{banner}");
    }
}

fn fbf(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("fbf runs")
}

#[test]
fn the_version_is_told() {
    let output = fbf(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said:?}");
}

/// `/dev/full` takes nothing: "no space left on device".
#[test]
fn what_cannot_be_told_is_said_in_one_line_and_by_the_code() {
    for arguments in [&["version"][..], &["config", "check"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(binary()).args(arguments).stdin(Stdio::null()).stdout(full).output().expect("fbf runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(FAILED), "{said}");
        assert!(said.lines().count() == 1 && said.starts_with("error: standard output cannot be written"), "{said}");
    }
}

#[test]
fn configurations_are_checked_without_a_start() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("fbf.toml");
    std::fs::write(&file, "[storage]\nsegmnt_bytes = 1\n").unwrap();
    let path = file.display().to_string();
    let output = fbf(&["config", "check", "--config", &path]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(USAGE), "{said}");
    assert!(said.contains("segmnt_bytes") && said.contains("segment_bytes"), "{said}");
    std::fs::write(&file, "[kafka]\n\"num.partitions\" = 5\n").unwrap();
    assert_eq!(fbf(&["config", "check", "--config", &path]).status.code(), Some(0));
}
