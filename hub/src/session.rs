//! An identified peer's state, for one connection's life.

use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status, TypingOp};
use squall_protocol::limits::{DIRECT_USERS_MAX, SENDS_IN_FLIGHT_MAX, TOPIC_CHARS_MAX};
use squall_protocol::link::{Identity, Operation, WriteOutcome, WriteRequest};
use squall_protocol::server_message::{ErrorCode, ServerMessage};
use squall_protocol::{Audience, CloseCode, Destination, RealmId, SendId, Sequence, SessionId, UserId};

use crate::realm_state::RealmState;

/// An open session: what the gateway knows of a peer after its hello was answered.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    realm_id: RealmId,
    user_id: UserId,
    scope: Scope,
    /// The user's credential was good as of this sequence.
    as_of: Sequence,
    sends_in_flight: u16,
    heard_ms: u64,
    /// When the typing told so far is used up at the sustained rate.
    typing_ms: u64,
}

/// What the shard must do for a session.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionEffect {
    /// Nothing.
    None,
    /// Say this to the client.
    Reply(ServerMessage),
    /// Hand this to the writer; its outcome comes back by [`Session::handle_outcome`].
    Forward(WriteRequest),
    /// Tell the audience that the user is typing.
    Typing(Audience, ServerMessage),
    /// The user's device is active or idle.
    Status(Status),
    /// Send a presence snapshot.
    PresenceRequest,
    /// Say what time it is, in a `pong`.
    Time,
    /// End the connection.
    Fault(Fault),
}

/// A fault of the peer's that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// For the `error` message.
    pub code: ErrorCode,
    /// For people.
    pub message: &'static str,
    /// For the close frame.
    pub close: CloseCode,
}

/// The first message was something else.
pub const HELLO_EXPECTED: Fault = Fault {
    code: ErrorCode::Hello,
    message: "the first message is `hello`",
    close: CloseCode::HelloExpected,
};

const HELLO_TWICE: Fault =
    Fault { code: ErrorCode::Hello, message: "`hello` was said before", close: CloseCode::HelloExpected };

/// Typing of one session: five notices a second in the long run, ten starts at once.
const TYPING_INTERVAL_MS: u64 = 200;
const TYPING_BURST_MS: u64 = 10 * TYPING_INTERVAL_MS;

/// Takes a connection's first message.
pub fn greet(message: ClientMessage) -> Result<Hello, Fault> {
    if let ClientMessage::Hello(hello) = message { Ok(hello) } else { Err(HELLO_EXPECTED) }
}

impl Session {
    /// Opens the session of an identified peer.
    #[must_use]
    pub fn open(id: SessionId, identity: &Identity, scope: Scope, now_ms: u64) -> Self {
        Self {
            id,
            realm_id: identity.realm_id,
            user_id: identity.user_id,
            scope,
            as_of: identity.as_of.sequence,
            sends_in_flight: 0,
            heard_ms: now_ms,
            typing_ms: 0,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The user's realm.
    #[must_use]
    pub fn realm_id(&self) -> RealmId {
        self.realm_id
    }

    /// The user.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Whose presence it wants.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The user's credential was good as of this sequence.
    #[must_use]
    pub fn as_of(&self) -> Sequence {
        self.as_of
    }

    /// When the peer was last heard: milliseconds since the Unix epoch.
    #[must_use]
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Takes a message of the client's.
    pub fn handle_message(
        &mut self,
        message: ClientMessage,
        realm: &RealmState,
        now_ms: u64,
    ) -> SessionEffect {
        self.heard_ms = now_ms;
        match message {
            ClientMessage::Hello(_) => SessionEffect::Fault(HELLO_TWICE),
            ClientMessage::Send { send_id, to, content } => {
                self.forward(send_id, Operation::Send { to, content })
            }
            ClientMessage::Subscribe { send_id, stream_id, user_ids } => {
                self.forward(send_id, Operation::Subscribe { stream_id, user_ids })
            }
            ClientMessage::Unsubscribe { send_id, stream_id, user_ids } => {
                self.forward(send_id, Operation::Unsubscribe { stream_id, user_ids })
            }
            ClientMessage::Typing { op, to } => self.typing(op, to, realm, now_ms),
            ClientMessage::Presence { status } => SessionEffect::Status(status),
            ClientMessage::PresenceRequest {} => SessionEffect::PresenceRequest,
            ClientMessage::Ping {} => SessionEffect::Time,
            ClientMessage::Pong { active } => {
                SessionEffect::Status(if active { Status::Active } else { Status::Idle })
            }
        }
    }

    /// A write is done: what to tell the client.
    pub fn handle_outcome(&mut self, send_id: SendId, outcome: WriteOutcome) -> ServerMessage {
        self.sends_in_flight = self.sends_in_flight.saturating_sub(1);
        match outcome {
            WriteOutcome::Sent { message_id, sequence } => {
                ServerMessage::Sent { send_id, message_id, sequence }
            }
            WriteOutcome::Done { sequence } => ServerMessage::Done { send_id, sequence },
            WriteOutcome::Refused(refusal) => ServerMessage::Refused {
                send_id,
                code: refusal.code,
                message: refusal.message,
                retry_after_ms: refusal.retry_after_ms,
            },
        }
    }

    fn forward(&mut self, send_id: SendId, operation: Operation) -> SessionEffect {
        if usize::from(self.sends_in_flight) >= SENDS_IN_FLIGHT_MAX {
            return SessionEffect::Reply(ServerMessage::Error {
                code: ErrorCode::SendsInFlight,
                message: format!("send {send_id} not taken: {SENDS_IN_FLIGHT_MAX} wait for their answers"),
            });
        }
        self.sends_in_flight += 1;
        let (realm_id, user_id, session_id) = (self.realm_id, self.user_id, self.id);
        SessionEffect::Forward(WriteRequest { realm_id, user_id, session_id, send_id, operation })
    }

    fn typing(&mut self, op: TypingOp, to: Destination, realm: &RealmState, now_ms: u64) -> SessionEffect {
        let used_up_ms = self.typing_ms.max(now_ms) + TYPING_INTERVAL_MS;
        let burst_ms = match op {
            TypingOp::Start => TYPING_BURST_MS,
            // Each start that passed leaves room for its stop.
            TypingOp::Stop => 2 * TYPING_BURST_MS,
        };
        let too_many = used_up_ms > now_ms + burst_ms;
        if too_many || !is_bounded(&to) || !realm.may_write(self.user_id, &to) {
            return SessionEffect::None;
        }
        self.typing_ms = used_up_ms;
        let to = with_user(to, self.user_id);
        SessionEffect::Typing(to.audience(), ServerMessage::Typing { op, sender_id: self.user_id, to })
    }
}

/// Whether a message could go there: what is told to many must not be as long as its sender likes.
fn is_bounded(to: &Destination) -> bool {
    match to {
        Destination::Stream { topic, .. } => topic.chars().count() <= TOPIC_CHARS_MAX,
        Destination::Direct { user_ids } => user_ids.len() <= DIRECT_USERS_MAX,
    }
}

/// A direct conversation holds its sender, each user once, ascending.
fn with_user(to: Destination, user: UserId) -> Destination {
    match to {
        Destination::Stream { .. } => to,
        Destination::Direct { mut user_ids } => {
            user_ids.push(user);
            user_ids.sort_unstable();
            user_ids.dedup();
            Destination::Direct { user_ids }
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::link::{Refusal, RefusalCode};
    use squall_protocol::{Epoch, MessageId, Position, StreamId};

    use super::*;

    fn session() -> Session {
        let identity =
            Identity { realm_id: RealmId(1), user_id: UserId(3), as_of: Position::start(Epoch(1)) };
        Session::open(SessionId(9), &identity, Scope::Realm, 1_000)
    }

    fn realm() -> RealmState {
        let mut realm = RealmState::new(Position::start(Epoch(1)));
        realm.insert_member(StreamId(7), UserId(3));
        realm
    }

    fn send(id: u32) -> ClientMessage {
        ClientMessage::Send {
            send_id: SendId::parse(id.to_string()).unwrap(),
            to: Destination::Direct { user_ids: vec![UserId(4)] },
            content: "hi".into(),
        }
    }

    fn stream(id: u64) -> Destination {
        Destination::Stream { stream_id: StreamId(id), topic: "t".into() }
    }

    #[test]
    fn nothing_comes_before_hello_and_hello_comes_once() {
        assert_eq!(greet(ClientMessage::Ping {}), Err(HELLO_EXPECTED));
        let hello = Hello { token: "k".into(), position: None, presence: Status::Active, scope: Scope::None };
        assert_eq!(greet(ClientMessage::Hello(hello.clone())), Ok(hello.clone()));
        let effect = session().handle_message(ClientMessage::Hello(hello), &realm(), 0);
        assert_eq!(effect, SessionEffect::Fault(HELLO_TWICE));
    }

    #[test]
    fn a_send_is_forwarded_in_the_users_name_and_its_outcome_told() {
        let mut session = session();
        let SessionEffect::Forward(request) = session.handle_message(send(1), &realm(), 0) else { panic!() };
        assert_eq!(
            (request.realm_id, request.user_id, request.session_id),
            (RealmId(1), UserId(3), SessionId(9))
        );
        let sent = WriteOutcome::Sent { message_id: MessageId(5), sequence: Sequence(6) };
        assert!(matches!(session.handle_outcome(request.send_id.clone(), sent), ServerMessage::Sent { .. }));
        let refused = WriteOutcome::Refused(Refusal::retryable(RefusalCode::RateLimited, "slow down", 70));
        let told = session.handle_outcome(request.send_id, refused);
        assert!(matches!(told, ServerMessage::Refused { retry_after_ms: Some(70), .. }));
    }

    #[test]
    fn sends_in_flight_are_limited_and_freed_by_their_outcomes() {
        let mut session = session();
        for n in 0..SENDS_IN_FLIGHT_MAX as u32 {
            assert!(matches!(session.handle_message(send(n), &realm(), 0), SessionEffect::Forward(_)));
        }
        let over = session.handle_message(send(999), &realm(), 0);
        assert!(matches!(
            over,
            SessionEffect::Reply(ServerMessage::Error { code: ErrorCode::SendsInFlight, .. })
        ));
        session.handle_outcome(SendId::parse("0").unwrap(), WriteOutcome::Done { sequence: Sequence(1) });
        assert!(matches!(session.handle_message(send(1000), &realm(), 0), SessionEffect::Forward(_)));
    }

    #[test]
    fn typing_is_told_where_the_user_may_write_and_not_too_often() {
        let mut session = session();
        let typing = |op, to| ClientMessage::Typing { op, to };
        let start =
            |session: &mut Session, to| session.handle_message(typing(TypingOp::Start, to), &realm(), 1_000);
        assert_eq!(start(&mut session, stream(8)), SessionEffect::None, "no such stream");
        let strangers = Destination::Direct { user_ids: vec![UserId(99)] };
        assert_eq!(start(&mut session, strangers), SessionEffect::None, "no such user");
        for _ in 0..TYPING_BURST_MS / TYPING_INTERVAL_MS {
            assert!(matches!(start(&mut session, stream(7)), SessionEffect::Typing(..)));
        }
        assert_eq!(start(&mut session, stream(7)), SessionEffect::None, "too many");
        let stop = session.handle_message(typing(TypingOp::Stop, stream(7)), &realm(), 1_000);
        assert!(matches!(stop, SessionEffect::Typing(..)), "a stop passes when starts no longer do");
        let flood =
            (0..1_000).map(|_| session.handle_message(typing(TypingOp::Stop, stream(7)), &realm(), 1_000));
        let passed = flood.filter(|effect| matches!(effect, SessionEffect::Typing(..))).count() as u64;
        assert!(passed < TYPING_BURST_MS / TYPING_INTERVAL_MS, "but not without end");
        let later = session.handle_message(typing(TypingOp::Start, stream(7)), &realm(), 10_000);
        assert!(matches!(later, SessionEffect::Typing(..)), "the budget comes back");
    }

    #[test]
    fn typing_is_not_told_where_no_message_could_go() {
        let mut session = session();
        let everyone = vec![UserId(3); DIRECT_USERS_MAX + 1];
        let mut realm = realm();
        realm.apply(
            &squall_protocol::Event::UserAdded {
                user: squall_protocol::event::User {
                    user_id: UserId(3),
                    email: String::new(),
                    full_name: String::new(),
                    role: squall_protocol::event::Role::Member,
                    is_bot: false,
                    is_active: true,
                },
            },
            Sequence(1),
        );
        let topic = "t".repeat(TOPIC_CHARS_MAX + 1);
        for to in [
            Destination::Direct { user_ids: everyone },
            Destination::Stream { stream_id: StreamId(7), topic },
        ] {
            let start = ClientMessage::Typing { op: TypingOp::Start, to };
            assert_eq!(session.handle_message(start, &realm, 1_000), SessionEffect::None);
        }
    }

    #[test]
    fn whatever_a_peer_says_is_a_sign_of_life() {
        let mut session = session();
        assert_eq!(session.heard_ms(), 1_000);
        session.handle_message(ClientMessage::Ping {}, &realm(), 2_000);
        assert_eq!(session.heard_ms(), 2_000);
    }
}
