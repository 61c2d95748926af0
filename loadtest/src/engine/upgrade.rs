//! The opening handshake (RFC 6455, 4.1), by hand: the request, and whether its answer may be believed.

use std::net::SocketAddr;

use data_encoding::BASE64;
use sha1::{Digest, Sha1};
use squall_protocol::Codec;

/// The random part of a handshake. It is drawn anew from its seed when the answer is checked, so that a
/// connection need not keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its head is not whole yet.
    Partial,
    /// The connection is a WebSocket; what follows these bytes are frames.
    Open { head_bytes: usize },
    /// It is none.
    Refused { status: u16, retry_after_s: Option<u32> },
}

/// An answer that must not be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("the answer to the upgrade is no HTTP/1.1")]
    NotHttp,
    #[error("the head of the answer to the upgrade is longer than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error("the answer to the upgrade lacks `{0}`")]
    Missing(&'static str),
    #[error("the answer to the upgrade has `{name}: {value}`")]
    Wrong { name: &'static str, value: String },
}

impl Key {
    /// The key of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self(BASE64.encode(&random.u128(..).to_be_bytes()))
    }

    /// What a server answers that read this key.
    #[cfg(test)]
    pub(crate) fn accept_of(text: &str) -> String {
        Self(text.into()).accept()
    }

    /// What a server that read the key answers.
    fn accept(&self) -> String {
        let digest = Sha1::new().chain_update(self.0.as_bytes()).chain_update(MAGIC).finalize();
        BASE64.encode(&digest)
    }
}

/// Appends the request.
pub(crate) fn request(host: SocketAddr, path: &str, codec: Codec, key: &Key, out: &mut Vec<u8>) {
    let (key, subprotocol) = (&key.0, codec.subprotocol());
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
}

/// Reads the beginning of what the server answered.
pub(crate) fn answer(bytes: &[u8], codec: Codec, key: &Key) -> Result<Answer, UpgradeError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(UpgradeError::TooLong) } else { Ok(Answer::Partial) };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| UpgradeError::NotHttp)?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.ok_or(UpgradeError::NotHttp)?;
    let headers = Headers(headers);
    if status != 101 {
        let retry_after_s = headers.first("retry-after").and_then(|seconds| seconds.parse().ok());
        return Ok(Answer::Refused { status, retry_after_s });
    }
    headers.expect("upgrade", |value| value.eq_ignore_ascii_case("websocket"))?;
    headers.expect("connection", |value| {
        value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    })?;
    headers.expect("sec-websocket-accept", |value| value == key.accept())?;
    headers.expect("sec-websocket-protocol", |value| value == codec.subprotocol())?;
    headers.forbid("sec-websocket-extensions")?;
    Ok(Answer::Open { head_bytes: end + 4 })
}

struct Headers<'a>(&'a str);

impl Headers<'_> {
    fn first(&self, name: &str) -> Option<&str> {
        let fields = self.0.split("\r\n").filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    fn expect(&self, name: &'static str, is_right: impl Fn(&str) -> bool) -> Result<(), UpgradeError> {
        let value = self.first(name).ok_or(UpgradeError::Missing(name))?;
        if is_right(value) { Ok(()) } else { Err(UpgradeError::Wrong { name, value: value.into() }) }
    }

    /// What was not asked for.
    fn forbid(&self, name: &'static str) -> Result<(), UpgradeError> {
        let value = self.first(name).filter(|value| !value.is_empty());
        value.map_or(Ok(()), |value| Err(UpgradeError::Wrong { name, value: value.into() }))
    }
}

const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, 1.3.
    fn key() -> Key {
        Key("dGhlIHNhbXBsZSBub25jZQ==".into())
    }

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: squall.v1.json\r\n\r\n";

    fn read(text: &str) -> Result<Answer, UpgradeError> {
        answer(text.as_bytes(), Codec::Json, &key())
    }

    #[test]
    fn a_good_answer_opens_and_says_where_the_frames_begin() {
        let with_frames = [GOOD.as_bytes(), &[0x81, 0]].concat();
        assert_eq!(answer(&with_frames, Codec::Json, &key()), Ok(Answer::Open { head_bytes: GOOD.len() }));
    }

    #[test]
    fn any_beginning_of_an_answer_is_partial() {
        for end in 0..GOOD.len() {
            assert_eq!(read(&GOOD[..end]), Ok(Answer::Partial), "{end}");
        }
        assert_eq!(read(&"x".repeat(HEAD_BYTES_MAX + 1)), Err(UpgradeError::TooLong));
    }

    #[test]
    fn an_answer_that_is_not_right_in_one_thing_is_not_believed() {
        for (name, right, wrong) in [
            ("upgrade", "WebSocket", "h2c"),
            ("connection", "keep-alive, Upgrade", "close"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp="),
            ("sec-websocket-protocol", "squall.v1.json", "squall.v1.bincode"),
        ] {
            let text = GOOD.replace(right, wrong);
            assert_eq!(read(&text), Err(UpgradeError::Wrong { name, value: wrong.into() }));
            let line = |line: &&str| !line.to_ascii_lowercase().starts_with(name);
            let without: Vec<_> = GOOD.split("\r\n").filter(line).collect();
            assert_eq!(read(&without.join("\r\n")), Err(UpgradeError::Missing(name)));
        }
        let compressed = GOOD.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
        let (name, value) = ("sec-websocket-extensions", "permessage-deflate".into());
        assert_eq!(read(&compressed), Err(UpgradeError::Wrong { name, value }));
        assert_eq!(read("SSH-2.0-x\r\n\r\n"), Err(UpgradeError::NotHttp));
        assert_eq!(read("HTTP/1.1 1\r\n\r\n"), Err(UpgradeError::NotHttp));
        assert_eq!(answer(b"HTTP/1.1 101 \xFF\r\n\r\n", Codec::Json, &key()), Err(UpgradeError::NotHttp));
    }

    #[test]
    fn a_refusal_tells_its_status_and_when_to_come_back() {
        let full = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n";
        assert_eq!(read(full), Ok(Answer::Refused { status: 503, retry_after_s: Some(5) }));
        assert_eq!(
            read("HTTP/1.1 400 Bad Request\r\n\r\n"),
            Ok(Answer::Refused { status: 400, retry_after_s: None })
        );
    }

    #[test]
    fn a_request_asks_for_the_codec_and_keys_differ() {
        let mut out = Vec::new();
        request(([127, 0, 0, 1], 8470).into(), "/ws", Codec::Bincode, &Key::of(7), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8470\r\n") && text.ends_with("\r\n\r\n")
        );
        assert!(text.contains("\r\nSec-WebSocket-Protocol: squall.v1.bincode\r\n"));
        assert_eq!(Key::of(7), Key::of(7));
        assert_ne!(Key::of(7), Key::of(8));
        assert_eq!(BASE64.decode(Key::of(7).0.as_bytes()).unwrap().len(), 16);
    }
}
