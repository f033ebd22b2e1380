//! Who asks: a project, by an API key or by being on this machine; and the way from HTTP to the handlers.
//!
//! API keys are compared as SHA-256 hashes, in constant time: how long a refusal takes tells nothing about the keys there are.

use super::Shared;
use super::errors::{HttpError, Refusal};
use super::input::path_param;
use crate::api::context::{Connection, Held};
use crate::api::{Answer, Context, Handler, ResponseOf};
use crate::config::HttpAuth;
use crate::config::http::Project;
use crate::hooks::Scope;
use crate::store::{BoxFuture, Mark};
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The name by which the groups' tools show HTTP.
const CLIENT_ID: &str = "http";

/// Whoever sent a request, once it is known that it may.
#[derive(Clone)]
pub struct Caller {
    pub shared: Arc<Shared>,
    connection: Arc<Connection>,
    /// Whose topics it may use.
    scope: Arc<Scope>,
}

impl Caller {
    /// The Kafka topic that HTTP calls `name`.
    #[must_use]
    pub fn kafka_name(&self, name: &str) -> String {
        self.scope.kafka_name(name)
    }

    /// What HTTP calls the Kafka topic `name`; `None`: it is not the project's.
    #[must_use]
    pub fn http_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.scope.own_name(name)
    }

    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.scope.prefix
    }

    /// Whose topics it may use, as webhooks are told.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::clone(&self.scope)
    }

    /// Whether every topic is this project's.
    #[must_use]
    pub fn owns_everything(&self) -> bool {
        self.scope.has_all()
    }

    /// Asks a handler, as a connection of a Kafka client would, and waits for the answer.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the handler ends the connection instead of answering.
    pub async fn call<H: Handler>(&self, version: i16, request: H::Request) -> Result<ResponseOf<H>, HttpError>
    where
        ResponseOf<H>: Send,
    {
        Ok(self.start::<H>(version, request, None).await?.await)
    }

    /// Stage one of a request, with the marks for the batches of a produce request; what it answers is stage two, and only waits.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn start<H: Handler>(
        &self,
        version: i16,
        request: H::Request,
        marks: Option<BTreeMap<i32, Mark>>,
    ) -> Result<BoxFuture<'static, ResponseOf<H>>, HttpError>
    where
        ResponseOf<H>: Send,
    {
        match H::handle(self.context(version, marks), request).await {
            Answer::Now(response) => Ok(Box::pin(std::future::ready(response))),
            Answer::Later(wait) => Ok(wait),
            Answer::Silent => Err(HttpError::new(Refusal::Internal, "no answer was asked for")),
            Answer::Close(reason) => Err(HttpError::new(Refusal::Unavailable, reason)),
        }
    }

    /// What a handler knows of this request.
    #[must_use]
    pub fn context(&self, version: i16, marks: Option<BTreeMap<i32, Mark>>) -> Context {
        Context {
            broker: self.shared.broker.clone(),
            version,
            client_id: Arc::from(CLIENT_ID),
            connection: self.connection.clone(),
            sessions: self.shared.sessions.clone(),
            share_sessions: Arc::default(),
            frame_bytes: 0,
            held: Held::default(),
            ahead: None,
            marks: marks.map(Arc::new),
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Caller, HttpError> {
        let connection = parts.extensions.get::<Arc<Connection>>().cloned();
        let connection = connection.ok_or_else(|| HttpError::new(Refusal::Internal, "a request without a connection"))?;
        let asked = path_param(parts, shared, "project_id").await?;
        let http = &shared.broker.config.http;
        let project = match http.auth {
            HttpAuth::None => {
                check_host(parts)?;
                check_site(parts, &http.cors_origins)?;
                None
            }
            HttpAuth::Keys => Some(project(parts, &http.projects, asked.as_deref())?.0.as_str()),
        };
        let scope =
            Scope::of(http, project).ok_or_else(|| HttpError::new(Refusal::Internal, "a project that is not configured"))?;
        Ok(Caller { shared: shared.clone(), connection, scope: Arc::new(scope) })
    }
}

/// Whoever may see what the whole server does, whosever it is.
pub struct Operator;

impl FromRequestParts<Arc<Shared>> for Operator {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Operator, HttpError> {
        let http = &shared.broker.config.http;
        match http.auth {
            HttpAuth::None => {
                check_host(parts)?;
                check_site(parts, &http.cors_origins)?;
            }
            HttpAuth::Keys => {
                // Of several projects, the one without a prefix is the operator's. Names and contents of others are not in it.
                if !opened(parts, &http.projects)?.iter().any(|(_, project)| project.topic_prefix.is_empty()) {
                    let message = "this shows the whole server; it needs an API key of a project whose topic_prefix is \"\"";
                    return Err(HttpError::new(Refusal::Forbidden, message));
                }
            }
        }
        Ok(Operator)
    }
}

/// Whether a request has any right to be read: with keys, that it has one of them.
///
/// # Errors
/// UNAUTHORIZED.
pub fn check_key(parts: &Parts, shared: &Shared) -> Result<(), HttpError> {
    let http = &shared.broker.config.http;
    match http.auth {
        HttpAuth::None => Ok(()),
        HttpAuth::Keys => opened(parts, &http.projects).map(drop),
    }
}

/// Without keys, a page of another site must not act for whoever looks at it: what a browser says of where a request comes from is believed.
fn check_site(parts: &Parts, origins: &[String]) -> Result<(), HttpError> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let is_allowed = |origin: &str| origins.iter().any(|allowed| allowed == "*" || allowed == origin);
    let is_foreign = match header("origin") {
        Some(origin) => !is_allowed(origin) && !is_own_page(origin.rsplit("://").next().unwrap_or_default(), host_of(parts)),
        None => {
            matches!(header("sec-fetch-site"), Some("cross-site" | "same-site")) && !origins.iter().any(|origin| origin == "*")
        }
    };
    if is_foreign {
        let message = "a page of another site may not use this; name its origin in http.cors_origins";
        return Err(HttpError::new(Refusal::Forbidden, message));
    }
    Ok(())
}

/// Without keys only this machine is served. A web page elsewhere that makes its name point here must not count as this machine.
fn check_host(parts: &Parts) -> Result<(), HttpError> {
    let Some(host) = host_of(parts) else { return Ok(()) };
    if is_this_machine(host) {
        return Ok(());
    }
    let message =
        format!("http.auth = \"none\" serves this machine by address or as localhost, not as {host:?}; use http.auth = \"keys\"");
    Err(HttpError::new(Refusal::Forbidden, message))
}

/// Whom a request is for, as it says itself.
fn host_of(parts: &Parts) -> Option<&str> {
    parts.uri.host().or_else(|| parts.headers.get(HOST).and_then(|host| host.to_str().ok()))
}

/// Whether `host`, with a port or without, is an address or localhost.
fn is_this_machine(host: &str) -> bool {
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether a page from `origin` is this machine's: from a loopback address, or from where the request goes. Any other address is another site, as
/// any other name is.
fn is_own_page(origin: &str, host: Option<&str>) -> bool {
    let name = without_port(origin);
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    is_loopback
        || name.eq_ignore_ascii_case("localhost")
        || host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

/// The projects, by id, that the request's API key opens: at least one.
fn opened<'a>(parts: &Parts, projects: &'a BTreeMap<String, Project>) -> Result<Vec<(&'a String, &'a Project)>, HttpError> {
    let unauthorized = |message: &str| HttpError::new(Refusal::Unauthorized, message);
    let header = parts.headers.get(AUTHORIZATION).ok_or_else(|| unauthorized("no API key: send Authorization: Bearer <key>"))?;
    let key = header.to_str().ok().and_then(|header| {
        let (scheme, credentials) = header.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(credentials.trim().to_owned()),
            // What clients of schema registries send, as user and password.
            "basic" => {
                let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials.trim()).ok()?).ok()?;
                decoded.split_once(':').map(|(_, password)| password.to_owned())
            }
            _ => None,
        }
    });
    let key = key.filter(|key| !key.is_empty());
    let key =
        key.ok_or_else(|| unauthorized("the header Authorization is neither Bearer <key> nor Basic with the key as password"))?;
    let hash = Sha256::digest(key.as_bytes());
    // All of them are compared, whichever fits.
    let opened: Vec<_> = projects
        .iter()
        .filter(|(_, project)| {
            project.api_keys.iter().fold(subtle::Choice::from(0), |any, own| any | own.as_slice().ct_eq(&hash)).into()
        })
        .collect();
    if opened.is_empty() {
        return Err(unauthorized("the API key is not known"));
    }
    Ok(opened)
}

/// The project that the request's API key opens, the one that was asked for if one was.
fn project<'a>(
    parts: &Parts,
    projects: &'a BTreeMap<String, Project>,
    asked: Option<&str>,
) -> Result<(&'a String, &'a Project), HttpError> {
    let opened = opened(parts, projects)?;
    match asked {
        Some(id) => opened
            .iter()
            .find(|(own, _)| *own == id)
            .copied()
            .ok_or_else(|| HttpError::new(Refusal::Forbidden, format!("the API key does not open the project {id:?}"))),
        None if opened.len() == 1 => Ok(opened[0]),
        None => Err(HttpError::new(Refusal::Forbidden, "the API key opens several projects: name one, /projects/{project_id}/…")),
    }
}
