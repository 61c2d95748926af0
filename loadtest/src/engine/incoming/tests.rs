use proptest::prelude::*;

use super::*;

/// A message that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16, Vec<u8>),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(bytes) => Self::Text(bytes.to_vec()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong => Self::Pong,
            Message::Close { code, reason } => Self::Close(code, reason.to_vec()),
        }
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// A message's frames, cut into pieces of `piece` bytes with a ping between if there are several.
fn frames(message: &Owned, piece: usize) -> Vec<u8> {
    let (opcode, payload) = match message {
        Owned::Text(payload) => (1, payload),
        Owned::Binary(payload) => (2, payload),
        Owned::Ping(payload) => return frame(0x89, payload),
        Owned::Pong => return frame(0x8A, b"x"),
        Owned::Close(code, reason) => return frame(0x88, &[&code.to_be_bytes(), reason.as_slice()].concat()),
    };
    let pieces: Vec<_> = payload.chunks(piece.max(1)).collect();
    let Some((last, before)) = pieces.split_last() else { return frame(0x80 | opcode, &[]) };
    let mut bytes = Vec::new();
    for (index, piece) in before.iter().enumerate() {
        bytes.extend(frame(if index == 0 { opcode } else { 0 }, piece));
    }
    bytes.extend(frame(if before.is_empty() { 0x80 | opcode } else { 0x80 }, last));
    bytes
}

fn read(pieces: &[&[u8]]) -> (Vec<Owned>, Incoming) {
    let (mut incoming, mut read) = (Incoming::default(), Vec::new());
    for piece in pieces {
        let taken = incoming.feed(piece, |message| {
            read.push(message.into());
            ControlFlow::Continue(())
        });
        taken.unwrap();
    }
    (read, incoming)
}

fn fault(bytes: &[u8]) -> Fault {
    Incoming::default().feed(bytes, |_| ControlFlow::Continue(())).unwrap_err()
}

fn any_message() -> impl Strategy<Value = Owned> {
    let payload = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(any::<u8>(), 65_500..65_600),
        ]
    };
    prop_oneof![
        4 => payload().prop_map(Owned::Text),
        4 => payload().prop_map(Owned::Binary),
        1 => prop::collection::vec(any::<u8>(), 0..125).prop_map(Owned::Ping),
        1 => Just(Owned::Pong),
        1 => (1000_u16..5000, prop::collection::vec(any::<u8>(), 0..123)).prop_map(|(code, reason)| Owned::Close(code, reason)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chop_of_the_bytes_gives_the_same_messages(
        messages in prop::collection::vec((any_message(), 1_usize..70_000), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(message, piece)| frames(message, *piece)).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (read, incoming) = read(&pieces);
        prop_assert_eq!(read, messages.into_iter().map(|(message, _)| message).collect::<Vec<_>>());
        prop_assert!(incoming.is_empty(), "nothing is kept when nothing is incomplete");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>()) {
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        let mut incoming = Incoming::default();
        if incoming.feed(first, |_| ControlFlow::Continue(())).is_ok() {
            let _ = incoming.feed(second, |_| ControlFlow::Continue(()));
        }
    }
}

#[test]
fn byte_by_byte_is_as_good_as_at_once() {
    let bytes = [frame(0x81, b"one"), frame(0x89, b"?"), frame(0x88, &[0x0F, 0xA0, b'g', b'o'])].concat();
    let single: Vec<_> = bytes.chunks(1).collect();
    let expected = [Owned::Text(b"one".into()), Owned::Ping(b"?".into()), Owned::Close(4000, b"go".into())];
    assert_eq!(read(&single).0, expected);
    assert_eq!(read(&[&bytes]).0, expected);
}

#[test]
fn a_ping_may_stand_between_the_frames_of_a_message() {
    let bytes = [frame(0x01, b"so"), frame(0x89, b"?"), frame(0x00, b"u"), frame(0x80, b"p")].concat();
    assert_eq!(read(&[&bytes]).0, [Owned::Ping(b"?".into()), Owned::Text(b"soup".into())]);
}

#[test]
fn what_no_server_may_send_is_named() {
    assert_eq!(fault(&[0x81, 0x80]), Fault::Masked);
    assert_eq!(fault(&[0xC1, 0]), Fault::ReservedBits);
    assert_eq!(fault(&[0x83, 0]), Fault::Opcode);
    assert_eq!(fault(&[0x09, 0]), Fault::Control);
    assert_eq!(fault(&[0x89, 126, 0, 126]), Fault::Control);
    assert_eq!(fault(&[0x80, 0]), Fault::NoBeginning);
    assert_eq!(fault(&[0x01, 0, 0x81, 0]), Fault::NotContinued);
    assert_eq!(fault(&[0x88, 1, 3]), Fault::Close);
    assert_eq!(fault(&[0x81, 127, 0, 0, 0, 0, 1, 0, 0, 1]), Fault::TooLong);
    assert_eq!(fault(&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Fault::TooLong);
}

#[test]
fn pieces_that_are_too_long_together_are_too_long() {
    let half = vec![0; FRAME_OUT_BYTES_MAX / 2 + 1];
    let bytes = [frame(0x02, &half), frame(0x80, &half)].concat();
    assert_eq!(fault(&bytes), Fault::TooLong);
}

#[test]
fn whoever_has_enough_gets_no_more() {
    let bytes = [frame(0x81, b"1"), frame(0x81, b"2")].concat();
    let (mut incoming, mut taken) = (Incoming::default(), 0);
    let fed = incoming.feed(&bytes, |_| {
        taken += 1;
        ControlFlow::Break(())
    });
    assert_eq!((fed, taken, incoming.is_empty()), (Ok(()), 1, true));
}
