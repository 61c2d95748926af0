//! Answers and errors in Zulip's envelope.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use squall_protocol::Position;
use squall_protocol::link::{Refusal, RefusalCode};

/// A success: the fields beside `result` and `msg`.
#[derive(Debug, Default)]
pub struct Answer(pub Map<String, Value>);

impl Answer {
    /// The fields of a JSON object; nothing of any other value.
    #[must_use]
    pub fn new(fields: Value) -> Self {
        match fields {
            Value::Object(fields) => Self(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Self::default()
            }
        }
    }

    /// The body, with the names of parameters that had no effect.
    #[must_use]
    pub fn into_body(self, unused: &[String]) -> Bytes {
        let mut body = self.0;
        body.insert("result".into(), "success".into());
        body.insert("msg".into(), "".into());
        if !unused.is_empty() {
            body.insert("ignored_parameters_unsupported".into(), json!(unused));
        }
        Value::Object(body).to_string().into()
    }

    /// The whole answer.
    #[must_use]
    pub fn into_response(self, unused: &[String]) -> Response<Bytes> {
        json_response(StatusCode::OK, self.into_body(unused))
    }
}

/// A failure as Zulip tells it.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// More fields, and how long to wait, in seconds.
    fields: Map<String, Value>,
    retry_after_s: Option<f64>,
    quota: Option<Quota>,
}

/// What is left of a user's minute, for the `X-RateLimit` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a minute.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// Until all of them are back.
    pub reset: Duration,
}

impl ApiError {
    /// Any failure.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: Map::new(), retry_after_s: None, quota: None }
    }

    /// A request that makes no sense, with words for people.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// A parameter that must be there and is not.
    #[must_use]
    pub fn missing(name: &str) -> Self {
        let message = format!("Missing '{name}' argument");
        Self::new(StatusCode::BAD_REQUEST, "REQUEST_VARIABLE_MISSING", message).with("var_name", name)
    }

    /// A parameter whose value is none; `what` completes "NAME …".
    #[must_use]
    pub fn invalid(name: &str, what: &str) -> Self {
        let message = format!("{name} {what}");
        Self::new(StatusCode::BAD_REQUEST, "REQUEST_VARIABLE_INVALID", message).with("var_name", name)
    }

    /// A narrow that can't be followed.
    #[must_use]
    pub fn narrow(what: &str) -> Self {
        let message = format!("Invalid narrow operator: {what}");
        Self::new(StatusCode::BAD_REQUEST, "BAD_NARROW", message).with("desc", what)
    }

    /// No such stream, or one that the caller may not know of.
    pub fn unknown_stream_id(stream_id: impl Into<u64>) -> Self {
        let stream_id: u64 = stream_id.into();
        let message = format!("Channel with ID '{stream_id}' does not exist");
        Self::new(StatusCode::BAD_REQUEST, "STREAM_DOES_NOT_EXIST", message).with("stream_id", stream_id)
    }

    /// The same, by its name.
    #[must_use]
    pub fn unknown_stream(name: &str) -> Self {
        let message = format!("Channel '{name}' does not exist");
        Self::new(StatusCode::BAD_REQUEST, "STREAM_DOES_NOT_EXIST", message).with("stream", name)
    }

    /// No such message, or one that the caller may not read.
    #[must_use]
    pub fn unknown_message() -> Self {
        Self::bad("Invalid message(s)")
    }

    /// A queue that can't be gone on with: the words and the code by which clients know to register again.
    #[must_use]
    pub fn bad_queue(queue_id: &str) -> Self {
        let message = format!("Bad event queue id: {queue_id}");
        Self::new(StatusCode::BAD_REQUEST, "BAD_EVENT_QUEUE_ID", message).with("queue_id", queue_id)
    }

    /// Nobody, or nobody who may.
    #[must_use]
    pub fn unauthorized(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// A key that is nobody's, or not the one's who is named beside it.
    #[must_use]
    pub fn invalid_key() -> Self {
        Self::unauthorized("INVALID_API_KEY", "Invalid API key")
    }

    /// Something behind us gives no answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message);
        error.retry_after_s = Some(1.0);
        error
    }

    /// Too many requests: not before `retry_after`.
    #[must_use]
    pub fn limited(retry_after: Duration, quota: Quota) -> Self {
        let message = "API usage exceeded rate limit";
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_HIT", message);
        error.retry_after_s = Some(retry_after.as_secs_f64());
        error.quota = Some(quota);
        error
    }

    /// One more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The whole answer.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let Self { status, code, message, fields: mut body, retry_after_s, quota } = self;
        body.insert("result".into(), "error".into());
        body.insert("msg".into(), message.into());
        body.insert("code".into(), code.into());
        if let Some(seconds) = retry_after_s {
            body.insert("retry-after".into(), seconds.into());
        }
        let mut response = json_response(status, Value::Object(body).to_string().into());
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"zulip\""));
        }
        if let Some(quota) = quota {
            // The time at which all is back is the caller's to add: nothing here knows the time.
            headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
            headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
        }
        if let Some(seconds) = retry_after_s {
            // Whole seconds, and never too early.
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.ceil() as u64));
        }
        response
    }

    /// What is left of the caller's minute, if this was too much.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        self.quota
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

/// What is left of the caller's minute at `now_s` (seconds since the Unix epoch).
pub fn add_quota(headers: &mut HeaderMap, quota: Quota, now_s: u64) {
    let reset = now_s + quota.reset.as_nanos().div_ceil(1_000_000_000) as u64;
    headers.insert("x-ratelimit-limit", HeaderValue::from(quota.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(quota.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
}

/// A body in JSON.
#[must_use]
pub fn json_response(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A position as answers carry it.
#[must_use]
pub fn as_of(position: Position) -> Value {
    json!({ "epoch": position.epoch, "sequence": position.sequence, "mark": position.mark })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_queue_has_the_words_that_clients_look_for() {
        let error = ApiError::bad_queue("abc");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        let body: Value = serde_json::from_slice(error.into_response().body()).unwrap();
        assert_eq!(body["code"], "BAD_EVENT_QUEUE_ID");
        assert_eq!(body["msg"], "Bad event queue id: abc");
        assert_eq!(body["queue_id"], "abc");
        assert_eq!(body["result"], "error");
    }

    #[test]
    fn who_asks_too_much_is_told_how_long_to_wait_and_never_too_little() {
        let quota = Quota { limit: 3, remaining: 0, reset: Duration::from_millis(59_001) };
        let response = ApiError::limited(Duration::from_millis(1_200), quota).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "2");
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["retry-after"], 1.2);
        let mut headers = HeaderMap::new();
        add_quota(&mut headers, quota, 1_000);
        assert_eq!(headers["x-ratelimit-reset"], "1060");
    }
}
