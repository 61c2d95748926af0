//! One client: a user's socket, its connection of the moment, and its place in the log.

use std::io::{self, ErrorKind, Write as _};

use mio::net::TcpStream;
use squall_protocol::client_message::Status;
use squall_protocol::{Codec, Position, Sequence};

use super::ending::Ending;
use super::incoming::Incoming;
use super::outbox::Outbox;
use super::plan::ClientPlan;
use crate::moment::Moment;

/// Small: there are tens of thousands. What few clients need at a time is behind a box.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Option<TcpStream>,
    pub(crate) phase: Phase,
    pub(crate) codec: Codec,
    pub(crate) status: Status,
    pub(crate) sends: bool,
    pub(crate) is_slow: bool,
    /// It does not read now.
    pub(crate) is_stalled: bool,
    /// It is in the list of those with more to read.
    pub(crate) is_ready: bool,
    /// Its hello named a position; `forged` one that never was, which a reset has yet to answer.
    pub(crate) has_resumed: bool,
    pub(crate) has_forged: bool,
    /// How its last connection ended.
    pub(crate) last_ending: Option<Ending>,
    /// Its last session was ended for reading too slowly.
    pub(crate) was_slow: bool,
    /// It was welcomed at least once.
    pub(crate) was_open: bool,
    /// Connections that failed since the last welcome.
    pub(crate) failures: u8,
    /// Connections so far: timers of an earlier one are void.
    pub(crate) generation: u32,
    /// Its user among the worker's.
    pub(crate) user: u32,
    /// Its number in the run.
    pub(crate) number: u32,
    /// The last position it knows.
    pub(crate) position: Option<Position>,
    /// When the present phase began; in `Open`, since when it reads.
    pub(crate) since: Moment,
    /// When it began to connect.
    pub(crate) began_at: Moment,
    /// When its last session ended.
    pub(crate) lost_at: Moment,
    /// When it set out to come back; zero if it has not been here.
    pub(crate) back_at: Moment,
    /// When the server was last heard.
    pub(crate) heard_at: Moment,
    /// It has caught up when it is here; zero: it has.
    pub(crate) catching_up_to: Sequence,
    /// The change of presence it stands at.
    pub(crate) presence_change: u64,
    pub(crate) incoming: Incoming,
    /// What the socket did not take yet.
    #[expect(clippy::box_collection, reason = "a third of a vector's size while there is none, as mostly")]
    unwritten: Option<Box<Vec<u8>>>,
    pub(crate) outbox: Option<Box<Outbox>>,
}

/// Where a client is with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has none, and none is wanted yet.
    Waiting,
    /// It waits its turn to connect.
    Queued,
    /// A connection is being made.
    Connecting,
    /// The upgrade is asked for.
    Upgrading,
    /// Hello is said.
    Greeting,
    /// In a session.
    Open,
    /// It said goodbye.
    Leaving,
    /// It stays away for good.
    Gone,
}

impl Client {
    pub(crate) fn new(plan: ClientPlan) -> Self {
        Self {
            stream: None,
            phase: Phase::Waiting,
            codec: plan.codec(),
            status: Status::Active,
            sends: plan.sends,
            is_slow: plan.is_slow,
            is_stalled: false,
            is_ready: false,
            has_resumed: false,
            has_forged: false,
            last_ending: None,
            was_slow: false,
            was_open: false,
            failures: 0,
            generation: 0,
            user: plan.user,
            number: plan.number,
            position: None,
            since: Moment::default(),
            began_at: Moment::default(),
            lost_at: Moment::default(),
            back_at: Moment::default(),
            heard_at: Moment::default(),
            catching_up_to: Sequence::ZERO,
            presence_change: 0,
            incoming: Incoming::default(),
            unwritten: None,
            outbox: None,
        }
    }

    /// Puts bytes on the socket, behind those that wait; says how many went out at once.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.extend_from_slice(bytes);
            return Ok(0);
        }
        let written = write_some(stream, bytes)?;
        if written < bytes.len() {
            self.unwritten = Some(Box::new(bytes[written..].to_vec()));
        }
        Ok(written)
    }

    /// The socket takes more: writes what waits.
    pub(crate) fn flush(&mut self) -> io::Result<usize> {
        let (Some(stream), Some(unwritten)) = (&mut self.stream, &mut self.unwritten) else { return Ok(0) };
        let written = write_some(stream, unwritten)?;
        if written == unwritten.len() {
            self.unwritten = None;
        } else {
            unwritten.drain(..written);
        }
        Ok(written)
    }

    /// Whether the socket takes no more for now.
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Whether it is between the beginning of a connect and its welcome.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Upgrading | Phase::Greeting)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Lets go of the connection and all that hung on it.
    pub(crate) fn disconnect(&mut self, now: Moment) -> Option<TcpStream> {
        self.generation = self.generation.wrapping_add(1);
        self.phase = Phase::Waiting;
        self.since = now;
        self.is_stalled = false;
        (self.has_resumed, self.has_forged) = (false, false);
        self.catching_up_to = Sequence::ZERO;
        self.presence_change = 0;
        self.incoming = Incoming::default();
        self.unwritten = None;
        if let Some(outbox) = &mut self.outbox {
            outbox.pause();
        }
        self.stream.take()
    }
}

/// Writes until all is written or the socket takes no more.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Of the 2 KiB that a client may cost, most are for what it does: what it has not yet been audited for, the
/// events in the window, the rest of a frame.
const _: () = assert!(size_of::<Client>() <= 256);
