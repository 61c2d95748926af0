//! Finds out which servers there are, and again when something is amiss.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::address::{Address, Credentials, Deployment, Server};
use super::config::RedisConfig;
use super::shards::Shards;
use super::wire::{Wire, WireError, WireOptions};

/// What is known of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    /// Nobody has answered yet.
    Unknown,
    /// Nobody who was asked answers, and nothing is known from before.
    Unreachable,
    Known(Shards),
}

/// The servers, as they were found last.
pub(super) struct Topology {
    view: watch::Sender<View>,
    /// Somebody met something that does not fit the view.
    doubt: Notify,
    /// Who said so, if it was a server.
    witness: Mutex<Option<Server>>,
}

/// The shortest time between two looks, so that a Redis in trouble is not asked all the time.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(50);

impl Topology {
    pub(super) fn new(deployment: &Deployment) -> Self {
        let view = match deployment {
            Deployment::Single(server) => View::Known(Shards::single(server.clone())),
            Deployment::Sentinel { .. } | Deployment::Cluster(_) => View::Unknown,
        };
        Self { view: watch::Sender::new(view), doubt: Notify::new(), witness: Mutex::default() }
    }

    /// The view, now and as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Asks something of the servers known now.
    pub(super) fn with<T>(&self, ask: impl FnOnce(&Shards) -> Option<T>) -> Option<T> {
        match &*self.view.borrow() {
            View::Known(shards) => ask(shards),
            View::Unknown | View::Unreachable => None,
        }
    }

    /// Has the view be looked at again, now; a server that said something else is asked first.
    pub(super) fn doubt(&self, witness: Option<&Server>) {
        if let Some(witness) = witness {
            *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = Some(witness.clone());
        }
        self.doubt.notify_one();
    }

    /// Keeps the view up to date, for ever.
    pub(super) async fn keep(&self, address: &Address, config: &RedisConfig) {
        let mut scout = Scout::new(address, config);
        if matches!(address.deployment, Deployment::Single(_)) {
            return;
        }
        loop {
            let looked_at = Instant::now();
            let witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner).take();
            let known = self.with(|shards| Some(shards.servers().to_vec())).unwrap_or_default();
            match scout.look(witness, &known).await {
                Ok(shards) => self.show(View::Known(shards)),
                Err(error) => {
                    tracing::warn!(redis = %address, %error, "nobody says which servers of Redis there are");
                    if known.is_empty() {
                        self.show(View::Unreachable);
                    }
                }
            }
            tokio::select! {
                () = sleep_until(looked_at + config.topology_every) => {}
                () = self.doubt.notified() => {
                    scout.turn_away();
                    sleep_until(looked_at + LOOK_EVERY_MIN).await;
                }
            }
        }
    }

    fn show(&self, view: View) {
        self.view.send_if_modified(|shown| {
            if *shown == view {
                return false;
            }
            if servers(shown) != servers(&view) {
                tracing::info!(servers = ?servers(&view), "servers of Redis");
            }
            *shown = view;
            true
        });
    }
}

fn servers(view: &View) -> &[Server] {
    match view {
        View::Known(shards) => shards.servers(),
        View::Unknown | View::Unreachable => &[],
    }
}

/// Asks around. It stays with whoever answered last.
struct Scout<'a> {
    deployment: &'a Deployment,
    credentials: &'a Credentials,
    options: WireOptions,
    wire: Option<(Server, Wire)>,
    /// Which of those the operator named is asked next.
    turn: usize,
}

/// Messages a scout gets: none.
const RECEIVED_MAX: usize = 1;

impl<'a> Scout<'a> {
    fn new(address: &'a Address, config: &RedisConfig) -> Self {
        let credentials = match &address.deployment {
            Deployment::Sentinel { credentials, .. } => credentials,
            Deployment::Single(_) | Deployment::Cluster(_) => &address.credentials,
        };
        let options = WireOptions {
            connect_timeout: config.connect_timeout,
            answer_timeout: config.connect_timeout,
            received_max: RECEIVED_MAX,
        };
        Self { deployment: &address.deployment, credentials, options, wire: None, turn: 0 }
    }

    /// What the first says who says something sensible.
    async fn look(&mut self, witness: Option<Server>, known: &[Server]) -> Result<Shards, WireError> {
        let (named, known) = match self.deployment {
            Deployment::Single(server) => return Ok(Shards::single(server.clone())),
            Deployment::Sentinel { sentinels, .. } => (sentinels, &[][..]),
            Deployment::Cluster(seeds) => (seeds, known),
        };
        let witness = witness.filter(|_| matches!(self.deployment, Deployment::Cluster(_)));
        let mut candidates: Vec<Server> = Vec::new();
        candidates.extend(witness);
        candidates.extend(self.wire.as_ref().map(|(server, _)| server.clone()));
        candidates.extend_from_slice(known);
        candidates.extend(named.iter().cycle().skip(self.turn % named.len()).take(named.len()).cloned());
        let mut last = WireError::Refused("nobody to ask".into());
        for (number, candidate) in candidates.iter().enumerate() {
            if candidates[..number].contains(candidate) {
                continue;
            }
            match self.ask(candidate).await {
                Ok(shards) => return Ok(shards),
                Err(error) => {
                    tracing::debug!(server = %candidate, %error, "does not say which servers there are");
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// The last answer did not help. Another Sentinel may know better; in a Cluster whoever found out is the
    /// witness.
    fn turn_away(&mut self) {
        if matches!(self.deployment, Deployment::Sentinel { .. }) {
            self.wire = None;
            self.turn += 1;
        }
    }

    async fn ask(&mut self, server: &Server) -> Result<Shards, WireError> {
        let wire = match self.wire.take() {
            Some((asked, wire)) if asked == *server => wire,
            Some(_) | None => Wire::connect(server, self.credentials, &self.options).await?.0,
        };
        let shards = match self.deployment {
            Deployment::Single(server) => Some(Shards::single(server.clone())),
            Deployment::Sentinel { name, .. } => {
                let answer = wire.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name]).await?;
                let [host, port] = answer.list() else {
                    return Err(WireError::Refused(format!("{server} knows no master {name:?}")));
                };
                let port = port.integer().and_then(|port| u16::try_from(port).ok());
                let master = host.text().zip(port);
                master.map(|(host, port)| Shards::single(Server { host: host.to_owned(), port }))
            }
            Deployment::Cluster(_) => Shards::read(&wire.ask(&["CLUSTER", "SLOTS"]).await?, server),
        };
        let shards = shards.ok_or_else(|| WireError::Refused(format!("{server} does not make sense")))?;
        self.wire = Some((server.clone(), wire));
        Ok(shards)
    }
}
