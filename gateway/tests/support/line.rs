//! A WebSocket to the gateway, below sessions: for hellos, and for what no client should say.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use squall_protocol::client_message::ClientMessage;
use squall_protocol::server_message::{ErrorCode, ServerMessage};
use squall_protocol::{CloseCode, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::within;

/// What came over a line.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message of the protocol.
    Message(ServerMessage),
    /// A close frame, with its code and reason.
    Closed(u16, String),
    /// The connection ended without one.
    Broken,
}

/// An open WebSocket.
pub(crate) struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    /// Opens one with our subprotocol.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        within("the upgrade", Self::try_open(address, None)).await.expect("the upgrade is accepted")
    }

    /// Opens one that can hold little unread: the kernel's buffer takes about `receive_bytes`.
    pub(crate) async fn open_narrow(address: SocketAddr, receive_bytes: u32) -> Self {
        within("the upgrade", Self::try_open(address, Some(receive_bytes)))
            .await
            .expect("the upgrade is accepted")
    }

    /// Opens one, or says why not: for a server that may be away.
    pub(crate) async fn try_open(
        address: SocketAddr,
        receive_bytes: Option<u32>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let tcp = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_bytes {
            tcp.set_recv_buffer_size(bytes)?;
        }
        let tcp = tcp.connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut request = format!("ws://{address}/ws").into_client_request()?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(json::SUBPROTOCOL));
        let (socket, response) = tokio_tungstenite::client_async(request, tcp).await?;
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], json::SUBPROTOCOL, "the server echoes it");
        Ok(Self { socket })
    }

    /// Says something of the protocol; false when the connection is gone.
    pub(crate) async fn say(&mut self, message: &ClientMessage) -> bool {
        let text = String::from_utf8(json::encode_client(message).to_vec()).expect("JSON is UTF-8");
        self.say_text(text).await
    }

    /// Says any text; false when the connection is gone.
    pub(crate) async fn say_text(&mut self, text: impl Into<String>) -> bool {
        self.socket.send(Message::text(text.into())).await.is_ok()
    }

    /// Sends one whole frame with any payload.
    pub(crate) async fn say_frame(&mut self, data: Data, payload: impl Into<Vec<u8>>) {
        let frame = Frame::message(payload.into(), OpCode::Data(data), true);
        self.socket.send(Message::Frame(frame)).await.expect("the connection is open");
    }

    /// The next thing that came; not bounded in time.
    pub(crate) async fn receive(&mut self) -> Received {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message =
                        json::decode_server(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
                    return Received::Message(message);
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Received::Closed(close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => panic!("the server sent a binary frame"),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Received::Broken,
            }
        }
    }

    /// Waits for an `error` with this code, as the next message.
    pub(crate) async fn expect_error(&mut self, expected: ErrorCode) {
        match within("an error", self.receive()).await {
            Received::Message(ServerMessage::Error { code, .. }) => assert_eq!(code, expected),
            other => panic!("expected the error {expected:?}, not {other:?}"),
        }
    }

    /// Waits for the close frame, past any message before it, and compares its code and reason.
    pub(crate) async fn assert_closed(&mut self, expected: CloseCode) {
        loop {
            match within("a close frame", self.receive()).await {
                Received::Message(_) => {}
                Received::Closed(code, reason) => {
                    assert_eq!((code, reason.as_str()), (expected.number(), expected.reason()));
                    return;
                }
                Received::Broken => panic!("broken off without {expected:?}"),
            }
        }
    }
}
