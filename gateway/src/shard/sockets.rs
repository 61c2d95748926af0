//! Sockets: taken in, polled, read.

use std::net::TcpStream;

use bytes::Bytes;
use mio::{Events, Interest, Token};
use squall_hub::roster::SessionKey;
use squall_protocol::Codec;

use super::connection::{Connection, Offered, Peer, ReadBytes};
use super::inbound::Incoming;
use super::input::Load;
use super::{READ_BUFFER_BYTES, Shard};

/// Reads of one socket in a row, so that one that floods does not keep the others waiting.
const READS_PER_TURN: usize = 4;

impl Shard {
    /// Takes in a socket that begins with a request.
    pub(super) fn handle_accepted(&mut self, socket: mio::net::TcpStream, load: Load) {
        let now_ms = self.node.clock.now_ms();
        if let Some(key) = self.take_in(socket, load) {
            self.requests.set(key, now_ms);
            self.queue_to_read(key);
        }
    }

    /// Takes in a socket after its upgrade, and the bytes that came behind the request.
    pub(super) fn handle_upgraded(&mut self, socket: TcpStream, codec: Codec, leftover: &Bytes, load: Load) {
        if let Some(key) = self.take_in(mio::net::TcpStream::from_std(socket), load) {
            self.begin_greeting(key, codec);
            self.process(key, leftover);
            self.queue_to_read(key);
        }
    }

    fn take_in(&mut self, mut socket: mio::net::TcpStream, load: Load) -> Option<SessionKey> {
        let slot = self.connections.vacant_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.readiness.registry().register(&mut socket, Token(slot), interest) {
            tracing::warn!(%error, "socket not taken in");
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        self.connections.insert(Connection::new(socket, self.generation, load));
        Some(SessionKey { slot: slot as u32, generation: self.generation })
    }

    /// Gives a connection its turn at being read.
    pub(super) fn queue_to_read(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        if !std::mem::replace(&mut connection.queued_to_read, true) {
            self.readable.push_back(key);
        }
    }

    pub(super) fn handle_readiness(&mut self, events: &Events) {
        for event in events {
            let Token(slot) = event.token();
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            let key = SessionKey { slot: slot as u32, generation: connection.generation };
            if event.is_error() || (event.is_read_closed() && event.is_write_closed()) {
                self.remove(key);
                continue;
            }
            if event.is_readable() || event.is_read_closed() {
                connection.readable = true;
                connection.ending |= event.is_read_closed();
                self.queue_to_read(key);
            }
            if event.is_writable() {
                self.handle_writable(key);
            }
        }
    }

    fn handle_writable(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        if connection.flush() == Offered::Dead {
            return self.remove(key);
        }
        self.shut_if_clear(key);
        self.queue_if_behind(key);
    }

    /// Reads what is there, for a few buffers; what is left is read in a later turn.
    pub(super) fn read(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        connection.queued_to_read = false;
        let mut buffer = std::mem::take(&mut self.read_buffer);
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connection(key) else { break };
            if !connection.readable || connection.is_waiting() {
                break;
            }
            match connection.read(&mut buffer) {
                ReadBytes::Some(read) => self.process(key, &buffer[..read]),
                ReadBytes::Nothing => break,
                ReadBytes::End => {
                    self.remove(key);
                    break;
                }
            }
        }
        debug_assert_eq!(buffer.len(), READ_BUFFER_BYTES);
        self.read_buffer = buffer;
        let more =
            self.connection(key).is_some_and(|connection| connection.readable && !connection.is_waiting());
        if more {
            self.queue_to_read(key);
        }
    }

    /// Takes the messages out of `bytes`, or the request before them. What comes while the shard waits for an answer about this peer is
    /// held back.
    pub(super) fn process(&mut self, key: SessionKey, mut bytes: &[u8]) {
        let mut replies = Vec::new();
        loop {
            let Some(connection) = self.connection(key) else { return };
            if connection.is_waiting() {
                connection.inbound.hold(bytes);
                break;
            }
            match connection.peer {
                Peer::Asking => return self.handle_request(key, bytes),
                Peer::Closing => return,
                Peer::Greeting | Peer::Identifying(_) | Peer::Joining(_) | Peer::Open(_) => {}
            }
            match connection.inbound.read(connection.codec, &mut bytes, &mut replies) {
                Incoming::Message(message) => self.handle_bytes(key, &message),
                Incoming::Drained => break,
                Incoming::Closed => {
                    self.say_bytes(key, &replies);
                    return self.part(key);
                }
                Incoming::Fault(code) => {
                    self.say_bytes(key, &replies);
                    return self.close(key, code);
                }
            }
        }
        if !replies.is_empty() {
            self.say_bytes(key, &replies);
        }
    }

    /// The peer said goodbye and was answered: only its end of the stream is waited for.
    fn part(&mut self, key: SessionKey) {
        let now_ms = self.node.clock.now_ms();
        self.leave(key);
        if let Some(connection) = self.connection(key) {
            connection.peer = Peer::Closing;
            self.lingering.set(key, now_ms);
            self.shut_if_clear(key);
        }
    }
}

impl Connection {
    /// Whether the shard waits for an answer about this peer: nothing more of it is read.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.peer, Peer::Identifying(_) | Peer::Joining(_))
    }
}
