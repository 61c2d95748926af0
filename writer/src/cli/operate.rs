//! An operator's command: one line to the admin surface, of a running server or of a writer opened for it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use squall_bus::MemoryBus;
use squall_writer::{Config, OpenError, Writer};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::database::DatabaseError;
use super::serve::ServeError;
use super::{Order, Target};

/// How long a running server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer to one line.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{0}; if a server runs on it, name its admin address with --admin")]
    Directory(OpenError),
    #[error("{0}")]
    Open(OpenError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("{url}: {reason}")]
    Admin { url: String, reason: String },
    #[error("{}: {source}", path.display())]
    Credentials { path: PathBuf, source: io::Error },
    #[error("unexpected answer: {0}")]
    Answer(String),
    #[error("{0}")]
    Refused(String),
}

impl CommandError {
    pub(super) fn opening(error: OpenError) -> Self {
        match error {
            OpenError::Directory(_) => Self::Directory(error),
            OpenError::Database(_) => Self::Open(error),
        }
    }
}

/// Has the line done; its answer.
pub(super) async fn operate(order: Order) -> Result<String, CommandError> {
    let Order { method, path, line, target } = order;
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    let request = request.body(Body::from(line.to_string()));
    let request = request.map_err(|error| CommandError::Answer(error.to_string()))?;
    let Target { data_dir, database, admin } = target;
    let body = match admin {
        Some(url) => remote(&url, request).await?,
        None => {
            // A command says what it meets; it does not wait for it to change.
            let config = Config { data_dir, database_wait: Duration::ZERO, ..Config::default() };
            local(database.configure(config)?, request).await?
        }
    };
    let answer: Value = serde_json::from_slice(&body)
        .map_err(|_| CommandError::Answer(String::from_utf8_lossy(&body).into()))?;
    match answer.pointer("/error/message").and_then(Value::as_str) {
        Some(refusal) => Err(CommandError::Refused(refusal.to_owned())),
        None => Ok(answer.to_string()),
    }
}

async fn local(config: Config, request: Request<Body>) -> Result<Vec<u8>, CommandError> {
    let writer = Writer::open(config, Arc::new(MemoryBus::new())).await.map_err(CommandError::opening)?;
    let response = match writer.admin().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let body = read(response).await;
    writer.close().await;
    body
}

async fn remote(url: &str, request: Request<Body>) -> Result<Vec<u8>, CommandError> {
    let failed = |reason: String| CommandError::Admin { url: url.to_owned(), reason };
    let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let address = address.ok_or_else(|| failed("not of the form http://HOST:PORT".into()))?;
    let exchange = async {
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let body = read(response.map(Body::new)).await.map_err(|error| error.to_string());
        connection.abort();
        body
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(body) => body.map_err(failed),
        Err(_) => Err(failed(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs()))),
    }
}

async fn read(response: Response<Body>) -> Result<Vec<u8>, CommandError> {
    let status = response.status();
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let body = body.map_err(|error| CommandError::Answer(error.to_string()))?;
    if status.is_success() {
        Ok(body.into())
    } else {
        Err(CommandError::Answer(format!("{status} {}", String::from_utf8_lossy(&body).trim())))
    }
}
