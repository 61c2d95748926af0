//! The seeds of the decoders' fuzz targets, and what those seeds are too small to show.

use squall_protocol::{ClientMessage, Codec, ServerMessage};

#[path = "../fuzz/properties/bus_frame.rs"]
mod bus_frame;
#[path = "../fuzz/properties/link_frame.rs"]
mod link_frame;
#[path = "../fuzz/properties/messages.rs"]
mod messages;
#[path = "../fuzz/properties/seeds.rs"]
mod seeds;

#[test]
fn the_decoders_keep_their_word_on_every_seed() {
    seeds::replay("client_message", messages::check::<ClientMessage>);
    seeds::replay("server_message", messages::check::<ServerMessage>);
    seeds::replay("bus_frame", bus_frame::check);
    seeds::replay("link_frame", link_frame::check);
}

#[test]
fn nesting_is_refused_before_it_costs_a_stack() {
    let depth = 1_000_000;
    let arrays = "[".repeat(depth) + &"]".repeat(depth);
    let objects = r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
    let nested: Vec<String> = [&arrays, &objects]
        .into_iter()
        .flat_map(|deep| {
            [
                deep.clone(),
                format!(r#"{{"later":{deep},"type":"goaway","after_ms":1}}"#),
                format!(r#"{{"type":"typing","op":"start","to":{deep}}}"#),
                format!(r#"{{"type":"event","sequence":1,"mark":1,"event":{{"kind":{deep}}}}}"#),
            ]
        })
        .collect();
    // A quarter of what a thread of the gateway has.
    let small = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || {
        for text in nested {
            assert!(Codec::Json.decode_client(text.as_bytes()).is_err());
            assert!(Codec::Json.decode_server(text.as_bytes()).is_err());
        }
    });
    small.unwrap().join().unwrap();
}

#[test]
fn the_worst_text_of_a_frame_costs_a_bounded_tree() {
    // Small parts, of which each becomes a branch.
    for part in [r#"{"":1},"#, "[1],", "[[[[1]]]],", "1,", r#""","#] {
        let parts = part.repeat(60 * 1024 / part.len());
        let text = format!(r#"{{"a":[{parts}1],"type":"ping"}}"#);
        messages::check::<ClientMessage>(text.as_bytes());
        messages::check::<ServerMessage>(text.as_bytes());
    }
}

#[test]
fn a_claimed_crowd_costs_no_more_than_the_frame_it_could_be_in() {
    // Lists of presence whose counts are just within the limit, with nothing behind them.
    let empty = squall_protocol::server_message::PresenceSnapshot::default();
    let kind = Codec::Bincode.encode_server(&ServerMessage::PresenceSnapshot(empty))[0];
    for lists_before in 0..3 {
        for count in [1u32 << 20, (1 << 20) - 8, 1 << 22, (1 << 22) - 8, 1 << 24] {
            let mut bytes = vec![kind, 0, 0];
            bytes.extend(vec![0; lists_before]);
            bytes.push(252);
            bytes.extend(count.to_le_bytes());
            messages::check::<ServerMessage>(&bytes);
        }
    }
}
