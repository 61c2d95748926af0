//! A WebSocket by hand, for frames that no client library makes.

use squall_protocol::Codec;
use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::server_message::ServerMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::Server;
use super::within;

const MASK: [u8; 4] = [0x5A, 0x01, 0xFE, 0x77];

/// A connection after its upgrade, as bytes.
pub(crate) struct RawPeer {
    tcp: TcpStream,
    codec: Codec,
}

impl RawPeer {
    /// Upgrades a connection, and says nothing yet.
    pub(crate) async fn open(server: &Server, codec: Codec) -> Self {
        let address = server.address();
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            codec.subprotocol()
        );
        let mut tcp = TcpStream::connect(address).await.expect("the server accepts");
        tcp.write_all(head.as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        within("the upgrade", async {
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(tcp.read_u8().await.expect("an answer"));
            }
        })
        .await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self { tcp, codec }
    }

    /// Upgrades a connection and opens a session on it.
    pub(crate) async fn welcomed(server: &Server, codec: Codec, token: &str) -> Self {
        let mut peer = Self::open(server, codec).await;
        let hello =
            Hello { token: token.to_owned(), position: None, presence: Status::Active, scope: Scope::None };
        peer.write(&peer.message(&ClientMessage::Hello(hello))).await;
        match peer.next_message().await {
            ServerMessage::Welcome(_) => peer,
            other => panic!("expected a welcome, not {other:?}"),
        }
    }

    /// The frame of a message of the protocol.
    pub(crate) fn message(&self, message: &ClientMessage) -> Vec<u8> {
        let first = if self.codec.is_text() { 0x81 } else { 0x82 };
        frame(first, &self.codec.encode_client(message))
    }

    /// Writes any bytes; what the server no longer takes is lost.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = within("the server's reading", self.tcp.write_all(bytes)).await;
    }

    /// The next message of the protocol.
    pub(crate) async fn next_message(&mut self) -> ServerMessage {
        loop {
            match self.next_frame().await {
                Some((1 | 2, payload)) => {
                    return self.codec.decode_server(&payload).expect("a message of the codec");
                }
                Some((9 | 10, _)) => {}
                other => panic!("expected a message, not {other:?}"),
            }
        }
    }

    /// Reads to the close frame: its code, and the errors told before it.
    pub(crate) async fn end(&mut self) -> (u16, Vec<ServerMessage>) {
        let mut errors = Vec::new();
        loop {
            match self.next_frame().await {
                Some((8, payload)) => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return (code.expect("a close frame has a code"), errors);
                }
                Some((1 | 2, payload)) => {
                    let message = self.codec.decode_server(&payload).expect("a message of the codec");
                    errors.extend(matches!(message, ServerMessage::Error { .. }).then_some(message));
                }
                Some(_) => {}
                None => panic!("broken off without a close frame"),
            }
        }
    }

    /// The next frame's opcode and payload; none at the end of the connection.
    async fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        within("a frame", async {
            let first = self.tcp.read_u8().await.ok()?;
            let length = match self.tcp.read_u8().await.ok()? {
                126 => u64::from(self.tcp.read_u16().await.ok()?),
                127 => self.tcp.read_u64().await.ok()?,
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).expect("a length that fits")];
            self.tcp.read_exact(&mut payload).await.ok()?;
            Some((first & 0x0F, payload))
        })
        .await
    }
}

/// A client's frame: `first` is the byte with the final bit, the reserved ones and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len(), 0x80);
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame as no client may send it: not masked.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len(), 0);
    frame.extend(payload);
    frame
}

fn head(first: u8, length: usize, masked: u8) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(masked | length as u8),
        126..65_536 => {
            head.push(masked | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(masked | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}
