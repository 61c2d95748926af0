//! One client of an engine, and the server it talks to, in one thread.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use squall_protocol::client_message::{Hello, Scope};
use squall_protocol::event::Message;
use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::Welcome;
use squall_protocol::{
    ClientMessage, Codec, Destination, Epoch, Event, Mark, MessageId, Position, RealmId, SendId, Sequence,
    ServerMessage, SessionId, UserId,
};

use super::super::content::Origin;
use super::super::outbox::What;
use super::super::plan::{ClientPlan, Load, Plan, RealmPlan, TargetPlan, UserPlan};
use super::super::{Engine, Tag};
use crate::moment::Moment;

pub(super) const USER: UserId = UserId(1);
pub(super) const REALM: RealmId = RealmId(5);
pub(super) const HEAD: Position = Position { epoch: Epoch(1), sequence: Sequence(3), mark: Mark(3) };

pub(super) struct Bench {
    pub(super) engine: Engine,
    listener: TcpListener,
    /// Of the last send that came.
    pub(super) last_destination: Option<Destination>,
}

/// The server's end of a connection.
pub(super) struct Peer {
    stream: TcpStream,
    pub(super) codec: Codec,
    bytes: Vec<u8>,
    frames: VecDeque<(u8, Vec<u8>)>,
}

impl Bench {
    /// An engine of one client that begins to connect.
    pub(super) fn new(change: impl FnOnce(&mut Plan)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&listener).set_recv_buffer_size(8_192).unwrap();
        let address = listener.local_addr().unwrap();
        let user =
            UserPlan { realm: 0, user_id: USER, key: "the key".into(), is_guest: false, streams: vec![] };
        let users = vec![USER, UserId(2)];
        let mut plan = Plan {
            worker: 0,
            workers: 1,
            seed: 7,
            tag: Tag::of(1),
            began: Moment::now(),
            targets: vec![TargetPlan { addresses: vec![address], sources: vec![] }],
            realms: vec![RealmPlan {
                target: 0,
                realm_id: REALM,
                head: HEAD,
                users,
                guests: vec![],
                streams: vec![],
            }],
            users: vec![user],
            clients: vec![ClientPlan { user: 0, number: 0, is_json: false, sends: true, is_slow: false }],
            ramp_per_s: 1_000.0,
            scope: Scope::None,
            payload_bytes: 64,
            topics: 1,
            resume_window: Duration::from_secs(3_600),
            load: Load::default(),
        };
        change(&mut plan);
        let mut engine = Engine::new(plan).unwrap();
        engine.open(Moment::now());
        Self { engine, listener, last_destination: None }
    }

    pub(super) fn plan_tag(&self) -> Tag {
        self.engine.plan.tag.clone()
    }

    /// Lets the engine work until something holds.
    pub(super) fn until(&mut self, what: &str, mut holds: impl FnMut(&Engine) -> bool) {
        self.find(what, |bench| holds(&bench.engine).then_some(()));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = Moment::now() + time;
        while Moment::now() < end {
            self.engine.turn(end).unwrap();
        }
    }

    fn find<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            self.engine.turn(Moment::now() + Duration::from_millis(1)).unwrap();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        }
    }

    /// The next connection, up to its request.
    pub(super) fn accept_stream(&mut self) -> TcpStream {
        self.find("a connection", |bench| bench.listener.accept().ok()).0
    }

    /// Answers an upgrade with just this.
    pub(super) fn answer(&mut self, mut stream: &TcpStream, head: &str) {
        self.request(stream);
        stream.write_all(head.as_bytes()).unwrap();
    }

    fn request(&mut self, mut stream: &TcpStream) -> String {
        stream.set_nonblocking(true).unwrap();
        let mut request = Vec::new();
        self.find("the request", |_| {
            let mut buffer = [0; 4_096];
            let read = stream.read(&mut buffer).unwrap_or(0);
            request.extend_from_slice(&buffer[..read]);
            request.ends_with(b"\r\n\r\n").then_some(())
        });
        String::from_utf8(request).unwrap()
    }

    /// The next connection, upgraded.
    pub(super) fn accept(&mut self) -> Peer {
        let mut stream = self.accept_stream();
        let request = self.request(&stream);
        let field = |name: &str| {
            let line = request.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {request}")).trim().to_owned()
        };
        let codec = Codec::of(&field("Sec-WebSocket-Protocol:")).unwrap();
        let accept = super::super::upgrade::Key::accept_of(&field("Sec-WebSocket-Key:"));
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {accept}\r\nsec-websocket-protocol: {}\r\n\r\n",
            codec.subprotocol()
        );
        stream.write_all(head.as_bytes()).unwrap();
        Peer { stream, codec, bytes: Vec::new(), frames: VecDeque::new() }
    }

    /// The hello of a new connection.
    pub(super) fn hello(&mut self, peer: &mut Peer) -> Hello {
        let heard = self.heard(peer);
        let ClientMessage::Hello(hello) = heard else { panic!("{heard:?} is no hello") };
        hello
    }

    pub(super) fn welcome(&mut self, peer: &mut Peer, position: Position) {
        peer.say(&welcome(position, USER));
        self.until("an open session", |engine| engine.tally().open == 1);
    }

    /// The first session, at the head.
    pub(super) fn open(&mut self) -> Peer {
        self.reopen(HEAD)
    }

    /// The next session, at `position`.
    pub(super) fn reopen(&mut self, position: Position) -> Peer {
        let mut peer = self.accept();
        self.hello(&mut peer);
        self.welcome(&mut peer, position);
        peer
    }

    /// Has the client send something; its id.
    pub(super) fn make(&mut self) -> String {
        let number = self.engine.next_number;
        let (now, what) = (Moment::now(), What::Direct { user_ids: [UserId(2)].into() });
        assert!(self.engine.make(0, now, what, now));
        Origin { worker: 0, number }.send_id(&self.plan_tag()).unwrap().to_string()
    }

    /// Has the client send something, and reads it.
    pub(super) fn send(&mut self, peer: &mut Peer) -> SendId {
        let made = self.make();
        let heard = self.send_id(peer);
        assert_eq!(heard.as_str(), made);
        heard
    }

    /// The id of the next send that comes.
    pub(super) fn send_id(&mut self, peer: &mut Peer) -> SendId {
        let heard = self.heard(peer);
        let ClientMessage::Send { send_id, to, .. } = heard else { panic!("{heard:?} is no send") };
        self.last_destination = Some(to);
        send_id
    }

    /// The next message that comes.
    pub(super) fn heard(&mut self, peer: &mut Peer) -> ClientMessage {
        let (kind, payload) = self.frame(peer);
        assert_eq!(kind, if peer.codec.is_text() { 0x81 } else { 0x82 });
        peer.codec.decode_client(&payload).unwrap()
    }

    /// The next control frame that comes.
    pub(super) fn control(&mut self, peer: &mut Peer) -> (u8, Vec<u8>) {
        let frame = self.frame(peer);
        assert!(frame.0 & 0x08 != 0, "{frame:?} is no control frame");
        frame
    }

    fn frame(&mut self, peer: &mut Peer) -> (u8, Vec<u8>) {
        self.find("a frame", |_| peer.next())
    }
}

impl Peer {
    pub(super) fn say(&mut self, message: &ServerMessage) {
        let kind = if self.codec.is_text() { 0x81 } else { 0x82 };
        self.frame(kind, &self.codec.encode_server(message));
    }

    pub(super) fn close(&mut self, code: u16) {
        self.frame(0x88, &code.to_be_bytes());
    }

    pub(super) fn frame(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![kind];
        if payload.len() < 126 {
            frame.push(payload.len() as u8);
        } else {
            frame.push(126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).unwrap();
    }

    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut buffer = [0; 64 * 1_024];
        match self.stream.read(&mut buffer) {
            Ok(read) => self.bytes.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        while let Some((length, frame)) = unmasked(&self.bytes) {
            self.bytes.drain(..length);
            self.frames.push_back(frame);
        }
        self.frames.pop_front()
    }
}

/// The first frame of a client's bytes, if it is whole: its length, its first byte, its payload.
fn unmasked(bytes: &[u8]) -> Option<(usize, (u8, Vec<u8>))> {
    let &[kind, second, ..] = bytes else { return None };
    assert_ne!(second & 0x80, 0, "a client masks");
    let (length, start) = match second & 0x7F {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
        127 => panic!("no message is that long"),
        length => (usize::from(length), 2),
    };
    let mask = bytes.get(start..start + 4)?;
    let masked = bytes.get(start + 4..start + 4 + length)?;
    let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((start + 4 + length, (kind, payload)))
}

pub(super) fn welcome(position: Position, user_id: UserId) -> ServerMessage {
    ServerMessage::Welcome(Box::new(Welcome {
        session_id: SessionId(1),
        realm_id: REALM,
        user_id,
        position,
        api: String::new(),
        time_ms: 1,
        heartbeat_ms: 25_000,
        timeout_ms: 10_000,
        resume_window_s: 86_400,
        presence_error_max_ms: 55_000,
        frame_bytes_max: 65_536,
        content_chars_max: 10_000,
        sends_in_flight_max: 256,
    }))
}

/// An event: a message of another user's, and of another run's.
pub(super) fn message(sequence: u64, content: &str) -> ServerMessage {
    event(sequence, content, SendId::parse("foreign").unwrap())
}

/// A message of this run's as it was sent, and with one letter changed.
pub(super) fn own_message(sequence: u64, tag: &Tag) -> (ServerMessage, ServerMessage) {
    let origin = Origin { worker: 0, number: 0 };
    let (content, id) = (origin.content(tag, Moment(1), 64), origin.send_id(tag).unwrap());
    let broken = format!("{}!", &content[..content.len() - 1]);
    (event(sequence, &content, id.clone()), event(sequence + 1, &broken, id))
}

fn event(sequence: u64, content: &str, send_id: SendId) -> ServerMessage {
    let event = Event::Message(Message {
        message_id: MessageId(sequence),
        sender_id: UserId(2),
        timestamp: 1,
        to: Destination::Direct { user_ids: vec![USER, UserId(2)] },
        content: content.into(),
        send_id,
    });
    ServerMessage::Event { sequence: Sequence(sequence), mark: Mark(sequence as u32), event }
}

pub(super) fn sent(send_id: &SendId, sequence: u64) -> ServerMessage {
    let (message_id, sequence) = (MessageId(sequence), Sequence(sequence));
    ServerMessage::Sent { send_id: send_id.clone(), message_id, sequence }
}

pub(super) fn refused(send_id: &SendId, code: RefusalCode, retry_after_ms: Option<u32>) -> ServerMessage {
    ServerMessage::Refused { send_id: send_id.clone(), code, message: String::new(), retry_after_ms }
}
