//! Produce requests over one connection, several in flight, each answer handed back with what its sender wants to remember.

use crate::client::{Client, Failure};
use crate::records::PRODUCE_BY_NAME;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_response::ProduceResponse;
use std::collections::VecDeque;

/// What Kafka's producers keep in flight.
pub const IN_FLIGHT_MAX: usize = 5;

/// See the file's header.
pub struct Pipeline<M> {
    client: Client,
    in_flight: VecDeque<(i32, M)>,
}

impl<M> Pipeline<M> {
    #[must_use]
    pub fn new(client: Client) -> Pipeline<M> {
        Pipeline { client, in_flight: VecDeque::new() }
    }

    /// Sends; where the pipeline is full, waits for the oldest answer before and answers that.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn send(&mut self, request: &ProduceRequest, mark: M) -> Result<Option<(M, ProduceResponse)>, Failure> {
        let answered = if self.in_flight.len() >= IN_FLIGHT_MAX { self.answer()? } else { None };
        let correlation_id = self.client.send(PRODUCE_BY_NAME, request)?;
        self.in_flight.push_back((correlation_id, mark));
        Ok(answered)
    }

    /// Waits for the oldest answer, if any is due.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn answer(&mut self) -> Result<Option<(M, ProduceResponse)>, Failure> {
        let Some((correlation_id, mark)) = self.in_flight.pop_front() else { return Ok(None) };
        let response: ProduceResponse = self.client.receive::<ProduceRequest>(PRODUCE_BY_NAME, correlation_id)?;
        Ok(Some((mark, response)))
    }
}

impl Pipeline<()> {
    /// Sends, and looks at the answer that came before.
    ///
    /// # Errors
    /// A failure, or what the broker refused.
    pub fn push(&mut self, request: &ProduceRequest) -> Result<(), String> {
        let answered = self.send(request, ()).map_err(|failure| failure.to_string())?;
        answered.map_or(Ok(()), |((), response)| accepted(&response))
    }

    /// Waits for all answers.
    ///
    /// # Errors
    /// A failure, or what the broker refused.
    pub fn finish(&mut self) -> Result<(), String> {
        while let Some(((), response)) = self.answer().map_err(|failure| failure.to_string())? {
            accepted(&response)?;
        }
        Ok(())
    }
}

/// Whether the broker took every batch.
///
/// # Errors
/// The first that it refused.
pub fn accepted(response: &ProduceResponse) -> Result<(), String> {
    for topic in &response.responses {
        for partition in &topic.partition_responses {
            if let Some(error) = partition.error_code.err() {
                return Err(format!("producing to {}-{}: {error}", topic.name.0, partition.index));
            }
        }
    }
    Ok(())
}
