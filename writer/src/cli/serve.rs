//! `writer serve`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Args;
use squall_bus::MemoryBus;
use squall_writer::{Config, OpenError, Writer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::database::{DatabaseArguments, DatabaseError};

/// How long requests under way may take after the signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where clients reach the HTTP API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where operators reach the admin surface, which asks for no credentials: keep it on loopback
    #[arg(long, default_value = "127.0.0.1:9081", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
    /// Where the SQLite database lies; made if missing
    #[arg(long, default_value = "squall-data", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    database: DatabaseArguments,
    /// Requests a user may make in a minute; 0: no limit
    #[arg(long, default_value_t = Config::default().rate_limit_per_minute, value_name = "COUNT")]
    rate_limit: u32,
    /// How long events stay in the log, in hours
    #[arg(long, default_value_t = Config::default().log_window.as_secs() / 3600, value_name = "HOURS")]
    log_window: u64,
    /// The address clients are told, such as https://chat.example.com
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves until a signal, then finishes what was begun.
pub(super) async fn serve(arguments: ServeArguments) -> Result<(), ServeError> {
    let ServeArguments { listen, admin_listen, data_dir, database, rate_limit, log_window, public_url } =
        arguments;
    let config = database.configure(Config {
        data_dir,
        rate_limit_per_minute: rate_limit,
        log_window: Duration::from_secs(log_window * 3600),
        public_url,
        ..Config::default()
    })?;
    let writer = Writer::open(config, Arc::new(MemoryBus::new())).await?;
    let (listener, admin_listener) = (bind(listen).await?, bind(admin_listen).await?);
    tracing::info!("API on http://{}/api/v1", listener.local_addr()?);
    tracing::info!("admin on http://{}/admin", admin_listener.local_addr()?);
    let (stop, stopping) = watch::channel(false);
    let api = tokio::spawn(serve_on(listener, writer.api(), stopping.clone()));
    let admin = tokio::spawn(serve_on(admin_listener, writer.admin(), stopping));
    ended().await?;
    tracing::info!("stopping");
    // Sent to nobody only if both servers have ended already.
    let _ = stop.send(true);
    let both = async { (api.await, admin.await) };
    if tokio::time::timeout(DRAIN_TIMEOUT, both).await.is_err() {
        tracing::warn!("connections still open after {} s are cut", DRAIN_TIMEOUT.as_secs());
    }
    writer.close().await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

fn serve_on(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> impl Future<Output = io::Result<()>> + Send {
    let stop = async move {
        // An error means that the sender is gone: the end as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).into_future()
}

async fn ended() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
