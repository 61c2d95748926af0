//! The seeds of the fuzz targets of what reads a socket: the opening handshake, and the messages after it.

#[path = "../../protocol/fuzz/properties/handshake.rs"]
mod handshake;
#[allow(dead_code, reason = "the tests in it use more")]
#[path = "../src/shard/inbound.rs"]
mod inbound;
#[path = "../../protocol/fuzz/properties/pieces.rs"]
mod pieces;
#[path = "../../protocol/fuzz/properties/seeds.rs"]
mod seeds;
#[path = "../src/upgrade.rs"]
mod upgrade;

#[test]
fn an_upgrade_is_decided_alike_however_its_bytes_come_in() {
    seeds::replay("upgrade", handshake::check);
}

#[test]
fn messages_are_read_alike_however_their_bytes_come_in() {
    seeds::replay("inbound", pieces::check);
}

/// Frames put together by chance, good ones and bad ones, cut anywhere.
#[test]
fn any_run_of_frames_is_read_alike_however_it_is_cut() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3_000 {
        let mut bytes = vec![random.u8(..16)];
        bytes.extend((0..bytes[0]).map(|_| random.u8(..)).collect::<Vec<_>>());
        for _ in 0..random.usize(1..8) {
            bytes.extend(any_frame(&mut random));
        }
        bytes.truncate(random.usize(bytes.len() / 2..=bytes.len()));
        pieces::check(&bytes);
    }
}

/// Mostly what a client would send.
fn any_frame(random: &mut fastrand::Rng) -> Vec<u8> {
    let opcodes = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88, random.u8(..)];
    let first = opcodes[random.usize(..opcodes.len())];
    let payload: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(b' '..b'~')).collect();
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    let mask: [u8; 4] = std::array::from_fn(|_| random.u8(..));
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    frame
}
