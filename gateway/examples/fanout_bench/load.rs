//! The receiving side: one poll loop that opens the sockets, sends on schedule, and counts frames.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use squall_protocol::client_message::ClientMessage;
use squall_protocol::json;

use crate::frames;
use crate::options::Options;
use crate::process::{self, Process};

/// Quiet for so long after the sockets were opened, nobody waits for presence or a welcome any more.
const QUIET: Duration = Duration::from_millis(2_500);
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// How long deliveries may take after the last send.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1_024;

/// What one run showed.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The server's CPU time from the first send to the last delivery.
    pub(crate) server_cpu: Duration,
    /// Ours, in the same time.
    pub(crate) load_cpu: Duration,
    /// That time.
    pub(crate) took: Duration,
    /// Events received, over all sockets; all of them.
    pub(crate) deliveries: usize,
    /// From the scheduled send to its reading: half of the deliveries, and 99 of 100, were quicker.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Deliveries that came in one read with the one before.
    pub(crate) together: usize,
    /// The most by which a send was later than scheduled.
    pub(crate) late_max: Duration,
    /// An event's frame on the wire.
    pub(crate) frame_bytes: usize,
}

struct Socket {
    stream: TcpStream,
    /// The beginning of a frame whose rest is to come.
    partial: Vec<u8>,
    events: usize,
}

struct Load {
    poll: Poll,
    sockets: Vec<Socket>,
    buffer: Vec<u8>,
    pong: Vec<u8>,
    /// When each event was due.
    due: VecDeque<Instant>,
    delivered: usize,
    together: usize,
    latencies_us: Vec<u32>,
    frame_bytes: usize,
}

/// Opens a socket for each of `hellos`, sends what `send` makes at the rate asked for over the first one,
/// and waits for every delivery.
pub(crate) fn run(
    server: &Process,
    address: SocketAddr,
    hellos: &[Vec<u8>],
    send: &dyn Fn(usize) -> Vec<u8>,
    options: &Options,
) -> Result<Run> {
    let mut load = Load::open(address, hellos)?;
    load.settle()?;
    let (server_before, own_before, start) = (server.cpu()?, process::own_cpu()?, Instant::now());
    let late_max = load.send_on_schedule(start, send, options)?;
    load.drain(options.events())?;
    let (took, server_after, own_after) = (start.elapsed(), server.cpu()?, process::own_cpu()?);
    load.latencies_us.sort_unstable();
    let percentile = |percent: usize| {
        let index = (load.latencies_us.len() - 1) * percent / 100;
        Duration::from_micros(load.latencies_us[index].into())
    };
    Ok(Run {
        server_cpu: server_after - server_before,
        load_cpu: own_after - own_before,
        took,
        deliveries: load.delivered,
        together: load.together,
        p50: percentile(50),
        p99: percentile(99),
        late_max,
        frame_bytes: load.frame_bytes,
    })
}

impl Load {
    fn open(address: SocketAddr, hellos: &[Vec<u8>]) -> Result<Self> {
        let poll = Poll::new()?;
        let mut sockets = Vec::with_capacity(hellos.len());
        for (index, hello) in hellos.iter().enumerate() {
            let mut stream = TcpStream::from_std(upgraded(address, hello)?);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            sockets.push(Socket { stream, partial: Vec::new(), events: 0 });
        }
        let pong = frames::client(&json::encode_client(&ClientMessage::Pong { active: true }));
        Ok(Self {
            poll,
            sockets,
            buffer: vec![0; READ_BYTES],
            pong,
            due: VecDeque::new(),
            delivered: 0,
            together: 0,
            latencies_us: Vec::new(),
            frame_bytes: 0,
        })
    }

    /// Reads until nothing has come for a while: welcomes, snapshots and presence changes are over.
    fn settle(&mut self) -> Result<()> {
        let (start, mut heard) = (Instant::now(), Instant::now());
        while heard.elapsed() < QUIET {
            ensure!(start.elapsed() < SETTLE_MAX, "the server did not come to rest in {SETTLE_MAX:?}");
            if self.turn(Some(QUIET))? {
                heard = Instant::now();
            }
        }
        Ok(())
    }

    /// Sends each event when it is due, reading meanwhile.
    fn send_on_schedule(
        &mut self,
        start: Instant,
        send: &dyn Fn(usize) -> Vec<u8>,
        options: &Options,
    ) -> Result<Duration> {
        self.latencies_us.reserve(options.events() * self.sockets.len());
        let mut late_max = Duration::ZERO;
        for number in 0..options.events() {
            let due = start + Duration::from_secs(1) * u32::try_from(number)? / options.rate;
            while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                self.turn(Some(wait))?;
            }
            late_max = late_max.max(due.elapsed());
            self.due.push_back(due);
            self.sockets[0].stream.write_all(&send(number)).context("the sending socket is full")?;
        }
        Ok(late_max)
    }

    fn drain(&mut self, events: usize) -> Result<()> {
        let (start, expected) = (Instant::now(), events * self.sockets.len());
        while self.delivered < expected {
            let left = DRAIN_MAX.saturating_sub(start.elapsed());
            ensure!(!left.is_zero(), "{} of {expected} deliveries came", self.delivered);
            self.turn(Some(left))?;
        }
        Ok(())
    }

    /// Waits for something to read, at most `wait`, and reads it all; whether anything came.
    fn turn(&mut self, wait: Option<Duration>) -> Result<bool> {
        let mut events = Events::with_capacity(1_024);
        match self.poll.poll(&mut events, wait) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        for event in &events {
            self.read(event.token().0, now)?;
        }
        Ok(!events.is_empty())
    }

    fn read(&mut self, index: usize, now: Instant) -> Result<()> {
        loop {
            let socket = &mut self.sockets[index];
            let bytes = match socket.stream.read(&mut self.buffer) {
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
        let mut joined = std::mem::take(&mut socket.partial);
        let mut rest = if joined.is_empty() {
            &self.buffer[..bytes]
        } else {
            joined.extend_from_slice(&self.buffer[..bytes]);
            joined.as_slice()
        };
        let before = socket.events;
        while let Some(frame) = frames::first(rest) {
            if frame.payload.starts_with(frames::EVENT) {
                let due = self.due.get(socket.events).context("an event that was not sent")?;
                self.latencies_us.push(u32::try_from((now - *due).as_micros())?);
                self.frame_bytes = frame.bytes;
                self.delivered += 1;
                socket.events += 1;
            } else if frame.payload.starts_with(frames::PING) {
                socket.stream.write_all(&self.pong)?;
            } else if frame.payload.starts_with(br#"{"type":"refused""#) {
                bail!("refused: {}", String::from_utf8_lossy(frame.payload));
            }
            rest = &rest[frame.bytes..];
        }
        socket.partial = rest.to_vec();
        self.together += (socket.events - before).saturating_sub(1);
        Ok(())
    }
}

/// A socket past its upgrade, with its hello said.
fn upgraded(address: SocketAddr, hello: &[u8]) -> Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    // In one piece: the floor reads it so.
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        json::SUBPROTOCOL
    );
    stream.write_all(request.as_bytes())?;
    // Byte by byte: what follows the head belongs to the poll loop.
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).context("the upgrade")?;
        head.push(byte[0]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(hello)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
