//! The way to the API's handlers: webhooks are a client within the process, as HTTP is, so that they read, commit and write on the same walk as
//! everybody else.

use super::error::HooksError;
use crate::api::context::{Connection, Held};
use crate::api::errors::ResponseError;
use crate::api::fetch_sessions::FetchSessions;
use crate::api::find_coordinator::FindCoordinator;
use crate::api::{Answer, Context, Handler, ResponseOf};
use crate::broker::Broker;
use crate::store::BoxFuture;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The name by which the groups' tools show webhooks.
const CLIENT_ID: &str = "webhooks";
/// Connections are numbered apart from those of Kafka's clients and of HTTP.
const CONNECTION: u64 = 1 << 56;
const FIND_COORDINATOR: i16 = 4;
/// How long a coordinator that loads is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks handlers. Cheap to clone.
#[derive(Clone)]
pub struct Handlers {
    pub broker: Arc<Broker>,
    sessions: Arc<FetchSessions>,
    connection: Arc<Connection>,
}

impl Handlers {
    #[must_use]
    pub fn new(broker: Arc<Broker>) -> Handlers {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let connection = Arc::new(Connection::new(CONNECTION, nowhere, nowhere));
        Handlers { broker, sessions: Arc::new(FetchSessions::new(0)), connection }
    }

    /// What a handler knows of a request. Memory that its answer occupies is given back when `held` and the answer are gone.
    fn context(&self, version: i16, held: Held) -> Context {
        Context {
            broker: self.broker.clone(),
            version,
            client_id: Arc::from(CLIENT_ID),
            connection: self.connection.clone(),
            sessions: self.sessions.clone(),
            share_sessions: Arc::default(),
            frame_bytes: 0,
            held,
            ahead: None,
            marks: None,
        }
    }

    /// Stage one of a request; what it answers is stage two, and only waits.
    ///
    /// # Errors
    /// [`HooksError::Unavailable`] when the handler ends the connection instead of answering.
    pub async fn start<H: Handler>(
        &self,
        version: i16,
        request: H::Request,
        held: Held,
    ) -> Result<BoxFuture<'static, ResponseOf<H>>, HooksError>
    where
        ResponseOf<H>: Send,
    {
        match H::handle(self.context(version, held), request).await {
            Answer::Now(response) => Ok(Box::pin(std::future::ready(response))),
            Answer::Later(wait) => Ok(wait),
            Answer::Silent => Err(HooksError::Unavailable("no answer was asked for".to_owned())),
            Answer::Close(reason) => Err(HooksError::Unavailable(reason.to_owned())),
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// As [`Handlers::start`].
    pub async fn call<H: Handler>(&self, version: i16, request: H::Request) -> Result<ResponseOf<H>, HooksError>
    where
        ResponseOf<H>: Send,
    {
        Ok(self.start::<H>(version, request, Held::default()).await?.await)
    }

    /// Asks the coordinator of `group`, which is made at its first use, and waited for while it loads. `code` is the answer's error.
    ///
    /// # Errors
    /// What it answers, as `what`.
    pub async fn ask<H: Handler, F>(
        &self,
        group: &str,
        version: i16,
        request: H::Request,
        code: F,
    ) -> Result<ResponseOf<H>, HooksError>
    where
        H::Request: Clone,
        ResponseOf<H>: Send,
        F: Fn(&ResponseOf<H>) -> i16,
    {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let response = self.call::<H>(version, request.clone()).await?;
            let Some(error) = ResponseError::try_from_code(code(&response)) else { return Ok(response) };
            let is_coming = matches!(
                error,
                ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable | ResponseError::CoordinatorLoadInProgress
            );
            if !is_coming || tokio::time::Instant::now() >= deadline {
                return Err(HooksError::refused(format!("group {group:?}"), error));
            }
            let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_string(group.to_owned())]);
            self.call::<FindCoordinator>(FIND_COORDINATOR, find).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
