//! One session, opened and left again: whether a target is what we take it for, and whose a key is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::server_message::{ServerMessage, Welcome};
use squall_protocol::{CloseCode, Codec};

use super::incoming::{Incoming, Message};
use super::opening::PATH;
use super::outgoing::Masks;
use super::upgrade::{self, Answer, Key};

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody can be reached there.
    #[error("can't connect to {address}: {error}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// There is somebody, but no gateway.
    #[error("{address} is no Squall gateway: {words}")]
    NoGateway {
        /// Where.
        address: SocketAddr,
        /// What it did instead.
        words: String,
    },
    /// There is a gateway, and it took no session.
    #[error("{address} opened no session: {words}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What it said.
        words: String,
    },
}

/// Opens a session with `token`, and leaves.
pub fn probe(address: SocketAddr, token: &str) -> Result<Welcome, ProbeError> {
    let connect = |error| ProbeError::Connect { address, error };
    let mut stream = TcpStream::connect_timeout(&address, PROBE_MAX).map_err(connect)?;
    stream.set_read_timeout(Some(PROBE_MAX)).map_err(connect)?;
    let no_gateway = |words: String| ProbeError::NoGateway { address, words };
    let refused = |words: String| ProbeError::Refused { address, words };
    let (codec, key, mut out) = (Codec::Json, Key::of(u64::from(address.port())), Vec::new());
    upgrade::request(address, PATH, codec, &key, &mut out);
    let hello = ClientMessage::Hello(Hello {
        token: token.into(),
        position: None,
        presence: Status::Idle,
        scope: Scope::None,
    });
    let mut masks = Masks::new(1);
    stream.write_all(&out).map_err(connect)?;
    let (start, mut bytes, mut buffer) = (Instant::now(), Vec::new(), [0; 4_096]);
    let head_bytes = loop {
        match upgrade::answer(&bytes, codec, &key).map_err(|error| no_gateway(error.to_string()))? {
            Answer::Open { head_bytes } => break head_bytes,
            Answer::Refused { status, .. } => {
                return Err(no_gateway(format!("the upgrade was answered {status}")));
            }
            Answer::Partial => read_more(&mut stream, &mut buffer, &mut bytes, start).map_err(no_gateway)?,
        }
    };
    out.clear();
    masks.message(codec, &codec.encode_client(&hello), &mut out);
    stream.write_all(&out).map_err(connect)?;
    let (mut incoming, mut said) = (Incoming::default(), None);
    let mut bytes = bytes.split_off(head_bytes);
    loop {
        let fed = incoming.feed(&bytes, |message| {
            said = first_word(codec, message);
            if said.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        fed.map_err(|fault| no_gateway(fault.to_string()))?;
        match said {
            Some(Ok(welcome)) => {
                out.clear();
                masks.close(CloseCode::Normal.number(), &mut out);
                // It knows enough; whether the goodbye arrives is all one.
                let _ = stream.write_all(&out);
                return Ok(*welcome);
            }
            Some(Err(words)) => return Err(refused(words)),
            None => {}
        }
        bytes.clear();
        read_more(&mut stream, &mut buffer, &mut bytes, start).map_err(refused)?;
    }
}

fn read_more(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    bytes: &mut Vec<u8>,
    start: Instant,
) -> Result<(), String> {
    if start.elapsed() > PROBE_MAX {
        return Err(format!("nothing that makes sense within {} s", PROBE_MAX.as_secs()));
    }
    match stream.read(buffer) {
        Ok(0) => Err("it closed the connection".into()),
        Ok(read) => {
            bytes.extend_from_slice(&buffer[..read]);
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The welcome, or why there is none; nothing of what else is said.
fn first_word(codec: Codec, message: Message<'_>) -> Option<Result<Box<Welcome>, String>> {
    match message {
        Message::Text(payload) | Message::Binary(payload) => match codec.decode_server(payload) {
            Ok(ServerMessage::Welcome(welcome)) => Some(Ok(welcome)),
            Ok(ServerMessage::Error { message, .. }) => Some(Err(message)),
            Ok(_) => None,
            Err(error) => Some(Err(error.to_string())),
        },
        Message::Close { code, reason } => {
            Some(Err(format!("closed with {code} {}", String::from_utf8_lossy(reason))))
        }
        Message::Ping(_) | Message::Pong => None,
    }
}

/// For all of it.
const PROBE_MAX: Duration = Duration::from_secs(15);
