//! A blocking client: one connection, typed calls, and raw bytes where a test needs them. Every wait ends after [`PATIENCE`].

use crate::frame;
use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::Request;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a test waits for an answer before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why no answer came.
#[derive(Debug)]
pub enum Failure {
    /// The server closed the connection, or is gone.
    Closed,
    /// Nothing arrived within the client's patience.
    TimedOut,
    /// What arrived is not the response that was asked for.
    Malformed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Closed => f.write_str("the server closed the connection"),
            Failure::TimedOut => f.write_str("no answer in time"),
            Failure::Malformed(what) => f.write_str(what),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Closed,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens at `address`.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap_or_else(|failure| panic!("no connection to {address}: {failure}"))
    }

    /// Connects, if somebody listens.
    ///
    /// # Errors
    /// [`Failure::Closed`] when nobody does.
    pub fn try_connect(address: SocketAddr) -> Result<Client, Failure> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, next_correlation_id: 1 })
    }

    /// Waits this long, instead of [`PATIENCE`], for what is read from now on.
    ///
    /// # Panics
    /// When the socket is gone.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a socket takes a read time-out");
    }

    /// Waits this long, instead of [`PATIENCE`], for the server to take what is written from now on.
    ///
    /// # Panics
    /// When the socket is gone.
    pub fn set_write_patience(&mut self, patience: Duration) {
        self.stream.set_write_timeout(Some(patience)).expect("a socket takes a write time-out");
    }

    /// The same connection once more, so that one thread sends and another one receives: only one of them may do either.
    ///
    /// # Panics
    /// When the system has no more descriptors.
    #[must_use]
    pub fn twin(&self) -> Client {
        let stream = self.stream.try_clone().expect("a descriptor for the same socket");
        Client { stream, next_correlation_id: self.next_correlation_id }
    }

    /// Asks and waits for the answer.
    ///
    /// # Panics
    /// When none comes, or another one.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).unwrap_or_else(|failure| panic!("key {} version {version}: {failure}", R::KEY))
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, Failure> {
        let correlation_id = self.send(version, request)?;
        self.receive::<R>(version, correlation_id)
    }

    /// Asks without waiting (pipelining); answers the correlation id for [`Client::receive`].
    ///
    /// # Errors
    /// [`Failure::Closed`] or [`Failure::TimedOut`].
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32, Failure> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        self.stream.write_all(&frame::request(correlation_id, version, request))?;
        Ok(correlation_id)
    }

    /// Reads the next answer, which must be the one to `correlation_id`.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when another answer comes, or one that does not decode.
    pub fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> Result<R::Response, Failure> {
        let frame = self.read_frame()?;
        let (answered, response) = frame::response::<R>(frame, version).map_err(Failure::Malformed)?;
        if answered != correlation_id {
            return Err(Failure::Malformed(format!("answer to request {answered} where {correlation_id} was due")));
        }
        Ok(response)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// [`Failure::Closed`] or [`Failure::TimedOut`].
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads one frame, without its size.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn read_frame(&mut self) -> Result<Bytes, Failure> {
        let mut prefix = [0u8; 4];
        self.stream.read_exact(&mut prefix)?;
        let size = usize::try_from(i32::from_be_bytes(prefix))
            .map_err(|_| Failure::Malformed(format!("a response of {} bytes", i32::from_be_bytes(prefix))))?;
        let mut body = vec![0u8; size];
        self.stream.read_exact(&mut body)?;
        Ok(Bytes::from(body))
    }

    /// Reads one frame and forgets it, a piece at a time: its bytes, without its size.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when it is not whole at the `deadline`; the connection is of no more use then.
    pub fn skip_frame(&mut self, deadline: Instant) -> Result<u64, Failure> {
        let mut prefix = [0u8; 4];
        self.stream.read_exact(&mut prefix)?;
        let size = u64::try_from(i32::from_be_bytes(prefix))
            .map_err(|_| Failure::Malformed(format!("a response of {} bytes", i32::from_be_bytes(prefix))))?;
        let mut piece = vec![0u8; 64 * 1024];
        let mut left = size;
        while left > 0 {
            if Instant::now() >= deadline {
                return Err(Failure::TimedOut);
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let got = self.stream.read(&mut piece[..wanted])?;
            if got == 0 {
                return Err(Failure::Closed);
            }
            left -= got as u64;
        }
        Ok(size)
    }

    /// Tells the server that no more requests come; answers can still be read.
    pub fn finish_sending(&mut self) {
        // The server may have closed already; then there is nothing to tell.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Whether the server closes the connection within the client's patience without sending anything.
    pub fn is_closed_quietly(&mut self) -> bool {
        matches!(self.read_frame(), Err(Failure::Closed))
    }

    /// The keys and version ranges that the server advertises.
    ///
    /// # Panics
    /// When ApiVersions answers an error.
    pub fn advertised(&mut self) -> BTreeMap<i16, (i16, i16)> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(frame::text("tests"))
            .with_client_software_version(frame::text("1"));
        let response = self.call(3, &request);
        assert_eq!(response.error_code, 0, "ApiVersions");
        response.api_keys.iter().map(|row| (row.api_key, (row.min_version, row.max_version))).collect()
    }

    /// Proves that the connection still works.
    ///
    /// # Panics
    /// When it does not.
    pub fn assert_alive(&mut self, after: &str) {
        if let Err(failure) = self.try_call(0, &ApiVersionsRequest::default()) {
            panic!("the connection must live on after {after}, but: {failure}");
        }
    }
}
