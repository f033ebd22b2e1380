//! The broker that a program measures: an fbf that it starts, or one of any kind that runs already (`--bootstrap HOST:PORT --pid PID`).

use crate::client::Client;
use crate::options::Given;
use crate::process::Process;
use crate::server::{Launch, Server};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Options that say which broker, all with a value.
pub const OPTIONS: [&str; 3] = ["--bootstrap", "--pid", "--set"];
pub const USAGE: &str = "\
  --bootstrap HOST:PORT   a broker that runs already, on this machine, instead of a new fbf in a temporary directory
  --pid PID               its process, whose processor time and memory are read
  --set KEY=VALUE[,…]     settings of the fbf that is started (the binary is FBF_BIN, or fbf beside this one)";

/// Large answers, and brokers under more load than they carry, take their time.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the file's header.
#[derive(Debug)]
pub enum Broker {
    Started(Box<Server>),
    Found { address: SocketAddr, process: Process },
}

impl Broker {
    /// The broker that the options name, or a new one as `launch` says.
    ///
    /// # Errors
    /// When the options do not fit together, or name none that runs.
    pub fn of(given: &Given, launch: Launch) -> Result<Broker, String> {
        match (given.text("--bootstrap"), given.text("--pid")) {
            (Some(place), Some(_)) if given.is_given("--set") => {
                Err(format!("--set is for an fbf that is started, and {place} runs already"))
            }
            (Some(place), Some(_)) => found(place, given.number("--pid", 0)?),
            (None, None) => Ok(Broker::Started(Box::new(with_settings(launch, given)?.start()))),
            _ => Err("--bootstrap and --pid go together".to_owned()),
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Broker::Started(server) => server.address(),
            Broker::Found { address, .. } => *address,
        }
    }

    #[must_use]
    pub fn process(&self) -> Process {
        match self {
            Broker::Started(server) => server.process(),
            Broker::Found { process, .. } => *process,
        }
    }

    /// A new connection that waits long for answers.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(&self) -> Client {
        patient(self.address())
    }

    /// Stops an fbf in order and starts it again on its data; answers how long it took to listen again, and nothing for another broker.
    ///
    /// # Panics
    /// When it does not stop or start.
    pub fn restart(&mut self) -> Option<Duration> {
        let Broker::Started(server) = self else { return None };
        server.terminate();
        let started = std::time::Instant::now();
        server.restart();
        Some(started.elapsed())
    }
}

/// A connection that waits long for answers, and for its requests to be taken.
///
/// # Panics
/// When nobody listens.
#[must_use]
pub fn patient(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.set_patience(PATIENCE);
    client.set_write_patience(PATIENCE);
    client
}

fn found(place: &str, id: u32) -> Result<Broker, String> {
    let mut addresses = place.to_socket_addrs().map_err(|error| format!("--bootstrap {place}: {error}"))?;
    let address = addresses.next().ok_or_else(|| format!("--bootstrap {place}: no address"))?;
    let process = Process::of(id);
    if !process.is_there() {
        return Err(format!("--pid {id}: no such process on this machine"));
    }
    Ok(Broker::Found { address, process })
}

fn with_settings(mut launch: Launch, given: &Given) -> Result<Launch, String> {
    for setting in given.text("--set").unwrap_or_default().split(',').filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("--set {setting}: KEY=VALUE is due"))?;
        launch = launch.set(key, value);
    }
    Ok(launch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> String {
        let given = Given::parse(words.iter().map(|word| (*word).to_owned()), &OPTIONS, &[]).unwrap();
        Broker::of(&given, Launch::new()).map(|_| ()).unwrap_err()
    }

    #[test]
    fn half_a_broker_is_refused() {
        assert!(refused(&["--bootstrap", "127.0.0.1:9092"]).contains("go together"));
        assert!(refused(&["--pid", "1"]).contains("go together"));
        assert!(refused(&["--bootstrap", "127.0.0.1:9092", "--pid", "1", "--set", "a=b"]).contains("runs already"));
        assert!(refused(&["--set", "storage.sync"]).contains("KEY=VALUE"));
        assert!(refused(&["--bootstrap", "127.0.0.1", "--pid", "1"]).contains("--bootstrap"));
    }
}
