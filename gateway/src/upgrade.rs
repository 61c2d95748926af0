//! The opening handshake (RFC 6455, 4.2): which requests become a WebSocket.

use std::fmt;

use hyper::header::{HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
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
}
