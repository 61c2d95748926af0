//! The opening handshake (RFC 6455, 4.2): which requests become a WebSocket.

use std::fmt;

use hyper::header::{
    CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING,
};
use hyper::{HeaderMap, Request, Response, StatusCode};
use squall_protocol::Codec;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

/// Why a request becomes no WebSocket.
#[derive(Debug)]
pub(crate) enum UpgradeError {
    /// A page of an origin that nobody allowed asks.
    ForeignOrigin,
    /// It offers no subprotocol that is spoken here.
    UnknownSubprotocol,
    /// It is no handshake.
    Handshake(Error),
}

/// What the bytes that a connection begins with are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The beginning of a request.
    Partial,
    /// A request that becomes a WebSocket, with the answer to it.
    Upgrade {
        codec: Codec,
        answer: Vec<u8>,
        /// How long the request is; what follows belongs to the WebSocket.
        bytes: usize,
    },
    /// Something else, a handshake that is refused among it: to be served as HTTP.
    Other,
}

/// Where a WebSocket is.
pub(crate) const PATH: &str = "/ws";

/// The longest head of a request; a longer one is refused with 431.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request that is looked at here; one with more is served as HTTP.
const HEADERS_MAX: usize = 64;

/// Looks whether a connection begins with a handshake that is accepted. This is [`accept`] for the usual case,
/// in which a connection's only request is its upgrade: it then takes no task and no buffers.
pub(crate) fn read(bytes: &[u8], allow_origin: &[String]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(_) => return Head::Other,
    };
    let is_plain = head.method == Some("GET") && head.version == Some(1) && head.path.is_some_and(is_for_us);
    let Some(request) = is_plain.then(|| request(head.headers)).flatten() else { return Head::Other };
    let is_long = length > HEAD_BYTES_MAX;
    let has_body =
        [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
    match accept(&request, allow_origin) {
        Ok((codec, response)) if !is_long && !has_body => {
            Head::Upgrade { codec, answer: text(&response), bytes: length }
        }
        Ok(_) | Err(_) => Head::Other,
    }
}

fn is_for_us(target: &str) -> bool {
    target.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}

fn request(headers: &[httparse::Header<'_>]) -> Option<Request<()>> {
    let mut request = Request::new(());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(request)
}

/// A response as it is on the wire.
fn text(response: &Response<()>) -> Vec<u8> {
    let mut text = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    for (name, value) in response.headers() {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    text
}

/// The codec to speak, and the answer that turns a connection into a WebSocket. A page may ask from this server's own address or from
/// an origin in `allow_origin`.
pub(crate) fn accept<B>(
    request: &Request<B>,
    allow_origin: &[String],
) -> Result<(Codec, Response<()>), UpgradeError> {
    let headers = request.headers();
    if !is_known_origin(headers, allow_origin) {
        return Err(UpgradeError::ForeignOrigin);
    }
    let codec = offered(headers).ok_or(UpgradeError::UnknownSubprotocol)?;
    let mut response = create_response_with_body(request, || ()).map_err(UpgradeError::Handshake)?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol()));
    Ok((codec, response))
}

/// What is no page sends no origin.
fn is_known_origin(headers: &HeaderMap, allow_origin: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, rest)| rest);
    own.is_some() && own == host || allow_origin.iter().any(|allowed| allowed == origin)
}

/// The first codec offered that is spoken here: the client's order is its preference.
fn offered(headers: &HeaderMap) -> Option<Codec> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|list| list.to_str().ok());
    let mut names = lists.flat_map(|list| list.split(',')).map(str::trim);
    names.find_map(Codec::of)
}

impl UpgradeError {
    /// The status of its answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UnknownSubprotocol | Self::Handshake(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignOrigin => f.write_str("pages of this origin may not connect: see --allow-origin"),
            Self::UnknownSubprotocol => {
                f.write_str("ask for the subprotocol squall.v1.json or squall.v1.bincode")
            }
            Self::Handshake(error) => write!(f, "no WebSocket upgrade: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A good handshake with these headers besides, in place of its own of the same name.
    fn request(headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        let good = [
            ("host", "chat.example"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "squall.v1.json"),
        ];
        for (name, value) in good.iter().chain(headers) {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    fn refusal(headers: &[(&'static str, &str)]) -> (u16, String) {
        let error = accept(&request(headers), &[]).unwrap_err();
        (error.status().as_u16(), error.to_string())
    }

    #[test]
    fn a_handshake_is_answered_with_the_key_and_the_subprotocol() {
        let (codec, response) = accept(&request(&[]), &[]).unwrap();
        assert_eq!(codec, Codec::Json);
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "squall.v1.json");
    }

    #[test]
    fn a_page_connects_from_its_own_server_or_an_origin_that_was_allowed() {
        let allowed = ["https://app.example".to_owned()];
        for (origin, passes) in [
            ("http://chat.example", true),
            ("https://chat.example", true),
            ("https://app.example", true),
            ("https://evil.example", false),
            ("https://chat.example.evil.example", false),
            ("https://app.example:8443", false),
            ("chat.example", false),
            ("null", false),
            ("", false),
        ] {
            let answer = accept(&request(&[("origin", origin)]), &allowed);
            assert_eq!(answer.is_ok(), passes, "{origin:?}");
        }
        assert_eq!(refusal(&[("origin", "https://evil.example")]).0, 403);
    }

    #[test]
    fn an_origin_that_is_no_text_is_foreign() {
        let mut request = request(&[]);
        request.headers_mut().insert(ORIGIN, HeaderValue::from_bytes(b"http://chat.example\xFF").unwrap());
        assert!(matches!(accept(&request, &[]), Err(UpgradeError::ForeignOrigin)));
    }

    #[test]
    fn a_subprotocol_is_found_among_others_and_in_several_headers() {
        for list in ["chat, squall.v1.json", "squall.v1.json,chat", " squall.v1.json "] {
            assert!(accept(&request(&[("sec-websocket-protocol", list)]), &[]).is_ok(), "{list:?}");
        }
        let mut twice = request(&[("sec-websocket-protocol", "chat")]);
        twice.headers_mut().append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("squall.v1.json"));
        assert!(accept(&twice, &[]).is_ok());
        for list in ["", "chat", "squall.v1.json2", "SQUALL.V1.JSON", "squall.v1.json chat"] {
            assert_eq!(refusal(&[("sec-websocket-protocol", list)]).0, 400, "{list:?}");
        }
    }

    #[test]
    fn the_first_known_subprotocol_is_taken() {
        let both = "chat, squall.v1.bincode, squall.v1.json";
        let (codec, response) = accept(&request(&[("sec-websocket-protocol", both)]), &[]).unwrap();
        assert_eq!(codec, Codec::Bincode);
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "squall.v1.bincode");
    }

    #[test]
    fn what_is_no_handshake_is_told_why() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
        ] {
            let (status, words) = refusal(&[(name, value)]);
            assert_eq!(status, 400, "{name}");
            assert!(words.starts_with("no WebSocket upgrade: "), "{name}: {words}");
        }
        let mut post = request(&[]);
        *post.method_mut() = hyper::Method::POST;
        assert!(matches!(accept(&post, &[]), Err(UpgradeError::Handshake(_))));
    }

    const ASKED: &str = "GET /ws HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: squall.v1.json\r\n\r\n";

    #[test]
    fn a_plain_handshake_is_answered_at_once_and_a_begun_one_waited_for() {
        let bytes = [ASKED.as_bytes(), b"frames"].concat();
        let Head::Upgrade { codec, bytes: length, .. } = read(&bytes, &[]) else { panic!() };
        assert_eq!((codec, length), (Codec::Json, ASKED.len()));
        assert!((0..length).all(|cut| read(&bytes[..cut], &[]) == Head::Partial));
        assert!(matches!(read(ASKED.replace("/ws", "/ws?x=1").as_bytes(), &[]), Head::Upgrade { .. }));
    }

    #[test]
    fn whatever_else_a_connection_begins_with_is_left_to_http() {
        for (what, text) in [
            ("no HTTP", "\u{1}\u{2}\r\n\r\n".to_owned()),
            ("another path", ASKED.replace("/ws", "/wsx")),
            ("the page", ASKED.replace("/ws", "/")),
            ("another method", ASKED.replace("GET", "POST")),
            ("an old version", ASKED.replace("1.1", "1.0")),
            ("no key", ASKED.replace("Sec-WebSocket-Key", "X-Key")),
            ("an unknown subprotocol", ASKED.replace("squall.v1.json", "chat")),
            ("a body", ASKED.replace("Host", "Content-Length: 3\r\nHost")),
            ("many headers", ASKED.replace("Host", &("A: b\r\n".repeat(HEADERS_MAX) + "Host"))),
            ("a long head", ASKED.replace("Host", &format!("A: {}\r\nHost", "b".repeat(HEAD_BYTES_MAX)))),
            ("a foreign page", ASKED.replace("Host:", "Origin: https://evil.example\r\nHost:")),
        ] {
            assert_eq!(read(text.as_bytes(), &[]), Head::Other, "{what}");
        }
    }
}
