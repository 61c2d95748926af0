//! A cable between two processes that a test can cut or silence.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

/// Passes TCP connections on to a server, until it is cut or falls silent. Its threads end when it is
/// dropped.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    /// Both ends of each connection.
    open: Mutex<Vec<TcpStream>>,
}

/// Bytes pass.
const WHOLE: u8 = 0;
/// Connections stay, and nothing passes: a pulled plug.
const SILENT: u8 = 1;
/// Connections are ended, and new ones at once: a server that is gone.
const CUT: u8 = 2;
/// The end.
const DROPPED: u8 = 3;

/// How soon a change of state is seen.
const LOOK: Duration = Duration::from_millis(5);

impl Cable {
    /// A cable to the server at `target`.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let shared = Arc::new(Shared { state: AtomicU8::new(WHOLE), open: Mutex::new(Vec::new()) });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, target, &accepting));
        Self { address, shared }
    }

    /// Where it takes connections.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and each new one at once.
    pub fn cut(&self) {
        self.shared.enter(CUT);
        self.shared.end_all();
    }

    /// Lets nothing pass any more; connections stay.
    pub fn silence(&self) {
        self.shared.enter(SILENT);
    }

    /// Lets everything pass again, what waited too.
    pub fn mend(&self) {
        self.shared.enter(WHOLE);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.enter(DROPPED);
        self.shared.end_all();
    }
}

impl Shared {
    fn enter(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::SeqCst) == state
    }

    fn end_all(&self) {
        for socket in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, shared: &Arc<Shared>) {
    while !shared.is(DROPPED) {
        match listener.accept() {
            Ok((near, _)) if !shared.is(CUT) => {
                if let Ok(far) = TcpStream::connect(target) {
                    join(near, far, shared);
                }
            }
            // A server that is gone.
            Ok(_) => {}
            Err(_) => sleep(LOOK),
        }
    }
}

fn join(near: TcpStream, far: TcpStream, shared: &Arc<Shared>) {
    let copy = |socket: &TcpStream| socket.try_clone().expect("a second handle of a socket");
    for socket in [&near, &far] {
        socket.set_nonblocking(false).expect("a socket that blocks");
        socket.set_nodelay(true).expect("a socket without delay");
        socket.set_read_timeout(Some(LOOK)).expect("a socket with a time limit");
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(copy(socket));
    }
    for (from, to) in [(copy(&near), copy(&far)), (far, near)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || pass(from, to, &shared));
    }
}

/// Passes bytes on until one side ends; a silent cable reads nothing, so that its ends' buffers fill.
fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = [0; 64 * 1024];
    while !shared.is(DROPPED) {
        if shared.is(SILENT) {
            sleep(LOOK);
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => {
                // What was read as the cable fell silent waits for its mending.
                while shared.is(SILENT) {
                    sleep(LOOK);
                }
                if to.write_all(&buffer[..size]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    // The other side may have ended first.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(cable: &Cable, server: &TcpListener) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(cable.address()).unwrap();
        let (far, _) = server.accept().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        far.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        (near, far)
    }

    #[test]
    fn bytes_pass_wait_and_end() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let cable = Cable::to(server.local_addr().unwrap());
        let (mut near, mut far) = connected(&cable, &server);
        let mut byte = [0];
        near.write_all(b"a").unwrap();
        far.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"a");

        cable.silence();
        near.write_all(b"b").unwrap();
        assert!(far.read_exact(&mut byte).is_err(), "nothing passes a silent cable");
        cable.mend();
        far.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b", "what waited passes");

        cable.cut();
        assert_eq!(near.read(&mut byte).unwrap_or(0), 0, "a cut ends both sides");
        assert_eq!(far.read(&mut byte).unwrap_or(0), 0);
        let mut refused = TcpStream::connect(cable.address()).unwrap();
        assert_eq!(refused.read(&mut byte).unwrap_or(0), 0, "and whoever comes");

        cable.mend();
        let (mut near, mut far) = connected(&cable, &server);
        far.write_all(b"c").unwrap();
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"c");
    }
}
