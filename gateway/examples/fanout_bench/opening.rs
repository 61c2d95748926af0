//! Sockets past their upgrade, with their hellos said: many being opened at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use squall_protocol::Codec;

use crate::frames::{self, Kind};

/// Opens a socket for each of `hellos`, at most `together` at once, and registers it with `poll` under its
/// place. Each is open once its welcome came; to an empty hello none comes.
pub(crate) fn open(
    poll: &mut Poll,
    address: SocketAddr,
    hellos: &[Vec<u8>],
    codec: Codec,
    together: usize,
) -> Result<Vec<Opened>> {
    let request = request(address, codec);
    let mut opened: Vec<Opened> = Vec::with_capacity(hellos.len());
    let mut events = Events::with_capacity(1_024);
    let (mut open, mut buffer) = (0, vec![0; 64 * 1_024]);
    while open < hellos.len() {
        while opened.len() < hellos.len() && opened.len() - open < together {
            let mut socket = TcpStream::connect(address)?;
            let token = Token(opened.len());
            poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            opened.push(Opened { socket, step: Step::Connecting, partial: Vec::new() });
        }
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            let place = event.token().0;
            if let Some(socket) = opened.get_mut(place) {
                open += usize::from(socket.go_on(&request, &hellos[place], codec, &mut buffer)?);
            }
        }
    }
    Ok(opened)
}

/// A socket that is open, or on its way.
pub(crate) struct Opened {
    pub(crate) socket: TcpStream,
    step: Step,
    /// The beginning of a frame whose rest is to come.
    pub(crate) partial: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connecting,
    Upgrading,
    Greeting,
    Open,
}

impl Opened {
    /// Takes what is possible now; true when it became open by this.
    fn go_on(&mut self, request: &[u8], hello: &[u8], codec: Codec, buffer: &mut [u8]) -> Result<bool> {
        if self.step == Step::Connecting {
            if let Some(error) = self.socket.take_error()? {
                return Err(error).context("connecting");
            }
            match self.socket.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            self.socket.set_nodelay(true)?;
            // In one piece: the floor reads it so.
            self.socket.write_all(request)?;
            self.step = Step::Upgrading;
        }
        let was_open = self.step == Step::Open;
        loop {
            match self.socket.read(buffer) {
                Ok(0) => bail!("the server closed a socket that was being opened"),
                Ok(bytes) => self.take(&buffer[..bytes], hello, codec)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("opening"),
            }
        }
        Ok(self.step == Step::Open && !was_open)
    }

    fn take(&mut self, bytes: &[u8], hello: &[u8], codec: Codec) -> Result<()> {
        self.partial.extend_from_slice(bytes);
        if self.step == Step::Upgrading
            && let Some(end) = self.partial.windows(4).position(|some| some == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&self.partial[..end]);
            ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
            self.partial.drain(..end + 4);
            self.socket.write_all(hello)?;
            self.step = if hello.is_empty() { Step::Open } else { Step::Greeting };
        }
        // Presence that comes already is dropped.
        while matches!(self.step, Step::Greeting | Step::Open)
            && let Some(frame) = frames::first(&self.partial)
        {
            match frames::kind(codec, frame.payload) {
                Kind::Welcome => self.step = Step::Open,
                Kind::Bad => bail!("refused: {}", String::from_utf8_lossy(frame.payload)),
                Kind::Event | Kind::Ping | Kind::Sent | Kind::Other => {}
            }
            let bytes = frame.bytes;
            self.partial.drain(..bytes);
        }
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        Ok(())
    }
}

fn request(address: SocketAddr, codec: Codec) -> Vec<u8> {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        codec.subprotocol()
    )
    .into_bytes()
}
