//! The link to writers that do as a test says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use squall_protocol::link::{Operation, Refusal, RefusalCode};
use squall_protocol::wire::{SECRET_HEADER, Standing};
use squall_protocol::{Destination, Epoch, MessageId, SendId, SessionId, StreamId, UserId};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::*;

/// What a writer does with a request.
enum Reply {
    Answer(Answer),
    /// Nothing, for ever.
    Silence,
    /// Ends all connections.
    Breaks,
    Status(u16),
}

type Script = Box<dyn FnMut(Request) -> Reply + Send>;

/// A writer on an address of its own. Probes are answered well without the script's doing.
struct FakeWriter {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

struct Shared {
    script: Mutex<Script>,
    /// What was asked, probes left out.
    asked: Mutex<Vec<Request>>,
    probes: AtomicUsize,
    secret: Option<&'static str>,
    /// Probes are answered.
    answers_probes: Mutex<bool>,
    broken: watch::Sender<()>,
}

impl FakeWriter {
    async fn start(script: impl FnMut(Request) -> Reply + Send + 'static) -> Self {
        Self::with_secret(None, script).await
    }

    async fn with_secret(
        secret: Option<&'static str>,
        script: impl FnMut(Request) -> Reply + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            asked: Mutex::default(),
            probes: AtomicUsize::new(0),
            secret,
            answers_probes: Mutex::new(true),
            broken: watch::Sender::new(()),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Some(tokio::spawn(serve(listener, shared.clone())));
        Self { address, shared, server }
    }

    fn url(&self) -> WriterUrl {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// From now on it does this.
    fn now(&self, script: impl FnMut(Request) -> Reply + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Ends it, with all connections.
    async fn end(&mut self) {
        let server = self.server.take().unwrap();
        server.abort();
        let _ = server.await;
    }

    /// Starts it again where it was.
    fn restart(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.server = Some(tokio::spawn(serve(socket.listen(16).unwrap(), self.shared.clone())));
    }

    /// Connections stay, and nothing is answered any more.
    fn freeze(&self) {
        *self.shared.answers_probes.lock().unwrap() = false;
        self.now(|_| Reply::Silence);
    }

    fn asked(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// The send ids of each batch it was asked to write.
    fn batches(&self) -> Vec<Vec<String>> {
        let asked = self.shared.asked.lock().unwrap();
        let batches = asked.iter().filter_map(|request| {
            let Request::Write(batch) = request else { return None };
            Some(batch.iter().map(|write| write.send_id.to_string()).collect())
        });
        batches.collect()
    }
}

impl Drop for FakeWriter {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (shared, mut broken) = (shared.clone(), shared.broken.subscribe());
        connections.spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                _ = connection => {}
                _ = broken.changed() => {}
            }
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = |status| {
        let mut response = Response::new(Full::new(Bytes::from_static(b"as the test says")));
        *response.status_mut() = status;
        Ok(response)
    };
    let shown = request.headers().get(SECRET_HEADER).and_then(|shown| shown.to_str().ok());
    if shown != shared.secret {
        return status(StatusCode::UNAUTHORIZED);
    }
    let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
    let asked = Request::decode(&body.to_bytes()).unwrap();
    let reply = if asked == Request::Probe {
        shared.probes.fetch_add(1, Ordering::Relaxed);
        let answers = *shared.answers_probes.lock().unwrap();
        if answers { Reply::Answer(Answer::Standing(Standing::default())) } else { Reply::Silence }
    } else {
        shared.asked.lock().unwrap().push(asked.clone());
        (shared.script.lock().unwrap())(asked)
    };
    match reply {
        Reply::Answer(answer) => Ok(Response::new(Full::new(answer.encode().unwrap()))),
        Reply::Status(code) => status(StatusCode::from_u16(code).unwrap()),
        Reply::Silence => std::future::pending().await,
        Reply::Breaks => {
            shared.broken.send_replace(());
            std::future::pending().await
        }
    }
}

/// The log of one realm that writers share: each send id once, in the order of arrival.
#[derive(Clone, Default)]
struct SharedLog(Arc<Mutex<Vec<String>>>);

impl SharedLog {
    fn write(&self, batch: &[WriteRequest]) -> Vec<WriteOutcome> {
        let mut log = self.0.lock().unwrap();
        let sent = |write: &WriteRequest| {
            let id = write.send_id.to_string();
            let place = log.iter().position(|other| *other == id).unwrap_or_else(|| {
                log.push(id);
                log.len() - 1
            });
            let number = place as u64 + 1;
            WriteOutcome::Sent { message_id: MessageId(number), sequence: Sequence(number) }
        };
        batch.iter().map(sent).collect()
    }

    fn script(&self) -> impl FnMut(Request) -> Reply + Send + 'static + use<> {
        let log = self.clone();
        move |request| {
            let Request::Write(batch) = request else { panic!("asked {request:?}") };
            Reply::Answer(Answer::Written(log.write(&batch)))
        }
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn link(writers: &[&FakeWriter]) -> (RemoteLink, Arc<Health>) {
    link_with(writers, None)
}

fn link_with(writers: &[&FakeWriter], secret: Option<&str>) -> (RemoteLink, Arc<Health>) {
    let urls: Vec<_> = writers.iter().map(|writer| writer.url()).collect();
    let clock = Clock::start();
    let names: Vec<_> = urls.iter().map(ToString::to_string).collect();
    let health = Arc::new(Health::new("bus", &names, clock.now_ms()));
    let secret = secret.map(|secret| LinkSecret::parse(secret).unwrap());
    let link = RemoteLink::start(&urls, secret.as_ref(), &health, clock, &Handle::current());
    (link, health)
}

/// Waits for so many writers to be connected.
async fn connected(link: &RemoteLink, count: usize) {
    let up = || link.writers.peers.iter().filter(|peer| peer.standby() != Standby::Down).count();
    while up() != count {
        sleep(Duration::from_millis(2)).await;
    }
}

/// The writers of two, the one that lane 0 prefers first. Lanes are in the order of the flags.
async fn two(script: impl Fn() -> Script) -> [FakeWriter; 2] {
    [FakeWriter::start(script()).await, FakeWriter::start(script()).await]
}

fn say(session: u64, send_id: &str) -> WriteRequest {
    WriteRequest {
        realm_id: RealmId(1),
        user_id: UserId(1),
        session_id: SessionId(session),
        send_id: SendId::parse(send_id).unwrap(),
        operation: Operation::Send {
            to: Destination::Stream { stream_id: StreamId(1), topic: "t".into() },
            content: "x".into(),
        },
    }
}

fn batch(ids: &[&str]) -> Vec<WriteRequest> {
    ids.iter().map(|id| say(1, id)).collect()
}

fn refused(code: RefusalCode) -> WriteOutcome {
    WriteOutcome::Refused(Refusal::retryable(code, "not now", 1_000))
}

fn code(outcome: &WriteOutcome) -> Option<RefusalCode> {
    match outcome {
        WriteOutcome::Refused(refusal) => Some(refusal.code),
        WriteOutcome::Sent { .. } | WriteOutcome::Done { .. } => None,
    }
}

fn are_sent(outcomes: &[WriteOutcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, WriteOutcome::Sent { .. }))
}

fn head() -> Position {
    Position::start(Epoch(7))
}

fn heads(request: Request) -> Reply {
    let Request::Heads(query) = request else { panic!("asked {request:?}") };
    let heads = query.realms.iter().map(|realm| (*realm, head())).collect();
    Reply::Answer(Answer::Heads(Heads { heads, leases: Vec::new(), time_ms: 5 }))
}

async fn head_of(link: &RemoteLink) -> Result<Heads, LinkError> {
    link.heads(vec![RealmId(1)], None).await
}

#[tokio::test]
async fn each_question_gets_the_answer_to_it() {
    let writer = FakeWriter::start(|request| {
        Reply::Answer(match request {
            Request::Identify(tokens) => Answer::Identified(vec![None; tokens.len()]),
            Request::RealmPage(query) => Answer::RealmPage(RealmPage {
                as_of: head(),
                users: vec![],
                streams: vec![],
                members: vec![],
                next: query.cursor,
            }),
            Request::ReadLog(query) => Answer::Log(LogRange {
                head: Position { sequence: query.after, ..head() },
                floor: Sequence(u64::from(query.limit)),
                after_mark: None,
                records: vec![],
                changes: vec![],
            }),
            Request::RenewEpoch(query) => Answer::EpochRenewed(query.seen),
            Request::StoreLastHeard(_) => Answer::LastHeardStored,
            Request::Register(call) => Answer::Registered(RegisterReply {
                status: 200,
                headers: call.params,
                body: call.email.into(),
                presence: None,
            }),
            Request::QueueSecret => Answer::QueueSecret([7; 32]),
            Request::Write(_) | Request::Heads(_) | Request::Probe => unreachable!("not here"),
        })
    })
    .await;
    let (link, _) = link(&[&writer]);
    let realm = RealmId(1);
    assert_eq!(link.identify(vec!["a".into(), "b".into()]).await, Ok(vec![None, None]));
    let cursor = Some(PageCursor("next".into()));
    assert_eq!(link.realm_page(realm, cursor.clone()).await.unwrap().next, cursor);
    let range = link.read_log(realm, Sequence(42), 7).await.unwrap();
    assert_eq!((range.head.sequence, range.floor), (Sequence(42), Sequence(7)));
    assert_eq!(link.renew_epoch(realm, head()).await, Ok(head()));
    let heard = vec![LastHeard { user_id: UserId(1), last_heard_s: 1 }; LAST_HEARD_MAX + 1];
    assert_eq!(link.store_last_heard(heard).await, Ok(()));
    assert_eq!(writer.asked(), 6, "more users than one request takes are told in two");
    let params = vec![("slim_presence".into(), "true".into())];
    let call = RegisterCall { email: "ada@x".into(), key: "key".into(), params: params.clone() };
    let reply = link.register(call).await.unwrap();
    assert_eq!((reply.status, reply.headers, &reply.body[..]), (200, params, &b"ada@x"[..]));
    assert_eq!(link.queue_secret().await, Ok([7; 32]));
    writer.now(heads);
    assert_eq!(head_of(&link).await.unwrap().heads, [(realm, head())]);
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    let writer = FakeWriter::start(|_| Reply::Answer(Answer::LastHeardStored)).await;
    let (link, _) = link(&[&writer]);
    assert!(matches!(head_of(&link).await, Err(LinkError::Unavailable(_))));
    writer.now(|_| Reply::Answer(Answer::Identified(vec![])));
    assert!(matches!(link.identify(vec!["a".into()]).await, Err(LinkError::Unavailable(_))));
}

#[tokio::test]
async fn a_read_goes_to_the_next_writer_when_one_breaks_refuses_or_can_not() {
    let away = Answer::Fault(Fault::Unavailable("no database".into()));
    let older = Answer::Fault(Fault::UnknownKind(5));
    let mut bad: Vec<Script> = vec![
        Box::new(|_| Reply::Breaks),
        Box::new(|_| Reply::Status(500)),
        Box::new(move |_| Reply::Answer(away.clone())),
        Box::new(move |_| Reply::Answer(older.clone())),
    ];
    let [one, other] = two(|| Box::new(heads)).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    let (preferred, next) = if link.writers.home == 0 { (&one, &other) } else { (&other, &one) };
    for script in bad.drain(..) {
        preferred.now(script);
        let before = (preferred.asked(), next.asked());
        assert!(head_of(&link).await.is_ok());
        assert_eq!((preferred.asked(), next.asked()), (before.0 + 1, before.1 + 1));
        connected(&link, 2).await;
    }
}

#[tokio::test]
async fn a_realm_that_is_not_there_is_not_looked_for_elsewhere() {
    let unknown = || {
        let script: Script = Box::new(|_| Reply::Answer(Answer::Fault(Fault::UnknownRealm(RealmId(1)))));
        script
    };
    let [one, other] = two(unknown).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    assert_eq!(link.realm_page(RealmId(1), None).await, Err(LinkError::UnknownRealm(RealmId(1))));
    assert_eq!(one.asked() + other.asked(), 1);
}

#[tokio::test]
async fn when_every_writer_says_that_it_can_not_nobody_waits() {
    let away = || {
        let fault = Fault::Unavailable("no database".into());
        let script: Script = Box::new(move |_| Reply::Answer(Answer::Fault(fault.clone())));
        script
    };
    let [one, other] = two(away).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    let start = Instant::now();
    assert_eq!(head_of(&link).await, Err(LinkError::Unavailable("no database".into())));
    assert_eq!((one.asked(), other.asked()), (1, 1));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_call_waits_for_a_writer_that_is_coming_and_no_longer_once_it_is_known_to_be_gone() {
    let mut writer = FakeWriter::start(heads).await;
    let (link, _) = link(&[&writer]);
    connected(&link, 1).await;
    writer.end().await;
    connected(&link, 0).await;
    let (asked, start) = (
        tokio::spawn({
            let link = link.clone();
            async move { head_of(&link).await }
        }),
        Instant::now(),
    );
    sleep(Duration::from_millis(300)).await;
    writer.restart();
    assert!(asked.await.unwrap().is_ok(), "a short absence is not noticed");
    assert!(start.elapsed() < NO_WRITER_MAX);

    writer.end().await;
    connected(&link, 0).await;
    let start = Instant::now();
    assert!(head_of(&link).await.is_err());
    let waited = start.elapsed();
    assert!(waited > NO_WRITER_MAX - Duration::from_millis(500), "{waited:?}");
    let start = Instant::now();
    assert!(head_of(&link).await.is_err());
    assert!(start.elapsed() < Duration::from_millis(200), "who comes later does not wait again");
}

#[tokio::test]
async fn a_frozen_writer_is_found_out_and_not_tried_until_it_answers_again() {
    let [one, other] = two(|| Box::new(heads)).await;
    let (link, health) = link(&[&one, &other]);
    connected(&link, 2).await;
    let frozen = if link.writers.home == 0 { &one } else { &other };
    frozen.freeze();
    let start = Instant::now();
    assert!(head_of(&link).await.is_ok());
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(4), "a frozen writer is found out within 3 s, not {waited:?}");
    let before = frozen.asked();
    for _ in 0..20 {
        assert!(head_of(&link).await.is_ok());
    }
    assert_eq!(frozen.asked(), before);
    assert_eq!(health.cut_off_since_ms(), None);
    *frozen.shared.answers_probes.lock().unwrap() = true;
    frozen.now(heads);
    connected(&link, 2).await;
    assert!(head_of(&link).await.is_ok());
    assert_eq!(frozen.asked(), before + 1, "it is the preferred one again");
}

#[tokio::test]
async fn who_shows_no_secret_or_a_wrong_one_is_not_let_in_and_says_so() {
    let writer = FakeWriter::with_secret(Some("0123456789abcdef"), heads).await;
    let (good, _) = link_with(&[&writer], Some("0123456789abcdef"));
    assert!(head_of(&good).await.is_ok());
    for secret in [None, Some("0123456789abcdeF")] {
        let (_link, health) = link_with(&[&writer], secret);
        let said = loop {
            let readiness = health.readiness(crate::health::Asker::Operator, false, 0);
            let said = readiness.into_body().collect().await.unwrap().to_bytes();
            let said = String::from_utf8(said.to_vec()).unwrap();
            if said.contains("401") {
                break said;
            }
            sleep(Duration::from_millis(2)).await;
        };
        assert!(said.contains("401 Unauthorized: as the test says"), "{said}");
    }
}

#[tokio::test]
async fn lanes_are_the_writers_and_a_realm_keeps_its_lane() {
    let log = SharedLog::default();
    let [mut one, other] = two(|| Box::new(log.script())).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    assert_eq!(link.lanes(), 2);
    let lanes: HashMap<u64, usize> = (1..=20).map(|realm| (realm, link.lane(RealmId(realm)))).collect();
    assert!(lanes.values().any(|lane| *lane == 0) && lanes.values().any(|lane| *lane == 1));
    assert!(are_sent(&link.write(0, batch(&["a"])).await) && are_sent(&link.write(1, batch(&["b"])).await));
    assert_eq!((one.batches(), other.batches()), (vec![vec!["a".into()]], vec![vec!["b".into()]]));
    one.end().await;
    connected(&link, 1).await;
    assert!((1..=20).all(|realm| link.lane(RealmId(realm)) == lanes[&realm]), "down or not");
    assert!(are_sent(&link.write(0, batch(&["c"])).await));
    assert_eq!(other.batches().len(), 2, "what one can't do the other does");
}

#[tokio::test]
async fn a_batch_whose_writer_dies_after_the_commit_is_done_once_by_the_next() {
    let log = SharedLog::default();
    let [one, other] = two(|| Box::new(log.script())).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    let committed = log.clone();
    one.now(move |request| {
        let Request::Write(batch) = request else { panic!("asked {request:?}") };
        committed.write(&batch);
        Reply::Breaks
    });
    let outcomes = link.write(0, batch(&["a", "b", "c"])).await;
    assert!(are_sent(&outcomes), "{outcomes:?}");
    assert_eq!(log.ids(), ["a", "b", "c"]);
    assert_eq!(other.batches(), [["a", "b", "c"]], "the same, in the same order, with the same ids");
}

#[tokio::test]
async fn what_a_writer_could_not_do_goes_to_the_next_in_order_and_nothing_else_does() {
    let log = SharedLog::default();
    let [one, other] = two(|| Box::new(log.script())).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    let sent = WriteOutcome::Sent { message_id: MessageId(99), sequence: Sequence(99) };
    let first = vec![
        sent.clone(),
        refused(RefusalCode::Unavailable),
        refused(RefusalCode::RateLimited),
        refused(RefusalCode::OutOfOrder),
        refused(RefusalCode::OutOfOrder),
        WriteOutcome::Refused(Refusal::fatal(RefusalCode::Forbidden, "no")),
    ];
    one.now(move |_| Reply::Answer(Answer::Written(first.clone())));
    let batch = [(1, "a"), (1, "b"), (2, "limited"), (1, "c"), (2, "after-limited"), (3, "forbidden")];
    let batch = batch.iter().map(|(session, id)| say(*session, id)).collect();
    let outcomes = link.write(0, batch).await;
    assert_eq!(other.batches(), [["b", "c"]]);
    assert_eq!(outcomes[0], sent, "what was answered stays");
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    let expected = [
        None,
        None,
        Some(RefusalCode::RateLimited),
        None,
        Some(RefusalCode::OutOfOrder),
        Some(RefusalCode::Forbidden),
    ];
    assert_eq!(codes, expected);
}

#[tokio::test]
async fn when_no_writer_can_the_refusal_comes_at_once_and_may_be_tried_again() {
    let cannot = || {
        let script: Script = Box::new(|request| {
            let Request::Write(batch) = request else { panic!("asked {request:?}") };
            Reply::Answer(Answer::Written(vec![refused(RefusalCode::Unavailable); batch.len()]))
        });
        script
    };
    let [one, other] = two(cannot).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    let start = Instant::now();
    let outcomes = link.write(1, batch(&["a", "b"])).await;
    assert_eq!(outcomes, vec![refused(RefusalCode::Unavailable); 2]);
    assert_eq!((one.batches().len(), other.batches().len()), (1, 1));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn without_any_writer_writes_are_refused_after_a_bounded_time_to_be_tried_again() {
    let mut writer = FakeWriter::start(SharedLog::default().script()).await;
    let (link, _) = link(&[&writer]);
    connected(&link, 1).await;
    writer.end().await;
    connected(&link, 0).await;
    let start = Instant::now();
    let outcomes = link.write(0, batch(&["a", "b"])).await;
    assert!(start.elapsed() < NO_WRITER_MAX + Duration::from_secs(1));
    for outcome in outcomes {
        let WriteOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert_eq!((refusal.code, refusal.retry_after_ms), (RefusalCode::Unavailable, Some(1_000)));
    }
}

#[tokio::test]
async fn a_writer_that_answers_short_has_not_answered() {
    let log = SharedLog::default();
    let [one, other] = two(|| Box::new(log.script())).await;
    let (link, _) = link(&[&one, &other]);
    connected(&link, 2).await;
    one.now(|_| Reply::Answer(Answer::Written(vec![])));
    assert!(are_sent(&link.write(0, batch(&["a", "b"])).await));
    assert_eq!(other.batches(), [["a", "b"]]);
}

#[tokio::test]
async fn many_reads_at_once_take_turns() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, seen) = (under_way.clone(), most.clone());
    let writer = FakeWriter::start(move |_| {
        let now = counted.fetch_add(1, Ordering::Relaxed) + 1;
        seen.fetch_max(now, Ordering::Relaxed);
        Reply::Answer(Answer::Fault(Fault::UnknownRealm(RealmId(1))))
    })
    .await;
    let (link, _) = link(&[&writer]);
    connected(&link, 1).await;
    let mut reads = JoinSet::new();
    for _ in 0..500 {
        let (link, under_way) = (link.clone(), under_way.clone());
        reads.spawn(async move {
            assert!(link.realm_page(RealmId(1), None).await.is_err());
            under_way.fetch_sub(1, Ordering::Relaxed);
        });
    }
    while let Some(read) = reads.join_next().await {
        read.unwrap();
    }
    assert_eq!(writer.asked(), 500);
    // Answers that are read and not yet counted down add a few.
    assert!(most.load(Ordering::Relaxed) <= 2 * READS_MAX, "{most:?}");
}
