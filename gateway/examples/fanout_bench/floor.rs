//! The bare server: one thread, one poll, and for each byte that comes in one frame to every socket of the
//! same realm. Bytes that came together leave in one write a socket. No protocol, no users, no database: what
//! is left is the kernel's part.

use std::io::{ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use squall_protocol::Codec;

use crate::frames;

/// The argument that makes this program the bare server.
pub(crate) const MODE: &str = "floor";

const LISTENER: Token = Token(usize::MAX);
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Frames in one write.
const TOGETHER_MAX: usize = 64;

/// What it writes, and to whom.
pub(crate) struct Options {
    /// The frame's head counted.
    pub(crate) frame_bytes: usize,
    /// Socket `n` is in realm `n % realms`.
    pub(crate) realms: usize,
    pub(crate) codec: Codec,
}

struct Peer {
    socket: TcpStream,
    upgraded: bool,
}

impl Options {
    /// Reads what [`Options::arguments`] wrote.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let [frame_bytes, realms, codec] = arguments else { bail!("floor FRAME_BYTES REALMS SUBPROTOCOL") };
        let codec = Codec::of(codec).context("a subprotocol")?;
        Ok(Self { frame_bytes: frame_bytes.parse()?, realms: realms.parse()?, codec })
    }

    /// The command line that makes this program the bare server.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let subprotocol = self.codec.subprotocol().to_owned();
        [MODE.to_owned(), self.frame_bytes.to_string(), self.realms.to_string(), subprotocol]
    }
}

/// Serves until the process is killed.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);
    let frames = frame(options).repeat(TOGETHER_MAX);
    let mut peers: Slab<Peer> = Slab::new();
    let mut events = Events::with_capacity(1_024);
    let mut asked = vec![0; options.realms];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut peers)?;
                continue;
            }
            let key = event.token().0;
            asked[key % options.realms] += read(&mut peers, key)?;
        }
        for (realm, asked) in asked.iter_mut().enumerate() {
            while *asked > 0 {
                let together = (*asked).min(TOGETHER_MAX);
                fan_out(&mut peers, realm, options.realms, &frames[..together * options.frame_bytes])?;
                *asked -= together;
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, peers: &mut Slab<Peer>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nodelay(true)?;
                let entry = peers.vacant_entry();
                poll.registry().register(&mut socket, Token(entry.key()), Interest::READABLE)?;
                entry.insert(Peer { socket, upgraded: false });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads what came and tells how many events it asks for.
fn read(peers: &mut Slab<Peer>, key: usize) -> Result<usize> {
    let Some(peer) = peers.get_mut(key) else { return Ok(0) };
    let (mut buffer, mut asked) = ([0; 4_096], 0);
    loop {
        match peer.socket.read(&mut buffer) {
            Ok(0) => {
                peers.remove(key);
                return Ok(asked);
            }
            // The load sends its request in one piece.
            Ok(_) if !peer.upgraded => {
                peer.upgraded = true;
                peer.socket.write_all(UPGRADED)?;
            }
            Ok(bytes) => asked += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(asked),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                peers.remove(key);
                return Ok(asked);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn fan_out(peers: &mut Slab<Peer>, realm: usize, realms: usize, frames: &[u8]) -> Result<()> {
    for (_, peer) in peers.iter_mut().filter(|(key, _)| key % realms == realm) {
        let written = peer.socket.write(frames)?;
        if written != frames.len() {
            bail!("a socket took {written} of {} bytes: the load does not read fast enough", frames.len());
        }
    }
    Ok(())
}

/// A whole frame, told from the gateway's events by nothing.
fn frame(options: &Options) -> Vec<u8> {
    let payload_bytes = options.frame_bytes - frames::SERVER_HEAD_BYTES;
    let mut frame = frames::server_head(options.codec, payload_bytes);
    frame.extend_from_slice(frames::event(options.codec));
    frame.resize(options.frame_bytes, b'x');
    frame
}
