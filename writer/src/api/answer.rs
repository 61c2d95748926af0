//! Answers and errors in Zulip's envelope.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use squall_protocol::link::{Refusal, RefusalCode};

use crate::clock::now_s;
use crate::rate_limit::{Limited, Quota};
use crate::store::StoreError;

/// A success: the fields beside `result` and `msg`.
#[derive(Debug, Default)]
pub(super) struct Answer(pub(super) Map<String, Value>);

impl Answer {
    /// The fields of a JSON object; nothing of any other value.
    pub(super) fn new(fields: Value) -> Self {
        match fields {
            Value::Object(fields) => Self(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Self::default()
            }
        }
    }

    pub(super) fn into_response_with(self, unused: &[String]) -> Response {
        let mut body = self.0;
        body.insert("result".into(), "success".into());
        body.insert("msg".into(), "".into());
        if !unused.is_empty() {
            body.insert("ignored_parameters_unsupported".into(), json!(unused));
        }
        json_response(StatusCode::OK, &Value::Object(body))
    }
}

/// A failure as Zulip tells it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// More fields, and how long to wait, in seconds.
    fields: Map<String, Value>,
    retry_after_s: Option<f64>,
    quota: Option<Quota>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: Map::new(), retry_after_s: None, quota: None }
    }

    /// A request that makes no sense, with words for people.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub(super) fn missing(name: &str) -> Self {
        let message = format!("Missing '{name}' argument");
        Self::new(StatusCode::BAD_REQUEST, "REQUEST_VARIABLE_MISSING", message).with("var_name", name)
    }

    /// A parameter whose value is none; `what` completes "NAME …".
    pub(super) fn invalid(name: &str, what: &str) -> Self {
        let message = format!("{name} {what}");
        Self::new(StatusCode::BAD_REQUEST, "REQUEST_VARIABLE_INVALID", message).with("var_name", name)
    }

    /// A narrow that can't be followed.
    pub(super) fn narrow(what: &str) -> Self {
        let message = format!("Invalid narrow operator: {what}");
        Self::new(StatusCode::BAD_REQUEST, "BAD_NARROW", message).with("desc", what)
    }

    pub(super) fn unknown_stream_id(stream_id: impl Into<u64>) -> Self {
        let stream_id: u64 = stream_id.into();
        let message = format!("Channel with ID '{stream_id}' does not exist");
        Self::new(StatusCode::BAD_REQUEST, "STREAM_DOES_NOT_EXIST", message).with("stream_id", stream_id)
    }

    pub(super) fn unknown_stream(name: &str) -> Self {
        let message = format!("Channel '{name}' does not exist");
        Self::new(StatusCode::BAD_REQUEST, "STREAM_DOES_NOT_EXIST", message).with("stream", name)
    }

    pub(super) fn unauthorized(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }
}

impl From<Limited> for ApiError {
    fn from(limited: Limited) -> Self {
        let message = "API usage exceeded rate limit";
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_HIT", message);
        error.retry_after_s = Some(limited.retry_after.as_secs_f64());
        error.quota = Some(limited.quota);
        error
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "read failed");
        let message = "The database can't be reached; try again.";
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message);
        error.retry_after_s = Some(1.0);
        error
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, retry_after_ms } = refusal;
        let (status, code) = match code {
            RefusalCode::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_HIT"),
            RefusalCode::Unavailable | RefusalCode::OutOfOrder => {
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
            }
            RefusalCode::UnknownStream => (StatusCode::BAD_REQUEST, "STREAM_DOES_NOT_EXIST"),
            RefusalCode::SendIdReused => (StatusCode::BAD_REQUEST, "SEND_ID_REUSED"),
            RefusalCode::UnknownUser
            | RefusalCode::Forbidden
            | RefusalCode::InvalidContent
            | RefusalCode::TooMany => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        };
        let mut error = Self::new(status, code, message);
        error.retry_after_s = retry_after_ms.map(|ms| f64::from(ms) / 1000.0);
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, fields: mut body, retry_after_s, quota } = self;
        body.insert("result".into(), "error".into());
        body.insert("msg".into(), message.into());
        body.insert("code".into(), code.into());
        if let Some(seconds) = retry_after_s {
            body.insert("retry-after".into(), seconds.into());
        }
        let mut response = json_response(status, &Value::Object(body));
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"zulip\"");
            headers.insert(header::WWW_AUTHENTICATE, basic);
        }
        if let Some(quota) = quota {
            add_quota(headers, quota);
        }
        if let Some(seconds) = retry_after_s {
            // Whole seconds, and never too early.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.ceil() as u64));
        }
        response
    }
}

/// What is left of the caller's minute.
pub(super) fn add_quota(headers: &mut HeaderMap, quota: Quota) {
    let reset = now_s() + quota.reset.as_nanos().div_ceil(1_000_000_000) as u64;
    headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
