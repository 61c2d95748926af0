//! `writer serve`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Args;
use squall_bus::redis::ConnectError;
use squall_bus::{Bus, MemoryBus, RedisBus, RedisConfig};
use squall_protocol::link_secret::{LinkSecret, LinkSecretError};
use squall_writer::{Config, LinkServer, OpenError, Writer};
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
    /// The cluster's Redis, on which events are published, such as redis://10.0.0.8:6379. Without it no other
    /// process hears of them but by asking
    // Taken as it is: an error of clap's would show the password.
    #[arg(long, value_name = "URL", env = "SQUALL_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Where gateways reach this writer, by HTTP/2; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9082", value_name = "ADDRESS")]
    link_listen: SocketAddr,
    /// A file with the secret that gateways show; or give it as SQUALL_LINK_SECRET in the environment. Needed
    /// unless --link-listen is on loopback
    #[arg(long, value_name = "FILE")]
    link_secret_file: Option<PathBuf>,
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
    #[error("--redis: {0}")]
    Redis(ConnectError),
    #[error("can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{place}: {source}")]
    Secret { place: String, source: LinkSecretError },
    #[error("can't read {path}: {source}")]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("--link-listen {0} is not on loopback: give --link-secret-file, or SQUALL_LINK_SECRET")]
    SecretMissing(SocketAddr),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves until a signal, then finishes what was begun.
pub(super) async fn serve(arguments: ServeArguments) -> Result<(), ServeError> {
    let ServeArguments {
        listen,
        admin_listen,
        redis,
        link_listen,
        link_secret_file,
        data_dir,
        database,
        rate_limit,
        log_window,
        public_url,
    } = arguments;
    let secret = link_secret(link_secret_file.as_deref())?;
    if secret.is_none() && !link_listen.ip().is_loopback() {
        return Err(ServeError::SecretMissing(link_listen));
    }
    let config = database.configure(Config {
        data_dir,
        rate_limit_per_minute: rate_limit,
        log_window: Duration::from_secs(log_window * 3600),
        public_url,
        ..Config::default()
    })?;
    let writer = Writer::open(config, bus(redis.as_deref())?).await?;
    let (listener, admin_listener) = (bind(listen).await?, bind(admin_listen).await?);
    let link_listener = bind(link_listen).await?;
    tracing::info!("API on http://{}/api/v1", listener.local_addr()?);
    tracing::info!("admin on http://{}/admin", admin_listener.local_addr()?);
    tracing::info!("link on http://{}/link", link_listener.local_addr()?);
    let (stop, stopping) = watch::channel(false);
    let link = LinkServer::new(&writer, secret).serve(link_listener, stopped(stopping.clone()));
    let link = tokio::spawn(link);
    let api = tokio::spawn(serve_on(listener, writer.api(), stopping.clone()));
    let admin = tokio::spawn(serve_on(admin_listener, writer.admin(), stopping));
    ended().await?;
    tracing::info!("stopping");
    // Sent to nobody only if both servers have ended already.
    let _ = stop.send(true);
    let all = async { (api.await, admin.await, link.await) };
    if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
        tracing::warn!("connections still open after {} s are cut", DRAIN_TIMEOUT.as_secs());
    }
    writer.close().await;
    Ok(())
}

fn bus(redis: Option<&str>) -> Result<Arc<dyn Bus>, ServeError> {
    Ok(match redis {
        Some(url) => Arc::new(RedisBus::connect(url, RedisConfig::default()).map_err(ServeError::Redis)?),
        None => Arc::new(MemoryBus::new()),
    })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

fn serve_on(
    listener: TcpListener,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> impl Future<Output = io::Result<()>> + Send {
    axum::serve(listener, router).with_graceful_shutdown(stopped(stopping)).into_future()
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: the end as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// The secret of the file, or else of the environment.
fn link_secret(file: Option<&Path>) -> Result<Option<LinkSecret>, ServeError> {
    const VARIABLE: &str = "SQUALL_LINK_SECRET";
    let (place, text) = match (file, std::env::var(VARIABLE)) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ServeError::SecretFile { path: path.to_owned(), source })?;
            (path.display().to_string(), text)
        }
        (None, Ok(text)) => (VARIABLE.to_owned(), text),
        (None, Err(_)) => return Ok(None),
    };
    LinkSecret::parse(&text).map(Some).map_err(|source| ServeError::Secret { place, source })
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
