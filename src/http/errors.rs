//! What HTTP answers when it cannot do what was asked: `{"error": {"code", "message"}}`, as the SDKs expect.

use crate::api::errors::ResponseError;
use crate::hooks::HooksError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What a message may take. It names what was wrong, which may be all of a request, and an answer that is an error is charged to nothing.
const MESSAGE_BYTES_MAX: usize = 2048;
/// The same for one record of many.
const RECORD_MESSAGE_BYTES_MAX: usize = 512;

/// What a client is told to wait before it tries again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The body of every answer that is an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs.
    #[schema(example = "NOT_FOUND")]
    pub code: &'static str,
    /// For people: what is wrong, where, and what to do.
    pub message: String,
    /// With INVALID_RECORD: which records of the request are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordProblem>,
}

/// What is wrong with one record of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordProblem {
    /// Where it is in the request.
    pub index: usize,
    pub message: String,
}

/// Why a request is refused; one variant per status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    TimedOut,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    /// The topic does not take these events: they do not fit its schema, or lack a key, or their time is out of its bounds.
    InvalidRecord,
    /// The budget of bytes is used up.
    Busy,
    Internal,
    /// For now: loading, stopping, or no answer in time.
    Unavailable,
}

/// A refusal and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    pub refusal: Refusal,
    pub message: String,
    pub records: Vec<RecordProblem>,
}

impl HttpError {
    #[must_use]
    pub fn new(refusal: Refusal, message: impl Into<String>) -> HttpError {
        HttpError { refusal, message: cut(message.into(), MESSAGE_BYTES_MAX), records: Vec::new() }
    }

    #[must_use]
    pub fn invalid(message: impl Into<String>) -> HttpError {
        HttpError::new(Refusal::Invalid, message)
    }

    /// The answer of a handler, by Kafka's error; `what` was asked for, for the message.
    #[must_use]
    pub fn of(error: ResponseError, message: Option<&str>, what: &str) -> HttpError {
        let refusal = refusal_of(error);
        let message = match message {
            Some(message) => format!("{what}: {message}"),
            None => format!("{what}: {error}"),
        };
        HttpError::new(refusal, message)
    }

    /// Events of the request do not fit.
    #[must_use]
    pub fn invalid_records(message: impl Into<String>, records: Vec<RecordProblem>) -> HttpError {
        let cut_one = |one: RecordProblem| RecordProblem { message: cut(one.message, RECORD_MESSAGE_BYTES_MAX), ..one };
        let records = records.into_iter().map(cut_one).collect();
        HttpError { records, ..HttpError::new(Refusal::InvalidRecord, message) }
    }

    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let records = self.records.clone();
        ErrorBody { error: ErrorDetail { code: self.refusal.code(), message: self.message.clone(), records } }
    }
}

impl From<HooksError> for HttpError {
    fn from(error: HooksError) -> HttpError {
        let refusal = match &error {
            HooksError::Invalid(_) => Refusal::Invalid,
            HooksError::NoEndpoint(_) | HooksError::NoDelivery(_) => Refusal::NotFound,
            HooksError::NameTaken(_) | HooksError::TooMany(_) => Refusal::Conflict,
            HooksError::Full(_) => Refusal::Busy,
            HooksError::Refused { error, .. } => refusal_of(*error),
            HooksError::Unavailable(_) | HooksError::Store(_) => Refusal::Unavailable,
        };
        HttpError::new(refusal, error.to_string())
    }
}

/// `text`, or its beginning and how long it was.
fn cut(mut text: String, most: usize) -> String {
    let bytes = text.len();
    if bytes > most {
        text.truncate((0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        text.push_str(&format!("… ({bytes} bytes)"));
        text.shrink_to_fit();
    }
    text
}

fn refusal_of(error: ResponseError) -> Refusal {
    match error {
        ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId | ResponseError::GroupIdNotFound => {
            Refusal::NotFound
        }
        ResponseError::TopicAlreadyExists
        | ResponseError::UnknownMemberId
        | ResponseError::IllegalGeneration
        | ResponseError::StaleMemberEpoch
        | ResponseError::NonEmptyGroup
        | ResponseError::RebalanceInProgress => Refusal::Conflict,
        ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge => Refusal::TooLarge,
        ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator
        | ResponseError::RequestTimedOut
        | ResponseError::NotLeaderOrFollower
        | ResponseError::ConcurrentTransactions => Refusal::Unavailable,
        ResponseError::KafkaStorageError | ResponseError::UnknownServerError | ResponseError::CorruptMessage => Refusal::Internal,
        _ => Refusal::Invalid,
    }
}

impl Refusal {
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Invalid => StatusCode::BAD_REQUEST,
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Refusal::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Refusal::Conflict => StatusCode::CONFLICT,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::InvalidRecord => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Busy => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The SDKs' names.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Invalid => "VALIDATION_ERROR",
            Refusal::Unauthorized => "UNAUTHORIZED",
            Refusal::Forbidden => "FORBIDDEN",
            Refusal::NotFound => "NOT_FOUND",
            Refusal::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Refusal::NotAcceptable => "NOT_ACCEPTABLE",
            Refusal::TimedOut => "REQUEST_TIMEOUT",
            Refusal::Conflict => "CONFLICT",
            Refusal::TooLarge => "PAYLOAD_TOO_LARGE",
            Refusal::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Refusal::InvalidRecord => "INVALID_RECORD",
            Refusal::Busy => "RATE_LIMIT_EXCEEDED",
            Refusal::Internal => "INTERNAL_ERROR",
            Refusal::Unavailable => "UNAVAILABLE",
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = (self.refusal.status(), Json(self.body())).into_response();
        response.extensions_mut().insert(self.clone());
        match self.refusal {
            Refusal::Busy | Refusal::Unavailable => {
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            Refusal::Unauthorized => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
