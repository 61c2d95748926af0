//! The shapes of answers on this server: what refuses a request, as Zulip tells it.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
pub(super) use squall_zulip::{Answer, ApiError};

use crate::clock::now_s;
use crate::rate_limit::Limited;
use crate::store::StoreError;

impl From<Limited> for ApiError {
    fn from(limited: Limited) -> Self {
        Self::limited(limited.retry_after, limited.quota)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "read failed");
        Self::unavailable("The database can't be reached; try again.")
    }
}

/// The answer as the router takes it.
pub(super) fn response(answer: http::Response<Bytes>) -> Response {
    answer.map(Body::from)
}

/// A failure as the router takes it, with what is left of the caller's minute.
pub(super) fn failure(error: ApiError) -> Response {
    let quota = error.quota();
    let mut answer = error.into_response();
    if let Some(quota) = quota {
        squall_zulip::answer::add_quota(answer.headers_mut(), quota, now_s());
    }
    response(answer)
}
