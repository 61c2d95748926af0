//! One socket of the conversation: talks, listens, breaks off, comes back and says again what was not
//! answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::event::Message;
use squall_protocol::{Event, Position, SendId, ServerMessage};
use tokio::sync::{Barrier, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::plan::{LAST_WORD, Plan};
use crate::record::{Delivery, Record};
use crate::rng::Rng;
use crate::support::client::fresh_send_id;
use crate::support::line::{Line, Received};

/// Sends under way over all sockets: enough to keep the server busy, few enough that the conversation
/// goes on while connections break.
const SENDS_IN_FLIGHT: usize = 64;
/// Sends under way of one socket: more than one, so that their order can be lost.
const SENDS_IN_FLIGHT_EACH: usize = 4;
/// A socket breaks after a message once in so many.
const BREAKS_ONE_IN: usize = 150;
/// The longest it then stays away.
const AWAY_MS_MAX: usize = 400;
/// The longest wait for a server that does not answer: less than a connection attempt may hang.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How far all peers together are.
pub(crate) struct Progress {
    start: Barrier,
    turns: Arc<Semaphore>,
    acknowledged: watch::Sender<usize>,
}

impl Progress {
    pub(crate) fn new(peers: usize) -> Self {
        Self {
            start: Barrier::new(peers),
            turns: Arc::new(Semaphore::new(SENDS_IN_FLIGHT)),
            acknowledged: watch::Sender::new(0),
        }
    }

    /// Waits until `count` different messages were acknowledged.
    pub(crate) async fn until_acknowledged(&self, count: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        acknowledged.wait_for(|&so_far| so_far >= count).await.expect("the sender lives as long as self");
    }
}

/// A send without its answer.
struct Unanswered {
    number: usize,
    send_id: SendId,
    /// False once it was refused and waits to be said again.
    under_way: bool,
    _turn: OwnedSemaphorePermit,
}

/// Why a connection's turn is over.
enum Over {
    Broken,
    Finished,
}

/// One socket.
pub(crate) struct Peer {
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    token: String,
    address: SocketAddr,
    rng: Rng,
    position: Option<Position>,
    unsaid: VecDeque<usize>,
    unanswered: VecDeque<Unanswered>,
    retry_at: Option<Instant>,
    record: Record,
}

impl Peer {
    pub(crate) fn new(
        plan: Arc<Plan>,
        progress: Arc<Progress>,
        socket: usize,
        token: String,
        address: SocketAddr,
    ) -> Self {
        let (rng, unsaid) =
            (plan.sockets[socket].rng.clone(), plan.sockets[socket].says.iter().copied().collect());
        Self {
            plan,
            progress,
            token,
            address,
            rng,
            position: None,
            unsaid,
            unanswered: VecDeque::new(),
            retry_at: None,
            record: Record { socket, ..Record::default() },
        }
    }

    /// Talks and listens until the last word, over as many connections as it takes.
    pub(crate) async fn run(mut self) -> Record {
        loop {
            if let Some(mut line) = self.connect().await
                && let Over::Finished = self.converse(&mut line).await
            {
                return self.record;
            }
            let away = Duration::from_millis(self.rng.below(AWAY_MS_MAX) as u64);
            sleep_until(Instant::now() + away).await;
        }
    }

    /// Opens a connection, goes on from the position, and says again what was not answered.
    async fn connect(&mut self) -> Option<Line> {
        let line =
            timeout(ANSWER_MAX, Line::try_open(self.address, None)).await.expect("refused or accepted");
        let mut line = line.ok()?;
        let (token, position) = (self.token.clone(), self.position);
        line.say(&ClientMessage::Hello(Hello {
            token,
            position,
            presence: Status::Active,
            scope: Scope::Realm,
        }))
        .await;
        let welcome = match timeout(ANSWER_MAX, line.receive()).await.expect("a hello is answered") {
            Received::Message(ServerMessage::Welcome(welcome)) => welcome,
            Received::Message(other) => panic!("expected a welcome, not {other:?}"),
            Received::Closed(..) | Received::Broken => return None,
        };
        match position {
            Some(position) => {
                assert_eq!(welcome.position, position);
                self.record.resumes += 1;
            }
            None => {
                self.position = Some(welcome.position);
                self.progress.start.wait().await;
            }
        }
        self.record.sends_repeated += self.unanswered.len();
        self.say_again(&mut line).await;
        Some(line)
    }

    async fn converse(&mut self, line: &mut Line) -> Over {
        loop {
            let may_say = !self.unsaid.is_empty()
                && self.retry_at.is_none()
                && self.unanswered.len() < SENDS_IN_FLIGHT_EACH;
            // Refused sends are said again in their order, once nothing of before is under way.
            let retry_at = self.retry_at.filter(|_| self.unanswered.iter().all(|send| !send.under_way));
            tokio::select! {
                received = line.receive() => match received {
                    Received::Message(message) => {
                        if let Some(over) = self.handle(line, message).await {
                            return over;
                        }
                    }
                    Received::Closed(code, reason) => {
                        assert!(!(4400..4500).contains(&code), "closed with {code} {reason}");
                        return Over::Broken;
                    }
                    Received::Broken => return Over::Broken,
                },
                turn = self.progress.turns.clone().acquire_owned(), if may_say => {
                    self.say_next(line, turn.expect("never closed")).await;
                }
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    self.say_again(line).await;
                }
            }
        }
    }

    async fn say_next(&mut self, line: &mut Line, turn: OwnedSemaphorePermit) {
        let Some(number) = self.unsaid.pop_front() else { return };
        let send = Unanswered { number, send_id: fresh_send_id(), under_way: true, _turn: turn };
        // A broken connection shows when it is read.
        line.say(&self.message(&send)).await;
        self.unanswered.push_back(send);
    }

    async fn say_again(&mut self, line: &mut Line) {
        self.retry_at = None;
        for index in 0..self.unanswered.len() {
            self.unanswered[index].under_way = true;
            line.say(&self.message(&self.unanswered[index])).await;
        }
    }

    fn message(&self, send: &Unanswered) -> ClientMessage {
        let place = &self.plan.places[self.plan.messages[send.number].place];
        let (send_id, to) = (send.send_id.clone(), place.to.clone());
        ClientMessage::Send { send_id, to, content: Plan::content(send.number) }
    }

    async fn handle(&mut self, line: &mut Line, message: ServerMessage) -> Option<Over> {
        match message {
            ServerMessage::Event { sequence, mark, event } => {
                let epoch = self.position.expect("known since the welcome").epoch;
                self.position = Some(Position { epoch, sequence, mark });
                if let Event::Message(message) = event {
                    return self.handle_message(sequence, &message);
                }
            }
            ServerMessage::Position(position) => self.position = Some(position),
            ServerMessage::Reset { position, .. } => {
                self.record.resets += 1;
                self.position = Some(position);
            }
            ServerMessage::Sent { send_id, message_id, sequence } => {
                let index = self.unanswered.iter().position(|send| send.send_id == send_id);
                let send = self.unanswered.remove(index.expect("an answer is to a send"));
                let number = send.expect("just found").number;
                self.record.acknowledged.entry(number).or_default().push((message_id, sequence));
                self.progress.acknowledged.send_modify(|count| *count += 1);
            }
            ServerMessage::Refused { send_id, code, message, retry_after_ms } => {
                let wait = retry_after_ms.unwrap_or_else(|| panic!("refused for good: {code:?} {message}"));
                let retry_at = Instant::now() + Duration::from_millis(wait.into());
                self.retry_at = Some(self.retry_at.map_or(retry_at, |earlier| earlier.max(retry_at)));
                let send = self.unanswered.iter_mut().find(|send| send.send_id == send_id);
                send.expect("an answer is to a send").under_way = false;
                self.record.refusals += 1;
            }
            ServerMessage::Ping { .. } => {
                line.say(&ClientMessage::Pong { active: true }).await;
            }
            ServerMessage::PresenceSnapshot(_)
            | ServerMessage::Presence(_)
            | ServerMessage::Typing { .. }
            | ServerMessage::Pong { .. } => {}
            ServerMessage::Goaway { .. } => return Some(Over::Broken),
            ServerMessage::Welcome(_) | ServerMessage::Done { .. } | ServerMessage::Error { .. } => {
                panic!("unexpected: {message:?}")
            }
        }
        None
    }

    fn handle_message(&mut self, sequence: squall_protocol::Sequence, message: &Message) -> Option<Over> {
        if message.content == LAST_WORD {
            return Some(Over::Finished);
        }
        let number = Plan::number(&message.content)?;
        self.record.deliveries.push(Delivery { sequence, message_id: message.message_id, number });
        self.rng.one_in(BREAKS_ONE_IN).then_some(Over::Broken)
    }
}
