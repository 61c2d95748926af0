//! The opening handshake (RFC 6455, 4.2): which requests become a WebSocket.

use std::fmt;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use squall_protocol::Codec;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A handshake that is accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// What is spoken.
    pub(crate) codec: Codec,
    /// The answer to the request's key.
    accept_key: String,
}

/// Why a request becomes no WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UpgradeError {
    /// A page of an origin that nobody allowed asks.
    ForeignOrigin,
    /// It offers no subprotocol that is spoken here.
    UnknownSubprotocol,
    /// It is no handshake: what it lacks.
    Handshake(&'static str),
}

/// What the bytes that a connection begins with are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The beginning of a request.
    Partial,
    /// A handshake that is accepted, so many bytes long; what follows belongs to the WebSocket.
    Upgrade(Upgrade, usize),
    /// Something else, a handshake that is refused among it: to be served as HTTP.
    Other,
}

/// What a handshake's headers say; of one that is there several times the first counts, but for subprotocols.
#[derive(Default)]
struct Offer<'a> {
    host: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    connection: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    /// The first offered that is spoken here: the client's order is its preference.
    codec: Option<Codec>,
    has_body: bool,
}

/// Where a WebSocket is.
pub(crate) const PATH: &str = "/ws";

/// The longest head of a request; a longer one is refused with 431.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request that is looked at here; one with more is served as HTTP.
const HEADERS_MAX: usize = 64;

/// Whether a request becomes a WebSocket. A page may ask from this server's own address or from an origin in
/// `allow_origin`.
pub(crate) fn accept<B>(request: &Request<B>, allow_origin: &[String]) -> Result<Upgrade, UpgradeError> {
    let headers = request.headers().iter();
    let offer = Offer::of(headers.map(|(name, value)| (name.as_str(), value.as_bytes())));
    offer.judge(allow_origin)?;
    if request.method() != Method::GET {
        return Err(UpgradeError::Handshake("only GET becomes one"));
    }
    if request.version() < Version::HTTP_11 {
        return Err(UpgradeError::Handshake("HTTP version must be 1.1 or higher"));
    }
    offer.accept()
}

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
    let offer = Offer::of(head.headers.iter().map(|header| (header.name, header.value)));
    if !is_plain || offer.has_body || length > HEAD_BYTES_MAX || offer.judge(allow_origin).is_err() {
        return Head::Other;
    }
    offer.accept().map_or(Head::Other, |upgrade| Head::Upgrade(upgrade, length))
}

fn is_for_us(target: &str) -> bool {
    target.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}

impl<'a> Offer<'a> {
    fn of(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut offer = Self::default();
        for (name, value) in headers {
            let is = |known: &HeaderName| name.eq_ignore_ascii_case(known.as_str());
            if is(&HOST) {
                offer.host.get_or_insert(value);
            } else if is(&ORIGIN) {
                offer.origin.get_or_insert(value);
            } else if is(&CONNECTION) {
                offer.connection.get_or_insert(value);
            } else if is(&UPGRADE) {
                offer.upgrade.get_or_insert(value);
            } else if is(&SEC_WEBSOCKET_VERSION) {
                offer.version.get_or_insert(value);
            } else if is(&SEC_WEBSOCKET_KEY) {
                offer.key.get_or_insert(value);
            } else if is(&SEC_WEBSOCKET_PROTOCOL) {
                offer.codec = offer.codec.or_else(|| spoken(value));
            } else if is(&CONTENT_LENGTH) || is(&TRANSFER_ENCODING) {
                offer.has_body = true;
            }
        }
        offer
    }

    /// Whether this client may speak here.
    fn judge(&self, allow_origin: &[String]) -> Result<(), UpgradeError> {
        if !self.is_known_origin(allow_origin) {
            return Err(UpgradeError::ForeignOrigin);
        }
        self.codec.map(drop).ok_or(UpgradeError::UnknownSubprotocol)
    }

    fn accept(&self) -> Result<Upgrade, UpgradeError> {
        let is = |value: Option<&[u8]>, word: &str| {
            value.is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()))
        };
        let lacks = |what| Err(UpgradeError::Handshake(what));
        let connection = self.connection.and_then(text).unwrap_or_default();
        if !connection.split([' ', ',']).any(|word| word.eq_ignore_ascii_case("upgrade")) {
            return lacks("no \"Connection: upgrade\" header");
        }
        if !is(self.upgrade, "websocket") {
            return lacks("no \"Upgrade: websocket\" header");
        }
        if !is(self.version, "13") {
            return lacks("no \"Sec-WebSocket-Version: 13\" header");
        }
        match (self.key, self.codec) {
            (Some(key), Some(codec)) if is_key(key) => {
                Ok(Upgrade { codec, accept_key: derive_accept_key(key) })
            }
            (Some(_), _) => lacks("invalid \"Sec-WebSocket-Key\" header"),
            (None, _) => lacks("no \"Sec-WebSocket-Key\" header"),
        }
    }

    /// What is no page sends no origin.
    fn is_known_origin(&self, allow_origin: &[String]) -> bool {
        let Some(origin) = self.origin else { return true };
        let Some(origin) = text(origin) else { return false };
        let own = origin.split_once("://").map(|(_, rest)| rest);
        own.is_some() && own == self.host.and_then(text)
            || allow_origin.iter().any(|allowed| allowed == origin)
    }
}

/// The first of a list of subprotocols that is spoken here.
fn spoken(list: &[u8]) -> Option<Codec> {
    text(list)?.split(',').map(str::trim).find_map(Codec::of)
}

/// A header's value as text: visible ASCII, spaces and tabs.
fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

/// Whether these are 16 bytes in Base64.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // The last digit before the padding has two bits of the 16th byte; the rest of it is zero.
    matches!(key, [digits @ .., b'A' | b'Q' | b'g' | b'w', b'=', b'='] if digits.len() == 21 && digits.iter().all(is_digit))
}

impl Upgrade {
    /// The answer that turns the connection into a WebSocket.
    pub(crate) fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(key) = HeaderValue::from_str(&self.accept_key) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, key);
        }
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.codec.subprotocol()));
        response
    }

    /// The same as it is on the wire.
    pub(crate) fn answer(&self) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            self.accept_key,
            self.codec.subprotocol()
        )
    }
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
            Self::Handshake(lack) => write!(f, "no WebSocket upgrade: {lack}"),
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
        let upgrade = accept(&request(&[]), &[]).unwrap();
        assert_eq!(upgrade.codec, Codec::Json);
        let response = upgrade.response();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "squall.v1.json");
        let answer = upgrade.answer().to_lowercase();
        let lines = answer.strip_prefix("http/1.1 101 switching protocols\r\n").unwrap();
        let lines = lines.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        let said: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(said.len(), response.headers().len(), "{answer}");
        for (name, value) in said {
            assert_eq!(response.headers()[name].to_str().unwrap().to_lowercase(), value);
        }
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
        let upgrade = accept(&request(&[("sec-websocket-protocol", both)]), &[]).unwrap();
        assert_eq!(upgrade.codec, Codec::Bincode);
        assert_eq!(upgrade.response().headers()[SEC_WEBSOCKET_PROTOCOL], "squall.v1.bincode");
    }

    #[test]
    fn what_is_no_handshake_is_told_why() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR=="),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQQQ"),
            ("sec-websocket-key", "dGhlIHNhbXBsZ SBub25jQ=="),
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
        let Head::Upgrade(upgrade, length) = read(&bytes, &[]) else { panic!() };
        assert_eq!((upgrade.codec, length), (Codec::Json, ASKED.len()));
        assert!((0..length).all(|cut| read(&bytes[..cut], &[]) == Head::Partial));
        assert!(matches!(read(ASKED.replace("/ws", "/ws?x=1").as_bytes(), &[]), Head::Upgrade(..)));
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
