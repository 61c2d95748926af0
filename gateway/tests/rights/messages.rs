//! Who may say what over a WebSocket, and what comes of it.

use std::collections::BTreeSet;

use squall_protocol::client_message::{ClientMessage, Status, TypingOp};
use squall_protocol::server_message::ErrorCode;
use squall_protocol::{CloseCode, Destination, SendId, json};

use crate::cast::{self, REALM};
use crate::columns::{House, Watch};
use crate::findings::Findings;
use crate::support::client::{Client, Outcome, fresh_send_id};
use crate::support::operator::Account;
use crate::support::presence_view::Seen;
use crate::support::server::Server;
use crate::table::Table;

/// SPEC.md, sections 4 to 7: members write; all but guests may know of an open stream, join it and add
/// others; an invite-only stream is known to its members, who (but guests) add others; whoever is in a stream
/// may leave it, administrators remove others. Who may not know of a stream hears that there is none. Typing
/// reaches who may read there, if the user may write there. Presence is the realm's, and bots have none.
///
/// `in` and `out` are of both streams, `secret` (invite-only) and `open`. The stranger is of another realm.
/// Who is `put out` is deactivated between its hello and what the row says (in the first row, before).
const MESSAGES: &str = "
    said                           member in       member out      guest in        guest out       bot in          bot out         admin in        admin out       stranger        put out
    hello                          welcome         welcome         welcome         welcome         welcome         welcome         welcome         welcome         welcome         4401
    send to secret                 sent            unknown_stream  sent            unknown_stream  sent            unknown_stream  sent            unknown_stream  unknown_stream  4403
    send to open                   sent            forbidden       sent            unknown_stream  sent            forbidden       sent            forbidden       unknown_stream  4403
    send to fellow                 sent            sent            sent            sent            sent            sent            sent            sent            unknown_user    4403
    send to alien                  unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    sent            4403
    send to gone                   unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    unknown_user    4403
    subscribe self to secret       done            unknown_stream  done            unknown_stream  done            unknown_stream  done            unknown_stream  unknown_stream  4403
    subscribe self to open         done            done            done            unknown_stream  done            done            done            done            unknown_stream  4403
    subscribe other to secret      done            unknown_stream  forbidden       unknown_stream  done            unknown_stream  done            unknown_stream  unknown_stream  4403
    subscribe other to open        done            done            forbidden       unknown_stream  done            done            done            done            unknown_stream  4403
    subscribe alien to secret      unknown_user    unknown_stream  forbidden       unknown_stream  unknown_user    unknown_stream  unknown_user    unknown_stream  unknown_stream  4403
    subscribe alien to open        unknown_user    unknown_user    forbidden       unknown_stream  unknown_user    unknown_user    unknown_user    unknown_user    unknown_stream  4403
    subscribe other to missing     unknown_stream  unknown_stream  unknown_stream  unknown_stream  unknown_stream  unknown_stream  unknown_stream  unknown_stream  unknown_stream  4403
    unsubscribe self from secret   done            unknown_stream  done            unknown_stream  done            unknown_stream  done            unknown_stream  unknown_stream  4403
    unsubscribe self from open     done            done            done            unknown_stream  done            done            done            done            unknown_stream  4403
    unsubscribe other from secret  forbidden       unknown_stream  forbidden       unknown_stream  forbidden       unknown_stream  done            unknown_stream  unknown_stream  4403
    unsubscribe other from open    forbidden       forbidden       forbidden       unknown_stream  forbidden       forbidden       done            done            unknown_stream  4403
    unsubscribe alien from open    forbidden       forbidden       forbidden       unknown_stream  forbidden       forbidden       unknown_user    unknown_user    unknown_stream  4403
    typing in secret               told            untold          told            untold          told            untold          told            untold          untold          4403
    typing in open                 told            untold          told            untold          told            untold          told            untold          untold          4403
    typing to fellow               told            told            told            told            told            told            told            told            untold          4403
    typing to alien                untold          untold          untold          untold          untold          untold          untold          untold          told            4403
    presence                       told            told            told            told            untold          untold          told            told            untold          4403
    presence_request               own realm       own realm       own realm       own realm       own realm       own realm       own realm       own realm       own realm       4403
    ping                           pong            pong            pong            pong            pong            pong            pong            pong            pong            4403
    pong                           open            open            open            open            open            open            open            open            open            4403
";

#[tokio::test]
async fn each_message_is_for_those_who_may_say_it() {
    // On one shard, typing is told in the order in which it was said, whoever said it.
    let server = Server::start_with(&["--presence-tick", "100ms", "--shards", "1"]).await;
    let table = Table::read(MESSAGES);
    let house = House::build(&server, &table).await;
    let mut watch = Watch::begin(&server, &house).await;
    let mut findings = Findings::default();
    for row in table.rows() {
        for column in table.columns() {
            let (actor, other) = house.actors(row, column);
            let mut deed = Deed { server: &server, house: &house, watch: &mut watch, column, actor, other };
            let found = if column == "put out" { deed.put_out(row).await } else { deed.done(row).await };
            findings.check(&format!("{column} says {row:?}"), &found.as_str(), &table.cell(row, column));
        }
    }
    findings.tell("client messages");
}

/// The decoder's own list of kinds is the table's.
#[test]
fn each_kind_of_message_has_a_row() {
    let refusal = json::decode_client(r#"{"type":"?"}"#).expect_err("no such kind").to_string();
    let (_, list) = refusal.split_once("expected one of ").expect("the list of kinds");
    let known: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    let table = Table::read(MESSAGES);
    let tried: BTreeSet<&str> = table.rows().filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(known, tried);
}

/// One cell: somebody says something.
struct Deed<'a> {
    server: &'a Server,
    house: &'a House,
    watch: &'a mut Watch,
    column: &'a str,
    actor: &'a Account,
    other: &'a Account,
}

impl Deed<'_> {
    /// What comes of it.
    async fn done(&mut self, row: &str) -> String {
        let mut session = cast::connect(self.server, &self.actor.key, None).await;
        let words: Vec<&str> = row.split(' ').collect();
        match words[..] {
            ["hello"] => "welcome".to_owned(),
            ["send" | "subscribe" | "unsubscribe", ..] => {
                let (send_id, message) = self.write(&words);
                session.say(&message).await;
                outcome(session.outcome(&send_id).await)
            }
            ["typing", .., place] => self.typing(&mut session, place).await,
            ["presence"] => self.presence(&mut session).await,
            ["presence_request"] => self.presence_request(&mut session).await,
            ["ping"] => {
                session.round_trip().await;
                "pong".to_owned()
            }
            ["pong"] => {
                session.say(&ClientMessage::Pong { active: true }).await;
                session.round_trip().await;
                "open".to_owned()
            }
            _ => panic!("nobody knows how to say {row:?}"),
        }
    }

    /// A user is put out while it has a session: what it says then comes to nothing.
    async fn put_out(&mut self, row: &str) -> String {
        if row == "hello" {
            self.server.set_active(REALM, &self.actor.email, false).await;
            let mut line = self.server.line().await;
            line.say_text(format!(r#"{{"type":"hello","token":"{}"}}"#, self.actor.key)).await;
            line.expect_error(ErrorCode::Unauthorized).await;
            line.assert_closed(CloseCode::Unauthorized).await;
            return CloseCode::Unauthorized.number().to_string();
        }
        let mut session = cast::connect(self.server, &self.actor.key, None).await;
        let words: Vec<&str> = row.split(' ').collect();
        let (send_id, message) = match words[0] {
            "send" | "subscribe" | "unsubscribe" => self.write(&words),
            "typing" => (fresh_send_id(), self.typing_message(words[2])),
            "presence" => (fresh_send_id(), ClientMessage::Presence { status: Status::Idle }),
            "presence_request" => (fresh_send_id(), ClientMessage::PresenceRequest {}),
            "ping" => (fresh_send_id(), ClientMessage::Ping {}),
            _ => (fresh_send_id(), ClientMessage::Pong { active: true }),
        };
        self.server.set_active(REALM, &self.actor.email, false).await;
        // The session may have ended already.
        session.line().say(&message).await;
        session.assert_closed(CloseCode::Revoked).await;
        match session.take_outcome(&send_id) {
            Some(done @ (Outcome::Sent { .. } | Outcome::Done { .. })) => outcome(done),
            Some(Outcome::Refused { .. }) | None => CloseCode::Revoked.number().to_string(),
        }
    }

    /// A row's message that the writer answers.
    fn write(&self, words: &[&str]) -> (SendId, ClientMessage) {
        let send_id = fresh_send_id();
        let message = match words[..] {
            ["send", _, place] => ClientMessage::Send {
                send_id: send_id.clone(),
                to: self.destination(place),
                content: "hello".to_owned(),
            },
            ["subscribe", whom, _, stream] => ClientMessage::Subscribe {
                send_id: send_id.clone(),
                stream_id: self.stream_id(stream),
                user_ids: self.whom(whom),
            },
            ["unsubscribe", whom, _, stream] => ClientMessage::Unsubscribe {
                send_id: send_id.clone(),
                stream_id: self.stream_id(stream),
                user_ids: self.whom(whom),
            },
            _ => panic!("nobody knows how to say {words:?}"),
        };
        (send_id, message)
    }

    fn whom(&self, whom: &str) -> Vec<squall_protocol::UserId> {
        match whom {
            "self" => Vec::new(),
            "other" => vec![self.other.user_id],
            "alien" => vec![self.house.alien.user_id],
            _ => vec![self.house.gone.user_id],
        }
    }

    fn stream_id(&self, name: &str) -> squall_protocol::StreamId {
        match name {
            "secret" => self.house.secret,
            "open" => self.house.open,
            // No realm has it.
            _ => squall_protocol::StreamId(4_000_000),
        }
    }

    fn destination(&self, place: &str) -> Destination {
        match place {
            "fellow" => Destination::Direct { user_ids: vec![self.house.fellow.user_id] },
            "alien" => Destination::Direct { user_ids: vec![self.house.alien.user_id] },
            "gone" => Destination::Direct { user_ids: vec![self.house.gone.user_id] },
            stream => {
                Destination::Stream { stream_id: self.stream_id(stream), topic: "greetings".to_owned() }
            }
        }
    }

    fn typing_message(&self, place: &str) -> ClientMessage {
        ClientMessage::Typing { op: TypingOp::Start, to: self.destination(place) }
    }

    /// Whether the one who watches there is told, before it is told what a herald types after it.
    async fn typing(&mut self, session: &mut Client, place: &str) -> String {
        session.say(&self.typing_message(place)).await;
        session.round_trip().await;
        let (watcher, herald, stream_id) = if place == "alien" {
            (&mut self.watch.alien, &mut self.watch.heralds[1], self.house.other_open)
        } else {
            (&mut self.watch.fellow, &mut self.watch.heralds[0], self.house.open)
        };
        // Its topic tells this notice from those after other cells.
        let after = Destination::Stream { stream_id, topic: format!("after user {}", session.user_id()) };
        let mut told = false;
        loop {
            // Notices in a row are limited: one that was dropped is said again.
            herald.say(&ClientMessage::Typing { op: TypingOp::Stop, to: after.clone() }).await;
            herald.round_trip().await;
            watcher.round_trip().await;
            for typing in watcher.take_typing() {
                told |= typing.sender_id == session.user_id();
                if typing.to == after {
                    return if told { "told" } else { "untold" }.to_owned();
                }
            }
        }
    }

    /// Whether the fellow sees the user turn idle, before it sees a herald do so.
    async fn presence(&mut self, session: &mut Client) -> String {
        let (fellow, herald) = (&mut self.watch.fellow, &mut self.watch.heralds[0]);
        let (user, herald_user) = (session.user_id(), herald.user_id());
        herald.say(&ClientMessage::Presence { status: Status::Active }).await;
        fellow.expect_presence(herald_user, Seen::Active).await;
        session.say(&ClientMessage::Presence { status: Status::Idle }).await;
        session.round_trip().await;
        herald.say(&ClientMessage::Presence { status: Status::Idle }).await;
        fellow.expect_presence(herald_user, Seen::Idle).await;
        match fellow.presence().of(user) {
            Some(Seen::Idle) => "told".to_owned(),
            None => "untold".to_owned(),
            Some(other) => format!("{other:?}"),
        }
    }

    /// Whether a snapshot holds users of the user's own realm only, and holds some.
    async fn presence_request(&mut self, session: &mut Client) -> String {
        let own = self.house.realm_of(self.column);
        let seen = session.fresh_presence().await;
        match seen.users().keys().find(|user| !own.contains(user)) {
            Some(foreign) => format!("user {foreign} of another realm"),
            None if seen.users().is_empty() => "nobody".to_owned(),
            None => "own realm".to_owned(),
        }
    }
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Sent { .. } => "sent".to_owned(),
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::Refused { code, retry_after_ms: None } => {
            let name = serde_json::to_value(code).expect("a code has a name");
            name.as_str().expect("a name is text").to_owned()
        }
        Outcome::Refused { code, retry_after_ms } => format!("{code:?} for {retry_after_ms:?} ms"),
    }
}
