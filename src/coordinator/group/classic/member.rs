//! One member of a classic group, and the requests that wait in its name: at most one join and one sync.

use crate::coordinator::Caller;
use crate::coordinator::group::Context;
use crate::coordinator::group::messages::{GroupError, JoinRefused, JoinReply, JoinRequest, Joined, Protocol, SyncReply};
use crate::coordinator::group::records::MemberValue;
use bytes::Bytes;
use std::sync::Arc;

#[derive(Debug)]
pub struct Member {
    pub id: Arc<str>,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocol_type: String,
    /// By preference.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// Waits for the next generation.
    awaiting_join: Option<Caller<JoinReply>>,
    /// Waits for the leader's assignment.
    awaiting_sync: Option<Caller<SyncReply>>,
    /// Has not been told that it is a member: its client may be gone, and nobody would notice.
    pub is_new: bool,
}

impl Member {
    /// A member that has just come.
    #[must_use]
    pub fn joining(id: Arc<str>, request: JoinRequest, caller: Caller<JoinReply>) -> Member {
        Member {
            id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocol_type: request.protocol_type,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(caller),
            awaiting_sync: None,
            is_new: true,
        }
    }

    /// A member from the log: of its protocols only the chosen one is known.
    #[must_use]
    pub fn restored(value: &MemberValue, protocol: &str) -> Member {
        Member {
            id: Arc::from(value.id.as_str()),
            instance_id: value.instance_id.clone(),
            client_id: value.client_id.clone(),
            client_host: value.client_host.clone(),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            session_timeout_ms: value.session_timeout_ms,
            protocol_type: String::new(),
            protocols: vec![Protocol { name: protocol.to_owned(), metadata: value.subscription.clone() }],
            assignment: value.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    /// The same static member under the id of its new incarnation. Whoever waits under the old id is fenced.
    #[must_use]
    pub fn reincarnated(mut self, id: Arc<str>, ctx: &mut Context) -> Member {
        let old = self.id.to_string();
        self.refuse_join(GroupError::FencedInstance, &old, ctx);
        self.complete_sync(Err(GroupError::FencedInstance), ctx);
        Member { id, is_new: false, ..self }
    }

    /// Takes over what the member brings when it joins again. An earlier join that still waits is given up.
    pub fn update(&mut self, request: JoinRequest, caller: Caller<JoinReply>) {
        self.protocols = request.protocols;
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.session_timeout_ms = request.session_timeout_ms;
        self.awaiting_join = Some(caller);
    }

    #[must_use]
    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|own| own.name == protocol)
    }

    /// The metadata for `protocol`; empty when the member did not bring any.
    #[must_use]
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let own = self.protocols.iter().find(|own| Some(own.name.as_str()) == protocol);
        own.map(|own| own.metadata.clone()).unwrap_or_default()
    }

    #[must_use]
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    #[must_use]
    pub fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// Whether the member need not be heard of now (ClassicGroupMember.hasSatisfiedHeartbeat).
    #[must_use]
    pub fn is_excused(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Lets `caller` wait for the assignment; an earlier one is given up.
    pub fn await_sync(&mut self, caller: Caller<SyncReply>) {
        self.awaiting_sync = Some(caller);
    }

    pub fn complete_join(&mut self, joined: Joined, ctx: &mut Context) {
        if let Some(caller) = self.awaiting_join.take() {
            ctx.reply(caller, Ok(joined));
        }
    }

    pub fn refuse_join(&mut self, error: GroupError, member_id: &str, ctx: &mut Context) {
        if let Some(caller) = self.awaiting_join.take() {
            ctx.reply(caller, Err(JoinRefused { error, member_id: member_id.to_owned() }));
        }
    }

    /// Answers a waiting sync; `false` when none waits.
    pub fn complete_sync(&mut self, reply: SyncReply, ctx: &mut Context) -> bool {
        let waiting = self.awaiting_sync.take();
        let is_waiting = waiting.is_some();
        if let Some(caller) = waiting {
            ctx.reply(caller, reply);
        }
        is_waiting
    }
}
