//! One link's connection to one server.

use std::collections::HashSet;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_protocol::RealmId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::address::Server;
use super::backoff::{Backoff, random};
use super::canary::{Beat, Canary};
use super::channel::Slot;
use super::core::Core;
use super::link::LinkState;
use super::subscriptions::{Subscriptions, Verdict};
use super::topology::View;
use super::wire::{Answer, Command, Messages, Received, Wire, WireError, count, counted};

/// Keeps a connection on which the server holds exactly the subscriptions that the link wants and the server is
/// responsible for, and tells the link whenever that was in doubt.
pub(super) struct Receiver {
    core: Arc<Core>,
    link: Arc<LinkState>,
    server: Server,
}

/// One connection's life.
struct Life<'a> {
    receiver: &'a Receiver,
    wire: &'a Wire,
    canary: Canary,
    canary_channel: String,
    subscriptions: Subscriptions,
    wanted: watch::Receiver<HashSet<RealmId>>,
    view: watch::Receiver<View>,
    /// When subscriptions are compared with what is wanted; `None`: not before something changes.
    reconcile_at: Option<Instant>,
    reconciled_at: Instant,
    /// Pauses after the server said that something lies elsewhere.
    refusals: Backoff,
}

/// The answers to a canary and to the count that goes with it.
type BeatAnswers = Result<Vec<Result<Answer, WireError>>, WireError>;

impl Receiver {
    pub(super) fn new(core: Arc<Core>, link: Arc<LinkState>, server: Server) -> Self {
        Self { core, link, server }
    }

    /// Connects and receives, again and again.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new(&self.core.config);
        loop {
            let error = self.live(&mut backoff).await;
            self.link.report(&self.server, false);
            let witness = matches!(error, WireError::Moved(_)).then_some(&self.server);
            self.core.topology.doubt(witness);
            tracing::warn!(server = %self.server, %error, "a link to Redis is down");
            sleep(backoff.pause(random())).await;
        }
    }

    /// Why the connection ended, or was not made.
    async fn live(&self, backoff: &mut Backoff) -> WireError {
        let (wire, messages) = match self.core.connect(&self.server, self.core.config.received_max).await {
            Ok(connected) => connected,
            Err(error) => return error,
        };
        match Life::begin(self, &wire).await {
            Ok(life) => {
                backoff.reset();
                self.link.report(&self.server, true);
                life.go_on(messages).await
            }
            Err(error) => error,
        }
    }

    /// Whether the server is responsible for a slot, as far as is known.
    fn has(&self, slot: Slot) -> bool {
        self.core.topology.with(|shards| Some(shards.owner(slot) == Some(&self.server))) == Some(true)
    }

    fn handle(&self, received: Received, canary_channel: &str) {
        match received {
            Received::Lagged => {
                tracing::warn!(server = %self.server, "frames came from Redis faster than they were taken");
                self.link.gap();
            }
            Received::Message { channel, .. } if channel == canary_channel => {}
            Received::Message { channel, payload } => {
                if let Some(realm) = self.core.names.realm_of(&channel) {
                    self.core.counters.received.fetch_add(1, Ordering::Relaxed);
                    if !self.link.inbox.push(realm, payload) {
                        self.core.counters.gaps.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

impl<'a> Life<'a> {
    /// Subscribes to all that is wanted.
    async fn begin(receiver: &'a Receiver, wire: &'a Wire) -> Result<Self, WireError> {
        let core = &receiver.core;
        let canary_channel = core.names.canary(receiver.link.id, |slot| receiver.has(slot));
        let canary_channel =
            canary_channel.ok_or_else(|| WireError::Refused(format!("{} has no slots", receiver.server)))?;
        let now = Instant::now();
        let mut life = Life {
            receiver,
            wire,
            canary: Canary::new(core.config.canary_every, core.config.canaries_missed_max, now.into_std()),
            subscriptions: Subscriptions::default(),
            wanted: receiver.link.wanted(),
            view: core.topology.watch(),
            reconcile_at: None,
            reconciled_at: now,
            refusals: Backoff::new(&core.config),
            canary_channel,
        };
        let elsewhere = wire.subscribe(core.channels, vec![life.canary_channel.clone()]).await?;
        if !elsewhere.is_empty() {
            return Err(WireError::Moved("another server".into()));
        }
        life.reconcile().await?;
        Ok(life)
    }

    /// Receives until the connection ends; why it did.
    async fn go_on(mut self, mut messages: Messages) -> WireError {
        let mut beat: Option<Pin<Box<dyn Future<Output = BeatAnswers> + Send + 'a>>> = None;
        loop {
            let canary_at = Instant::from_std(self.canary.next_at());
            let done = tokio::select! {
                received = messages.receive() => match received {
                    Ok(received) => {
                        if self.canary.handle_heard() {
                            self.receiver.link.heard(&self.receiver.server);
                        }
                        self.receiver.handle(received, &self.canary_channel);
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                () = sleep_until(canary_at) => match self.canary.poll(Instant::now().into_std()) {
                    Some(Beat::Dead) => Err(WireError::Timeout(self.receiver.core.config.silence_max())),
                    Some(Beat::Send) => {
                        self.receiver.link.check_homes(std::time::Instant::now());
                        // One that is under way is late, and its lateness counted.
                        if beat.is_none() {
                            beat = Some(self.send_canary());
                        }
                        Ok(())
                    }
                    None => Ok(()),
                },
                answers = poll_beat(&mut beat) => self.handle_beat(answers),
                changed = self.wanted.changed() => {
                    // The link outlives its connections.
                    let _ = changed;
                    self.plan_reconcile();
                    Ok(())
                }
                changed = self.view.changed() => {
                    let _ = changed;
                    self.plan_reconcile();
                    Ok(())
                }
                // Not while a count is under way, which would be that of before.
                () = sleep_until_some(self.reconcile_at), if beat.is_none() => self.reconcile_and_tell().await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    fn send_canary(&self) -> Pin<Box<dyn Future<Output = BeatAnswers> + Send + 'a>> {
        let (wire, kind) = (self.wire, self.receiver.core.channels);
        let payload = bytes::Bytes::new();
        let canary = Command::Publish { kind, channel: self.canary_channel.clone(), payload };
        Box::pin(wire.run(vec![canary, count()]))
    }

    fn handle_beat(&mut self, answers: BeatAnswers) -> Result<(), WireError> {
        let answers = match answers {
            Ok(answers) => answers,
            // The canary that does not come back is judge of that.
            Err(WireError::Timeout(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for (number, answer) in answers.into_iter().enumerate() {
            let answer = answer?;
            if number == 1 {
                self.handle_count(&answer)?;
            }
        }
        Ok(())
    }

    fn handle_count(&mut self, answer: &Answer) -> Result<(), WireError> {
        let core = &self.receiver.core;
        let verdict = self.subscriptions.handle_count(counted(core.channels, answer)?);
        self.handle_verdict(verdict)
    }

    fn handle_verdict(&mut self, verdict: Verdict) -> Result<(), WireError> {
        match verdict {
            Verdict::Kept => Ok(()),
            Verdict::Refused => Err(WireError::Refused("not all subscriptions were granted".into())),
            Verdict::Doubt => {
                tracing::warn!(server = %self.receiver.server, "Redis let go of subscriptions by itself");
                self.receiver.link.gap();
                self.receiver.core.topology.doubt(Some(&self.receiver.server));
                self.plan_reconcile();
                Ok(())
            }
        }
    }

    fn plan_reconcile(&mut self) {
        let soonest = self.reconciled_at + self.receiver.core.config.subscribe_every;
        self.reconcile_at.get_or_insert(soonest);
    }

    /// A subscription that was made while the link is up has missed what was published before.
    async fn reconcile_and_tell(&mut self) -> Result<(), WireError> {
        if self.reconcile().await? {
            self.receiver.link.gap();
        }
        Ok(())
    }

    /// Makes the server hold what is wanted; whether it is more than before.
    async fn reconcile(&mut self) -> Result<bool, WireError> {
        let core = &self.receiver.core;
        self.view.mark_unchanged();
        let wanted = self.wanted.borrow_and_update().clone();
        let lies_here = |realm: RealmId| self.receiver.has(Slot::of(&core.names.realm(realm)));
        let here: HashSet<_> = wanted.into_iter().filter(|realm| lies_here(*realm)).collect();
        let change = self.subscriptions.change(&here, lies_here);
        self.reconcile_at = None;
        let names =
            |realms: &[RealmId]| realms.iter().map(|realm| core.names.realm(*realm)).collect::<Vec<_>>();
        self.wire.unsubscribe(core.channels, names(&change.unsubscribe)).await?;
        let elsewhere = self.wire.subscribe(core.channels, names(&change.subscribe)).await?;
        self.reconciled_at = Instant::now();
        for realm in elsewhere.iter().filter_map(|channel| core.names.realm_of(channel)) {
            self.subscriptions.handle_elsewhere(realm);
        }
        if elsewhere.is_empty() {
            self.refusals.reset();
        } else {
            // Until it is known where they lie they are asked for here, at a pace.
            core.topology.doubt(Some(&self.receiver.server));
            self.reconcile_at = Some(self.reconciled_at + self.refusals.pause(random()));
        }
        let verdict = self.subscriptions.handle_count(self.wire.count(core.channels).await?);
        self.handle_verdict(verdict)?;
        self.receiver.link.hold(&self.receiver.server, self.subscriptions.held().clone());
        Ok(change.subscribe.len() > elsewhere.len())
    }
}

async fn poll_beat<T>(beat: &mut Option<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> T {
    match beat {
        Some(running) => {
            let answers = running.await;
            *beat = None;
            answers
        }
        None => pending().await,
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
