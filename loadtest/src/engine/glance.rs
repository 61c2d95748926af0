//! What a message is, by its first bytes: an event's frame is the same for all clients of a codec, so that
//! all but the first need no decoding. A message whose beginning is not as our own servers write it is
//! `Other`, to be decoded whole.

use squall_protocol::{Codec, Mark, Sequence};

/// What the beginning of a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance {
    Event { sequence: Sequence, mark: Mark },
    Ping,
    Presence { from: u64, to: u64 },
    Other,
}

/// Looks at a message of `codec`.
pub(crate) fn glance(codec: Codec, payload: &[u8]) -> Glance {
    match codec {
        Codec::Json => json(payload),
        Codec::Bincode => bincode(payload),
    }
    .unwrap_or(Glance::Other)
}

fn json(payload: &[u8]) -> Option<Glance> {
    if let Some(rest) = payload.strip_prefix(br#"{"type":"event","sequence":"#) {
        let (sequence, rest) = decimal(rest)?;
        let (mark, rest) = decimal(rest.strip_prefix(br#","mark":"#)?)?;
        return rest.starts_with(br#","event":"#).then(|| event(sequence, mark))?;
    }
    if payload.starts_with(br#"{"type":"ping","#) {
        return Some(Glance::Ping);
    }
    let (_, rest) = decimal(payload.strip_prefix(br#"{"type":"presence","as_of_ms":"#)?)?;
    let (from, rest) = decimal(rest.strip_prefix(br#","from":"#)?)?;
    let (to, _) = decimal(rest.strip_prefix(br#","to":"#)?)?;
    Some(Glance::Presence { from, to })
}

fn bincode(payload: &[u8]) -> Option<Glance> {
    let (kind, rest) = payload.split_first()?;
    match kind {
        1 => {
            let (sequence, rest) = varint(rest)?;
            let (mark, _) = varint(rest)?;
            event(sequence, mark)
        }
        8 => {
            let (_, rest) = varint(rest)?;
            let (from, rest) = varint(rest)?;
            let (to, _) = varint(rest)?;
            Some(Glance::Presence { from, to })
        }
        10 => Some(Glance::Ping),
        _ => None,
    }
}

fn event(sequence: u64, mark: u64) -> Option<Glance> {
    Some(Glance::Event { sequence: sequence.try_into().ok()?, mark: mark.try_into().ok()? })
}

/// A number in digits and what follows it.
fn decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Twenty digits could pass what a number holds.
    if !(1..20).contains(&digits) {
        return None;
    }
    let (digits, rest) = bytes.split_at(digits);
    Some((digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')), rest))
}

/// A number of bincode's and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        251 => 2,
        252 => 4,
        253 => 8,
        254.. => return None,
        small => return Some((small.into(), rest)),
    };
    let (number, rest) = rest.split_at_checked(width)?;
    Some((number.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use squall_protocol::server_message::{PresenceDiff, ServerMessage};
    use squall_protocol::{Epoch, Event, Position, UserId};

    use super::*;

    fn event(sequence: u64, mark: u32) -> ServerMessage {
        let event = Event::CredentialChanged { user_id: UserId(3) };
        ServerMessage::Event { sequence: Sequence(sequence), mark: Mark(mark), event }
    }

    #[test]
    fn an_event_is_told_in_both_codecs_whatever_its_size() {
        for codec in Codec::ALL {
            for (sequence, mark) in
                [(1, 0), (250, 250), (251, 251), (70_000, 70_000), ((1 << 53) - 1, u32::MAX)]
            {
                let seen = glance(codec, &codec.encode_server(&event(sequence, mark)));
                assert_eq!(seen, Glance::Event { sequence: Sequence(sequence), mark: Mark(mark) });
            }
        }
    }

    #[test]
    fn a_presence_diff_tells_what_it_follows_and_leads_to() {
        let diff = PresenceDiff { as_of_ms: 1_763_818_165_123, from: 71, to: 300, ..PresenceDiff::default() };
        for codec in Codec::ALL {
            let bytes = codec.encode_server(&ServerMessage::Presence(diff.clone()));
            assert_eq!(glance(codec, &bytes), Glance::Presence { from: 71, to: 300 });
        }
    }

    #[test]
    fn a_ping_is_told_and_everything_else_is_left_to_the_decoder() {
        let position = Position::start(Epoch(5));
        for codec in Codec::ALL {
            assert_eq!(
                glance(codec, &codec.encode_server(&ServerMessage::Ping { time_ms: 9 })),
                Glance::Ping
            );
            for other in [ServerMessage::Position(position), ServerMessage::Pong { time_ms: 1 }] {
                assert_eq!(glance(codec, &codec.encode_server(&other)), Glance::Other);
            }
            assert_eq!(glance(codec, b""), Glance::Other);
        }
    }

    #[test]
    fn an_event_in_another_order_or_with_a_number_out_of_range_is_left_to_the_decoder() {
        for text in [
            r#"{"sequence":1,"type":"event"}"#,
            r#"{"type":"event","sequence":x,"mark":1,"event":{}}"#,
            r#"{"type":"event","sequence":9007199254740992,"mark":1,"event":{}}"#,
            r#"{"type":"event","sequence":99999999999999999999999,"mark":1,"event":{}}"#,
            r#"{"type":"event","sequence":1,"mark":4294967296,"event":{}}"#,
            r#"{"type":"event","sequence":1,"mark":4"#,
        ] {
            assert_eq!(glance(Codec::Json, text.as_bytes()), Glance::Other, "{text}");
        }
        for bytes in [&[1, 254, 1][..], &[1, 253, 1, 2], &[1], &[8, 1, 1]] {
            assert_eq!(glance(Codec::Bincode, bytes), Glance::Other, "{bytes:?}");
        }
    }
}
