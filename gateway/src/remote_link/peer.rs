//! One writer: the connections to it, kept up as long as the node lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use squall_protocol::link_secret::LinkSecret;
use squall_protocol::wire::{self, ANSWER_BYTES_MAX, Answer, SECRET_HEADER, Standing};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::tasks::Tasks;
use super::writer_url::WriterUrl;
use crate::clock::Clock;
use crate::health::Health;
use crate::http::Body;

/// One writer as this node reaches it.
pub(super) struct Peer {
    index: usize,
    url: WriterUrl,
    secret: Option<HeaderValue>,
    state: Mutex<State>,
    /// Told whenever a writer's connections come or go, for all writers together.
    changed: Arc<watch::Sender<()>>,
    health: Arc<Health>,
    clock: Clock,
}

struct State {
    /// None while it is down: it is not tried then.
    connected: Option<Connected>,
    /// Since when it has been down, if it is.
    down_since: Instant,
    /// It took too long: others are tried before it until then.
    shunned_until: Option<Instant>,
}

/// The two connections: what users fetch slowly by the one must not hold up the calls on the other.
#[derive(Clone)]
struct Connected {
    calls: SendRequest<Full<Bytes>>,
    api: SendRequest<Body>,
}

/// The running ends of them.
struct Drivers {
    calls: JoinHandle<()>,
    api: JoinHandle<()>,
    tasks: Tasks,
}

/// Whether a writer may be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standby {
    Up,
    /// It is connected, and took too long lately.
    Slow,
    Down,
}

/// How long connecting may take, and the first answer on a new connection: a frozen process accepts and says
/// nothing.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// How often a writer is asked what it reaches, and how long that may take: the writer itself gives its database
/// a second. One that says nothing for both is taken for frozen.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

/// HTTP/2 pings, for a connection on which probes wait behind much else.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_TIME_MAX: Duration = Duration::from_secs(2);

/// Between two attempts to connect: from the one to the other, by doubling, half of it at random.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long a writer that let a call wait too long is tried after the others.
const SHUN_TIME: Duration = Duration::from_secs(2);

/// What a writer may send ahead of our reading: of one answer, and of all on a connection.
const CALL_WINDOW_BYTES: u32 = 1024 * 1024;
const CALLS_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// The same for what users fetch: all of them may stop reading, and the connection still has room.
pub(super) const API_WINDOW_BYTES: u32 = 64 * 1024;
const APIS_WINDOW_BYTES: u32 = super::api::CALLS_MAX as u32 * API_WINDOW_BYTES;

impl Peer {
    pub(super) fn new(
        index: usize,
        url: WriterUrl,
        secret: Option<&LinkSecret>,
        changed: Arc<watch::Sender<()>>,
        health: Arc<Health>,
        clock: Clock,
    ) -> Self {
        let secret = secret.and_then(|secret| HeaderValue::from_str(secret.reveal()).ok());
        let secret = secret.map(|mut secret| {
            secret.set_sensitive(true);
            secret
        });
        let state = State { connected: None, down_since: Instant::now(), shunned_until: None };
        Self { index, url, secret, state: Mutex::new(state), changed, health, clock }
    }

    /// Whether it may be asked now.
    pub(super) fn standby(&self) -> Standby {
        let state = self.state();
        match &state.connected {
            None => Standby::Down,
            Some(connected) if connected.calls.is_closed() => Standby::Down,
            Some(_) if state.shunned_until.is_some_and(|until| until > Instant::now()) => Standby::Slow,
            Some(_) => Standby::Up,
        }
    }

    /// Since when it has been down; none if it is not.
    pub(super) fn down_since(&self) -> Option<Instant> {
        let state = self.state();
        match &state.connected {
            None => Some(state.down_since),
            // Just now: whoever holds the connections is about to see it.
            Some(connected) if connected.calls.is_closed() => Some(Instant::now()),
            Some(_) => None,
        }
    }

    /// Asks it, and waits for the answer until `deadline`.
    pub(super) async fn ask(&self, request: Bytes, deadline: Instant) -> Result<Answer, String> {
        let connected = self.state().connected.clone();
        let connected = connected.ok_or_else(|| "not connected".to_owned())?;
        match timeout_at(deadline, self.exchange(connected.calls, request)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.state().shunned_until = Some(Instant::now() + SHUN_TIME);
                Err("no answer in time".into())
            }
        }
    }

    /// The connection for requests to the HTTP API, if there is one.
    pub(super) fn api(&self) -> Option<SendRequest<Body>> {
        let state = self.state();
        state.connected.as_ref().filter(|connected| !connected.api.is_closed()).map(|both| both.api.clone())
    }

    /// What a request to it must have beside its path.
    pub(super) fn authority(&self) -> &str {
        self.url.authority()
    }

    /// What shows it that we may ask.
    pub(super) fn secret(&self) -> Option<&HeaderValue> {
        self.secret.as_ref()
    }

    /// Keeps the connections up, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut retry = RETRY_MIN;
        loop {
            let fault = match self.connect().await {
                Ok((connected, drivers, standing)) => {
                    retry = RETRY_MIN;
                    self.hold(connected, drivers, standing).await
                }
                Err(fault) => fault,
            };
            self.found(Err(fault));
            sleep(retry.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Connects, and proves that somebody is there.
    async fn connect(&self) -> Result<(Connected, Drivers, Standing), String> {
        let connecting = async {
            let tasks = Tasks::default();
            let (calls, calls_driver) = self.open(&tasks, CALL_WINDOW_BYTES, CALLS_WINDOW_BYTES).await?;
            let (api, api_driver) = self.open(&tasks, API_WINDOW_BYTES, APIS_WINDOW_BYTES).await?;
            let drivers = Drivers { calls: calls_driver, api: api_driver, tasks };
            Ok::<_, String>((Connected { calls, api }, drivers))
        };
        let connecting = timeout(CONNECT_TIME_MAX, connecting).await;
        let (connected, drivers) = connecting.map_err(|_| "no connection in time".to_owned())??;
        match timeout(CONNECT_TIME_MAX, self.probe(&connected)).await {
            Ok(Ok(standing)) => Ok((connected, drivers, standing)),
            Ok(Err(fault)) => Err(fault),
            Err(_) => {
                drivers.abort();
                Err("connected, and nobody answers".into())
            }
        }
    }

    async fn open<B>(
        &self,
        tasks: &Tasks,
        stream: u32,
        connection: u32,
    ) -> Result<(SendRequest<B>, JoinHandle<()>), String>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let socket = TcpStream::connect(self.url.authority()).await.map_err(|error| error.to_string())?;
        // Requests leave when they are there: nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        let shaken = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(stream)
            .initial_connection_window_size(connection)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIME_MAX)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(socket))
            .await;
        let (sender, driver) = shaken.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to a writer ended");
            }
        });
        Ok((sender, driver))
    }

    /// Shows the connections to those who ask until they are lost; why they were.
    async fn hold(&self, connected: Connected, mut drivers: Drivers, standing: Standing) -> String {
        self.found(Ok(standing));
        self.state().connected = Some(connected.clone());
        self.changed.send_replace(());
        let fault = loop {
            tokio::select! {
                _ = &mut drivers.calls => break "the connection ended".into(),
                _ = &mut drivers.api => break "the connection ended".into(),
                () = sleep(PROBE_EVERY) => {}
            }
            match timeout(PROBE_TIME_MAX, self.probe(&connected)).await {
                Ok(Ok(standing)) => self.found(Ok(standing)),
                // What is under way on it may still be answered: a writer that ends finishes what it began.
                Ok(Err(fault)) => break fault,
                Err(_) => {
                    drivers.abort();
                    break "nobody answers".into();
                }
            }
        };
        *self.state() = State { connected: None, down_since: Instant::now(), shunned_until: None };
        self.changed.send_replace(());
        fault
    }

    async fn probe(&self, connected: &Connected) -> Result<Standing, String> {
        let request = wire::Request::Probe.encode().map_err(|error| error.to_string())?;
        let answer = self.exchange(connected.calls.clone(), request).await?;
        if let Answer::Standing(standing) = answer {
            return Ok(standing);
        }
        if let Answer::Fault(fault) = answer {
            return Err(fault.to_string());
        }
        Err(format!("an answer to another question: {answer:?}"))
    }

    async fn exchange(&self, mut calls: SendRequest<Full<Bytes>>, request: Bytes) -> Result<Answer, String> {
        let mut request = Request::post(format!("http://{}/link", self.url.authority()))
            .body(Full::new(request))
            .map_err(|error| error.to_string())?;
        if let Some(secret) = &self.secret {
            request.headers_mut().insert(SECRET_HEADER, secret.clone());
        }
        let response = calls.send_request(request).await.map_err(|error| words(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| words(&*error))?.to_bytes();
        if status != StatusCode::OK {
            let said = String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned();
            return Err(format!("{status}: {said}"));
        }
        Answer::decode(&body).map_err(|error| error.to_string())
    }

    fn found(&self, found: Result<Standing, String>) {
        self.health.writer_is(self.index, found, self.clock.now_ms());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drivers {
    /// Ends the connections with all that is under way on them.
    fn abort(&self) {
        self.calls.abort();
        self.api.abort();
        self.tasks.abort();
    }
}

/// An error with its causes: hyper's own words leave them out.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
