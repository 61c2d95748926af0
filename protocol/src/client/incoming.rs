//! Reading what a server says, which may be newer than this client.

use serde::Deserialize;
use serde_json::Value;

use crate::binary;
use crate::codec::{Codec, DecodeError};
use crate::ids::{Mark, SendId, Sequence};
use crate::position::Position;
use crate::server_message::ServerMessage;

/// The payload of a data frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// What a frame from the server says.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(ServerMessage),
    Newer(Newer),
}

/// A message with something in it that this version does not know: the rest still counts.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Newer {
    /// An event of another kind: the position moves all the same.
    Event { sequence: Sequence, mark: Mark },
    /// A refusal for another reason.
    Refused { send_id: SendId, message: String, retry_after_ms: Option<u32> },
    /// A reset for another reason.
    Reset { position: Position, after_ms: u32 },
    /// An error with another code.
    Error { message: String },
    /// A message of another kind.
    #[serde(other)]
    Other,
}

/// A frame that is no message; says what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    #[error("malformed message: a frame of the other kind")]
    FrameKind,
}

/// Reads what the server said in `codec`.
pub(crate) fn decode(codec: Codec, frame: Frame<'_>) -> Result<Incoming, Malformed> {
    match (codec, frame) {
        (Codec::Json, Frame::Text(text)) => decode_as(codec, text.as_bytes(), decode_newer_json),
        (Codec::Bincode, Frame::Binary(bytes)) => decode_as(codec, bytes, decode_newer_bincode),
        (Codec::Json, Frame::Binary(_)) | (Codec::Bincode, Frame::Text(_)) => Err(Malformed::FrameKind),
    }
}

/// Reads strictly first: that is how nearly all is.
fn decode_as(
    codec: Codec,
    bytes: &[u8],
    decode_newer: impl FnOnce(&[u8]) -> Option<Incoming>,
) -> Result<Incoming, Malformed> {
    match codec.decode_server(bytes) {
        Ok(message) => Ok(Incoming::Message(message)),
        Err(error) => decode_newer(bytes).ok_or(error.into()),
    }
}

/// A message of a kind that this version does not know: its number comes first. Or an event of such a kind, which
/// tells its place before it. All else is fixed.
fn decode_newer_bincode(bytes: &[u8]) -> Option<Incoming> {
    let kind = usize::from(*bytes.first()?);
    if kind >= KINDS.len() {
        return Some(Incoming::Newer(Newer::Other));
    }
    let (kind, sequence, mark, event_kind) = binary::decode_event_head(bytes)?;
    let is_newer = kind as usize == EVENT && event_kind >= EVENT_KINDS;
    is_newer.then_some(Incoming::Newer(Newer::Event { sequence, mark }))
}

/// Reads a message that is not exactly as this version knows it: fields that are new in what both ends
/// otherwise read strictly, and values and kinds that are new.
fn decode_newer_json(bytes: &[u8]) -> Option<Incoming> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let kind = value.get("type")?.as_str()?.to_owned();
    drop_new_fields(&mut value, &kind);
    if let Ok(message) = ServerMessage::deserialize(&value) {
        return Some(Incoming::Message(message));
    }
    let newer = Newer::deserialize(&value).ok()?;
    // `Other` is also what a known kind with a bad field would be read as.
    (newer != Newer::Other || !KINDS.contains(&kind.as_str())).then_some(Incoming::Newer(newer))
}

/// Positions and destinations are read strictly, because clients send them too.
fn drop_new_fields(message: &mut Value, kind: &str) {
    if kind == "position" {
        keep_fields(Some(message), &["type", "epoch", "sequence", "mark"]);
    }
    keep_fields(message.get_mut("position"), &["epoch", "sequence", "mark"]);
    keep_fields(message.get_mut("to"), &["stream_id", "topic", "user_ids"]);
    keep_fields(message.pointer_mut("/event/to"), &["stream_id", "topic", "user_ids"]);
}

fn keep_fields(object: Option<&mut Value>, names: &[&str]) {
    if let Some(Value::Object(fields)) = object {
        fields.retain(|name, _| names.contains(&name.as_str()));
    }
}

/// The number of [`ServerMessage::Event`].
const EVENT: usize = 1;

/// How many kinds of events this version knows.
const EVENT_KINDS: u32 = 18;

/// Every kind of [`ServerMessage`], by its number.
const KINDS: [&str; 14] = [
    "welcome",
    "event",
    "position",
    "reset",
    "sent",
    "done",
    "refused",
    "presence_snapshot",
    "presence",
    "typing",
    "ping",
    "pong",
    "goaway",
    "error",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_message::TypingOp;
    use crate::event::{Destination, Event};
    use crate::ids::{Epoch, StreamId, UserId};
    use crate::server_message::ErrorCode;

    fn decode(text: &str) -> Result<Incoming, Malformed> {
        super::decode(Codec::Json, Frame::Text(text))
    }

    fn message(text: &str) -> ServerMessage {
        match decode(text) {
            Ok(Incoming::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn newer(text: &str) -> Newer {
        match decode(text) {
            Ok(Incoming::Newer(newer)) => newer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn new_fields_are_skipped_wherever_they_stand() {
        let position = Position { epoch: Epoch(5), sequence: Sequence(88), mark: Mark(9) };
        assert_eq!(
            message(r#"{"type":"position","epoch":5,"sequence":88,"mark":9,"shard":2}"#),
            ServerMessage::Position(position)
        );
        let reset = message(
            r#"{"type":"reset","reason":"expired","position":{"epoch":5,"sequence":88,"mark":9,"x":1},"after_ms":0}"#,
        );
        assert!(matches!(reset, ServerMessage::Reset { position: told, .. } if told == position));
        let to = Destination::Stream { stream_id: StreamId(1), topic: "t".into() };
        let typing = message(
            r#"{"type":"typing","op":"start","sender_id":3,"to":{"stream_id":1,"topic":"t","x":1},"y":{}}"#,
        );
        assert_eq!(typing, ServerMessage::Typing { op: TypingOp::Start, sender_id: UserId(3), to });
        let event = message(
            r#"{"type":"event","sequence":43,"mark":2,"event":{"kind":"message","message_id":907,"sender_id":3,
            "timestamp":1,"to":{"user_ids":[3],"x":1},"content":"Soup?","send_id":"9f","edited":false}}"#,
        );
        assert!(matches!(event, ServerMessage::Event { event: Event::Message(_), .. }));
    }

    #[test]
    fn an_event_of_a_new_kind_tells_its_place_in_bytes_too() {
        let read = |bytes: &[u8]| super::decode(Codec::Bincode, Frame::Binary(bytes));
        let newer = read(&[1, 43, 7, EVENT_KINDS as u8, 0xFF, 0xFF]);
        let place = Newer::Event { sequence: Sequence(43), mark: Mark(7) };
        assert!(matches!(newer, Ok(Incoming::Newer(newer)) if newer == place));
        assert!(read(&[1, 43, 7, EVENT_KINDS as u8 - 1, 0xFF, 0xFF]).is_err(), "a known kind, broken");
        assert!(read(&[2, 43, 7]).is_err(), "no event");
    }

    #[test]
    fn new_kinds_and_values_leave_the_rest_readable() {
        assert_eq!(newer(r#"{"type":"dance","steps":3}"#), Newer::Other);
        assert_eq!(
            newer(r#"{"type":"event","sequence":43,"mark":2,"event":{"kind":"wave","user_id":3}}"#),
            Newer::Event { sequence: Sequence(43), mark: Mark(2) }
        );
        let refused = Newer::Refused {
            send_id: SendId::parse("a").unwrap(),
            message: "no".into(),
            retry_after_ms: Some(5),
        };
        assert_eq!(
            newer(r#"{"type":"refused","send_id":"a","code":"quota","message":"no","retry_after_ms":5}"#),
            refused
        );
        let position = Position { epoch: Epoch(5), sequence: Sequence(88), mark: Mark(9) };
        assert_eq!(
            newer(
                r#"{"type":"reset","reason":"moved","position":{"epoch":5,"sequence":88,"mark":9},"after_ms":7}"#
            ),
            Newer::Reset { position, after_ms: 7 }
        );
        assert_eq!(
            newer(r#"{"type":"error","code":"tired","message":"zzz"}"#),
            Newer::Error { message: "zzz".into() }
        );
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"sent"}"#,
            r#"{"type":"ping","time_ms":-1}"#,
            r#"{"type":"event","sequence":9007199254740992,"mark":1,"event":{}}"#,
            r#"{"type":"refused","send_id":"","code":"forbidden","message":""}"#,
            r#"{"type":"position","epoch":1}"#,
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_field_of_a_known_kind_is_not_taken_for_a_new_kind() {
        for kind in KINDS {
            assert!(decode(&format!(r#"{{"type":"{kind}"}}"#)).is_err(), "{kind}");
        }
    }

    #[test]
    fn in_bincode_a_kind_past_the_known_ones_is_skipped() {
        let decode = |bytes: &[u8]| super::decode(Codec::Bincode, Frame::Binary(bytes));
        let last = Codec::Bincode
            .encode_server(&ServerMessage::Error { code: ErrorCode::Unavailable, message: "later".into() });
        assert_eq!(usize::from(last[0]), KINDS.len() - 1);
        assert!(matches!(decode(&last), Ok(Incoming::Message(ServerMessage::Error { .. }))));
        for newer in [[14, 1, 2], [251, 0, 1]] {
            assert!(matches!(decode(&newer), Ok(Incoming::Newer(Newer::Other))), "{newer:?}");
        }
        for malformed in [&[][..], &[10], &[3, 9, 1, 1, 1, 1]] {
            assert!(decode(malformed).is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn a_frame_of_the_other_kind_is_malformed() {
        assert!(super::decode(Codec::Json, Frame::Binary(br#"{"type":"ping","time_ms":1}"#)).is_err());
        assert!(super::decode(Codec::Bincode, Frame::Text("\u{a}\u{1}")).is_err());
    }
}
