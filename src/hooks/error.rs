//! Why something about webhooks cannot be done; one variant per reaction.

use crate::api::errors::ResponseError;
use crate::store::StoreError;
use thiserror::Error;

#[derive(Debug, Clone, Error)]
pub enum HooksError {
    /// What was asked for is wrong; the message says what would be valid.
    #[error("{0}")]
    Invalid(String),
    #[error("there is no endpoint {0:?}; create it with POST /webhooks/endpoints")]
    NoEndpoint(String),
    #[error("there is no delivery {0:?} among the newest of the endpoint (hooks.deliveries_kept)")]
    NoDelivery(String),
    #[error("there is an endpoint {0:?} already; choose another name, or change it with PATCH /webhooks/endpoints/{0}")]
    NameTaken(String),
    #[error("the project has {0} endpoints, as many as hooks.endpoints_max allows; delete one")]
    TooMany(usize),
    /// More than fits: try again with less, or later.
    #[error("{0}")]
    Full(String),
    /// A handler refused.
    #[error("{what}: {error}")]
    Refused { what: String, error: ResponseError },
    /// A handler gave no answer.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HooksError {
    #[must_use]
    pub fn refused(what: impl Into<String>, error: ResponseError) -> HooksError {
        HooksError::Refused { what: what.into(), error }
    }

    /// A record was refused for what it is: to write it again is no use.
    #[must_use]
    pub fn is_of_the_record(&self) -> bool {
        use ResponseError::{InvalidRecord, MessageTooLarge, RecordListTooLarge};
        matches!(self, HooksError::Refused { error: InvalidRecord | MessageTooLarge | RecordListTooLarge, .. })
    }
}
