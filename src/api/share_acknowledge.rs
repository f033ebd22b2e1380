//! ShareAcknowledge, key 79, versions 1-2.
//!
//! Behaviour: a member of a share group settles records that it has: accepts, releases or rejects them. The answer comes when what was
//! accepted is durable. With the final epoch −1 its share session ends, and what it still has is given back. Stage two does all of it, so
//! that it comes after a fetch that was asked before over the same connection.
//!
//! Version notes: 2 (KIP-1222) may ask for more time, and answers for how long records are locked.
//! Not implemented: nothing.

use super::errors::{self, ResponseError};
use super::share_acknowledgements::{self, Renewals, by_topic, member_of};
use super::share_sessions::Part;
use super::{Answer, Context, Handler};
use crate::ids::TopicId;
use crate::wire::frame::Frame;
use crate::wire::message::DecodeError;
use crate::wire::share_acknowledge::{self, AcknowledgedPartition, ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use std::ops::RangeInclusive;

const RENEWALS: i16 = 2;
const FINAL_EPOCH: i32 = -1;

pub struct ShareAcknowledge;

impl Handler for ShareAcknowledge {
    type Request = ShareAcknowledgeRequest;
    const VERSIONS: RangeInclusive<i16> = 1..=2;

    fn frame(correlation_id: i32, response: ShareAcknowledgeResponse, version: i16) -> Result<Frame, DecodeError> {
        share_acknowledge::frame(correlation_id, response, version)
    }

    async fn handle(context: Context, request: ShareAcknowledgeRequest) -> Answer<ShareAcknowledgeResponse> {
        Answer::Later(Box::pin(async move {
            match answer(&context, &request).await {
                Ok(response) => response,
                Err(error) => refused(error),
            }
        }))
    }

    fn unsupported() -> ShareAcknowledgeResponse {
        refused(ResponseError::UnsupportedVersion)
    }
}

async fn answer(context: &Context, request: &ShareAcknowledgeRequest) -> Result<ShareAcknowledgeResponse, ResponseError> {
    super::share_fetch::check_enabled(context)?;
    let member = member_of(request.group_id.as_ref(), request.member_id.as_ref())?;
    context.share_sessions.acknowledge(&member, request.session_epoch).map_err(errors::share::session)?;
    let renewals = Renewals { are_known: context.version >= RENEWALS, are_announced: request.is_renewal };
    let settings = context.broker.share_partitions.settings_of(&member.group);
    let acknowledging = share_acknowledgements::begin(context, &member, &settings, &request.topics, renewals).await;
    let outcomes = acknowledging.outcomes().await;
    if request.session_epoch == FINAL_EPOCH {
        share_acknowledgements::close_session(context, &member).await;
    }
    // Who is asked about nothing has no reason to complain.
    let silent = request.topics.iter().flat_map(|topic| {
        let silent = topic.partitions.iter().filter(|partition| partition.acknowledgements.is_empty());
        silent.map(|partition| ((TopicId(topic.id), partition.index), (errors::NONE, None)))
    });
    let partitions = outcomes.into_iter().chain(silent).map(|(part, (error_code, error_message))| {
        let (_, index): Part = part;
        (part, AcknowledgedPartition { index, error_code, error_message })
    });
    Ok(ShareAcknowledgeResponse {
        error_code: errors::NONE,
        error_message: None,
        lock_timeout_ms: settings.record_lock_duration_ms,
        topics: by_topic(partitions).into_iter().map(|(topic, partitions)| (topic.0, partitions)).collect(),
    })
}

fn refused(error: ResponseError) -> ShareAcknowledgeResponse {
    ShareAcknowledgeResponse { error_code: error.code(), ..ShareAcknowledgeResponse::default() }
}
