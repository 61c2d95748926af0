//! The bare server: one thread, one poll, and for each byte that comes in one `write` of the same frame to
//! every socket. No protocol, no users, no database: what is left is the kernel's part.

use std::io::{ErrorKind, Read, Write};

use anyhow::{Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// The argument that makes this program the bare server.
pub(crate) const MODE: &str = "floor";

const LISTENER: Token = Token(usize::MAX);
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Peer {
    socket: TcpStream,
    upgraded: bool,
}

/// Serves until the process is killed. `frame_bytes` counts the frame's head.
pub(crate) fn serve(frame_bytes: usize) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);
    let frame = frame(frame_bytes);
    let mut peers: Slab<Peer> = Slab::new();
    let mut events = Events::with_capacity(1_024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut peers)?;
                continue;
            }
            for _ in 0..read(&mut peers, event.token().0)? {
                fan_out(&mut peers, &frame)?;
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

fn fan_out(peers: &mut Slab<Peer>, frame: &[u8]) -> Result<()> {
    for (_, peer) in peers.iter_mut() {
        let written = peer.socket.write(frame)?;
        if written != frame.len() {
            bail!("a socket took {written} of {} bytes: the load does not read fast enough", frame.len());
        }
    }
    Ok(())
}

/// A whole text frame of `bytes`, told from the gateway's events by nothing.
fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = super::frames::server_head(bytes - super::frames::SERVER_HEAD_BYTES);
    frame.extend_from_slice(super::frames::EVENT);
    frame.resize(bytes, b'x');
    frame
}
