use std::net::SocketAddr;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use squall_protocol::link::{
    LastHeard, NodeLease, Operation, PageCursor, RefusalCode, WriteOutcome, WriteRequest,
};
use squall_protocol::wire::{REQUEST_BYTES_MAX, SECRET_HEADER, Standing};
use squall_protocol::{
    Destination, Epoch, Mark, NodeId, Position, RealmId, SendId, Sequence, SessionId, UserId,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::change::{NewStream, NewUser};
use crate::testing::writer;

const SECRET: &str = "0123456789abcdef";

/// A writer behind its link, with one user in one realm.
struct Bench {
    address: SocketAddr,
    key: String,
    writer: Writer,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    _dir: TempDir,
}

type Sender = http2::SendRequest<Body>;

impl Bench {
    async fn start() -> Self {
        let (writer, dir) = writer().await;
        let realm = writer.create_realm("Test").await.unwrap();
        let general = NewStream { name: "general".into(), description: String::new(), invite_only: false };
        writer.create_stream(realm, general, Vec::new()).await.unwrap();
        let user = NewUser {
            email: "ada@x".into(),
            full_name: "Ada".into(),
            role: squall_protocol::event::Role::Member,
            is_bot: false,
            streams: vec!["general".into()],
        };
        let created = writer.create_users(realm, vec![user]).await.remove(0).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let link = LinkServer::new(&writer, Some(LinkSecret::parse(SECRET).unwrap()));
        let server = tokio::spawn(link.serve(listener, async {
            let _ = stopped.await;
        }));
        let key = created.api_key.reveal().to_owned();
        Self { address, key, writer, stop: Some(stop), server, _dir: dir }
    }

    async fn connect(&self) -> Sender {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
        let (sender, connection) = shaken.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn ask(&self, request: wire::Request) -> Answer {
        self.ask_in_bytes(request.encode().unwrap().to_vec()).await
    }

    async fn ask_in_bytes(&self, bytes: Vec<u8>) -> Answer {
        let mut sender = self.connect().await;
        let (status, body) = send(&mut sender, post("/link", Some(SECRET), bytes)).await;
        assert_eq!(status, 200);
        Answer::decode(&body).unwrap()
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.server.await.unwrap();
    }
}

fn post(path: &str, secret: Option<&str>, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::builder().method("POST").uri(format!("http://writer{path}"));
    if let Some(secret) = secret {
        request = request.header(SECRET_HEADER, secret);
    }
    request.body(Body::from(body)).unwrap()
}

async fn send(sender: &mut Sender, request: Request<Body>) -> (u16, Vec<u8>) {
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    (status, to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap().to_vec())
}

fn say(send_id: &str, content: &str) -> WriteRequest {
    WriteRequest {
        realm_id: RealmId(1),
        user_id: UserId(1),
        session_id: SessionId(1),
        send_id: SendId::parse(send_id).unwrap(),
        operation: Operation::Send {
            to: Destination::Stream { stream_id: squall_protocol::StreamId(1), topic: "t".into() },
            content: content.into(),
        },
    }
}

fn realm_page(realm: u64) -> wire::Request {
    wire::Request::RealmPage(PageQuery { realm_id: RealmId(realm), cursor: None::<PageCursor> })
}

#[tokio::test]
async fn every_question_is_answered() {
    let bench = Bench::start().await;
    let tokens = vec!["nobody".into(), bench.key.clone()];
    let Answer::Identified(identities) = bench.ask(wire::Request::Identify(tokens)).await else { panic!() };
    assert_eq!(identities[0], None);
    assert_eq!(identities[1].as_ref().unwrap().user_id, UserId(1));

    let batch = vec![say("a", "one"), say("b", ""), say("a", "one")];
    let Answer::Written(outcomes) = bench.ask(wire::Request::Write(batch)).await else { panic!() };
    let [first @ WriteOutcome::Sent { sequence, .. }, WriteOutcome::Refused(refusal), again] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!(refusal.code, RefusalCode::InvalidContent);
    assert_eq!(again, first, "the same id is the same write");

    let Answer::RealmPage(page) = bench.ask(realm_page(1)).await else { panic!() };
    assert_eq!((page.users.len(), page.as_of.sequence), (1, *sequence));

    let query = LogQuery { realm_id: RealmId(1), after: Sequence(sequence.0 - 1), limit: 10 };
    let Answer::Log(range) = bench.ask(wire::Request::ReadLog(query)).await else { panic!() };
    assert_eq!(range.records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [*sequence]);

    let lease = Some(NodeLease { node_id: NodeId(7), as_of_ms: 1_000_000 });
    let heads = HeadsQuery { realms: vec![RealmId(1), RealmId(9)], lease };
    let Answer::Heads(heads) = bench.ask(wire::Request::Heads(heads)).await else { panic!() };
    assert_eq!(heads.heads, [(RealmId(1), page.as_of)]);
    assert_eq!(heads.leases, lease.into_iter().collect::<Vec<_>>());

    let foreign = Position { epoch: Epoch(1), sequence: Sequence(99), mark: Mark(1) };
    let query = EpochQuery { realm_id: RealmId(1), seen: foreign };
    let renewed = bench.ask(wire::Request::RenewEpoch(query)).await;
    assert_eq!(renewed, Answer::EpochRenewed(page.as_of), "of another epoch: nothing to renew");
    let query = EpochQuery { realm_id: RealmId(1), seen: Position { sequence: Sequence(99), ..page.as_of } };
    let renewed = bench.ask(wire::Request::RenewEpoch(query)).await;
    assert!(matches!(renewed, Answer::EpochRenewed(head) if head.epoch != page.as_of.epoch));

    let heard = vec![LastHeard { user_id: UserId(1), last_heard_s: 1_763_818_162 }];
    assert_eq!(bench.ask(wire::Request::StoreLastHeard(heard)).await, Answer::LastHeardStored);
    let Answer::RealmPage(page) = bench.ask(realm_page(1)).await else { panic!() };
    assert_eq!(page.users[0].last_heard_s, Some(1_763_818_162));

    assert_eq!(bench.ask(wire::Request::Probe).await, Answer::Standing(Standing::default()));
}

#[tokio::test]
async fn what_has_no_answer_is_told_why() {
    let bench = Bench::start().await;
    let unknown = bench.ask(realm_page(9)).await;
    assert_eq!(unknown, Answer::Fault(Fault::UnknownRealm(RealmId(9))));
    let mut later = wire::Request::Probe.encode().unwrap().to_vec();
    later[1] = 0xEE;
    assert_eq!(bench.ask_in_bytes(later).await, Answer::Fault(Fault::UnknownKind(0xEE)));
    let cut = bench.ask_in_bytes(vec![1, 2, 3]).await;
    assert!(matches!(cut, Answer::Fault(Fault::Malformed(_))), "{cut:?}");
    bench.writer.clone().close().await;
    let closed = bench.ask(realm_page(1)).await;
    assert!(matches!(closed, Answer::Fault(Fault::Unavailable(_))), "{closed:?}");
    let Answer::Standing(standing) = bench.ask(wire::Request::Probe).await else { panic!() };
    assert!(standing.database_fault.is_some(), "{standing:?}");
}

#[tokio::test]
async fn only_who_shows_the_secret_is_let_in() {
    let bench = Bench::start().await;
    let mut sender = bench.connect().await;
    let probe = wire::Request::Probe.encode().unwrap().to_vec();
    for path in ["/link", "/api/v1/users/me", "/readyz", "/nothing"] {
        for secret in [None, Some(""), Some("0123456789abcdeF")] {
            assert_eq!(
                send(&mut sender, post(path, secret, probe.clone())).await.0,
                401,
                "{path} {secret:?}"
            );
        }
    }
    assert_eq!(send(&mut sender, post("/link", Some(SECRET), probe)).await.0, 200);
}

#[tokio::test]
async fn a_request_too_long_is_answered_413_and_the_connection_goes_on() {
    let bench = Bench::start().await;
    let mut sender = bench.connect().await;
    let long = vec![0; REQUEST_BYTES_MAX + 1];
    assert_eq!(send(&mut sender, post("/link", Some(SECRET), long)).await.0, 413);
    let probe = wire::Request::Probe.encode().unwrap().to_vec();
    assert_eq!(send(&mut sender, post("/link", Some(SECRET), probe)).await.0, 200);
}

#[tokio::test]
async fn the_api_is_there_too_for_the_user_whose_credentials_the_request_has() {
    let bench = Bench::start().await;
    let mut sender = bench.connect().await;
    let basic = format!("Basic {}", data_encoding::BASE64.encode(format!("ada@x:{}", bench.key).as_bytes()));
    let request = |path: &str| {
        Request::builder().uri(format!("http://writer/api/v1/{path}")).header(SECRET_HEADER, SECRET)
    };
    let own = request("users/me").header(header::AUTHORIZATION, basic).body(Body::empty()).unwrap();
    let (status, body) = send(&mut sender, own).await;
    assert_eq!(status, 200);
    assert!(String::from_utf8(body).unwrap().contains("ada@x"));
    let anonymous = request("users/me").body(Body::empty()).unwrap();
    assert_eq!(send(&mut sender, anonymous).await.0, 401);
    // The host that the user asked is told on, not the writer's own.
    let settings = request("server_settings").header(header::HOST, "chat.example").body(Body::empty());
    let (_, body) = send(&mut sender, settings.unwrap()).await;
    let settings: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(settings["realm_url"], "http://chat.example");
}

#[tokio::test]
async fn it_ends_though_a_gateway_is_connected_and_takes_no_more() {
    let bench = Bench::start().await;
    let (mut sender, address) = (bench.connect().await, bench.address);
    let probe = || post("/link", Some(SECRET), wire::Request::Probe.encode().unwrap().to_vec());
    assert_eq!(send(&mut sender, probe()).await.0, 200);
    bench.stop().await;
    assert!(sender.send_request(probe()).await.is_err());
    assert!(TcpStream::connect(address).await.is_err());
}
