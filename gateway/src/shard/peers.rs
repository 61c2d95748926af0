//! Peers: from hello to an open session, and what an open session asks for.

use squall_hub::roster::SessionKey;
use squall_hub::session::{self, SessionEffect};
use squall_hub::{RealmState, Session};
use squall_protocol::client_message::{ClientMessage, Hello, Scope};
use squall_protocol::frame::{Ephemeral, Frame};
use squall_protocol::limits::{CONTENT_CHARS_MAX, FRAME_IN_BYTES_MAX, SENDS_IN_FLIGHT_MAX};
use squall_protocol::link::{Identity, WriteOutcome};
use squall_protocol::server_message::{ErrorCode, ServerMessage, Welcome};
use squall_protocol::{Audience, CloseCode, Position, RealmId, SendId, Sequence, SessionId};

use super::Shard;
use super::connection::{Connection, Joining, Open, Peer};
use super::identities::Answer;
use crate::clock::millis_u32;
use crate::keeper::{KeeperInput, PresenceReport};

impl Shard {
    pub(super) fn handle_bytes(&mut self, key: SessionKey, bytes: &[u8]) {
        let Some(codec) = self.connection(key).map(|connection| connection.codec) else { return };
        match codec.decode_client(bytes) {
            Ok(message) => self.handle_message(key, message),
            Err(error) => {
                let message = error.to_string();
                self.fail(key, ErrorCode::Malformed, message, CloseCode::Malformed);
            }
        }
    }

    fn handle_message(&mut self, key: SessionKey, message: ClientMessage) {
        let now_ms = self.node.clock.now_ms();
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return };
        match &mut connection.peer {
            Peer::Greeting => self.greet(key, message),
            Peer::Open(open) => {
                let Some(realm) = self.realms.get(&open.session.realm_id()) else { return };
                let Some(view) = &realm.view else { return };
                let effect = open.session.handle_message(message, &view.load().state, now_ms);
                self.perform(key, effect);
            }
            Peer::Asking | Peer::Identifying(_) | Peer::Joining(_) | Peer::Closing => {}
        }
    }

    fn greet(&mut self, key: SessionKey, message: ClientMessage) {
        let now_ms = self.node.clock.now_ms();
        match session::greet(message) {
            Ok(hello) => {
                self.identities.push(key, hello.token.clone());
                if let Some(connection) = self.connection(key) {
                    connection.peer = Peer::Identifying(Box::new(hello));
                    self.welcomes.set(key, now_ms);
                }
            }
            Err(fault) => self.fail(key, fault.code, fault.message.into(), fault.close),
        }
    }

    pub(super) fn handle_identities(&mut self, answers: Vec<(SessionKey, Answer)>) {
        self.identities.handle_identified();
        answers.into_iter().for_each(|(key, answer)| self.handle_identified(key, answer));
    }

    pub(super) fn handle_identified(&mut self, key: SessionKey, answer: Answer) {
        let Some(connection) = self.connection(key) else { return };
        if !matches!(connection.peer, Peer::Identifying(_)) {
            return;
        }
        let Peer::Identifying(hello) = std::mem::replace(&mut connection.peer, Peer::Greeting) else {
            return;
        };
        match answer {
            Ok(Some(identity)) => self.admit(key, *hello, &identity),
            Ok(None) => {
                let words = "no user has this token".into();
                self.fail(key, ErrorCode::Unauthorized, words, CloseCode::Unauthorized);
            }
            Err(error) => {
                tracing::warn!(%error, "token not checked");
                let words = "tokens can't be checked now".into();
                self.fail(key, ErrorCode::Unavailable, words, CloseCode::Unavailable);
            }
        }
    }

    fn admit(&mut self, key: SessionKey, hello: Hello, identity: &Identity) {
        let now_ms = self.node.clock.now_ms();
        let registration = match self.node.registry.register(identity.user_id) {
            Ok(registration) => registration,
            Err(max) => {
                let words = format!("this user has {} sessions here already", max.0);
                return self.fail(key, ErrorCode::SessionsMax, words, CloseCode::SessionsMax);
            }
        };
        let session = Session::open(self.node.session_id(), identity, hello.scope, now_ms);
        let Hello { position, presence, .. } = hello;
        let joining = Joining { session, position, presence, registration, asked_of_head: None };
        if let Some(connection) = self.connection(key) {
            connection.peer = Peer::Joining(Box::new(joining));
        }
        self.enter_realm(key, identity.realm_id);
    }

    /// Opens a session that waited for its realm: from here on it gets everything after `position`.
    pub(super) fn open(&mut self, key: SessionKey, position: Position, unproven: bool) {
        let now_ms = self.node.clock.now_ms();
        let Some(connection) = self.connection(key) else { return };
        let Peer::Joining(joining) = std::mem::replace(&mut connection.peer, Peer::Closing) else { return };
        let Joining { session, presence, registration, .. } = *joining;
        let (realm, user, id, scope) = (session.realm_id(), session.user_id(), session.id(), session.scope());
        let unproven = unproven.then(|| Box::new(position));
        let open = Open {
            session,
            _registration: registration,
            unproven,
            told: position.sequence,
            status: presence,
            presence_at: None,
        };
        connection.peer = Peer::Open(Box::new(open));
        self.say(key, &self.welcome(realm, user, id, position, now_ms));
        if self.connection(key).and_then(Connection::open).is_none() {
            // Its socket took no more, and that was the end of it.
            return;
        }
        self.pings.set(key, now_ms);
        if let Some(roster) = self.realms.get_mut(&realm).and_then(|realm| realm.roster.as_mut()) {
            roster.join(key, user, position.sequence);
        }
        self.report_presence(realm, user, PresenceReport::Connected { user, device: id, status: presence });
        if scope == Scope::Realm {
            self.ask_presence(realm, key, None);
        }
        self.queue_if_behind(key);
        self.resume_reading(key);
    }

    fn welcome(
        &self,
        realm_id: RealmId,
        user_id: squall_protocol::UserId,
        session_id: SessionId,
        position: Position,
        now_ms: u64,
    ) -> ServerMessage {
        let config = &self.node.config;
        ServerMessage::Welcome(Box::new(Welcome {
            session_id,
            realm_id,
            user_id,
            position,
            api: self.node.api_url(),
            time_ms: now_ms,
            heartbeat_ms: millis_u32(config.heartbeat),
            timeout_ms: millis_u32(config.heartbeat_timeout),
            resume_window_s: u32::try_from(config.resume_window.as_secs()).unwrap_or(u32::MAX),
            presence_error_max_ms: millis_u32(self.node.times.error_max()),
            frame_bytes_max: FRAME_IN_BYTES_MAX as u32,
            content_chars_max: CONTENT_CHARS_MAX as u32,
            sends_in_flight_max: SENDS_IN_FLIGHT_MAX as u32,
        }))
    }

    /// Goes on with what the peer said while it was waited for.
    fn resume_reading(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        let held = connection.inbound.take_held();
        self.process(key, &held);
        self.queue_to_read(key);
    }

    fn perform(&mut self, key: SessionKey, effect: SessionEffect) {
        match effect {
            SessionEffect::None => {}
            SessionEffect::Reply(message) => self.say(key, &message),
            SessionEffect::Forward(request) => self.writes.push(key, request),
            SessionEffect::Typing(audience, message) => self.publish_typing(key, audience, message),
            SessionEffect::Status(status) => {
                let Some(open) = self.connection(key).and_then(Connection::open) else { return };
                open.status = status;
                let (realm, user, device) =
                    (open.session.realm_id(), open.session.user_id(), open.session.id());
                self.report_presence(realm, user, PresenceReport::Status { device, status });
            }
            SessionEffect::PresenceRequest => {
                let Some(open) = self.connection(key).and_then(Connection::open) else { return };
                let realm = open.session.realm_id();
                // One that is on its way answers this request too; who wants no presence has none coming.
                if open.presence_at.take().is_some() {
                    self.ask_presence(realm, key, None);
                }
            }
            SessionEffect::Fault(fault) => self.fail(key, fault.code, fault.message.into(), fault.close),
        }
    }

    fn publish_typing(&mut self, key: SessionKey, audience: Audience, message: ServerMessage) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        let (realm_id, except) = (open.session.realm_id(), Some(open.session.user_id()));
        let frame = Frame::Ephemeral(Ephemeral { realm_id, audience, except, message }).encode();
        let bus = self.node.bus.clone();
        tokio::task::spawn_local(async move {
            // Typing that is not handed over is typing nobody sees; the next start tells.
            let _ = bus.publish(realm_id, frame).await;
        });
    }

    pub(super) fn handle_written(&mut self, outcomes: Vec<(SessionKey, SendId, WriteOutcome)>) {
        self.writes.handle_written();
        for (key, send_id, outcome) in outcomes {
            let Some(open) = self.connection(key).and_then(Connection::open) else { continue };
            let message = open.session.handle_outcome(send_id, outcome);
            self.say(key, &message);
        }
    }

    /// Bots have no presence, and other realms never hear of it.
    fn report_presence(&mut self, realm: RealmId, user: squall_protocol::UserId, report: PresenceReport) {
        let is_bot = |state: &RealmState| state.user(user).is_none_or(|facts| facts.is_bot);
        let view = self.realms.get(&realm).and_then(|realm| realm.view.as_ref());
        if view.is_some_and(|view| !is_bot(&view.load().state)) {
            self.for_keepers.push(KeeperInput::Presence { realm, report });
        }
    }

    pub(super) fn ask_presence(&mut self, realm: RealmId, key: SessionKey, since: Option<u64>) {
        self.for_keepers.push(KeeperInput::PresenceSince { realm, shard: self.index, key, since });
    }

    /// Tells the keepers again of a session that is open: their realm was loaded anew.
    pub(super) fn report_again(&mut self, key: SessionKey) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        open.presence_at = None;
        let session = &open.session;
        let (realm, user, device, scope, status) =
            (session.realm_id(), session.user_id(), session.id(), session.scope(), open.status);
        self.report_presence(realm, user, PresenceReport::Connected { user, device, status });
        if scope == Scope::Realm {
            self.ask_presence(realm, key, None);
        }
    }

    /// Says what was wrong, then ends the connection.
    pub(super) fn fail(&mut self, key: SessionKey, code: ErrorCode, message: String, close: CloseCode) {
        self.say(key, &ServerMessage::Error { code, message });
        self.close(key, close);
    }

    /// Takes a peer out of its realm, if it was in one. Its connection may go on for a goodbye.
    pub(super) fn leave(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        let (realm, user) = match &connection.peer {
            Peer::Joining(joining) => (joining.session.realm_id(), joining.session.user_id()),
            Peer::Open(open) => {
                let session = &open.session;
                let (realm, user) = (session.realm_id(), session.user_id());
                let report =
                    PresenceReport::Disconnected { device: session.id(), heard_ms: session.heard_ms() };
                self.report_presence(realm, user, report);
                (realm, user)
            }
            Peer::Asking | Peer::Greeting | Peer::Identifying(_) | Peer::Closing => return,
        };
        self.leave_realm(key, realm, user);
    }

    /// Moves a client's position on to where live sessions stand, so that it stays in the window.
    pub(super) fn tell_position(&mut self, key: SessionKey) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        let (realm, told) = (open.session.realm_id(), open.told);
        let Some(position) = self.live_position(realm, key) else { return };
        if position.sequence == told {
            return;
        }
        self.say(key, &ServerMessage::Position(position));
        self.told(key, position.sequence);
    }

    pub(super) fn told(&mut self, key: SessionKey, sequence: Sequence) {
        if let Some(open) = self.connection(key).and_then(Connection::open) {
            open.told = sequence;
        }
    }
}
