//! HTTP/1.1 by hand: one connection, requests as text, answers with their status, headers and body. For what no client library would send.

use crate::client::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection.
#[derive(Debug)]
pub struct HttpClient {
    stream: BufReader<TcpStream>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// `error.code` of the body.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl HttpClient {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> HttpClient {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        HttpClient { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are; a peer that has closed already is no failure here.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Sends a request with a JSON body, or without one, and reads the answer.
    ///
    /// # Panics
    /// When none comes.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.call_with(method, path, &[], body)
    }

    /// The same with further headers.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn call_with(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        self.send(method, path, headers, body);
        self.read().expect("an answer")
    }

    /// Only sends.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            text.push_str("\r\n");
        }
        self.send_raw(text.as_bytes());
    }

    /// Reads one answer, with a length or in chunks; `None` when the peer closed instead.
    ///
    /// # Panics
    /// When what arrives is no answer, or not in time.
    pub fn read(&mut self) -> Option<Answer> {
        let status = self.line()?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = Answer { status: code.unwrap_or_else(|| panic!("{status:?}")), headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a header: {line:?}"));
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend_from_slice(&chunk);
            }
        } else {
            let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
            answer.body = self.bytes(length);
        }
        Some(answer)
    }

    /// The next chunk of a body; `None` behind the last.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line().expect("a size");
        let length = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a size: {size:?}"));
        let chunk = self.bytes(length);
        assert_eq!(self.line().as_deref(), Some(""), "the end of a chunk");
        (length > 0).then_some(chunk)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("the whole body");
        bytes
    }

    /// The next line, without its end; `None` when the peer closed.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line: {error}"),
        }
    }
}
