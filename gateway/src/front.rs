//! The front: accepts sockets and gives each to the shard that holds the fewest.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::shard::{ShardHandle, ShardInput};

/// Connections that may wait to be accepted (bounded by `net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// How long a peer may leave sent data unacknowledged (RFC 5482) before the kernel gives it up.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// After a failed accept: out of descriptors, most likely. Sockets that are there go on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
pub(crate) async fn accept(listener: &TcpListener, shards: &[ShardHandle]) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => hand_over(socket, peer, shards),
            // That one is gone; the next is not worse for it.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of a connection that ended before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn hand_over(socket: TcpStream, peer: SocketAddr, shards: &[ShardHandle]) {
    let options = SockRef::from(&socket);
    // Frames leave when they are written: nothing is gained by waiting for more.
    let _ = options.set_tcp_nodelay(true);
    let _ = options.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    let Some(shard) = shards.iter().min_by_key(|shard| shard.sockets()) else { return };
    if let Ok(socket) = socket.into_std() {
        // Counted here, so that a burst is spread before the shards have looked at any of it.
        let load = shard.load();
        shard.tell(ShardInput::Accepted { socket, address: peer.ip(), load });
    }
}
