//! The HTTP API: Zulip's paths, parameters and answers. The write path does not know it.
//!
//! Each endpoint is a function from a [`Call`] to an [`Answer`]; `serve` around it authenticates, limits,
//! reads parameters, and names those that nobody asked for.

mod answer;
mod call;
mod messages;
mod narrow;
mod params;
mod people;
mod register;
mod render;
mod settings;
mod streams;
mod subscriptions;
mod typing;

use std::future::Future;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use serde_json::json;
use squall_protocol::wire::Standing;
use squall_zulip::answer::as_of;

use answer::{Answer, ApiError, failure, response};
use call::Call;
pub(crate) use register::register;

use crate::Writer;
use crate::clock::now_s;

/// All of it: the API under `/api/v1`, `/healthz`, `/readyz`.
pub(crate) fn router(writer: Writer) -> Router {
    let api = Router::new()
        .route("/server_settings", get(settings::server_settings).fallback(wrong_method))
        .route("/messages", on_get(messages::fetch).merge(on_post(messages::send)))
        .route("/typing", on_post(typing::typing))
        .route("/users", on_get(people::all))
        .route("/users/me", on_get(people::own))
        .route("/users/{user_id}", on_get(people::one))
        .route(
            "/users/me/subscriptions",
            on_get(subscriptions::list)
                .merge(on_post(subscriptions::subscribe))
                .merge(on_delete(subscriptions::unsubscribe)),
        )
        .route("/users/me/{stream_id}/topics", on_get(streams::topics))
        .route("/streams", on_get(streams::all))
        .route("/get_stream_id", on_get(streams::id))
        .route("/streams/{stream_id}/members", on_get(streams::members))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path);
    health().nest("/api/v1", api).fallback(unknown_path).with_state(writer)
}

/// `/healthz`: the process answers. `/readyz`: its database does too; the body says whether the bus does, without
/// which writes go on and only their delivery is slower.
pub(crate) fn health() -> Router<Writer> {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}

async fn ready(State(writer): State<Writer>) -> Response {
    let Standing { database_fault, bus_fault } = writer.standing().await;
    let ready = database_fault.is_none();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let part = |fault: Option<String>| json!({ "up": fault.is_none(), "fault": fault });
    let body = json!({
        "ready": ready,
        "degraded": bus_fault.is_some(),
        "database": part(database_fault),
        "bus": part(bus_fault),
    });
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn unknown_path() -> Response {
    failure(ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this path."))
}

async fn wrong_method() -> Response {
    failure(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method Not Allowed"))
}

fn on_get<F, Fut>(endpoint: F) -> MethodRouter<Writer>
where
    F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    on_method(MethodFilter::GET, endpoint)
}

fn on_post<F, Fut>(endpoint: F) -> MethodRouter<Writer>
where
    F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    on_method(MethodFilter::POST, endpoint)
}

fn on_delete<F, Fut>(endpoint: F) -> MethodRouter<Writer>
where
    F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    on_method(MethodFilter::DELETE, endpoint)
}

fn on_method<F, Fut>(method: MethodFilter, endpoint: F) -> MethodRouter<Writer>
where
    F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    on(method, move |State(writer): State<Writer>, path: RawPathParams, request: Request| {
        serve(writer, path, request, endpoint)
    })
}

async fn serve<F, Fut>(writer: Writer, path: RawPathParams, request: Request, endpoint: F) -> Response
where
    F: FnOnce(Call) -> Fut,
    Fut: Future<Output = Result<Answer, ApiError>>,
{
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (caller, quota) = match call::authenticate(&writer, request.headers()).await {
        Ok(admitted) => admitted,
        Err(error) => return failure(error),
    };
    let mut answered = match params::read(request).await {
        Err(error) => failure(error),
        Ok(params) => {
            let call = Call { writer, caller, path, params: params.clone() };
            match endpoint(call).await {
                Ok(answer) => response(answer.into_response(&params.unused())),
                Err(error) => failure(error),
            }
        }
    };
    if let Some(quota) = quota {
        squall_zulip::answer::add_quota(answered.headers_mut(), quota, now_s());
    }
    answered
}

#[cfg(test)]
mod tests;
