//! A client of `squall.v1.json` that reads only when asked and checks all that it reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status, TypingOp};
use squall_protocol::event::Message;
use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::{ErrorCode, ResetReason, ServerMessage, Welcome};
use squall_protocol::{
    CloseCode, Destination, Event, MessageId, Position, SendId, Sequence, StreamId, UserId,
};

use super::line::{Line, Received};
use super::presence_view::{PresenceView, Seen};
use super::within;

/// What a hello says beside the token.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    /// Where to go on.
    pub(crate) position: Option<Position>,
    /// What the user does.
    pub(crate) presence: Status,
    /// Whose presence to hear.
    pub(crate) scope: Scope,
}

/// What became of a send or a membership change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The message is stored.
    Sent {
        /// Its id.
        message_id: MessageId,
        /// Its place.
        sequence: Sequence,
    },
    /// The membership change holds.
    Done {
        /// The head when it did.
        sequence: Sequence,
    },
    /// Nothing was written.
    Refused {
        /// Why.
        code: RefusalCode,
        /// When to try again.
        retry_after_ms: Option<u32>,
    },
}

/// A typing notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typing {
    /// Started or stopped.
    pub(crate) op: TypingOp,
    /// Who.
    pub(crate) sender_id: UserId,
    /// Where.
    pub(crate) to: Destination,
}

/// How a client treats pings.
#[derive(Debug, Clone, Copy)]
enum PingsAnswered {
    Active,
    Inactive,
    Never,
}

/// A session and what came over it.
pub(crate) struct Client {
    line: Line,
    /// The terms of the session.
    pub(crate) welcome: Welcome,
    position: Position,
    pings_answered: PingsAnswered,
    events: VecDeque<(Sequence, Event)>,
    outcomes: BTreeMap<SendId, Vec<Outcome>>,
    presence: PresenceView,
    snapshots: usize,
    typing: VecDeque<Typing>,
    resets: VecDeque<(ResetReason, Position)>,
    goaway_ms: Option<u32>,
    errors: VecDeque<ErrorCode>,
    pings: usize,
    pongs: usize,
    end: Option<Received>,
}

impl Client {
    /// Says hello and waits for the welcome.
    pub(crate) async fn open(mut line: Line, token: &str, opening: Opening) -> Self {
        let Opening { position, presence, scope } = opening;
        assert!(
            line.say(&ClientMessage::Hello(Hello { token: token.to_owned(), position, presence, scope }))
                .await
        );
        let welcome = match within("a welcome", line.receive()).await {
            Received::Message(ServerMessage::Welcome(welcome)) => *welcome,
            other => panic!("expected a welcome, not {other:?}"),
        };
        if let Some(position) = position {
            assert_eq!(welcome.position, position, "a welcome repeats the client's position");
        }
        Self {
            line,
            position: welcome.position,
            welcome,
            pings_answered: PingsAnswered::Active,
            events: VecDeque::new(),
            outcomes: BTreeMap::new(),
            presence: PresenceView::default(),
            snapshots: 0,
            typing: VecDeque::new(),
            resets: VecDeque::new(),
            goaway_ms: None,
            errors: VecDeque::new(),
            pings: 0,
            pongs: 0,
            end: None,
        }
    }

    /// The last position this client knows.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Who this is.
    pub(crate) fn user_id(&self) -> UserId {
        self.welcome.user_id
    }

    /// From now on pings go unanswered, as if the way back were cut.
    pub(crate) fn stop_answering_pings(&mut self) {
        self.pings_answered = PingsAnswered::Never;
    }

    /// From now on each answer says that the user did nothing.
    pub(crate) fn answer_pings_as_inactive(&mut self) {
        self.pings_answered = PingsAnswered::Inactive;
    }

    /// Breaks the connection off without a word, and tells where to go on.
    pub(crate) fn disconnect(self) -> Position {
        self.position
    }

    // What a client says.

    /// Sends a message without waiting for its answer.
    pub(crate) async fn send(&mut self, to: &Destination, content: &str) -> SendId {
        let send_id = fresh_send_id();
        self.send_as(&send_id, to, content).await;
        send_id
    }

    /// Sends a message under an id of the test's choice.
    pub(crate) async fn send_as(&mut self, send_id: &SendId, to: &Destination, content: &str) {
        let message =
            ClientMessage::Send { send_id: send_id.clone(), to: to.clone(), content: content.to_owned() };
        self.say(&message).await;
    }

    /// Sends a message and waits until it is stored.
    pub(crate) async fn say_in(&mut self, to: &Destination, content: &str) -> (MessageId, Sequence) {
        let send_id = self.send(to, content).await;
        self.expect_sent(&send_id).await
    }

    /// Adds users to a stream (nobody: oneself) and waits until it is done.
    pub(crate) async fn subscribe(&mut self, stream_id: StreamId, user_ids: &[UserId]) -> Sequence {
        let send_id = self.ask_to_subscribe(stream_id, user_ids).await;
        self.expect_done(&send_id).await
    }

    /// Asks to add users to a stream (nobody: oneself) without waiting for the answer.
    pub(crate) async fn ask_to_subscribe(&mut self, stream_id: StreamId, user_ids: &[UserId]) -> SendId {
        let send_id = fresh_send_id();
        let user_ids = user_ids.to_vec();
        self.say(&ClientMessage::Subscribe { send_id: send_id.clone(), stream_id, user_ids }).await;
        send_id
    }

    /// Removes users from a stream (nobody: oneself) and waits until it is done.
    pub(crate) async fn unsubscribe(&mut self, stream_id: StreamId, user_ids: &[UserId]) -> Sequence {
        let send_id = fresh_send_id();
        let user_ids = user_ids.to_vec();
        self.say(&ClientMessage::Unsubscribe { send_id: send_id.clone(), stream_id, user_ids }).await;
        self.expect_done(&send_id).await
    }

    /// Says anything of the protocol.
    pub(crate) async fn say(&mut self, message: &ClientMessage) {
        assert!(self.line.say(message).await, "the connection is gone");
    }

    /// The socket below, to say what no client should.
    pub(crate) fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    // What a client waits for.

    /// The next event.
    pub(crate) async fn next_event(&mut self) -> (Sequence, Event) {
        self.until("an event", |client| client.events.pop_front()).await
    }

    /// The next event, which must be a message.
    pub(crate) async fn next_message(&mut self) -> Message {
        match self.next_event().await {
            (_, Event::Message(message)) => message,
            (sequence, other) => panic!("expected a message, not {other:?} at {sequence}"),
        }
    }

    /// The next event must be a message with this content.
    pub(crate) async fn expect_message(&mut self, content: &str) -> Message {
        let message = self.next_message().await;
        assert_eq!(message.content, content);
        message
    }

    /// The next events must be messages with these contents, in this order.
    pub(crate) async fn expect_messages<T: AsRef<str>>(&mut self, contents: &[T]) {
        for content in contents {
            self.expect_message(content.as_ref()).await;
        }
    }

    /// What became of a send, waited for. Each answer is given out once.
    pub(crate) async fn outcome(&mut self, send_id: &SendId) -> Outcome {
        self.until("the answer to a send", |client| {
            let outcomes = client.outcomes.get_mut(send_id)?;
            (!outcomes.is_empty()).then(|| outcomes.remove(0))
        })
        .await
    }

    /// The send must be stored.
    pub(crate) async fn expect_sent(&mut self, send_id: &SendId) -> (MessageId, Sequence) {
        match self.outcome(send_id).await {
            Outcome::Sent { message_id, sequence } => (message_id, sequence),
            other => panic!("expected `sent`, not {other:?}"),
        }
    }

    /// The membership change must be done.
    pub(crate) async fn expect_done(&mut self, send_id: &SendId) -> Sequence {
        match self.outcome(send_id).await {
            Outcome::Done { sequence } => sequence,
            other => panic!("expected `done`, not {other:?}"),
        }
    }

    /// The send must be refused, with this code and for good.
    pub(crate) async fn expect_refused(&mut self, send_id: &SendId, expected: RefusalCode) {
        let outcome = self.outcome(send_id).await;
        assert_eq!(outcome, Outcome::Refused { code: expected, retry_after_ms: None });
    }

    /// A reset must come, before any event, and for this reason.
    pub(crate) async fn expect_reset(&mut self, expected: ResetReason) -> Position {
        let (reason, position) = self.until("a reset", |client| client.resets.pop_front()).await;
        assert_eq!(reason, expected);
        assert!(self.events.is_empty(), "events came before the reset: {:?}", self.events);
        position
    }

    /// Waits until this client was told that the log went to `sequence` or on.
    pub(crate) async fn expect_position_from(&mut self, sequence: Sequence) {
        self.until("a position", |client| (client.position.sequence >= sequence).then_some(())).await;
    }

    /// The next typing notice.
    pub(crate) async fn next_typing(&mut self) -> Typing {
        self.until("a typing notice", |client| client.typing.pop_front()).await
    }

    /// Waits until `user` is seen so.
    pub(crate) async fn expect_presence(&mut self, user: UserId, expected: Seen) {
        self.until("a presence", |client| (client.presence.of(user) == Some(expected)).then_some(())).await;
    }

    /// Waits until `user` is seen offline, and tells when it was last heard (s).
    pub(crate) async fn expect_offline(&mut self, user: UserId) -> u64 {
        self.until("an offline presence", |client| match client.presence.of(user) {
            Some(Seen::Offline(heard)) => Some(heard),
            Some(Seen::Active | Seen::Idle) | None => None,
        })
        .await
    }

    /// Everybody's presence after a snapshot asked for now.
    pub(crate) async fn fresh_presence(&mut self) -> PresenceView {
        let before = self.presence_snapshots().await;
        self.say(&ClientMessage::PresenceRequest {}).await;
        self.until("a presence snapshot", |client| (client.snapshots > before).then_some(())).await;
        self.presence.clone()
    }

    /// What is known of everybody now.
    pub(crate) fn presence(&self) -> &PresenceView {
        &self.presence
    }

    /// Waits for the first snapshot, and tells how many came.
    pub(crate) async fn presence_snapshots(&mut self) -> usize {
        self.until("a presence snapshot", |client| (client.snapshots > 0).then_some(client.snapshots)).await
    }

    /// Asks the server to answer, so that all that it said before was read.
    pub(crate) async fn round_trip(&mut self) {
        let before = self.pongs;
        self.say(&ClientMessage::Ping {}).await;
        self.until("a pong", |client| (client.pongs > before).then_some(())).await;
    }

    /// Waits until the server asked `count` times whether this client is there.
    pub(crate) async fn expect_pings(&mut self, count: usize) {
        self.until("pings", |client| (client.pings >= count).then_some(())).await;
    }

    /// Waits to be told that the node is going, and how long to stay (ms).
    pub(crate) async fn expect_goaway(&mut self) -> u32 {
        self.until("a goaway", |client| client.goaway_ms).await
    }

    /// Waits for an `error`.
    pub(crate) async fn expect_error(&mut self, expected: ErrorCode) {
        let code = self.until("an error", |client| client.errors.pop_front()).await;
        assert_eq!(code, expected);
    }

    /// Waits for the close frame, taking in what comes before it, and compares its code and reason.
    pub(crate) async fn assert_closed(&mut self, expected: CloseCode) {
        within("a close frame", async { while self.take_next().await {} }).await;
        match &self.end {
            Some(Received::Closed(code, reason)) => {
                assert_eq!((*code, reason.as_str()), (expected.number(), expected.reason()));
            }
            other => panic!("expected {expected:?}, not {other:?}"),
        }
    }

    /// Waits until the connection is gone, however.
    pub(crate) async fn expect_broken(&mut self) {
        within("the end of the connection", async { while self.take_next().await {} }).await;
    }

    /// The events that were read and not yet asked for.
    pub(crate) fn take_events(&mut self) -> Vec<(Sequence, Event)> {
        self.events.drain(..).collect()
    }

    /// The typing notices that were read and not yet asked for.
    pub(crate) fn take_typing(&mut self) -> Vec<Typing> {
        self.typing.drain(..).collect()
    }

    /// What became of a send, as far as it was read.
    pub(crate) fn take_outcome(&mut self, send_id: &SendId) -> Option<Outcome> {
        self.outcomes.remove(send_id)?.into_iter().next()
    }

    /// The contents of all messages up to the end of the connection.
    pub(crate) async fn messages_to_the_end(&mut self) -> Vec<String> {
        self.expect_broken().await;
        let contents = self.events.drain(..).filter_map(|(_, event)| match event {
            Event::Message(message) => Some(message.content),
            Event::StreamCreated { .. }
            | Event::MembersAdded { .. }
            | Event::MembersRemoved { .. }
            | Event::UserAdded { .. }
            | Event::UserUpdated { .. }
            | Event::CredentialChanged { .. }
            | Event::StreamUpdated { .. }
            | Event::MessageEdited(_)
            | Event::MessagesMoved(_)
            | Event::MessagesDeleted(_)
            | Event::ReactionAdded(_)
            | Event::ReactionRemoved(_)
            | Event::FlagsAdded(_)
            | Event::FlagsRemoved(_)
            | Event::TopicPolicySet(_)
            | Event::SubscriptionSet(_)
            | Event::SettingSet(_) => None,
        });
        contents.collect()
    }

    /// Reads until `find` finds something.
    async fn until<T>(&mut self, what: &str, mut find: impl FnMut(&mut Self) -> Option<T>) -> T {
        within(what, async {
            loop {
                if let Some(found) = find(self) {
                    return found;
                }
                assert!(self.take_next().await, "{:?} while waiting for {what}", self.end);
            }
        })
        .await
    }

    /// Reads one thing and keeps it where it belongs; false at the end of the connection.
    async fn take_next(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.line.receive().await {
            Received::Message(message) => self.take(message).await,
            end @ (Received::Closed(..) | Received::Broken) => self.end = Some(end),
        }
        self.end.is_none()
    }

    async fn take(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Event { sequence, mark, event } => {
                assert!(sequence > self.position.sequence, "{sequence} came after {:?}", self.position);
                self.position = Position { epoch: self.position.epoch, sequence, mark };
                self.events.push_back((sequence, event));
            }
            ServerMessage::Position(position) => {
                assert_eq!(position.epoch, self.position.epoch, "an epoch changes only by a reset");
                assert!(
                    position.sequence >= self.position.sequence,
                    "{position:?} is behind {:?}",
                    self.position
                );
                self.position = position;
            }
            ServerMessage::Reset { reason, position, after_ms: _ } => {
                self.position = position;
                self.resets.push_back((reason, position));
            }
            ServerMessage::Sent { send_id, message_id, sequence } => {
                self.keep(send_id, Outcome::Sent { message_id, sequence });
            }
            ServerMessage::Done { send_id, sequence } => self.keep(send_id, Outcome::Done { sequence }),
            ServerMessage::Refused { send_id, code, message: _, retry_after_ms } => {
                self.keep(send_id, Outcome::Refused { code, retry_after_ms });
            }
            ServerMessage::PresenceSnapshot(snapshot) => {
                self.presence.handle_snapshot(&snapshot);
                self.snapshots += 1;
            }
            ServerMessage::Presence(diff) => {
                if !self.presence.handle_diff(&diff) {
                    self.say(&ClientMessage::PresenceRequest {}).await;
                }
            }
            ServerMessage::Typing { op, sender_id, to } => {
                self.typing.push_back(Typing { op, sender_id, to })
            }
            ServerMessage::Ping { .. } => {
                self.pings += 1;
                let active = match self.pings_answered {
                    PingsAnswered::Never => return,
                    PingsAnswered::Inactive => false,
                    PingsAnswered::Active => true,
                };
                // The server may have closed since; the next read tells.
                self.line.say(&ClientMessage::Pong { active }).await;
            }
            ServerMessage::Pong { .. } => self.pongs += 1,
            ServerMessage::Goaway { after_ms } => self.goaway_ms = Some(after_ms),
            ServerMessage::Error { code, message: _ } => self.errors.push_back(code),
            ServerMessage::Welcome(_) => panic!("welcomed twice"),
        }
    }

    fn keep(&mut self, send_id: SendId, outcome: Outcome) {
        self.outcomes.entry(send_id).or_default().push(outcome);
    }
}

/// A send id that no other test or client uses.
pub(crate) fn fresh_send_id() -> SendId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SendId::parse(format!("test-{}-{number}", std::process::id())).expect("short visible ASCII")
}
