//! How a WebSocket is opened.

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Result};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::codec::Codec;
use crate::limits::FRAME_OUT_BYTES_MAX;

use super::config::Endpoint;
use super::error::Cause;

/// An open WebSocket. With TLS, the stream below becomes an enum of both kinds.
pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket that speaks `codec`. Not bounded in time: the machine is.
pub(crate) async fn open(endpoint: Endpoint, codec: Codec) -> std::result::Result<Socket, Cause> {
    try_open(endpoint, codec).await.map_err(|error| cause(&error))
}

async fn try_open(endpoint: Endpoint, codec: Codec) -> Result<Socket> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    // A message is written whole: waiting for more to go with it would only delay it.
    tcp.set_nodelay(true)?;
    // TLS goes here: `endpoint` says whether, `tcp` is wrapped, and all that follows is as it is.
    let mut request = endpoint.uri.into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol()));
    let (socket, _) = client_async_with_config(request, tcp, Some(websocket_config())).await?;
    Ok(socket)
}

fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(FRAME_OUT_BYTES_MAX))
        .max_frame_size(Some(FRAME_OUT_BYTES_MAX))
}

/// Why a WebSocket failed, as a program can tell apart.
pub(crate) fn cause(error: &Error) -> Cause {
    match error {
        Error::Http(response) => Cause::Refused(response.status().as_u16()),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::Capacity(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::Utf8(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::HttpFormat(_) => Cause::Broken(error.to_string()),
    }
}

/// Larger messages are read in several turns.
const BUFFER_BYTES: usize = 16 * 1024;
