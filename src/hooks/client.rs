//! Sends one request: to a checked address, without redirects, with a bounded answer.
//!
//! A name is resolved by [`Resolver`], which hands out no address that the rules refuse; the connection is made to one of just these addresses, so a name
//! that points elsewhere a moment later changes nothing. Addresses in the URL itself were looked at with the URL, see `target.rs`.

use super::answer::{Answer, excerpt, retry_after_ms};
use super::secret::Secret;
use super::target::Rules;
use crate::config::hooks::Hooks as Settings;
use crate::env::Env;
use crate::tasks;
use anyhow::Context;
use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Url};
use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const USER_AGENT: &str = concat!("fbf-webhooks/", env!("CARGO_PKG_VERSION"));
/// What is read of an answer's body at most; a longer one ends the connection.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long a body is read once its status is known.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
/// How often a connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Look-ups of names at once: each takes a thread of the blocking pool, for as long as a resolver is silent.
const LOOKUPS_MAX: usize = 16;

/// The certificates of the file `hooks.ca_file`. Blocks.
///
/// # Errors
/// When it cannot be read, or is no PEM with certificates.
pub fn authorities(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = std::fs::read(file).with_context(|| format!("hooks.ca_file {file:?} cannot be read"))?;
    certificates(&pem).with_context(|| format!("hooks.ca_file {file:?} holds no certificates in PEM"))
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<Certificate>> {
    let all = Certificate::from_pem_bundle(pem)?;
    // What is not PEM at all, and keys, are passed over.
    anyhow::ensure!(!all.is_empty(), "no BEGIN CERTIFICATE in it");
    Ok(all)
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub url: Url,
    /// `webhook-id`
    pub id: String,
    pub body: Bytes,
    pub timeout: Duration,
}

/// Sends requests; keeps connections open for the next one.
pub struct Client {
    http: reqwest::Client,
    env: Env,
}

impl Client {
    /// # Errors
    /// When the file of certificate authorities cannot be used.
    pub async fn new(settings: &Settings, rules: Rules, env: Env) -> anyhow::Result<Client> {
        let resolver = Resolver { rules, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) };
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIME_MAX)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(CONNECT_TIME_MAX)
            .pool_max_idle_per_host(settings.endpoint_concurrency)
            .dns_resolver(Arc::new(resolver));
        if let Some(path) = settings.ca_file.clone() {
            for one in tasks::blocking("read hooks.ca_file", move || authorities(&path)).await? {
                builder = builder.add_root_certificate(one);
            }
        }
        let http = builder.build().context("webhooks' HTTP client cannot be made")?;
        Ok(Client { http, env })
    }

    /// Sends a request, signed with each of `secrets`, and waits for the answer, at most as long as the request says.
    pub async fn send(&self, request: Request, secrets: &[Secret]) -> Answer {
        let begun = self.env.instant();
        let elapsed_ms = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = self.env.now();
        let seconds = now.0.div_euclid(1000);
        let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(&request.id, seconds, &request.body)).collect();
        let deadline = tokio::time::Instant::now() + request.timeout;
        let sent = self
            .http
            .post(request.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &request.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signatures.join(" "))
            .body(request.body)
            .send();
        let mut response = match tokio::time::timeout_at(deadline, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Answer::failed(cause(&error), elapsed_ms()),
            Err(_elapsed) => {
                let message = format!("no answer within {} ms", request.timeout.as_millis());
                return Answer { has_timed_out: true, ..Answer::failed(message, elapsed_ms()) };
            }
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after_ms = retry_after.filter(|_| matches!(status, 429 | 503)).and_then(|text| retry_after_ms(text, now));
        // What the status says counts, whatever becomes of the body.
        let until = deadline.min(tokio::time::Instant::now() + READ_TIME_MAX);
        let mut body = Vec::new();
        while body.len() < READ_BYTES_MAX {
            match tokio::time::timeout_at(until, response.chunk()).await {
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                _ => break,
            }
        }
        let excerpt = excerpt(&body);
        Answer { status: Some(status), duration_ms: elapsed_ms(), excerpt, retry_after_ms, ..Answer::default() }
    }
}

/// The innermost reason, which says most, and what was being done. Without the URL, whose query may be secret.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let is_outermost = error.source().is_none();
    let doing = if error.is_connect() { "the receiver cannot be reached" } else { "the request broke off" };
    if is_outermost { doing.to_owned() } else { format!("{doing}: {innermost}") }
}

/// Resolves names to addresses that may be asked.
struct Resolver {
    rules: Rules,
    lookups: Arc<Semaphore>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, lookups) = (self.rules, self.lookups.clone());
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // It goes with the look-up, which goes on when nobody waits for it any more.
            let permit = lookups.acquire_owned().await;
            let found = tasks::blocking("resolve a webhook's host", move || {
                let found = (host.as_str(), 0u16).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
                drop(permit);
                found
            });
            let allowed = checked(rules, name.as_str(), found.await?)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// All of the addresses, if each may be asked: a name that points inside as well as outside is not there for us.
fn checked(rules: Rules, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
    match found.iter().find(|address| !rules.allow(address.ip())) {
        // Not which: whoever registers endpoints need not learn what private names stand for.
        Some(_private) => {
            Err(format!("{name} resolves to an address that is not public (hooks.allow_private_addresses = false)"))
        }
        None if found.is_empty() => Err(format!("{name} has no address")),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        for none in [&b"\x30\x82\x01\x0a"[..], b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(certificates(none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn a_name_that_resolves_to_a_private_address_is_refused() {
        let strict = Rules { allow_private_addresses: false, allow_http: true };
        for private in
            [&["127.0.0.1"][..], &["1.1.1.1", "10.0.0.1"], &["2606:4700::1111", "::ffff:192.168.0.1"], &["169.254.169.254"], &[]]
        {
            assert!(checked(strict, "rebound.example.org", addresses(private)).is_err(), "{private:?}");
        }
        assert_eq!(checked(strict, "example.org", addresses(&["1.1.1.1"])), Ok(addresses(&["1.1.1.1"])));
        let lax = Rules { allow_private_addresses: true, ..strict };
        assert!(checked(lax, "localhost", addresses(&["127.0.0.1", "::1"])).is_ok());
    }
}
