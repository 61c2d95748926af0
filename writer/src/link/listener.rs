//! HTTP/2 connections of gateways.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Gateways have two connections each; beyond so many, new ones are closed at once.
const CONNECTIONS_MAX: usize = 1_024;

/// Requests under way on one connection; more wait in the gateway.
const STREAMS_MAX: u32 = 1_024;

/// The longest head of a request.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// What a gateway may send ahead: of one request, and of all on a connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How long a new connection may stay silent.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// A gateway that is gone without a word is noticed within both.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// After a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets each connection finish what is under way.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stopping = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    tracing::warn!(max = CONNECTIONS_MAX, "too many connections of gateways, one closed");
                    continue;
                };
                let (router, stopping) = (router.clone(), stopping.subscribe());
                connections.spawn(async move {
                    connection(socket, router, stopping).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no gateway's connection accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    while connections.join_next().await.is_some() {}
}

async fn connection(socket: TcpStream, router: Router, mut stopping: watch::Receiver<bool>) {
    // Answers leave when they are there: nothing is gained by waiting for more.
    let _ = socket.set_nodelay(true);
    let spoke = tokio::select! {
        spoke = timeout(HANDSHAKE_TIME_MAX, socket.readable()) => matches!(spoke, Ok(Ok(()))),
        () = stopped(&mut stopping) => false,
    };
    if !spoke {
        return;
    }
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a gateway's connection ended");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: the end as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
