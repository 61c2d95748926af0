//! The clients of one server: one poll loop that sends and counts frames.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Poll};
use squall_protocol::Codec;
use squall_protocol::client_message::ClientMessage;

use crate::frames::{self, Kind};
use crate::opening::{self, Opened};
use crate::options::Options;

/// Quiet for so long, nobody waits for presence or a welcome any more.
const QUIET: Duration = Duration::from_millis(2_500);
const SETTLE_MAX: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 64 * 1_024;

/// The sockets of one server and what they received.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    sockets: Vec<Socket>,
    realms: usize,
    codec: Codec,
    buffer: Vec<u8>,
    pong: Vec<u8>,
    /// When the events of each realm were due, in their order.
    due: Vec<Vec<Instant>>,
    /// Events that were received, over all sockets.
    pub(crate) delivered: usize,
    /// Those that came in one read with the one before.
    pub(crate) together: usize,
    /// Answers to sends.
    pub(crate) acknowledged: usize,
    /// From when it was due to its reading, by event and socket.
    pub(crate) latencies_us: Vec<u32>,
    /// From when it was due to its answer.
    pub(crate) answers_us: Vec<u32>,
    /// An event's frame on the wire.
    pub(crate) frame_bytes: usize,
}

struct Socket {
    opened: Opened,
    /// Events it received.
    events: usize,
    /// When its sends without an answer were due, in their order.
    unanswered: std::collections::VecDeque<Instant>,
}

impl Load {
    /// Opens a socket for each of `hellos`.
    pub(crate) fn open(address: SocketAddr, hellos: &[Vec<u8>], options: &Options) -> Result<Self> {
        let (mut poll, codec) = (Poll::new()?, options.codec);
        let opened = opening::open(&mut poll, address, hellos, codec, options.opening)?;
        let socket = |opened| Socket { opened, events: 0, unanswered: Default::default() };
        let pong = frames::client(codec, &codec.encode_client(&ClientMessage::Pong { active: true }));
        Ok(Self {
            poll,
            events: Events::with_capacity(1_024),
            sockets: opened.into_iter().map(socket).collect(),
            realms: options.realms,
            codec,
            buffer: vec![0; READ_BYTES],
            pong,
            due: vec![Vec::new(); options.realms],
            delivered: 0,
            together: 0,
            acknowledged: 0,
            latencies_us: Vec::new(),
            answers_us: Vec::new(),
            frame_bytes: 0,
        })
    }

    /// Reads until nothing has come for a while.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let (start, mut heard) = (Instant::now(), Instant::now());
        while heard.elapsed() < QUIET {
            ensure!(start.elapsed() < SETTLE_MAX, "the server did not come to rest in {SETTLE_MAX:?}");
            if self.turn(Some(QUIET))? {
                heard = Instant::now();
            }
        }
        Ok(())
    }

    /// The sockets of a realm.
    pub(crate) fn sockets_of(&self, realm: usize) -> usize {
        (self.sockets.len() - realm).div_ceil(self.realms)
    }

    /// Writes a send of an event that was due at `due`, over the `turn`th socket of the realm.
    pub(crate) fn send(&mut self, realm: usize, turn: usize, frame: &[u8], due: Instant) -> Result<()> {
        self.due[realm].push(due);
        let place = realm + turn % self.sockets_of(realm) * self.realms;
        let socket = &mut self.sockets[place];
        socket.unanswered.push_back(due);
        socket.opened.socket.write_all(frame).context("the sending socket is full")
    }

    /// Reads until `deliveries` were counted.
    pub(crate) fn drain(&mut self, deliveries: usize, limit: Duration) -> Result<()> {
        let start = Instant::now();
        while self.delivered < deliveries {
            let left = limit.saturating_sub(start.elapsed());
            ensure!(!left.is_zero(), "{} of {deliveries} deliveries came", self.delivered);
            self.turn(Some(left))?;
        }
        Ok(())
    }

    /// Waits for something to read, at most `wait`, and reads it all; whether anything came.
    pub(crate) fn turn(&mut self, wait: Option<Duration>) -> Result<bool> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, wait);
        match polled {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        for event in &events {
            self.read(event.token().0, now)?;
        }
        let any = !events.is_empty();
        self.events = events;
        Ok(any)
    }

    fn read(&mut self, index: usize, now: Instant) -> Result<()> {
        loop {
            let socket = &mut self.sockets[index];
            let bytes = match socket.opened.socket.read(&mut self.buffer) {
                Ok(0) => bail!("the server closed socket {index}"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("reading"),
            };
            self.take(index, bytes, now)?;
            // A short read has emptied the socket; the next arrival is told by the poll.
            if bytes < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Counts the frames in the first `bytes` of the buffer.
    fn take(&mut self, index: usize, bytes: usize, now: Instant) -> Result<()> {
        let socket = &mut self.sockets[index];
        let mut joined = std::mem::take(&mut socket.opened.partial);
        let mut rest = if joined.is_empty() {
            &self.buffer[..bytes]
        } else {
            joined.extend_from_slice(&self.buffer[..bytes]);
            joined.as_slice()
        };
        let (before, due) = (socket.events, &self.due[index % self.realms]);
        while let Some(frame) = frames::first(rest) {
            match frames::kind(self.codec, frame.payload) {
                Kind::Event => {
                    let due = due.get(socket.events).context("an event that was not sent")?;
                    self.latencies_us.push(u32::try_from((now - *due).as_micros())?);
                    self.frame_bytes = frame.bytes;
                    socket.events += 1;
                }
                Kind::Ping => socket.opened.socket.write_all(&self.pong)?,
                Kind::Sent => {
                    let due = socket.unanswered.pop_front().context("an answer to no send")?;
                    self.answers_us.push(u32::try_from((now - due).as_micros())?);
                    self.acknowledged += 1;
                }
                Kind::Bad => bail!("refused: {}", String::from_utf8_lossy(frame.payload)),
                Kind::Welcome | Kind::Other => {}
            }
            rest = &rest[frame.bytes..];
        }
        if !rest.is_empty() {
            socket.opened.partial = rest.to_vec();
        }
        let events = socket.events - before;
        self.delivered += events;
        self.together += events.saturating_sub(1);
        Ok(())
    }
}
