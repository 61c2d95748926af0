//! From nothing to hello, and from an end to the next beginning.

use std::time::Duration;

use mio::{Interest, Token};
use squall_protocol::client_message::{ClientMessage, Hello};
use squall_protocol::{CloseCode, Epoch, Mark, Position, Sequence};

use super::client::Phase;
use super::ending::{self, Ending, Next};
use super::timers::Due;
use super::upgrade::{self, Answer, Key};
use super::{CLIENTS_FROM, CONNECTING_MAX, Engine, Stage, socket};
use crate::moment::Moment;

impl Engine {
    /// It wants a connection, and gets one in its turn.
    pub(super) fn enqueue(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        if client.phase == Phase::Waiting && self.stage < Stage::Over {
            client.phase = Phase::Queued;
            client.since = now;
            self.queue.push_back(index);
        }
    }

    pub(super) fn connect_queued(&mut self, now: Moment) {
        while self.connecting < CONNECTING_MAX {
            let Some(index) = self.queue.pop_front() else { break };
            if self.clients[index as usize].phase == Phase::Queued {
                self.connect(index, now);
            }
        }
    }

    fn connect(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        let realm = &self.world.realms[usize::from(self.world.users[client.user as usize].realm)];
        let target = &self.plan.targets[usize::from(realm.target)];
        let addresses = &target.addresses;
        // In turn at first, then any.
        let turn = if client.generation == 0 { client.number as usize } else { self.random.usize(..) };
        let to = addresses[turn % addresses.len()];
        let sources = &target.sources;
        let source = sources.get(client.number as usize % sources.len().max(1)).copied();
        client.phase = Phase::Connecting;
        (client.since, client.began_at, client.heard_at) = (now, now, now);
        self.connecting += 1;
        let opened = socket::connect(to, source, client.is_slow).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = Token(index as usize + CLIENTS_FROM);
            let registered = self.poll.registry().register(&mut stream, token, interest);
            client.stream = Some(stream);
            registered.map_err(|_| Ending::ConnectFailed)
        });
        if let Err(ending) = opened {
            self.end(index, ending, now);
        }
    }

    /// The poll says that a connect may be done.
    pub(super) fn handle_connected(&mut self, index: u32) {
        let client = &mut self.clients[index as usize];
        let Some(outcome) = client.stream.as_ref().and_then(socket::connected) else { return };
        let now = Moment::now();
        if let Err(ending) = outcome {
            return self.end(index, ending, now);
        }
        self.connecting -= 1;
        client.phase = Phase::Upgrading;
        client.since = now;
        let Some(host) = client.stream.as_ref().and_then(|stream| stream.peer_addr().ok()) else {
            return self.end(index, Ending::Broken, now);
        };
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        upgrade::request(host, PATH, client.codec, &self.key(index), &mut out);
        self.write(index, &out, now);
        self.out = out;
    }

    /// Bytes while the upgrade is asked for.
    pub(super) fn handle_upgrade(&mut self, index: u32, bytes: &[u8], now: Moment) {
        let key = self.key(index);
        let client = &mut self.clients[index as usize];
        let mut head = client.incoming.take_bytes();
        head.extend_from_slice(bytes);
        match upgrade::answer(&head, client.codec, &key) {
            Ok(Answer::Partial) => client.incoming.keep_bytes(head),
            Ok(Answer::Open { head_bytes }) => {
                self.measures.upgraded.record(now.since(client.began_at));
                client.phase = Phase::Greeting;
                client.since = now;
                self.say_hello(index, now);
                if head.len() > head_bytes {
                    self.handle_frames(index, &head[head_bytes..], now);
                }
            }
            Ok(Answer::Refused { status, .. }) => self.end(index, Ending::UpgradeRefused(status), now),
            Err(_) => self.end(index, Ending::UpgradeWrong, now),
        }
    }

    fn say_hello(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        let user = &self.world.users[client.user as usize];
        let mut position = client.position;
        client.has_resumed = position.is_some();
        let may_forge = self.stage == Stage::Running && client.was_open && self.plan.load.forged > 0.0;
        if may_forge && self.random.f64() < self.plan.load.forged {
            position = position.map(|position| forged(position, &mut self.random));
            client.has_forged = position.is_some();
            self.tally.forged += u64::from(client.has_forged);
        }
        let hello = ClientMessage::Hello(Hello {
            token: user.key.to_string(),
            position,
            presence: client.status,
            scope: self.plan.scope,
        });
        self.say(index, &hello, now);
    }

    /// The key of its present connection's upgrade.
    fn key(&self, index: u32) -> Key {
        let client = &self.clients[index as usize];
        Key::of(super::seed(&self.plan, u64::from(client.generation) << 32 | u64::from(client.number)))
    }

    /// Its connection is no more.
    pub(super) fn end(&mut self, index: u32, ending: Ending, now: Moment) {
        let next = if self.stage == Stage::Over { Next::Stay } else { ending.next() };
        self.let_go(index, ending, now);
        let client = &mut self.clients[index as usize];
        match next {
            Next::Stay => {
                client.phase = Phase::Gone;
                if self.stage < Stage::Over {
                    self.recorder.gone(index);
                }
            }
            Next::Now => self.enqueue(index, now),
            Next::Within(first) => {
                let wait = ending::backoff(first, client.failures, &mut self.random);
                client.failures = client.failures.saturating_add(1);
                self.timers.set(now + wait, index, client.generation, Due::Return);
            }
        }
    }

    /// Cuts its connection without a farewell; it comes back after `away`.
    pub(super) fn cut(&mut self, index: u32, away: Duration, now: Moment) {
        // Both ways in which connections break.
        let stream = self.let_go(index, Ending::Cut, now);
        if self.random.bool() {
            stream.into_iter().for_each(socket::reset);
        }
        self.tally.cuts += 1;
        let client = &mut self.clients[index as usize];
        client.back_at = now + away;
        self.timers.set(now + away, index, client.generation, Due::Return);
    }

    fn let_go(&mut self, index: u32, ending: Ending, now: Moment) -> Option<mio::net::TcpStream> {
        let client = &mut self.clients[index as usize];
        *self.tally.endings.entry(ending).or_default() += 1;
        client.last_ending = Some(ending);
        self.connecting -= usize::from(client.phase == Phase::Connecting);
        if client.is_open() {
            self.recorder.disconnected(index);
            (client.lost_at, client.back_at) = (now, now);
            client.was_slow = ending == Ending::Closed(CloseCode::SlowConsumer.number());
        }
        client.disconnect(now)
    }

    /// The server asked it to go: it goes in good order, and comes back at once.
    pub(super) fn leave(&mut self, index: u32, now: Moment) {
        self.write_close(index, now);
        if self.clients[index as usize].is_open() {
            self.end(index, Ending::Sent, now);
        }
    }

    /// The run is over for it.
    pub(super) fn say_goodbye(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        if client.is_open() {
            client.phase = Phase::Leaving;
            client.since = now;
            client.is_stalled = false;
            self.write_close(index, now);
            // What it did not read would keep the server's answer from it.
            self.read(index, false);
        } else if client.phase != Phase::Gone {
            self.end(index, Ending::Over, now);
        }
    }

    /// Looks for connections that take too long, or are silent.
    pub(super) fn sweep(&mut self, now: Moment) {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            let waited = now.since(client.since);
            let ending = match client.phase {
                Phase::Connecting if waited > CONNECT_MAX => Ending::ConnectTimeout,
                Phase::Upgrading if waited > CONNECT_MAX => Ending::WelcomeTimeout,
                Phase::Greeting if waited > WELCOME_MAX => Ending::WelcomeTimeout,
                Phase::Open if !client.is_stalled && now.since(client.heard_at) > self.silence_max => {
                    Ending::Silent
                }
                Phase::Leaving if waited > GOODBYE_MAX => Ending::Over,
                Phase::Connecting
                | Phase::Upgrading
                | Phase::Greeting
                | Phase::Open
                | Phase::Leaving
                | Phase::Waiting
                | Phase::Queued
                | Phase::Gone => continue,
            };
            self.end(index as u32, ending, now);
        }
    }
}

/// A position that never was, like the true one as far as it can be: of another log, of another history, or
/// of what is still to come.
fn forged(position: Position, random: &mut fastrand::Rng) -> Position {
    let Position { epoch, sequence, mark } = position;
    match random.u8(..3) {
        0 => Position { epoch: Epoch(epoch.0 ^ 1), sequence, mark },
        1 if sequence > Sequence::ZERO => Position { epoch, sequence, mark: Mark(mark.0 ^ 1) },
        _ => Position { epoch, sequence: Sequence(sequence.0 + FUTURE), mark },
    }
}

pub(super) const PATH: &str = "/ws";
/// Events that no run makes while a client is away.
const FUTURE: u64 = 1 << 40;
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// The server gives it up after 35 s and says why.
const WELCOME_MAX: Duration = Duration::from_secs(40);
/// For the answer to a close frame.
const GOODBYE_MAX: Duration = Duration::from_secs(2);
