//! A gateway that a test plays: it says what it is told to say.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use squall_protocol::client::Config;
use squall_protocol::client_message::{ClientMessage, Hello};
use squall_protocol::event::Message as Said;
use squall_protocol::server_message::{ServerMessage, Welcome};
use squall_protocol::{
    CloseCode, Codec, Destination, Epoch, Event, Mark, MessageId, Position, RealmId, SendId, Sequence,
    SessionId, StreamId, UserId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::within;

/// A listener on which sessions are played.
pub(crate) struct Gateway {
    listener: TcpListener,
}

/// The gateway's end of a connection.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    codec: Codec,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self { listener: socket.listen(16).unwrap() }
    }

    /// Closes the listener and tells where it was.
    pub(crate) fn stop(self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(format!("ws://{}/ws", self.listener.local_addr().unwrap()), "key")
    }

    /// Accepts a client that asks for `codec`, and takes its hello.
    pub(crate) async fn accept(&self, codec: Codec) -> (Peer, Hello) {
        let (tcp, _) = within("a connection", self.listener.accept()).await.unwrap();
        #[expect(clippy::result_large_err, reason = "the handshake's own type")]
        let echo = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/ws");
            assert_eq!(request.headers()[SEC_WEBSOCKET_PROTOCOL], codec.subprotocol());
            let subprotocol = HeaderValue::from_static(codec.subprotocol());
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(tcp, echo).await.unwrap();
        let mut peer = Peer { socket, codec };
        let ClientMessage::Hello(hello) = peer.hear().await else { panic!("hello comes first") };
        (peer, hello)
    }

    /// Accepts a client and opens a session at sequence 42.
    pub(crate) async fn session(&self, codec: Codec) -> Peer {
        let (mut peer, _) = self.accept(codec).await;
        peer.welcome(position(42)).await;
        peer
    }

    /// Answers a request by other bytes.
    pub(crate) async fn answer(&self, response: &str) {
        let (mut tcp, _) = within("a connection", self.listener.accept()).await.unwrap();
        let mut request = [0; 1024];
        assert!(tcp.read(&mut request).await.unwrap() > 0);
        tcp.write_all(response.as_bytes()).await.unwrap();
    }
}

impl Peer {
    /// Says something; a client that has gone is found out by reading.
    pub(crate) async fn say(&mut self, message: &ServerMessage) {
        let bytes = self.codec.encode_server(message);
        let frame = if self.codec.is_text() {
            Message::text(String::from_utf8(bytes.to_vec()).unwrap())
        } else {
            Message::binary(bytes)
        };
        let _ = self.socket.send(frame).await;
    }

    pub(crate) async fn welcome(&mut self, position: Position) {
        self.say(&ServerMessage::Welcome(Box::new(welcome(position)))).await;
    }

    /// The client's next message.
    pub(crate) async fn hear(&mut self) -> ClientMessage {
        match within("a message", self.socket.next()).await {
            Some(Ok(frame @ (Message::Text(_) | Message::Binary(_)))) => {
                assert_eq!(frame.is_text(), self.codec.is_text());
                self.codec.decode_client(&frame.into_data()).unwrap()
            }
            other => panic!("expected a message, not {other:?}"),
        }
    }

    /// The code of the client's close frame, past any message before it.
    pub(crate) async fn hear_close(&mut self) -> u16 {
        loop {
            match within("a close frame", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    // Reading on sends the answer.
                    while let Some(Ok(_)) = self.socket.next().await {}
                    return frame.code.into();
                }
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, not {other:?}"),
            }
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code: code.number().into(), reason: code.reason().into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

pub(crate) fn position(sequence: u64) -> Position {
    Position { epoch: Epoch(5511), sequence: Sequence(sequence), mark: Mark(7) }
}

/// A message of somebody else.
pub(crate) fn event(sequence: u64) -> ServerMessage {
    let said = Said {
        message_id: MessageId(900 + sequence),
        sender_id: UserId(4),
        timestamp: 1_763_818_162,
        to: Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() },
        content: "Soup?".into(),
        send_id: SendId::parse("9f").unwrap(),
    };
    ServerMessage::Event { sequence: Sequence(sequence), mark: Mark(7), event: Event::Message(said) }
}

fn welcome(position: Position) -> Welcome {
    Welcome {
        session_id: SessionId(17),
        realm_id: RealmId(1),
        user_id: UserId(3),
        position,
        api: "http://chat.example/api/v1".into(),
        time_ms: 1_763_818_162_000,
        heartbeat_ms: 25_000,
        timeout_ms: 10_000,
        resume_window_s: 86_400,
        presence_error_max_ms: 55_000,
        frame_bytes_max: 65_536,
        content_chars_max: 10_000,
        sends_in_flight_max: 256,
    }
}
