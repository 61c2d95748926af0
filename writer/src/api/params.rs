//! A request's parameters, its body read.

use axum::body::to_bytes;
use axum::extract::Request;
pub(super) use squall_zulip::Params;
use squall_zulip::params::BODY_BYTES_MAX;

use super::answer::ApiError;

/// Reads them all.
pub(super) async fn read(request: Request) -> Result<Params, ApiError> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| Params::too_large())?;
    Params::read(parts.uri.query().unwrap_or_default(), &parts.headers, &body)
}
