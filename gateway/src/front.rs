//! The front: accepts sockets and gives each to the shard that holds the fewest, or tells it that there is
//! no place.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::admission::{Admission, DESCRIPTORS_KEPT, Full, Place};
use crate::shard::{Load, ShardHandle, ShardInput};

/// Connections that may wait to be accepted (bounded by `net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// How long a peer may leave sent data unacknowledged (RFC 5482) before the kernel gives it up.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// After a failed accept: out of descriptors, most likely. Sockets that are there go on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a socket without a place is kept to tell it so; out of descriptors it holds one that others need.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);
const REFUSAL_TIME_MAX_SCARCE: Duration = Duration::from_millis(100);

/// Descriptors held back for whoever waits at the door when there are no more.
const RESERVE: usize = 16;

/// Sockets that are being told so; beyond them they are only dropped.
const REFUSALS_MAX: usize = 64;

const _: () = assert!(REFUSALS_MAX + RESERVE < DESCRIPTORS_KEPT);

/// Sockets accepted in a row, before the shards are told and the thread's other tasks have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Where clients connect. tokio's own listener would register each socket with the front's runtime, only for
/// it to be taken out again.
pub(crate) struct Listener(AsyncFd<mio::net::TcpListener>);

impl Listener {
    /// Listens on `address`.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        set_options(&SockRef::from(&socket))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = mio::net::TcpListener::from_std(socket.into());
        // SAFETY: the listener owns its descriptor and keeps it open until it is dropped, and it is dropped with
        // the `AsyncFd`, which never gives it away.
        #[expect(unsafe_code, reason = "tokio can't see that the listener keeps its descriptor open")]
        let listener = unsafe { AsyncFd::register(listener)? };
        Ok(Self(listener))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// Waits for sockets, and takes those that are there into `row`; they do not block. An error may come after
    /// some of them.
    async fn accept(&self, row: &mut Vec<(mio::net::TcpStream, SocketAddr)>) -> io::Result<()> {
        while row.is_empty() {
            let mut ready = self.0.readable().await?;
            while row.len() < ACCEPTS_PER_TURN {
                match ready.try_io(|listener| listener.get_ref().accept()) {
                    Ok(Ok(accepted)) => row.push(accepted),
                    // That one is gone; the next is not worse for it.
                    Ok(Err(error)) if is_of_the_peer(&error) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_would_block) => break,
                }
            }
        }
        Ok(())
    }
}

/// Accepts for ever.
pub(crate) async fn accept(listener: &Listener, shards: &[ShardHandle], admission: &Admission) {
    let refusals = Refusals(Arc::new(Semaphore::new(REFUSALS_MAX)));
    // Given up one by one when there are no more descriptors, so that whoever waits at the door can be told.
    let mut reserve = Vec::with_capacity(RESERVE);
    let mut row = Vec::with_capacity(ACCEPTS_PER_TURN);
    loop {
        while reserve.len() < RESERVE
            && let Ok(held) = File::open("/dev/null")
        {
            reserve.push(held);
        }
        let accepted = listener.accept(&mut row).await;
        let mut taken: Vec<Vec<_>> = shards.iter().map(|_| Vec::new()).collect();
        for (socket, peer) in row.drain(..) {
            match admission.admit(peer.ip()) {
                Ok(place) => assign(socket, place, shards, &mut taken),
                Err(full) => refusals.refuse(socket, full, REFUSAL_TIME_MAX),
            }
        }
        // A shard is woken once for all of a row.
        for (shard, sockets) in shards.iter().zip(taken).filter(|(_, sockets)| !sockets.is_empty()) {
            shard.tell(ShardInput::Accepted(sockets));
        }
        if let Err(error) = accepted {
            tracing::warn!(%error, "no connection accepted");
            if reserve.pop().is_some() {
                let _ = timeout(ACCEPT_PAUSE, listener.accept(&mut row)).await;
            }
            if row.is_empty() {
                sleep(ACCEPT_PAUSE).await;
            }
            let sockets = row.drain(..).map(|(socket, _)| socket);
            sockets.for_each(|socket| refusals.refuse(socket, Full::Node, REFUSAL_TIME_MAX_SCARCE));
        }
        yield_now().await;
    }
}

/// Sockets on their way out.
struct Refusals(Arc<Semaphore>);

impl Refusals {
    fn refuse(&self, socket: mio::net::TcpStream, full: Full, time_max: Duration) {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else { return };
        let Ok(socket) = TcpStream::from_std(socket.into()) else { return };
        tokio::spawn(async move {
            // Whether it heard it is its own affair.
            let _ = timeout(time_max, refuse(&socket, full)).await;
            drop(permit);
        });
    }
}

/// Tells a socket that there is no place for it, after its request: closed before, it might lose the answer.
async fn refuse(socket: &TcpStream, full: Full) -> io::Result<()> {
    if read_some(socket).await? > 0 {
        socket.try_write(full.answer())?;
        SockRef::from(socket).shutdown(Shutdown::Write)?;
        while read_some(socket).await? > 0 {}
    }
    Ok(())
}

/// Reads and forgets what there is, once there is something; 0 at the end.
async fn read_some(socket: &TcpStream) -> io::Result<usize> {
    let mut scratch = [0; 1024];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Errors of a connection that ended before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Gives a socket to the shard that holds the fewest.
fn assign(
    socket: mio::net::TcpStream,
    place: Place,
    shards: &[ShardHandle],
    taken: &mut [Vec<(mio::net::TcpStream, Load)>],
) {
    if !OPTIONS_ARE_INHERITED {
        let _ = set_options(&SockRef::from(&socket));
    }
    let fewest = shards.iter().zip(taken).min_by_key(|(shard, _)| shard.sockets());
    if let Some((shard, taken)) = fewest {
        // Counted here, so that a row is spread before the shards have looked at any of it.
        taken.push((socket, shard.load_with(place)));
    }
}

/// Linux gives an accepted socket what its listener has.
const OPTIONS_ARE_INHERITED: bool = cfg!(target_os = "linux");

fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    // Frames leave when they are written: nothing is gained by waiting for more.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_socket_has_the_options_and_does_not_block() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut row = Vec::new();
        listener.accept(&mut row).await.unwrap();
        let (mut socket, _) = row.pop().unwrap();
        let options = SockRef::from(&socket);
        assert!(options.tcp_nodelay().unwrap());
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
        let read = std::io::Read::read(&mut socket, &mut [0]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
