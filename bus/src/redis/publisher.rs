//! The connection over which one server of Redis is asked: publications, and questions.

use std::collections::HashSet;
use std::sync::Arc;

use squall_protocol::{RealmId, frame};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::address::Server;
use super::backoff::{Backoff, random};
use super::core::Core;
use super::outbound::{Order, Outbound};
use super::wire::{Answer, Command, Wire, WireError};

/// Brings what waits for a server to it, in order: the answers to one batch are awaited before the next leaves.
pub(super) struct Publisher {
    core: Arc<Core>,
    server: Server,
    outbound: Arc<Outbound>,
}

/// Commands in one batch, and their bytes.
const BATCH_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Messages the connection gets by itself: none.
const RECEIVED_MAX: usize = 1;

/// Takes the answer to an order; a publication's caller has been told "handed over" already.
enum Asker {
    Publication(RealmId),
    /// A look at a log, instead of a publication that was lost before.
    Look(RealmId),
    Question(oneshot::Sender<Result<Answer, String>>),
}

impl Publisher {
    pub(super) fn new(core: Arc<Core>, server: Server, outbound: Arc<Outbound>) -> Self {
        Self { core, server, outbound }
    }

    /// Connects and works, again and again.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new(&self.core.config);
        loop {
            let ended = self.live(&mut backoff).await;
            let waiting = self.outbound.close();
            self.core.give_up(waiting);
            self.core.topology.doubt(None);
            tracing::warn!(server = %self.server, error = %ended, "no way to publish");
            sleep(backoff.pause(random())).await;
        }
    }

    /// One connection's life; why it ended.
    async fn live(&self, backoff: &mut Backoff) -> WireError {
        let (wire, _) = match self.core.connect(&self.server, RECEIVED_MAX).await {
            Ok(connected) => connected,
            Err(error) => return error,
        };
        backoff.reset();
        self.outbound.open();
        tracing::info!(server = %self.server, "publishing");
        let (Ok(error) | Err(error)) = self.work(&wire).await;
        error
    }

    async fn work(&self, wire: &Wire) -> Result<WireError, WireError> {
        let mut view = self.core.topology.watch();
        let mut beat = interval(self.core.config.canary_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.tell_of_lost(wire).await?;
        loop {
            tokio::select! {
                orders = self.outbound.take(BATCH_MAX, BATCH_BYTES_MAX) => self.bring(wire, orders).await?,
                // Nothing may be under way for long, and then nobody would notice that nobody is there.
                _ = beat.tick() => {
                    wire.ask(&["PING"]).await?;
                    self.tell_of_lost(wire).await?;
                }
                // What another server refused may be this one's now.
                _ = view.changed() => self.tell_of_lost(wire).await?,
                error = wire.end() => return Ok(error),
            }
        }
    }

    async fn bring(&self, wire: &Wire, orders: Vec<Order>) -> Result<(), WireError> {
        let (askers, commands) = orders
            .into_iter()
            .map(|order| match order {
                Order::Publish { realm, frame } => {
                    (Asker::Publication(realm), self.core.publication(realm, frame))
                }
                Order::Ask { words, reply } => (Asker::Question(reply), Command::Ask(words)),
            })
            .unzip();
        self.exchange(wire, askers, commands).await
    }

    async fn exchange(
        &self,
        wire: &Wire,
        askers: Vec<Asker>,
        commands: Vec<Command>,
    ) -> Result<(), WireError> {
        let answers = match wire.run(commands).await {
            Ok(answers) => answers,
            Err(error) => {
                // Whether they arrived is not known: that is as good as not.
                askers.into_iter().for_each(|asker| self.conclude(asker, Err(error.clone())));
                return Err(error);
            }
        };
        for (asker, answer) in askers.into_iter().zip(answers) {
            self.conclude(asker, answer);
        }
        Ok(())
    }

    fn conclude(&self, asker: Asker, answer: Result<Answer, WireError>) {
        if let Err(WireError::Moved(_)) = &answer {
            self.core.topology.doubt(Some(&self.server));
        }
        match asker {
            Asker::Question(reply) => {
                // Whoever asked may wait no more.
                let _ = reply.send(answer.map_err(|error| error.to_string()));
            }
            Asker::Publication(realm) => match answer {
                Ok(_) => self.core.counters.published(),
                Err(error) => {
                    tracing::debug!(server = %self.server, %realm, %error, "not published");
                    self.core.handle_unpublished(realm);
                }
            },
            Asker::Look(realm) => {
                if answer.is_err() {
                    self.core.remember_lost(realm);
                }
            }
        }
    }

    /// Has the nodes look at the logs of those realms of which a publication did not get through: otherwise the
    /// last one before a silence would be missed until their heads are read in turn.
    async fn tell_of_lost(&self, wire: &Wire) -> Result<(), WireError> {
        let lost: HashSet<RealmId> = self.core.take_lost(|server| *server == self.server);
        let lost: Vec<_> = lost.into_iter().collect();
        for realms in lost.chunks(BATCH_MAX) {
            let looks = realms.iter().map(|realm| self.core.publication(*realm, frame::look()));
            let askers = realms.iter().copied().map(Asker::Look).collect();
            self.exchange(wire, askers, looks.collect()).await?;
        }
        Ok(())
    }
}
