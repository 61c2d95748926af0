//! The client: a user's connection to a realm that reconnects by itself, goes on where it was, tells each
//! event once and sends each message once. Needs the feature `client` and a tokio runtime.
//!
//! # A bot in ten lines
//!
//! ```no_run
//! use squall_protocol::Event;
//! use squall_protocol::client::{Client, Config, Update};
//!
//! # async fn bot() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::from_zuliprc(&std::fs::read_to_string("bot.zuliprc")?)?;
//! let (client, mut updates) = Client::connect(config)?;
//! loop {
//!     let Update::Event { event: Event::Message(message), own: false, .. } = updates.next().await? else {
//!         continue;
//!     };
//!     if let Some(text) = message.content.strip_prefix("!echo ") {
//!         client.send(message.to, text).await?;
//!     }
//! }
//! # }
//! ```
//!
//! # What holds
//!
//! - [`Updates::next`] gives each event once and in order, over as many connections as it takes, or says
//!   [`Update::Reset`]. It fails only when the client has ended for good.
//! - [`Client::send`] resolves when the message is committed. Sends are stored in the order in which they
//!   were made; what is unanswered when a connection is lost goes out again with the same ids, and so does
//!   what was refused for now, before anything newer (but behind what was sent before the refusal was read).
//! - Nothing grows without end, and nobody waits for a slow program: sends past
//!   [`Config::unanswered_max`] fail, updates past [`Config::updates_max`] are left out and fetched again
//!   by a resume once the program has caught up. Awaiting a send while not taking updates is safe.
//!
//! # After a reset
//!
//! After an [`Update::Reset`], and after an [`Update::Welcome`] that is `fresh`, the log does not tell how
//! things came to be as they are: a program that shows state fetches it by HTTP, which this client does
//! not speak. (A bot that only answers can go on as if nothing was.) The steps, by SPEC.md, section 3:
//!
//! 1. Drop derived state. Go on taking updates, and keep the events for step 4.
//! 2. After a reset wait `after`; the wait spreads a herd of clients.
//! 3. Fetch from [`Welcome::api`](crate::server_message::Welcome). Each answer has a position `as_of`: if
//!    its sequence is below the one of the reset or welcome, fetch again; if its epoch is another, expect
//!    another reset.
//! 4. Apply to each answer the kept events, and all that follow, with a sequence above its `as_of`.
//!
//! Sends without an answer need nothing: they stay, and are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::client_message::{ClientMessage, Status};
use crate::codec::Codec;
use crate::event::Destination;
use crate::ids::{SendId, StreamId, UserId};
use crate::server_message::Welcome;

mod backoff;
mod config;
mod conversation;
mod driver;
mod error;
mod incoming;
mod known;
mod line;
mod machine;
mod outbox;
mod presence;
mod send_handle;
mod server_clock;
mod transport;
mod typing_notifier;
mod typing_tracker;
mod update;
mod update_queue;
mod updates;

pub use config::Config;
pub use error::{Cause, Closed, ConfigError, SendError};
pub use presence::{Seen, Standing};
pub use send_handle::{ChangeHandle, Done, SendHandle, Sent};
pub use update::{State, Update, Warning};
pub use updates::Updates;

use config::Endpoint;
use driver::{Channels, Command, Driver, Reply};
use known::Known;
use machine::Machine;
use send_handle::Pending;

/// A handle to a client: cheap to clone, good in any task. When all clones and the [`Updates`] are dropped
/// the connection is closed.
#[derive(Debug, Clone)]
pub struct Client {
    codec: Codec,
    commands: mpsc::UnboundedSender<Command>,
    /// Room for unanswered writes.
    room: Arc<Semaphore>,
    unanswered_max: usize,
    status: watch::Sender<Status>,
    typing: watch::Sender<Option<Destination>>,
    known: watch::Receiver<Known>,
}

impl Client {
    /// Starts a client, which connects by itself and says so in its updates.
    ///
    /// # Errors
    /// [`ConfigError`] if it could never connect.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O enabled.
    pub fn connect(config: Config) -> Result<(Self, Updates), ConfigError> {
        let endpoint = Endpoint::parse(&config.url)?;
        let (machine, known) = Machine::new(&config, fastrand::u64(..), Instant::now());
        let (commands, commands_received) = mpsc::unbounded_channel();
        let (status, status_seen) = watch::channel(config.presence);
        let (typing, typing_seen) = watch::channel(None);
        let (updates, updates_received) = mpsc::channel(UPDATES_HANDED_OVER_MAX);
        let channels =
            Channels { commands: commands_received, status: status_seen, typing: typing_seen, updates };
        tokio::spawn(Driver::new(machine, endpoint, config.codec, channels).run());
        let unanswered_max = config.unanswered_max.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(unanswered_max));
        let updates = Updates::new(updates_received, known.clone(), config.position);
        Ok((Self { codec: config.codec, commands, room, unanswered_max, status, typing, known }, updates))
    }

    /// Sends a message, once: over as many connections as it takes. In a direct message `user_ids` names
    /// the others. It is on its way when this returns.
    pub fn send(&self, to: Destination, content: impl Into<String>) -> SendHandle {
        self.send_as(Self::fresh_send_id(), to, content)
    }

    /// Sends a message under an id from [`Client::fresh_send_id`]: what was sent with it before, by any
    /// client of this user, is the same send.
    pub fn send_as(&self, send_id: SendId, to: Destination, content: impl Into<String>) -> SendHandle {
        self.stop_typing();
        let message = ClientMessage::Send { send_id: send_id.clone(), to, content: content.into() };
        SendHandle::new(self.write(send_id, &message))
    }

    /// Joins a stream, or adds others to it; nobody named means oneself.
    pub fn subscribe(&self, stream_id: StreamId, user_ids: &[UserId]) -> ChangeHandle {
        let (send_id, user_ids) = (Self::fresh_send_id(), user_ids.to_vec());
        let message = ClientMessage::Subscribe { send_id: send_id.clone(), stream_id, user_ids };
        ChangeHandle::new(self.write(send_id, &message))
    }

    /// Leaves a stream, or removes others from it; nobody named means oneself.
    pub fn unsubscribe(&self, stream_id: StreamId, user_ids: &[UserId]) -> ChangeHandle {
        let (send_id, user_ids) = (Self::fresh_send_id(), user_ids.to_vec());
        let message = ClientMessage::Unsubscribe { send_id: send_id.clone(), stream_id, user_ids };
        ChangeHandle::new(self.write(send_id, &message))
    }

    /// A new random id for a send, to know its event by or to store before it is sent.
    #[must_use]
    pub fn fresh_send_id() -> SendId {
        // 32 hexadecimal digits are visible ASCII and few enough.
        #[expect(clippy::expect_used, reason = "see above")]
        SendId::parse(format!("{:032x}", fastrand::u128(..))).expect("hexadecimal digits are a send id")
    }

    /// The user pressed a key in a message to `to`; the others are told as often as needed, and that it
    /// stopped after a pause, [`Client::stop_typing`] or [`Client::send`].
    pub fn typing(&self, to: Destination) {
        self.typing.send_replace(Some(to));
    }

    /// The user stopped typing.
    pub fn stop_typing(&self) {
        self.typing.send_if_modified(|typing| typing.take().is_some());
    }

    /// Tells what the user does: `active` while it does something, `idle` when it turned away.
    pub fn set_presence(&self, status: Status) {
        self.status.send_replace(status);
    }

    /// What to show of a user now; none if it has no presence yet.
    #[must_use]
    pub fn presence_of(&self, user: UserId) -> Option<Seen> {
        let known = self.known.borrow();
        known.presence.of(user, known.clock?.ms_at(Instant::now()))
    }

    /// What to show of everybody now.
    #[must_use]
    pub fn presence(&self) -> BTreeMap<UserId, Seen> {
        let known = self.known.borrow();
        known.clock.map(|clock| known.presence.all(clock.ms_at(Instant::now()))).unwrap_or_default()
    }

    /// How the client stands to its server now.
    #[must_use]
    pub fn state(&self) -> State {
        self.known.borrow().state.clone()
    }

    /// The terms of the present or last session; none before the first.
    #[must_use]
    pub fn welcome(&self) -> Option<Welcome> {
        self.known.borrow().welcome.clone()
    }

    /// This client's user; none before the first session.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.known.borrow().welcome.as_ref().map(|welcome| welcome.user_id)
    }

    /// The server's clock now: milliseconds since the Unix epoch; none before the first session.
    #[must_use]
    pub fn server_now_ms(&self) -> Option<u64> {
        Some(self.known.borrow().clock?.ms_at(Instant::now()))
    }

    /// Sends and membership changes without an answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered_max - self.room.available_permits()
    }

    /// Ends the client, for all its handles, and waits until the connection is closed in good order (2 s
    /// at most). What was sent before is written, but its answer is not awaited: whoever needs it awaits
    /// the handles first. Handles still waiting fail with [`SendError::Closed`].
    pub async fn close(&self) {
        // If nobody takes it, the client has ended already.
        let _ = self.commands.send(Command::Close);
        self.commands.closed().await;
    }

    fn write(&self, send_id: SendId, message: &ClientMessage) -> Pending {
        let (answer, pending) = oneshot::channel();
        let pending = Pending { send_id: send_id.clone(), answer: pending, known: self.known.clone() };
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            // Our own end of the channel is right here.
            let _ = answer.send(Err(SendError::Full { unanswered_max: self.unanswered_max }));
            return pending;
        };
        let message = self.codec.encode_client(message);
        let command = Command::Write { send_id, message, reply: Reply { answer, _room: room } };
        // A driver that is gone drops the reply, and the handle says why it is gone.
        let _ = self.commands.send(command);
        pending
    }
}

/// Updates between the task and the program; those before them wait in the machine, which counts them.
const UPDATES_HANDED_OVER_MAX: usize = 32;
