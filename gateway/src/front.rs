//! The front: accepts sockets and gives each to the shard that holds the fewest, or tells it that there is
//! no place.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::admission::{Admission, DESCRIPTORS_KEPT, Full, Place};
use crate::shard::{ShardHandle, ShardInput};

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

/// Listens on `address`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts for ever.
pub(crate) async fn accept(listener: &TcpListener, shards: &[ShardHandle], admission: &Admission) {
    let refusals = Refusals(Arc::new(Semaphore::new(REFUSALS_MAX)));
    // Given up one by one when there are no more descriptors, so that whoever waits at the door can be told.
    let mut reserve = Vec::with_capacity(RESERVE);
    loop {
        while reserve.len() < RESERVE
            && let Ok(held) = File::open("/dev/null")
        {
            reserve.push(held);
        }
        match listener.accept().await {
            Ok((socket, peer)) => match admission.admit(peer.ip()) {
                Ok(place) => hand_over(socket, place, shards),
                Err(full) => refusals.refuse(socket, full, REFUSAL_TIME_MAX),
            },
            // That one is gone; the next is not worse for it.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                if reserve.pop().is_some()
                    && let Ok(Ok((socket, _))) = timeout(ACCEPT_PAUSE, listener.accept()).await
                {
                    refusals.refuse(socket, Full::Node, REFUSAL_TIME_MAX_SCARCE);
                } else {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Sockets on their way out.
struct Refusals(Arc<Semaphore>);

impl Refusals {
    fn refuse(&self, socket: TcpStream, full: Full, time_max: Duration) {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else { return };
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

fn hand_over(socket: TcpStream, place: Place, shards: &[ShardHandle]) {
    let options = SockRef::from(&socket);
    // Frames leave when they are written: nothing is gained by waiting for more.
    let _ = options.set_tcp_nodelay(true);
    let _ = options.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    let Some(shard) = shards.iter().min_by_key(|shard| shard.sockets()) else { return };
    if let Ok(socket) = socket.into_std() {
        let address = place.address();
        // Counted here, so that a burst is spread before the shards have looked at any of it.
        let load = shard.load_with(place);
        shard.tell(ShardInput::Accepted { socket, address, load });
    }
}
