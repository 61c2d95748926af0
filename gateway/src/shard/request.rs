//! The request that a connection begins with: mostly the upgrade to a WebSocket, which is done here; anything
//! else is served as HTTP.

use bytes::Bytes;
use squall_hub::roster::SessionKey;
use squall_protocol::Codec;

use super::Shard;
use super::connection::{Connection, Peer};
use crate::upgrade::{self, HEAD_BYTES_MAX, Head};

impl Shard {
    /// Takes the beginning of a connection, or more of it.
    pub(super) fn handle_request(&mut self, key: SessionKey, bytes: &[u8]) {
        let Some(connection) = self.connection(key) else { return };
        let mut held = connection.inbound.take_held();
        let begun = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        // Whoever asks while clients are being handed on is told so by HTTP.
        let head = if self.draining.is_some() {
            Head::Other
        } else {
            upgrade::read(begun, &self.node.config.allow_origin)
        };
        match head {
            Head::Upgrade(upgrade, bytes) => {
                self.say_bytes(key, upgrade.answer().as_bytes());
                self.begin_greeting(key, upgrade.codec);
                self.process(key, &begun[bytes..]);
            }
            Head::Partial if begun.len() < HEAD_BYTES_MAX => {
                if let Some(connection) = self.connection(key) {
                    connection.inbound.hold(begun);
                }
            }
            Head::Partial | Head::Other => self.serve_http(key, Bytes::copy_from_slice(begun)),
        }
    }

    /// The connection is a WebSocket from now on.
    pub(super) fn begin_greeting(&mut self, key: SessionKey, codec: Codec) {
        let now_ms = self.node.clock.now_ms();
        if let Some(connection) = self.connection(key) {
            connection.codec = codec;
            connection.peer = Peer::Greeting;
            self.hellos.set(key, now_ms);
        }
    }

    /// Gives the socket of a connection that is no WebSocket yet to HTTP, with what was read of it.
    pub(super) fn serve_http(&mut self, key: SessionKey, begun: Bytes) {
        if self.connection(key).is_none_or(|connection| !matches!(connection.peer, Peer::Asking)) {
            return;
        }
        let Connection { mut socket, load, .. } = self.connections.remove(key.slot as usize);
        let _ = self.readiness.registry().deregister(&mut socket);
        self.http.clone().serve(socket.into(), begun, load);
    }
}
