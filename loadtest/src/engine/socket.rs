//! Sockets before they are connected, and how they end.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::ending::Ending;

/// Begins to connect; the poll tells when it is done.
///
/// From `source` without taking a port for good: the kernel deals one out that is free towards `to`, not one
/// that is free towards everybody. A slow reader's receive buffer is small, so that the server notices.
pub(crate) fn connect(to: SocketAddr, source: Option<IpAddr>, is_slow: bool) -> Result<TcpStream, Ending> {
    let socket = open(to, source, is_slow).map_err(|error| ending(&error))?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        // That it is under way.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        Err(error) => return Err(ending(&error)),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// How the connect went: `None` while it is under way.
pub(crate) fn connected(stream: &TcpStream) -> Option<Result<(), Ending>> {
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(ending(&error))),
    }
    match stream.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == ErrorKind::NotConnected => None,
        Err(error) => Some(Err(ending(&error))),
    }
}

/// Ends a connection without a farewell, and without leaving its port to wait for late packets.
pub(crate) fn reset(stream: TcpStream) {
    // Where that can't be set it ends in the ordinary way.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

fn open(to: SocketAddr, source: Option<IpAddr>, is_slow: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if is_slow {
        socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
    }
    if let Some(source) = source {
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket)
}

fn ending(error: &io::Error) -> Ending {
    let kind = error.kind();
    if kind == ErrorKind::AddrNotAvailable {
        Ending::NoPort
    } else if kind == ErrorKind::TimedOut {
        Ending::ConnectTimeout
    } else {
        Ending::ConnectFailed
    }
}

/// The kernel doubles it.
const SLOW_BUFFER_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    fn outcome(stream: &TcpStream) -> Result<(), Ending> {
        let start = Instant::now();
        loop {
            if let Some(outcome) = connected(stream) {
                return outcome;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "still connecting");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_socket_comes_from_the_address_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source: IpAddr = "127.9.8.7".parse().unwrap();
        let stream = connect(listener.local_addr().unwrap(), Some(source), false).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert_eq!(outcome(&stream), Ok(()));
        assert_eq!(peer.ip(), source);
        assert_eq!(stream.local_addr().unwrap(), peer);
    }

    #[test]
    fn a_slow_readers_buffer_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = connect(listener.local_addr().unwrap(), None, true).unwrap();
        assert!(SockRef::from(&stream).recv_buffer_size().unwrap() <= 2 * SLOW_BUFFER_BYTES);
    }

    #[test]
    fn nobody_listening_is_told() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refused = match connect(([127, 0, 0, 1], port).into(), None, false) {
            Ok(stream) => outcome(&stream).unwrap_err(),
            Err(ending) => ending,
        };
        assert_eq!(refused, Ending::ConnectFailed);
    }

    #[test]
    fn an_address_that_is_not_ours_is_no_place_to_come_from() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let foreign = "192.0.2.1".parse().unwrap();
        assert_eq!(connect(listener.local_addr().unwrap(), Some(foreign), false).err(), Some(Ending::NoPort));
    }

    #[test]
    fn a_reset_is_felt_at_the_other_end() {
        use std::io::Read;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = connect(listener.local_addr().unwrap(), None, false).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(outcome(&stream), Ok(()));
        reset(stream);
        assert_eq!(accepted.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
