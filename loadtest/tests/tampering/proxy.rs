//! A proxy between the tool and a gateway that knows frames, and spoils one delivery on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What is done to one delivery of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tampering {
    /// Nothing.
    None,
    /// It is left out.
    Drop,
    /// It comes twice.
    Double,
    /// A client gets one that is for others.
    Leak,
    /// It comes after the next one.
    Reorder,
    /// A byte of its content is another.
    Flip,
}

/// Deliveries of messages before the one that is spoiled: by then each client has had several.
const SPOILED: usize = 100;

/// Listens on a port of its own until the test ends.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    tampering: Tampering,
    deliveries: usize,
    is_done: bool,
    /// The messages of the log that passed, by sequence.
    passed: BTreeMap<u64, Vec<u8>>,
}

/// One client's side.
#[derive(Default)]
struct Line {
    /// The sequences it got.
    got: BTreeSet<u64>,
    /// A delivery that is kept back until the next.
    kept: Option<Vec<u8>>,
}

impl Proxy {
    /// Between the tool and `gateway`.
    pub(crate) fn start(gateway: SocketAddr, tampering: Tampering) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = State { tampering, deliveries: 0, is_done: false, passed: BTreeMap::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(client, gateway, &state));
            }
        });
        Self { address, state }
    }

    /// Whether it has spoiled a delivery.
    pub(crate) fn is_done(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_done
    }
}

fn serve(client: TcpStream, gateway: SocketAddr, state: &Mutex<State>) -> Option<()> {
    let server = TcpStream::connect(gateway).ok()?;
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok()?;
    }
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    forward(server, &client, state);
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}

/// From the server to the client: the head of an answer, then frames if it opened a WebSocket.
fn forward(mut server: TcpStream, mut client: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let (mut bytes, mut buffer, mut line) = (Vec::new(), [0; 16 * 1_024], Line::default());
    let mut is_socket = false;
    loop {
        let read = server.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        if !is_socket {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
            let Some(end) = end.filter(|_| bytes.starts_with(b"HTTP/1.1 101")) else {
                // An HTTP answer is passed on as it comes.
                client.write_all(&bytes).ok()?;
                bytes.clear();
                continue;
            };
            is_socket = true;
            client.write_all(&bytes[..end]).ok()?;
            bytes.drain(..end);
        }
        let mut out = Vec::new();
        while let Some(length) = frame_length(&bytes) {
            let frame: Vec<u8> = bytes.drain(..length).collect();
            out.extend(line.pass(frame, &mut state.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        client.write_all(&out).ok()?;
    }
}

impl Line {
    /// What goes out for a frame that came in.
    fn pass(&mut self, frame: Vec<u8>, state: &mut State) -> Vec<u8> {
        let Some(sequence) = message_sequence(&frame) else { return frame };
        state.deliveries += 1;
        state.passed.insert(sequence, frame.clone());
        self.got.insert(sequence);
        if let Some(kept) = self.kept.take() {
            state.is_done = true;
            return [frame, kept].concat();
        }
        if state.is_done || state.deliveries < SPOILED {
            return frame;
        }
        let out = match state.tampering {
            Tampering::None => return frame,
            Tampering::Drop => Vec::new(),
            Tampering::Double => [frame.clone(), frame].concat(),
            Tampering::Reorder => {
                // Done when the next has come; another line's may not be kept meanwhile.
                state.tampering = Tampering::None;
                self.kept = Some(frame);
                return Vec::new();
            }
            Tampering::Flip => flipped(frame),
            Tampering::Leak => {
                // What lies between two events that it got, and did not come to it, is not for it.
                let before = self.got.range(..sequence).next_back().copied();
                let between = before.and_then(|before| state.passed.range(before + 1..sequence).next());
                match between {
                    Some((_, others)) => [others.clone(), frame].concat(),
                    None => return frame,
                }
            }
        };
        state.is_done = true;
        out
    }
}

/// The last byte of the content, which is a digit or a letter, becomes another.
fn flipped(mut frame: Vec<u8>) -> Vec<u8> {
    let end = br#"","send_id""#;
    let place = frame.windows(end.len()).position(|bytes| bytes == end).expect("a message has a send id");
    frame[place - 1] ^= 1;
    frame
}

/// How long a frame is with its header; `None` while it is not whole.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        127 => 10 + usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
        length => 2 + usize::from(length),
    };
    (bytes.len() >= length).then_some(length)
}

/// The sequence of a message to a stream, in JSON; `None` for every other frame.
fn message_sequence(frame: &[u8]) -> Option<u64> {
    let payload = match frame.get(1)? {
        126 => frame.get(4..)?,
        127 => frame.get(10..)?,
        _ => frame.get(2..)?,
    };
    let value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    value["event"]["to"]["stream_id"].as_u64()?;
    value["sequence"].as_u64().filter(|_| value["event"]["kind"] == "message")
}
