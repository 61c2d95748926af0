//! A shard on sockets of this machine, with the test in the place of keepers and writer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use clap::Parser;
use hyper::body::Incoming;
use hyper::{Request, Response};
use squall_bus::{BoxFuture, MemoryBus};
use squall_hub::keeper::ReloadReason;
use squall_hub::ring::RingLimits;
use squall_hub::{RealmKeeper, RealmState};
use squall_protocol::client_message::{Hello, Scope, Status};
use squall_protocol::event::{Event, Role, User};
use squall_protocol::frame::Publication;
use squall_protocol::link::{
    EventRecord, Identity, LastHeard, LinkError, LogRange, PageCursor, RealmPage, WriteOutcome, WriteRequest,
};
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{Codec, Epoch, Mark, Position, Sequence, UserId};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Api, Body};
use crate::keeper::{KeeperHandle, KeeperInput, PresenceReport, RealmView, Snapshot};
use crate::registry::Registry;
use crate::writer_link::WriterLink;

const REALM: RealmId = RealmId(1);
const ADA: UserId = UserId(1);

/// A shard that is driven by hand.
struct Bench {
    shard: Shard,
    handle: ShardHandle,
    told: UnboundedReceiver<Vec<KeeperInput>>,
    listener: TcpListener,
    _inbox: ShardInbox,
}

/// The other end of a connection.
struct OtherEnd(TcpStream);

/// Nothing here asks the writer.
struct NoWriter;

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch(1), sequence: Sequence(sequence), mark: Mark(sequence as u32) }
}

fn ada(is_active: bool) -> User {
    User {
        user_id: ADA,
        email: "ada@x".into(),
        full_name: "Ada".into(),
        role: Role::Member,
        is_bot: false,
        is_active,
    }
}

/// A realm whose log is `facts`, as its keeper shows it, its ring holding at most `events_max`.
fn snapshot(facts: &[Event], events_max: usize) -> Snapshot {
    let limits = RingLimits { events_max, ..RingLimits::default() };
    let mut keeper = RealmKeeper::new(RealmState::new(at(0)), limits);
    let records = (1..).zip(facts).map(|(n, fact)| EventRecord::new(Sequence(n), Mark(n as u32), fact));
    let (records, previous_mark) = (records.collect(), Mark(0));
    keeper.handle_publication(Publication { realm_id: REALM, epoch: Epoch(1), previous_mark, records }, 0);
    Snapshot { ring: keeper.ring().clone(), state: keeper.state().clone() }
}

fn view(facts: &[Event]) -> Arc<RealmView> {
    Arc::new(RealmView::new(REALM, snapshot(facts, 1_000), 1))
}

fn ada_is_here() -> Event {
    Event::UserAdded { user: ada(true) }
}

fn ada_is_put_out() -> Event {
    Event::UserUpdated { user: ada(false), previous: ada(true) }
}

fn identity(as_of: u64) -> Identity {
    Identity { realm_id: REALM, user_id: ADA, as_of: at(as_of) }
}

fn node(options: &[&str]) -> (Arc<Node>, UnboundedReceiver<Vec<KeeperInput>>) {
    let config = Config::parse_from([&["gateway"], options].concat());
    let (keepers, told) = unbounded_channel();
    let node = Node {
        clock: Clock::start(),
        times: config.presence_times().unwrap(),
        link: Arc::new(NoWriter),
        api: Arc::new(NoWriter),
        bus: Arc::new(MemoryBus::new()),
        keepers: KeeperHandle::new(keepers),
        registry: Registry::new(config.sessions_per_user_max),
        url: "http://127.0.0.1:1".into(),
        shards: 1,
        sessions: Node::first_session_id(),
        draining: AtomicBool::new(false),
        config,
    };
    (Arc::new(node), told)
}

/// Both ends of a connection: ours does not block, the peer's waits for a while.
fn pair(listener: &TcpListener) -> (TcpStream, OtherEnd) {
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    (socket, OtherEnd(peer))
}

impl Bench {
    fn new(options: &[&str]) -> Self {
        let (node, told) = node(options);
        let (handle, inbox) = shard_channel();
        let shard = Shard::new(0, node, handle.clone()).unwrap();
        Self { shard, handle, told, listener: TcpListener::bind("127.0.0.1:0").unwrap(), _inbox: inbox }
    }

    /// A peer that said hello and waits to be identified.
    fn greeted(&mut self, position: Option<Position>) -> (SessionKey, OtherEnd) {
        let (socket, peer) = pair(&self.listener);
        let load = self.handle.load();
        self.shard.handle_upgraded(socket, Codec::Json, &Bytes::new(), load);
        let key = *self.shard.keys().last().unwrap();
        let hello = Hello { token: String::new(), position, presence: Status::Idle, scope: Scope::Realm };
        self.shard.connection(key).unwrap().peer = Peer::Identifying(Box::new(hello));
        (key, peer)
    }

    /// A peer whose session is open in `view`.
    fn opened(&mut self, view: &Arc<RealmView>, as_of: u64) -> (SessionKey, OtherEnd) {
        let (key, mut peer) = self.greeted(None);
        self.shard.handle_identified(key, Ok(Some(identity(as_of))));
        self.shard.handle_realm_ready(view.clone());
        assert_eq!(peer.next_type(), "welcome");
        (key, peer)
    }

    fn is_closing(&mut self, key: SessionKey) -> bool {
        matches!(self.shard.connection(key).unwrap().peer, Peer::Closing)
    }

    fn told(&mut self) -> Vec<KeeperInput> {
        self.shard.tell_keepers();
        std::iter::from_fn(|| self.told.try_recv().ok()).flatten().collect()
    }
}

impl OtherEnd {
    /// The next frame: its first byte and its payload.
    fn next_frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    fn next_message(&mut self) -> serde_json::Value {
        let (first, payload) = self.next_frame();
        assert_eq!(first, 0x81, "a text message");
        serde_json::from_slice(&payload).unwrap()
    }

    fn next_type(&mut self) -> String {
        self.next_message()["type"].as_str().unwrap().to_owned()
    }

    fn assert_closed(&mut self, code: CloseCode) {
        let (first, payload) = self.next_frame();
        assert_eq!(first, 0x88, "a close frame");
        assert_eq!(payload[..2], code.number().to_be_bytes());
    }
}

impl WriterLink for NoWriter {
    fn identify(&self, _: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        unreachable!("the tests identify")
    }

    fn write(&self, _: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        unreachable!("nobody writes")
    }

    fn realm_page(
        &self,
        _: RealmId,
        _: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        unreachable!("a shard reads no pages")
    }

    fn read_log(&self, _: RealmId, _: Sequence, _: usize) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        unreachable!("a shard reads no log")
    }

    fn heads(&self, _: Vec<RealmId>) -> BoxFuture<'static, Result<Vec<(RealmId, Position)>, LinkError>> {
        unreachable!("a shard reads no heads")
    }

    fn store_last_heard(&self, _: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        unreachable!("a shard stores no times")
    }
}

impl Api for NoWriter {
    fn call(&self, _: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        unreachable!("nobody asks")
    }
}

#[tokio::test]
async fn a_connection_has_one_place_among_the_readable_however_often_it_is_ready() {
    let mut bench = Bench::new(&[]);
    let (key, _peer) = bench.greeted(None);
    (0..100).for_each(|_| bench.shard.queue_to_read(key));
    assert_eq!(bench.shard.readable.len(), 1);
    bench.shard.readable.clear();
    bench.shard.read(key);
    bench.shard.queue_to_read(key);
    assert_eq!(bench.shard.readable.len(), 1, "and has one again after its turn");
}

#[tokio::test]
async fn an_identity_that_comes_too_late_opens_nothing() {
    let mut bench = Bench::new(&[]);
    let (key, mut peer) = bench.greeted(None);
    bench.shard.close(key, CloseCode::GoingAway);
    bench.shard.handle_identified(key, Ok(Some(identity(1))));
    assert!(bench.is_closing(key));
    peer.assert_closed(CloseCode::GoingAway);
}

#[tokio::test]
async fn who_can_not_be_welcomed_in_time_is_told_to_try_later() {
    let mut bench = Bench::new(&["--heartbeat", "1ms", "--heartbeat-timeout", "1ms"]);
    let (identifying, mut first) = bench.greeted(None);
    bench.shard.welcomes.set(identifying, 0);
    let (joining, mut second) = bench.greeted(None);
    bench.shard.handle_identified(joining, Ok(Some(identity(1))));
    bench.shard.welcomes.set(joining, 0);
    bench.shard.handle_tick();
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.next_message()["code"], "unavailable");
        peer.assert_closed(CloseCode::Unavailable);
    }
    assert!(bench.shard.realms.is_empty(), "and nothing is left of the realm it waited for");
}

#[tokio::test]
async fn the_head_is_asked_for_once_and_who_is_of_a_later_log_is_sent_away() {
    let mut bench = Bench::new(&[]);
    let (key, mut peer) = bench.greeted(None);
    bench.shard.handle_identified(key, Ok(Some(identity(9))));
    bench.shard.handle_realm_ready(view(&[ada_is_here()]));
    (0..5).for_each(|_| bench.shard.handle_advanced(REALM));
    let checks = bench.told().into_iter().filter(|input| matches!(input, KeeperInput::CheckHead { .. }));
    assert_eq!(checks.count(), 1);
    bench.shard.handle_beyond_head(REALM, key);
    assert_eq!(peer.next_message()["code"], "unavailable");
    peer.assert_closed(CloseCode::Unavailable);
}

#[tokio::test]
async fn who_was_ahead_of_the_keeper_joins_when_it_is_there() {
    let mut bench = Bench::new(&[]);
    let (key, mut peer) = bench.greeted(None);
    bench.shard.handle_identified(key, Ok(Some(identity(2))));
    let view = view(&[ada_is_here()]);
    bench.shard.handle_realm_ready(view.clone());
    view.store(snapshot(&[ada_is_here(), ada_is_here()], 1_000));
    bench.shard.handle_beyond_head(REALM, key);
    bench.shard.handle_advanced(REALM);
    bench.shard.deliver(Instant::now());
    assert_eq!(peer.next_type(), "welcome");
}

#[tokio::test]
async fn a_reset_ends_the_sessions_that_the_realm_no_longer_admits() {
    let mut bench = Bench::new(&[]);
    let (_, mut peer) = bench.opened(&view(&[ada_is_here()]), 1);
    let why = ReloadReason::Expired;
    bench.shard.handle_realm_reset(view(&[ada_is_here(), ada_is_put_out()]), why);
    peer.assert_closed(CloseCode::Revoked);
}

#[tokio::test]
async fn a_reset_reports_each_device_as_it_was() {
    let mut bench = Bench::new(&[]);
    bench.opened(&view(&[ada_is_here()]), 1);
    bench.told();
    bench.shard.handle_realm_reset(view(&[ada_is_here()]), ReloadReason::Expired);
    let told = bench.told();
    let is_idle = |input: &KeeperInput| {
        let KeeperInput::Presence { report, .. } = input else { return false };
        matches!(report, PresenceReport::Connected { user: ADA, status: Status::Idle, .. })
    };
    assert!(told.iter().any(is_idle), "{told:?}");
}

#[tokio::test]
async fn a_session_hears_of_its_own_end_and_of_nothing_after_it() {
    let mut bench = Bench::new(&[]);
    let view = view(&[ada_is_here()]);
    let (_, mut peer) = bench.opened(&view, 1);
    let others = ["before", "after"].map(|name| Event::UserAdded {
        user: User { user_id: UserId(9), full_name: name.into(), ..ada(true) },
    });
    let [before, after] = others;
    view.store(snapshot(&[ada_is_here(), before, ada_is_put_out(), after], 1_000));
    bench.shard.handle_advanced(REALM);
    bench.shard.deliver(Instant::now());
    let heard = [peer.next_message(), peer.next_message()].map(|message| message["sequence"].as_u64());
    assert_eq!(heard, [Some(2), Some(3)]);
    peer.assert_closed(CloseCode::Revoked);
}

#[tokio::test]
async fn a_session_that_ended_while_the_shard_slept_past_the_ring_is_closed() {
    let mut bench = Bench::new(&[]);
    let view = view(&[ada_is_here()]);
    let (_, mut peer) = bench.opened(&view, 1);
    let mut facts = vec![ada_is_here(), ada_is_put_out()];
    facts.extend(std::iter::repeat_n(Event::CredentialChanged { user_id: UserId(9) }, 20));
    view.store(snapshot(&facts, 5));
    bench.shard.handle_advanced(REALM);
    peer.assert_closed(CloseCode::Revoked);
}

#[tokio::test]
async fn a_socket_that_takes_no_welcome_leaves_nothing_behind() {
    let mut bench = Bench::new(&[]);
    let (key, _peer) = bench.greeted(None);
    bench.shard.connection(key).unwrap().keep(&[0; 512 * 1024]);
    bench.shard.handle_identified(key, Ok(Some(identity(1))));
    bench.shard.handle_realm_ready(view(&[ada_is_here()]));
    assert!(bench.is_closing(key));
    assert!(bench.shard.realms.is_empty());
    let told = bench.told();
    assert!(matches!(told.last(), Some(KeeperInput::Detach { .. })), "{told:?}");
}

#[tokio::test]
async fn presence_is_asked_for_once_at_a_time() {
    let mut bench = Bench::new(&[]);
    let (key, _peer) = bench.opened(&view(&[ada_is_here()]), 1);
    let nothing = Announcement::new(ServerMessage::Presence(PresenceDiff::default()));
    bench.shard.tell_presence(key, 3, &nothing);
    bench.told();
    (0..5).for_each(|_| bench.shard.handle_bytes(key, br#"{"type":"presence_request"}"#));
    assert_eq!(bench.told().len(), 1);
}

#[tokio::test]
async fn a_peer_that_floods_does_not_stop_the_clock() {
    let (node, _told) = node(&["--hello-timeout", "200ms"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ((flooded, flooder), (silenced, mut silent)) = (pair(&listener), pair(&listener));
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (stop, mut flooder) = (stop.clone(), flooder);
        std::thread::spawn(move || {
            // Pongs: they are read, and nothing answers them.
            let pongs = [0x8A, 0x80, 0, 0, 0, 0].repeat(10_000);
            while !stop.load(Ordering::Relaxed) && flooder.0.write_all(&pongs).is_ok() {}
        })
    };
    let (handle, inbox) = shard_channel();
    LocalSet::new()
        .run_until(async move {
            let shard = tokio::task::spawn_local(Shard::run(0, node, handle.clone(), inbox));
            for socket in [silenced, flooded] {
                let load = handle.load();
                handle.tell(ShardInput::Upgraded {
                    socket,
                    codec: Codec::Json,
                    leftover: Bytes::new(),
                    load,
                });
            }
            let closed = tokio::task::spawn_blocking(move || silent.assert_closed(CloseCode::HelloTimeout));
            closed.await.unwrap();
            handle.tell(ShardInput::Stop);
            shard.await.unwrap().unwrap();
        })
        .await;
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

#[tokio::test]
async fn an_idle_http_connection_does_not_hold_up_a_drain() {
    let (node, _told) = node(&["--hello-timeout", "1h"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (socket, mut browser) = pair(&listener);
    let (handle, inbox) = shard_channel();
    LocalSet::new()
        .run_until(async move {
            let shard = tokio::task::spawn_local(Shard::run(0, node, handle.clone(), inbox));
            let socket = mio::net::TcpStream::from_std(socket);
            handle.tell(ShardInput::Accepted(vec![(socket, handle.load())]));
            let drain = handle.clone();
            let ended = tokio::task::spawn_blocking(move || {
                browser.0.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                let mut first = [0; 12];
                browser.0.read_exact(&mut first).unwrap();
                assert_eq!(&first, b"HTTP/1.1 404");
                drain.tell(ShardInput::Drain(Duration::from_secs(3_600)));
                browser.0.read_to_end(&mut Vec::new()).unwrap();
            });
            ended.await.unwrap();
            while handle.sockets() > 0 {
                yield_now().await;
            }
            handle.tell(ShardInput::Stop);
            shard.await.unwrap().unwrap();
        })
        .await;
}

/// A request for an upgrade, and a ping frame behind it.
const UPGRADE_AND_PING: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: squall.v1.bincode\r\n\r\n\x89\x81\0\0\0\0!";

#[tokio::test]
async fn an_upgrade_may_come_in_pieces_and_with_frames_behind_it() {
    for size in [1, 7, 100, UPGRADE_AND_PING.len()] {
        let mut bench = Bench::new(&[]);
        let (socket, mut peer) = pair(&bench.listener);
        let load = bench.handle.load();
        bench.shard.handle_accepted(mio::net::TcpStream::from_std(socket), load);
        let key = *bench.shard.keys().last().unwrap();
        UPGRADE_AND_PING.chunks(size).for_each(|piece| bench.shard.process(key, piece));
        let mut answer = Vec::new();
        while !answer.ends_with(b"\x8a\x01!") {
            let mut byte = [0];
            peer.0.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        let head = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(head.contains("sec-websocket-protocol: squall.v1.bincode\r\n"), "{head}");
        let connection = bench.shard.connection(key).unwrap();
        assert!(matches!(connection.peer, Peer::Greeting) && connection.codec == Codec::Bincode);
    }
}

#[tokio::test]
async fn a_peer_that_never_asks_is_let_go_in_time() {
    let mut bench = Bench::new(&["--hello-timeout", "0s"]);
    let (socket, mut peer) = pair(&bench.listener);
    let load = bench.handle.load();
    bench.shard.handle_accepted(mio::net::TcpStream::from_std(socket), load);
    bench.shard.handle_tick();
    assert_eq!(peer.0.read(&mut [0]).unwrap(), 0);
    assert_eq!(bench.handle.sockets(), 0);
}

#[tokio::test]
async fn whoever_asks_during_a_drain_is_told_so_by_http() {
    let (node, _told) = node(&["--hello-timeout", "200ms"]);
    node.draining.store(true, Ordering::Relaxed);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (socket, mut peer) = pair(&listener);
    let (half, mut other) = pair(&listener);
    let (handle, inbox) = shard_channel();
    LocalSet::new()
        .run_until(async move {
            let shard = tokio::task::spawn_local(Shard::run(0, node, handle.clone(), inbox));
            // One that had begun to ask, and one that begins now.
            let half = mio::net::TcpStream::from_std(half);
            other.0.write_all(&UPGRADE_AND_PING[..50]).unwrap();
            handle.tell(ShardInput::Accepted(vec![(half, handle.load())]));
            yield_now().await;
            handle.tell(ShardInput::Drain(Duration::from_secs(3_600)));
            let socket = mio::net::TcpStream::from_std(socket);
            handle.tell(ShardInput::Accepted(vec![(socket, handle.load())]));
            let refused = tokio::task::spawn_blocking(move || {
                peer.0.write_all(UPGRADE_AND_PING).unwrap();
                let mut answer = [0; 12];
                peer.0.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"HTTP/1.1 503");
                other.0.read_to_end(&mut Vec::new()).unwrap();
            });
            refused.await.unwrap();
            handle.tell(ShardInput::Stop);
            shard.await.unwrap().unwrap();
        })
        .await;
}
