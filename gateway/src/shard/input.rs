//! What reaches a shard from other threads, and from its own errands.

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use squall_hub::MemberSet;
use squall_hub::catch_up::Block;
use squall_hub::frame::Announcement;
use squall_hub::keeper::ReloadReason;
use squall_hub::roster::SessionKey;
use squall_protocol::link::WriteOutcome;
use squall_protocol::{Codec, RealmId, SendId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::identities::Answer;
use crate::admission::Place;
use crate::keeper::RealmView;

/// One thing for a shard to do.
pub(crate) enum ShardInput {
    /// Sockets that begin with a request.
    Accepted(Vec<(mio::net::TcpStream, Load)>),
    /// A socket after an upgrade that was not its first request, and the bytes that came behind the request.
    Upgraded { socket: TcpStream, codec: Codec, leftover: Bytes, load: Load },
    /// Whose tokens they were.
    Identified(Vec<(SessionKey, Answer)>),
    /// The batch of writes is done.
    Written(Vec<(SessionKey, SendId, WriteOutcome)>),
    /// The realm is loaded.
    RealmReady(Arc<RealmView>),
    /// The realm was loaded anew: its sessions' positions are void.
    RealmReset { view: Arc<RealmView>, why: ReloadReason },
    /// The realm's view is newer than the shard last saw.
    Advanced(RealmId),
    /// The position that the session named is ahead of the log's head.
    BeyondHead { realm: RealmId, key: SessionKey },
    /// A part of the log for sessions that resume; none if it could not be read.
    Block { realm: RealmId, number: u64, block: Option<Arc<Block>> },
    /// A message for whoever of the audience is connected now.
    Ephemeral { realm: RealmId, audience: MemberSet, message: Arc<Announcement> },
    /// A presence message for one session, which then stands at `change`.
    PresenceFor { key: SessionKey, change: u64, message: Arc<Announcement> },
    /// What changed in presence.
    PresenceDiff { realm: RealmId, from: u64, to: u64, message: Arc<Announcement> },
    /// Hand the clients on, spread over this time.
    Drain(Duration),
    /// End now.
    Stop,
}

/// Where other threads reach a shard. Telling never waits.
#[derive(Clone)]
pub(crate) struct ShardHandle {
    inbox: UnboundedSender<ShardInput>,
    /// Hints under way.
    hints: Arc<AtomicUsize>,
    /// Sockets the shard holds, HTTP ones too.
    sockets: Arc<AtomicUsize>,
}

/// The shard's end.
pub(crate) struct ShardInbox {
    inbox: UnboundedReceiver<ShardInput>,
    hints: Arc<AtomicUsize>,
}

/// A socket counted in its shard's load until it is dropped, with its place in the node.
pub(crate) struct Load {
    sockets: Arc<AtomicUsize>,
    place: Option<Place>,
}

/// Hints that may wait for a shard; more are dropped. Each is superseded by a later one, or is for the moment.
const HINTS_MAX: usize = 4_096;

pub(crate) fn shard_channel() -> (ShardHandle, ShardInbox) {
    let (sender, receiver) = unbounded_channel();
    let hints = Arc::new(AtomicUsize::new(0));
    let handle = ShardHandle { inbox: sender, hints: hints.clone(), sockets: Arc::default() };
    (handle, ShardInbox { inbox: receiver, hints })
}

impl ShardHandle {
    /// Tells the shard something that must arrive. Bounded by its askers: each thing told is the answer to
    /// something of the shard's own, or once per realm and turn.
    pub(crate) fn tell(&self, input: ShardInput) {
        let _ = self.inbox.send(input);
    }

    /// Tells the shard something that may be dropped if it is busy.
    pub(crate) fn hint(&self, input: ShardInput) {
        if self.hints.fetch_add(1, Ordering::Relaxed) < HINTS_MAX {
            self.tell(input);
        } else {
            self.hints.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many sockets it holds.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Counts one more socket, which keeps its place in the node.
    pub(crate) fn load_with(&self, place: Place) -> Load {
        Load::count(&self.sockets, Some(place))
    }

    /// Counts one more socket without a place.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        Load::count(&self.sockets, None)
    }
}

impl Load {
    /// Whose socket it is.
    pub(crate) fn address(&self) -> IpAddr {
        self.place.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Place::address)
    }

    fn count(sockets: &Arc<AtomicUsize>, place: Option<Place>) -> Self {
        sockets.fetch_add(1, Ordering::Relaxed);
        Self { sockets: Arc::clone(sockets), place }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ShardInbox {
    /// The next input; none once every handle is gone. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<ShardInput> {
        let input = self.inbox.recv().await?;
        Some(self.counted(input))
    }

    /// The next input, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<ShardInput> {
        let input = self.inbox.try_recv().ok()?;
        Some(self.counted(input))
    }

    fn counted(&self, input: ShardInput) -> ShardInput {
        if matches!(input, ShardInput::Ephemeral { .. } | ShardInput::PresenceDiff { .. }) {
            self.hints.fetch_sub(1, Ordering::Relaxed);
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::ServerMessage;

    use super::*;

    fn diff() -> ShardInput {
        let message = Arc::new(Announcement::new(ServerMessage::Ping { time_ms: 0 }));
        ShardInput::PresenceDiff { realm: RealmId(1), from: 0, to: 1, message }
    }

    #[test]
    fn hints_beyond_the_bound_are_dropped_and_their_places_come_back() {
        let (handle, mut inbox) = shard_channel();
        (0..HINTS_MAX + 10).for_each(|_| handle.hint(diff()));
        handle.tell(ShardInput::Stop);
        let taken = std::iter::from_fn(|| inbox.try_recv()).count();
        assert_eq!(taken, HINTS_MAX + 1);
        assert_eq!(handle.hints.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_socket_counts_until_it_is_dropped() {
        let (handle, _inbox) = shard_channel();
        let load = handle.load();
        assert_eq!(handle.sockets(), 1);
        drop(load);
        assert_eq!(handle.sockets(), 0);
    }
}
