//! The task that keeps a connection: carries out what the machine decides.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::client_message::Status;
use crate::codec::Codec;
use crate::event::Destination;
use crate::ids::SendId;

use super::config::Endpoint;
use super::error::{Cause, SendError};
use super::incoming::Frame;
use super::line::{Line, LineEvent};
use super::machine::{Effect, Machine, Outcome};
use super::transport;
use super::update::Update;

/// What handles ask of the driver. As many as there is room for, and one to close.
#[derive(Debug)]
pub(crate) enum Command {
    Write { send_id: SendId, message: Bytes, reply: Reply },
    Close,
}

/// Where the answer to a write goes.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: oneshot::Sender<Result<Outcome, SendError>>,
    /// Room among the unanswered, given back with the answer.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// A client's task.
pub(crate) struct Driver {
    machine: Machine<Reply>,
    endpoint: Endpoint,
    codec: Codec,
    line: Line,
    closing: Option<JoinHandle<()>>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// No handle is left that could ask for something.
    is_unasked: bool,
    status: watch::Receiver<Status>,
    typing: watch::Receiver<Option<Destination>>,
    updates: Option<mpsc::Sender<Update>>,
}

/// The ends of the driver's channels.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) typing: watch::Receiver<Option<Destination>>,
    pub(crate) updates: mpsc::Sender<Update>,
}

/// What woke the driver.
enum Wakeup {
    Line(LineEvent),
    Command(Option<Command>),
    Status,
    Typing,
    Room,
    Unheard,
    Deadline,
}

impl Driver {
    pub(crate) fn new(machine: Machine<Reply>, endpoint: Endpoint, codec: Codec, channels: Channels) -> Self {
        let Channels { commands, status, typing, updates } = channels;
        Self {
            machine,
            endpoint,
            codec,
            line: Line::Down,
            closing: None,
            commands,
            is_unasked: false,
            status,
            typing,
            updates: Some(updates),
        }
    }

    /// Runs until the client is closed and all that there was to tell was taken.
    pub(crate) async fn run(mut self) {
        loop {
            self.perform();
            if self.machine.is_closed() && !self.machine.has_updates() {
                break;
            }
            let wakeup = self.wakeup().await;
            self.handle(wakeup, Instant::now());
        }
        if let Some(closing) = self.closing {
            // It is bounded in time, and its failing changes nothing.
            let _ = closing.await;
        }
    }

    /// Does what the machine wants done.
    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Connect => {
                    self.line = Line::Opening(Box::pin(transport::open(self.endpoint.clone(), self.codec)));
                }
                Effect::Write(message) => {
                    if !self.line.write(message, self.codec) {
                        self.line = Line::Down;
                        let cause = Cause::Broken("the server reads nothing".into());
                        self.machine.handle_end(cause, Instant::now());
                    }
                }
                Effect::Disconnect(code) => self.closing = self.line.close(code).or(self.closing.take()),
                // Whoever sent it may not care.
                Effect::Answer(reply, answer) => drop(reply.answer.send(answer)),
            }
        }
    }

    /// Waits for the next thing to do. What was read counts before a deadline that passed meanwhile.
    async fn wakeup(&mut self) -> Wakeup {
        let deadline = self.machine.deadline();
        let has_updates = self.machine.has_updates();
        tokio::select! {
            biased;
            wakeup = room(self.updates.as_ref(), has_updates) => wakeup,
            command = self.commands.recv(), if !self.is_unasked => Wakeup::Command(command),
            event = self.line.next() => Wakeup::Line(event),
            Ok(()) = self.status.changed() => Wakeup::Status,
            Ok(()) = self.typing.changed() => Wakeup::Typing,
            () = sleep_until(deadline), if deadline.is_some() => Wakeup::Deadline,
        }
    }

    fn handle(&mut self, wakeup: Wakeup, now: Instant) {
        match wakeup {
            Wakeup::Line(event) => {
                self.handle_line(event, now);
                // A line that never pauses must not keep deadlines from passing.
                self.machine.handle_timeout(now);
            }
            Wakeup::Command(Some(Command::Write { send_id, message, reply })) => {
                self.machine.handle_write(send_id, message, reply, now);
            }
            Wakeup::Command(Some(Command::Close)) => self.machine.handle_close(now),
            Wakeup::Command(None) => {
                self.is_unasked = true;
                self.close_if_alone(now);
            }
            Wakeup::Status => {
                let status = *self.status.borrow_and_update();
                self.machine.handle_status(status);
            }
            Wakeup::Typing => match self.typing.borrow_and_update().clone() {
                Some(to) => self.machine.handle_key(to, now),
                None => self.machine.handle_typing_stopped(),
            },
            Wakeup::Room => self.tell(now),
            Wakeup::Unheard => {
                self.updates = None;
                self.machine.handle_unheard();
                self.close_if_alone(now);
            }
            Wakeup::Deadline => self.machine.handle_timeout(now),
        }
    }

    fn handle_line(&mut self, event: LineEvent, now: Instant) {
        match event {
            LineEvent::Opened => self.machine.handle_opened(),
            LineEvent::Data(Message::Text(text)) => {
                self.machine.handle_frame(Frame::Text(text.as_str()), now);
            }
            LineEvent::Data(message) => {
                self.machine.handle_frame(Frame::Binary(&message.into_data()), now);
            }
            LineEvent::Ended(cause) => self.machine.handle_end(cause, now),
        }
    }

    /// Hands updates over, as many as there is room for.
    fn tell(&mut self, now: Instant) {
        while let Some(updates) = &self.updates
            && self.machine.has_updates()
            && let Ok(room) = updates.try_reserve()
            && let Some(update) = self.machine.poll_update(now)
        {
            room.send(update);
        }
    }

    /// Nobody asks and nobody listens: nobody is left.
    fn close_if_alone(&mut self, now: Instant) {
        if self.is_unasked && self.updates.is_none() {
            self.machine.handle_close(now);
        }
    }
}

/// Waits for room for an update if there is one, or for the program to listen no more.
async fn room(updates: Option<&mpsc::Sender<Update>>, has_updates: bool) -> Wakeup {
    match updates {
        Some(updates) if has_updates => updates.reserve().await.map_or(Wakeup::Unheard, |_| Wakeup::Room),
        Some(updates) => {
            updates.closed().await;
            Wakeup::Unheard
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
