//! Frames that are no WebSocket, and payloads that are no messages, in both codecs: each ends its own
//! connection with its own code, before a hello as after it, and nobody else hears of it.

use squall_protocol::client_message::ClientMessage;
use squall_protocol::limits::{FRAME_IN_BYTES_MAX, SENDS_IN_FLIGHT_MAX};
use squall_protocol::server_message::{ErrorCode, ServerMessage};
use squall_protocol::{CloseCode, Codec, Destination, SendId};

use crate::support::bystanders::Bystanders;
use crate::support::raw::{RawPeer, frame, unmasked};
use crate::support::server::Server;

/// What a peer writes, in words and in bytes, and how its connection ends.
type Breach = (&'static str, Vec<u8>, CloseCode);

#[tokio::test]
async fn frames_against_the_websocket_protocol_are_closed_with_1002() {
    let breaches: Vec<Breach> = vec![
        ("a reserved bit", frame(0xC1, b"{}"), CloseCode::Protocol),
        ("the second reserved bit", frame(0xA1, b"{}"), CloseCode::Protocol),
        ("the third reserved bit", frame(0x91, b"{}"), CloseCode::Protocol),
        ("no mask", unmasked(0x81, b"{}"), CloseCode::Protocol),
        ("an unknown opcode", frame(0x83, b"{}"), CloseCode::Protocol),
        ("an unknown control opcode", frame(0x8B, b""), CloseCode::Protocol),
        ("the rest of no message", frame(0x80, b"{}"), CloseCode::Protocol),
        ("a message within a message", [frame(0x01, b"{"), frame(0x81, b"{}")].concat(), CloseCode::Protocol),
        ("a long ping", frame(0x89, &[0; 126]), CloseCode::Protocol),
        ("a ping in parts", frame(0x09, b"x"), CloseCode::Protocol),
    ];
    for codec in Codec::ALL {
        each_ends_its_connection(codec, &breaches).await;
    }
}

#[tokio::test]
async fn messages_in_parts_are_limited_as_whole_ones_are() {
    let half = vec![b'x'; FRAME_IN_BYTES_MAX / 2 + 1];
    let parts: Vec<u8> = (0..=FRAME_IN_BYTES_MAX / 64).flat_map(|_| frame(0x00, &[b'x'; 64])).collect();
    let breaches: Vec<Breach> = vec![
        ("two halves too long", [frame(0x01, &half), frame(0x80, &half)].concat(), CloseCode::TooBig),
        ("small parts without end", [frame(0x01, b"x"), parts].concat(), CloseCode::TooBig),
        // The head alone tells that it is too long: it is not waited for.
        (
            "a head of 2^62 bytes",
            [&[0x81, 0xFF][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat(),
            CloseCode::TooBig,
        ),
        (
            "bad UTF-8 over two parts",
            [frame(0x01, b"\"\xC3"), frame(0x80, b"\x28\"")].concat(),
            CloseCode::InvalidData,
        ),
    ];
    each_ends_its_connection(Codec::Json, &breaches).await;
}

#[tokio::test]
async fn malformed_json_is_closed_with_4400() {
    let texts: [&[u8]; 6] = [
        b"",
        b"nonsense",
        br#"{"type":"dance"}"#,
        br#"{"type":"ping"} {"type":"ping"}"#,
        br#"{"type":"typing","op":"start","to":{"stream_id":-1,"topic":"x"}}"#,
        br#"{"type":"send","send_id":"","to":{"user_ids":[1]},"content":"x"}"#,
    ];
    let breaches: Vec<Breach> =
        texts.iter().map(|text| ("malformed JSON", frame(0x81, text), CloseCode::Malformed)).collect();
    each_ends_its_connection(Codec::Json, &breaches).await;
    // Nested so deep that a careless parser's stack would end first.
    let deep: Breach = ("deep JSON", frame(0x81, "[".repeat(60_000).as_bytes()), CloseCode::Malformed);
    each_ends_its_connection(Codec::Json, &[deep]).await;
}

#[tokio::test]
async fn malformed_bincode_is_closed_with_4400() {
    let ping = Codec::Bincode.encode_client(&ClientMessage::Ping {});
    let payloads: Vec<(&'static str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("an unknown kind", vec![250]),
        ("a kind of nine bytes", vec![253, 255, 255, 255, 255, 255, 255, 255, 255]),
        ("bytes behind the message", [&ping[..], &[0]].concat()),
        ("a send cut short", vec![1, 8, b'9']),
        ("a text longer than the frame", [&[1, 253][..], &u64::MAX.to_le_bytes()].concat()),
        ("a text that is not UTF-8", vec![1, 1, b'x', 0, 1, 1, b't', 2, 0xC3, 0x28]),
        ("a send id with a blank", vec![1, 1, b' ', 0, 1, 1, b't', 1, b'c']),
        ("a stream id of 2^53", [&[2, 1, b'x', 253][..], &(1u64 << 53).to_le_bytes(), &[0]].concat()),
        ("more users than the frame holds", [&[2, 1, b'x', 1, 253][..], &u64::MAX.to_le_bytes()].concat()),
        ("a truth value of 2", vec![8, 2]),
        ("a status of 7", vec![5, 7]),
    ];
    let breaches: Vec<Breach> = payloads
        .into_iter()
        .map(|(what, payload)| (what, frame(0x82, &payload), CloseCode::Malformed))
        .collect();
    each_ends_its_connection(Codec::Bincode, &breaches).await;
}

#[tokio::test]
async fn a_frame_of_the_other_codecs_kind_is_closed_with_1003() {
    let ping = |codec: Codec| codec.encode_client(&ClientMessage::Ping {});
    let binary: Breach = ("binary", frame(0x82, &ping(Codec::Bincode)), CloseCode::Unsupported);
    each_ends_its_connection(Codec::Json, &[binary]).await;
    let text: Breach = ("text", frame(0x81, &ping(Codec::Json)), CloseCode::Unsupported);
    each_ends_its_connection(Codec::Bincode, &[text]).await;
}

/// The sends of one burst are taken up to the limit; those over it are named, and the session goes on.
#[tokio::test]
async fn more_sends_in_flight_than_allowed_are_not_taken() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let alone = Destination::Direct { user_ids: vec![server.user("chidi").await] };
    for codec in Codec::ALL {
        let mut peer = RawPeer::welcomed(&server, codec, &server.zuliprc("chidi").key).await;
        let send = |number: usize| ClientMessage::Send {
            send_id: SendId::parse(format!("{}-{number}", codec.subprotocol())).unwrap(),
            to: alone.clone(),
            content: "x".to_owned(),
        };
        let burst: Vec<u8> = (0..2 * SENDS_IN_FLIGHT_MAX).flat_map(|n| peer.message(&send(n))).collect();
        peer.write(&burst).await;
        let (mut sent, mut refused) = (0, 0);
        while sent + refused < 2 * SENDS_IN_FLIGHT_MAX {
            match peer.next_message().await {
                ServerMessage::Sent { .. } => sent += 1,
                ServerMessage::Error { code: ErrorCode::SendsInFlight, .. } => refused += 1,
                ServerMessage::Event { .. } | ServerMessage::Ping { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(refused > 0 && sent >= SENDS_IN_FLIGHT_MAX, "{sent} sent, {refused} refused");
        others.are_undisturbed().await;
        let again = peer.message(&send(2 * SENDS_IN_FLIGHT_MAX));
        peer.write(&again).await;
        while !matches!(peer.next_message().await, ServerMessage::Sent { .. }) {}
    }
}

/// Has each breach done by a peer that said no hello, and by one that did.
async fn each_ends_its_connection(codec: Codec, breaches: &[Breach]) {
    let server = Server::start().await;
    let token = server.zuliprc("chidi").key;
    let mut others = Bystanders::talking(&server).await;
    for (what, bytes, expected) in breaches {
        let greeting = RawPeer::open(&server, codec).await;
        let welcomed = RawPeer::welcomed(&server, codec, &token).await;
        for (state, mut peer) in [("greeting", greeting), ("welcomed", welcomed)] {
            peer.write(bytes).await;
            let (code, errors) = peer.end().await;
            assert_eq!(code, expected.number(), "{what}, {state}, {}", codec.subprotocol());
            let told = errors
                .iter()
                .any(|error| matches!(error, ServerMessage::Error { code: ErrorCode::Malformed, .. }));
            assert_eq!(told, *expected == CloseCode::Malformed, "{what}, {state}: {errors:?}");
        }
        others.are_undisturbed().await;
    }
}
