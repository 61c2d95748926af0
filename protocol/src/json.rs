//! The `squall.v1.json` codec: one JSON object a WebSocket text message.

use bytes::{BufMut, Bytes, BytesMut};

use crate::client_message::ClientMessage;
use crate::codec::DecodeError;
use crate::event::Event;
use crate::ids::{Mark, Sequence};
use crate::server_message::ServerMessage;

/// The name a client asks for in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "squall.v1.json";

/// Reads a client's message.
pub fn decode_client(text: &str) -> Result<ClientMessage, DecodeError> {
    decode(text.as_bytes())
}

/// Reads a gateway's message.
pub fn decode_server(text: &str) -> Result<ServerMessage, DecodeError> {
    decode(text.as_bytes())
}

/// Writes a client's message.
#[must_use]
pub fn encode_client(message: &ClientMessage) -> Bytes {
    encode(message)
}

/// Writes a gateway's message.
#[must_use]
pub fn encode_server(message: &ServerMessage) -> Bytes {
    encode(message)
}

/// Writes the body of an event, as the log and the bus carry it.
#[must_use]
pub fn encode_event(event: &Event) -> Bytes {
    encode(event)
}

/// Reads the body of an event.
pub fn decode_event(body: &[u8]) -> Result<Event, DecodeError> {
    decode(body)
}

/// Writes `ServerMessage::Event` around an event's body, which is taken as it is: an event is encoded
/// once, by the writer that stored it.
#[must_use]
pub fn encode_event_message(sequence: Sequence, mark: Mark, body: &[u8]) -> Bytes {
    let head = format!(r#"{{"type":"event","sequence":{sequence},"mark":{mark},"event":"#);
    let mut text = BytesMut::with_capacity(head.len() + body.len() + 1);
    text.put_slice(head.as_bytes());
    text.put_slice(body);
    text.put_u8(b'}');
    text.freeze()
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(text).map_err(|error| DecodeError(error.to_string()))
}

pub(crate) fn encode(value: &impl serde::Serialize) -> Bytes {
    // Our own types have string keys and no failing serializers: the only two ways this can fail.
    #[expect(clippy::expect_used, reason = "see above")]
    serde_json::to_vec(value).expect("message types always serialize").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Destination, Message};
    use crate::ids::{MessageId, SendId, StreamId, UserId};

    #[test]
    fn an_event_message_is_spliced_as_it_would_be_encoded() {
        let event = Event::Message(Message {
            message_id: MessageId(7),
            sender_id: UserId(3),
            timestamp: 1_763_818_162,
            to: Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() },
            content: "soup \"again\"?".into(),
            send_id: SendId::parse("a1").unwrap(),
        });
        let spliced = encode_event_message(Sequence(42), Mark(9), &encode_event(&event));
        let whole = ServerMessage::Event { sequence: Sequence(42), mark: Mark(9), event };
        assert_eq!(spliced, encode_server(&whole));
        assert_eq!(decode_server(std::str::from_utf8(&spliced).unwrap()).unwrap(), whole);
    }

    #[test]
    fn an_unknown_field_or_kind_from_a_client_is_malformed() {
        assert!(decode_client(r#"{"type":"ping"}"#).is_ok());
        assert!(decode_client(r#"{"type":"ping","extra":1}"#).is_err());
        assert!(decode_client(r#"{"type":"dance"}"#).is_err());
        assert!(decode_client(r#"{"type":"presence","status":"active","extra":1}"#).is_err());
        assert!(decode_client(r#"{"type":"hello","token":"x","tokn":"y"}"#).is_err());
        assert!(decode_client("[]").is_err());
    }
}
