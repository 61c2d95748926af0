//! A client: it keeps a position and a presence list as SPEC.md says, and objects to whatever it must not see.

use squall_protocol::client_message::{ClientMessage, Scope};
use squall_protocol::server_message::ResetReason;
use squall_protocol::{CloseCode, Position, Sequence, UserId};

use crate::attendance::Shown;
use crate::log::Log;
use crate::reference::{Place, Reference};
use crate::socket::{SharedSocket, State, Wire};

/// One device of a user.
pub(crate) struct Client {
    pub(crate) user: UserId,
    pub(crate) scope: Scope,
    /// Whether its user does something.
    pub(crate) active: bool,
    /// What it remembers over all connections.
    pub(crate) place: Option<Place>,
    pub(crate) line: Option<Line>,
    /// Its token was good as of this sequence, after so many set-backs.
    good_as_of: Option<(Sequence, u32)>,
    /// It reads nothing before.
    pub(crate) stalled_until_ms: u64,
    pub(crate) connect_ms: u64,
}

/// A connection as the client sees it.
pub(crate) struct Line {
    pub(crate) node: usize,
    socket: SharedSocket,
    since_ms: u64,
    /// What `hello` named.
    named: Option<Position>,
    welcomed: bool,
    /// How many set-backs the node knew of when it told the last position.
    knows: u32,
    /// The lowest head the log had since the hello.
    head_min: Sequence,
    presence: Option<(u64, Shown)>,
}

/// The log and its history: what a delivery is judged by.
pub(crate) struct Truth<'a> {
    pub(crate) log: &'a Log,
    pub(crate) reference: &'a Reference,
}

/// A client whose hello is not answered for so long tries elsewhere.
const WELCOME_MS_MAX: u64 = 4_000;

/// Pauses after a close.
const RECONNECT_MS: u64 = 100;
const RECONNECT_LATER_MS: u64 = 600;

impl Client {
    pub(crate) fn new(user: UserId, scope: Scope) -> Self {
        let (place, line, good_as_of) = (None, None, None);
        Self { user, scope, active: true, place, line, good_as_of, stalled_until_ms: 0, connect_ms: 0 }
    }

    /// It said hello on `socket`, naming its position.
    pub(crate) fn connect(&mut self, node: usize, socket: SharedSocket, head: Sequence, now_ms: u64) {
        self.line = Some(Line {
            node,
            socket,
            since_ms: now_ms,
            named: self.place.map(|place| place.position),
            welcomed: false,
            knows: 0,
            head_min: head,
            presence: None,
        });
    }

    /// Drops the connection.
    pub(crate) fn cut(&mut self, how: State) {
        if let Some(line) = self.line.take() {
            let mut socket = line.socket.borrow_mut();
            if socket.state == State::Open {
                socket.state = how;
            }
        }
    }

    pub(crate) fn say(&mut self, message: ClientMessage) {
        if let Some(line) = self.line.as_ref().filter(|line| line.welcomed) {
            line.socket.borrow_mut().inbound.push_back(message);
        }
    }

    /// The log was set back to `head`.
    pub(crate) fn note_head(&mut self, head: Sequence) {
        if let Some(line) = &mut self.line {
            line.head_min = line.head_min.min(head);
        }
    }

    /// Reads up to `frames_max` frames. What it reads is told to `note`; an error is a breach of the protocol.
    pub(crate) fn read(
        &mut self,
        frames_max: usize,
        truth: &Truth<'_>,
        now_ms: u64,
        mut note: impl FnMut(&Wire),
    ) -> Result<(), String> {
        if self.stalled_until_ms > now_ms {
            return Ok(());
        }
        for _ in 0..frames_max {
            let Some(line) = &self.line else { return Ok(()) };
            let Some(wire) = line.socket.borrow_mut().read() else { break };
            note(&wire);
            self.receive(wire, truth, now_ms)?;
        }
        self.give_up_in_vain(now_ms);
        Ok(())
    }

    /// Whether it has everything, and shows what its node shows, which is at `presence`.
    pub(crate) fn is_settled(
        &self,
        truth: &Truth<'_>,
        presence: Option<&(u64, Shown)>,
    ) -> Result<(), String> {
        if !truth.log.tables().is_active(self.user) {
            return if self.line.is_none() { Ok(()) } else { Err("a deactivated user is connected".into()) };
        }
        let (Some(line), Some(place)) = (self.line.as_ref().filter(|line| line.welcomed), self.place) else {
            return Err("not connected".into());
        };
        let changed = truth.log.tables().users[&self.user].credential_changed;
        if self.good_as_of.is_some_and(|(as_of, at)| as_of < changed && at == truth.log.set_backs()) {
            return Err(format!("a session outlived its credential, changed at {changed}"));
        }
        truth.reference.has_everything(self.user, place).map_err(|breach| breach.to_string())?;
        let shows = self.scope == Scope::None || line.presence.as_ref() == presence;
        if shows { Ok(()) } else { Err(format!("shows {:?} where the node has {presence:?}", line.presence)) }
    }

    fn receive(&mut self, wire: Wire, truth: &Truth<'_>, now_ms: u64) -> Result<(), String> {
        match wire {
            Wire::Welcome { position, knows, as_of } => {
                self.good_as_of = Some((as_of, truth.log.set_backs()));
                self.welcome(position, knows, truth)
            }
            Wire::Event(event) => {
                let told = (event.sequence(), event.mark(), &event.record().body);
                let place = self.place_in_session()?;
                let seen =
                    truth.reference.see(self.user, place, told).map_err(|breach| breach.to_string())?;
                self.place = Some(seen);
                Ok(())
            }
            Wire::Position(position) => {
                let place = self.place_in_session()?;
                let next = truth.reference.skip_to(self.user, place, position);
                self.place = Some(next.map_err(|breach| breach.to_string())?);
                Ok(())
            }
            Wire::Reset { reason, position, knows } => self.reset(reason, position, knows, truth),
            Wire::Snapshot(snapshot, shown) => {
                self.show((snapshot.change, Shown::snapshot(&snapshot)), &shown)
            }
            Wire::Diff(diff, shown) => {
                let Some(line) = &mut self.line else { return Ok(()) };
                match line.presence.take() {
                    Some((at, mut own)) if at == diff.from => {
                        own.apply(&diff);
                        self.show((diff.to, own), &shown)
                    }
                    other => {
                        line.presence = other;
                        self.say(ClientMessage::PresenceRequest {});
                        Ok(())
                    }
                }
            }
            Wire::Ping => {
                self.say(ClientMessage::Pong { active: self.active });
                Ok(())
            }
            Wire::Answer => Ok(()),
            Wire::Close(code) => {
                self.line = None;
                let pause_ms = if later(code) { RECONNECT_LATER_MS } else { RECONNECT_MS };
                self.connect_ms = now_ms + pause_ms;
                Ok(())
            }
        }
    }

    fn welcome(&mut self, position: Position, knows: u32, truth: &Truth<'_>) -> Result<(), String> {
        let Some(line) = &mut self.line else { return Ok(()) };
        if line.named.is_some_and(|named| named != position) {
            return Err(format!("welcomed at {position:?}, and not at its own {:?}", line.named));
        }
        (line.welcomed, line.knows) = (true, knows);
        let place = truth.reference.place(position);
        if line.named.is_none() && place.fact.is_none() {
            return Err(format!("welcomed at {position:?}, which is of no history"));
        }
        self.place = Some(place);
        Ok(())
    }

    fn reset(
        &mut self,
        reason: ResetReason,
        position: Position,
        knows: u32,
        truth: &Truth<'_>,
    ) -> Result<(), String> {
        let place = self.place_in_session()?;
        let Some(line) = &mut self.line else { return Ok(()) };
        let at = place.position.sequence;
        let allowed = match reason {
            ResetReason::Expired => at <= truth.log.floor() || truth.reference.is_barred(at),
            ResetReason::Epoch => !truth.reference.is_current(place) || truth.log.set_backs() > line.knows,
            ResetReason::Future => at > line.head_min,
        };
        if !allowed {
            return Err(format!(
                "reset as {reason:?} at {:?}, where nothing was wrong: the log reaches from {:?} to {:?}",
                place.position,
                truth.log.floor(),
                truth.log.head()
            ));
        }
        let next = truth.reference.place(position);
        if next.fact.is_none() {
            return Err(format!("reset to {position:?}, which is of no history"));
        }
        line.knows = knows;
        self.place = Some(next);
        Ok(())
    }

    /// Takes `own` as what it shows, if that is what the node shows.
    fn show(&mut self, own: (u64, Shown), node: &Shown) -> Result<(), String> {
        if own.1 != *node {
            return Err(format!("shows {:?} after change {}, where the node has {node:?}", own.1, own.0));
        }
        if let Some(line) = &mut self.line {
            line.presence = Some(own);
        }
        Ok(())
    }

    fn place_in_session(&self) -> Result<Place, String> {
        let welcomed = self.line.as_ref().is_some_and(|line| line.welcomed);
        self.place.filter(|_| welcomed).ok_or_else(|| "told something before the welcome".into())
    }

    /// Gives up on a connection that is dead, or that its hello gets no answer on.
    fn give_up_in_vain(&mut self, now_ms: u64) {
        let Some(line) = &self.line else { return };
        let socket = line.socket.borrow();
        let dead = socket.state == State::Closed && socket.is_read();
        let in_vain = !line.welcomed && line.since_ms + WELCOME_MS_MAX <= now_ms;
        drop(socket);
        if dead || in_vain {
            self.cut(State::Cut);
            self.connect_ms = now_ms + RECONNECT_MS;
        }
    }
}

/// Whether to wait longer before connecting again.
fn later(code: CloseCode) -> bool {
    (4_100..4_200).contains(&code.number()) || code.number() >= 4_400
}
