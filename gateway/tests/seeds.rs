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

/// A good handshake with a few bytes changed, left out or doubled.
#[test]
fn any_damaged_handshake_is_decided_as_http_decides_it() {
    let good =
        b"GET /ws HTTP/1.1\r\nHost: a.example\r\nOrigin: https://app.example\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat, squall.v1.json\r\nContent-Length: 0\r\n\r\nframes";
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..3_000 {
        let mut head = good.to_vec();
        if round % 2 == 0 {
            let length = b"Content-Length: 0\r\n";
            let at = head.windows(length.len()).position(|some| some == length).unwrap();
            head.drain(at..at + length.len());
        }
        for _ in 0..random.usize(0..3) {
            let at = random.usize(..head.len());
            match random.u8(..3) {
                0 => head[at] = *random.choice(b"\r\n :,a\x00\xFF/?0").unwrap(),
                1 => drop(head.remove(at)),
                _ => head.insert(at, head[at]),
            }
        }
        head.truncate(random.usize(head.len() / 2..=head.len() * 2));
        handshake::check(&[&[random.u8(..64)], &head[..]].concat());
    }
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
