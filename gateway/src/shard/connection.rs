//! One accepted socket, from its first byte on.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use squall_hub::Session;
use squall_protocol::client_message::{Hello, Status};
use squall_protocol::{CloseCode, Codec, Position, Sequence};

use super::inbound::Inbound;
use super::input::Load;
use crate::registry::Registration;

/// A socket and what its peer is so far.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    pub(crate) generation: u32,
    /// How its messages are written.
    pub(crate) codec: Codec,
    pub(crate) inbound: Inbound,
    /// Nearly always none.
    outbox: Option<Box<Outbox>>,
    pub(crate) peer: Peer,
    /// The socket may have more to read than was read.
    pub(crate) readable: bool,
    /// The peer's end of the stream was told of: it is read up to it.
    pub(crate) ending: bool,
    /// It has a place among those to be read, or caught up: one is enough, however often it is told ready.
    pub(crate) queued_to_read: bool,
    pub(crate) queued_to_catch_up: bool,
    pub(crate) load: Load,
}

/// What the kernel did not take: the rest of a frame, and control frames behind it. Events are never here: they
/// wait in the ring.
#[derive(Default)]
struct Outbox(Vec<u8>);

/// How far a peer got.
pub(crate) enum Peer {
    /// It owes a request: so far it is no WebSocket.
    Asking,
    /// It owes a hello.
    Greeting,
    /// The writer is asked whose token it was.
    Identifying(Box<Hello>),
    /// It waits for its realm.
    Joining(Box<Joining>),
    /// It is in its realm.
    Open(Box<Open>),
    /// It was told that the connection ends; only its own close is waited for.
    Closing,
}

/// An identified peer before its welcome.
pub(crate) struct Joining {
    pub(crate) session: Session,
    pub(crate) position: Option<Position>,
    pub(crate) presence: Status,
    pub(crate) registration: Registration,
    /// The keepers are asked whether the log's head is beyond this; once is enough.
    pub(crate) asked_of_head: Option<Sequence>,
}

/// A peer with an open session.
pub(crate) struct Open {
    pub(crate) session: Session,
    /// The session's place among its user's.
    pub(crate) _registration: Registration,
    /// It resumes, and the log has not been asked yet whether its position is of this history.
    pub(crate) unproven: Option<Box<Position>>,
    /// The log's sequence it was last told as its position.
    pub(crate) told: Sequence,
    /// What its device said of its user last.
    pub(crate) status: Status,
    /// The presence change it stands at; none before its snapshot, or if it wants none.
    pub(crate) presence_at: Option<u64>,
}

/// What became of bytes offered to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// The kernel took them.
    All,
    /// The kernel took so many of them, maybe none; it takes more when the socket is writable.
    Part(usize),
    /// The connection is gone.
    Dead,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadBytes {
    /// So many bytes, and maybe more.
    Some(usize),
    /// Nothing now.
    Nothing,
    /// The peer is gone.
    End,
}

/// Control frames that may wait for a slow socket; more end the connection.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;

impl Connection {
    pub(crate) fn new(socket: TcpStream, generation: u32, load: Load) -> Self {
        Self {
            socket,
            generation,
            codec: Codec::default(),
            inbound: Inbound::default(),
            outbox: None,
            peer: Peer::Asking,
            readable: true,
            ending: false,
            queued_to_read: false,
            queued_to_catch_up: false,
            load,
        }
    }

    /// Whether everything said so far is with the kernel.
    pub(crate) fn is_clear(&self) -> bool {
        self.outbox.is_none()
    }

    /// The open session, if there is one.
    pub(crate) fn open(&mut self) -> Option<&mut Open> {
        match &mut self.peer {
            Peer::Open(open) => Some(open),
            Peer::Asking | Peer::Greeting | Peer::Identifying(_) | Peer::Joining(_) | Peer::Closing => None,
        }
    }

    /// The session of an open peer.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.peer {
            Peer::Open(open) => Some(&open.session),
            Peer::Asking | Peer::Greeting | Peer::Identifying(_) | Peer::Joining(_) | Peer::Closing => None,
        }
    }

    /// Offers whole frames to the kernel; nothing of them is kept. A socket that is not clear takes nothing.
    pub(crate) fn offer(&mut self, frames: &[u8]) -> Offered {
        if !self.is_clear() {
            return Offered::Part(0);
        }
        match uninterrupted(|| self.socket.write(frames)) {
            Ok(taken) if taken == frames.len() => Offered::All,
            Ok(taken) => Offered::Part(taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Offered::Part(0),
            Err(_) => Offered::Dead,
        }
    }

    /// Keeps the rest of a frame that the kernel took the beginning of.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.outbox.get_or_insert_default().0.extend_from_slice(rest);
        }
    }

    /// Says a control frame: it always passes, behind what waits already. An error if too much waits.
    pub(crate) fn say(&mut self, frame: &[u8]) -> Result<(), CloseCode> {
        match self.offer(frame) {
            Offered::All => return Ok(()),
            Offered::Part(taken) => self.keep(&frame[taken..]),
            Offered::Dead => return Ok(()),
        }
        let waiting = self.outbox.as_ref().map_or(0, |outbox| outbox.0.len());
        if waiting > OUTBOX_BYTES_MAX { Err(CloseCode::SlowConsumer) } else { Ok(()) }
    }

    /// Tries again what waits.
    pub(crate) fn flush(&mut self) -> Offered {
        while let Some(outbox) = &mut self.outbox {
            match uninterrupted(|| self.socket.write(&outbox.0)) {
                // A socket that was slow once does not keep the room for it.
                Ok(taken) if taken == outbox.0.len() => self.outbox = None,
                Ok(taken) => drop(outbox.0.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Offered::Part(0),
                Err(_) => return Offered::Dead,
            }
        }
        Offered::All
    }

    /// Reads what is there into `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadBytes {
        match uninterrupted(|| self.socket.read(buffer)) {
            Ok(0) => ReadBytes::End,
            Ok(read) => {
                // A short read has emptied the socket, and more is told anew, unless it was told already.
                self.readable = read == buffer.len() || self.ending;
                ReadBytes::Some(read)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                ReadBytes::Nothing
            }
            Err(_) => ReadBytes::End,
        }
    }
}

/// A signal in the middle is no readiness: nothing would tell of it again.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A close frame (RFC 6455, 5.5.1).
pub(crate) fn close_frame(code: CloseCode) -> Vec<u8> {
    let reason = code.reason().as_bytes();
    let mut frame = vec![0x88, (2 + reason.len()) as u8];
    frame.extend(code.number().to_be_bytes());
    frame.extend(reason);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each session takes in its shard, besides its entries in maps and queues: docs/performance.md counts
    /// with it.
    #[test]
    fn a_connection_and_its_session_stay_small() {
        // mio keeps a check of its own in a debug build.
        let check = (size_of::<TcpStream>() - size_of::<std::net::TcpStream>()).next_multiple_of(8);
        assert!(size_of::<slab_entry>() <= 88 + check, "{}", size_of::<slab_entry>());
        assert!(size_of::<Open>() <= 104, "{}", size_of::<Open>());
        assert_eq!(size_of::<Inbound>(), 8, "nothing while between messages");
    }

    #[expect(non_camel_case_types, reason = "it is not ours: slab keeps it to itself")]
    #[allow(dead_code, reason = "its size is what matters")]
    enum slab_entry {
        Vacant(usize),
        Occupied(Connection),
    }
}
