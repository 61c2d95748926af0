//! Who sees what: live, in a resume from memory and from the log, in history and topics by HTTP.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::limits::{LOG_RANGE_EVENTS_MAX, SENDS_IN_FLIGHT_MAX};
use squall_protocol::server_message::{ErrorCode, ResetReason};
use squall_protocol::{CloseCode, Destination, Event, MessageId, Position, StreamId, UserId};

use crate::cast::{self, Kind, OTHER_REALM, REALM};
use crate::findings::Findings;
use crate::support::api::{Api, succeeded};
use crate::support::client::Client;
use crate::support::operator::Account;
use crate::support::server::Server;
use crate::table::Table;

/// What happens, in this order, and who is entitled to it: the audience of SPEC.md's section 2, at the
/// event's own sequence. `secret` is invite-only, `open` is not; whoever is in one is in the other.
///
/// The first six columns stand for a member, a guest, a bot and an administrator each, the others for a
/// member: `put-out` is deactivated on the way, `taken-in` too but comes back, `rekeyed` gets a new key,
/// `stranger` is of another realm. `regulars`: all of the column but guests. `later`: the session had ended
/// by then, so it is only seen in a resume (a deactivated user stays a member).
const SCRIPT: &str = "
    what                                 always    never     joined    left      rejoined  visited   put-out  taken-in  rekeyed  stranger
    secret say:first                     yes       no        no        yes       yes       no        yes      yes       no       no
    open say:first                       yes       no        no        yes       yes       no        yes      yes       no       no
    secret remove:left,rejoined          yes       no        no        yes       yes       no        yes      yes       no       no
    open remove:left,rejoined            yes       no        no        yes       yes       no        yes      yes       no       no
    secret add:joined                    yes       no        yes       no        no        no        yes      yes       no       no
    open add:joined                      yes       no        yes       no        no        no        yes      yes       no       no
    secret say:second                    yes       no        yes       no        no        no        yes      yes       no       no
    open say:second                      yes       no        yes       no        no        no        yes      yes       no       no
    direct say:never,left                no        yes       no        yes       no        no        no       no        no       no
    realm stream_created:fresh           regulars  regulars  regulars  regulars  regulars  regulars  yes      yes       yes      no
    realm stream_created:hidden          no        no        no        no        no        no        no       no        no       no
    realm user_added:newcomer            yes       yes       yes       yes       yes       yes       yes      yes       yes      no
    realm user_updated:newcomer          yes       yes       yes       yes       yes       yes       yes      yes       yes      no
    realm credential_changed:newcomer    no        no        no        no        no        no        no       no        no       no
    realm user_updated:put-out           yes       yes       yes       yes       yes       yes       yes      yes       yes      no
    realm user_updated:taken-in          yes       yes       yes       yes       yes       yes       no       yes       yes      no
    realm credential_changed:rekeyed     no        no        no        no        no        no        no       no        yes      no
    secret add:rejoined,visited          yes       no        yes       no        yes       yes       no       later     no       no
    open add:rejoined,visited            yes       no        yes       no        yes       yes       no       later     no       no
    secret say:third                     yes       no        yes       no        yes       yes       no       later     no       no
    open say:third                       yes       no        yes       no        yes       yes       no       later     no       no
    realm user_updated:back              yes       yes       yes       yes       yes       yes       no       later     later    no
    secret remove:visited                yes       no        yes       no        yes       yes       no       later     no       no
    open remove:visited                  yes       no        yes       no        yes       yes       no       later     no       no
    secret say:fourth                    yes       no        yes       no        yes       no        no       later     no       no
    open say:fourth                      yes       no        yes       no        yes       no        no       later     no       no
";

/// Whose each stream is when all is over, and with it what history by HTTP shows of it. `own`: what the
/// script entitles to; `all`: open history; `refused`: the stream is not known.
const HISTORY: &str = "
    stream, asked by      always   never     joined   left      rejoined   visited   taken-in   rekeyed   stranger
    secret, a guest       own      refused   own      refused   own        refused   own        refused   refused
    secret, others        own      refused   own      refused   own        refused   own        refused   refused
    open, a guest         own      refused   own      refused   own        refused   own        refused   refused
    open, others          all      all       all      all       all        all       all        all       refused
";

/// The columns that stand for each kind of user.
const OF_EACH_KIND: [&str; 6] = ["always", "never", "joined", "left", "rejoined", "visited"];

/// Those whose sessions end on the way.
const ENDED: [&str; 3] = ["put-out", "taken-in", "rekeyed"];

/// After this row the second resume begins.
const MIDDLE: &str = "open say:second";

/// The user whose making ends the script: everybody in the realm hears of it.
const LAST: &str = "last";

#[tokio::test]
async fn everybody_sees_what_it_is_entitled_to_and_nothing_else() {
    let mut server = Server::start_with(&["--shards", "2"]).await;
    let mut play = Play::prepare(&server).await;
    play.perform(&server).await;

    let mut findings = Findings::default();
    play.check_live(&mut findings).await;
    play.check_resumes(&server, "the ring", &mut findings).await;
    play.check_history(&server, &mut findings).await;
    server.kill_9();
    server.restart().await;
    play.check_resumes(&server, "the log", &mut findings).await;
    play.check_history(&server, &mut findings).await;
    findings.tell("entitlement");
}

/// A realm in which the script is performed.
struct Play {
    script: Script,
    history: Table,
    viewers: Vec<Viewer>,
    names: Names,
    host: Client,
    /// Where the host stood after the row [`MIDDLE`].
    middle: Position,
    /// The messages said, by their rows.
    messages: Vec<(String, MessageId)>,
}

/// Somebody whose cells are tried.
struct Viewer {
    name: String,
    column: String,
    kind: Kind,
    account: Account,
    live: Client,
    start: Position,
}

/// How a viewer came to see what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Live,
    Afterwards,
}

impl Play {
    async fn prepare(server: &Server) -> Self {
        let script = Script(Table::read(SCRIPT));
        cast::create_realms(server).await;
        let mut names = Names::default();
        for (name, invite_only) in [("secret", true), ("open", false)] {
            let stream_id = cast::create_stream(server, REALM, name, invite_only).await;
            names.streams.insert(stream_id, name.to_owned());
            // Those of the same names elsewhere must not be taken for these.
            cast::create_stream(server, OTHER_REALM, name, invite_only).await;
        }
        let host = [cast::user(REALM, "host", Kind::Admin, &["secret", "open"])];
        let host = server.create_users(&host).await.remove(0);
        let mut accounts = Vec::new();
        for (name, column, kind) in script.cast() {
            let stranger = column == "stranger";
            let realm = if stranger { OTHER_REALM } else { REALM };
            let is_in = stranger || script.0.cell("open say:first", &column) == "yes";
            let streams: &[&str] = if is_in { &["secret", "open"] } else { &[] };
            let account = server.create_users(&[cast::user(realm, &name, kind, streams)]).await.remove(0);
            names.users.insert(account.user_id, column.clone());
            accounts.push((name, column, kind, account));
        }
        let mut host = cast::connect(server, &host.key, None).await;
        fill_the_log(&mut host).await;
        // The sessions start at a head that all of them stand behind.
        let mut viewers = Vec::new();
        for (name, column, kind, account) in accounts {
            let live = cast::connect(server, &account.key, None).await;
            let start = live.position();
            viewers.push(Viewer { name, column, kind, account, live, start });
        }
        let middle = host.position();
        Self { script, history: Table::read(HISTORY), viewers, names, host, middle, messages: Vec::new() }
    }

    async fn perform(&mut self, server: &Server) {
        let rows: Vec<String> = self.script.0.rows().map(str::to_owned).collect();
        for row in &rows {
            self.perform_row(server, row).await;
            if row == MIDDLE {
                while self.names.of(&self.host.next_event().await.1) != *row {}
                self.middle = self.host.position();
            }
        }
        for realm in [REALM, OTHER_REALM] {
            server.create_users(&[cast::user(realm, LAST, Kind::Member, &[])]).await;
        }
    }

    async fn perform_row(&mut self, server: &Server, row: &str) {
        let (place, act) = row.split_once(' ').expect("a place and an act");
        let (verb, whom) = act.split_once(':').expect("a verb and whom");
        match verb {
            "say" => self.say(place, whom, row).await,
            "add" => {
                self.host.subscribe(self.names.stream_id(place), &self.names.user_ids(whom)).await;
            }
            "remove" => {
                self.host.unsubscribe(self.names.stream_id(place), &self.names.user_ids(whom)).await;
            }
            "stream_created" => {
                let stream_id = cast::create_stream(server, REALM, whom, whom == "hidden").await;
                self.names.streams.insert(stream_id, whom.to_owned());
            }
            "user_added" => {
                server.create_users(&[cast::user(REALM, whom, Kind::Member, &[])]).await;
            }
            "user_updated" if whom == "newcomer" => {
                let line = json!({ "realm": REALM, "email": cast::email(whom), "full_name": "Renamed" });
                server.operate_well("PATCH", "users", &[line]).await;
            }
            "user_updated" if whom == "back" => {
                server.set_active(REALM, &cast::email("taken-in"), true).await;
            }
            "user_updated" => server.set_active(REALM, &cast::email(whom), false).await,
            "credential_changed" => {
                let key = server.change_key(REALM, &cast::email(whom)).await;
                let viewer = self.viewers.iter_mut().find(|viewer| viewer.name == whom);
                viewer.into_iter().for_each(|viewer| viewer.account.key.clone_from(&key));
            }
            _ => panic!("nobody knows how to do {row:?}"),
        }
    }

    async fn say(&mut self, place: &str, whom: &str, row: &str) {
        let to = match place {
            "direct" => Destination::Direct { user_ids: self.names.user_ids(whom) },
            _ => Destination::Stream { stream_id: self.names.stream_id(place), topic: whom.to_owned() },
        };
        let (message_id, _) = self.host.say_in(&to, row).await;
        self.messages.push((row.to_owned(), message_id));
    }

    /// What was heard live: up to the end of the script, or of the session.
    async fn check_live(&mut self, findings: &mut Findings) {
        let Self { script, viewers, names, .. } = self;
        for viewer in viewers {
            let events = if ENDED.contains(&viewer.column.as_str()) {
                viewer.live.assert_closed(CloseCode::Revoked).await;
                viewer.live.take_events().into_iter().map(|(_, event)| event).collect()
            } else {
                to_the_last(&mut viewer.live).await
            };
            script.check(viewer, Way::Live, "live", None, &names.of_all(&events), findings);
        }
    }

    /// What a resume brings, from the start and from the middle.
    async fn check_resumes(&self, server: &Server, from: &str, findings: &mut Findings) {
        for viewer in &self.viewers {
            let key = &viewer.account.key;
            if viewer.column == "put-out" {
                let closed = is_unauthorized(server, key).await;
                findings.check(&format!("{} resumes from {from}, refused", viewer.name), &closed, &true);
                continue;
            }
            for (position, after) in [(viewer.start, None), (self.middle, Some(MIDDLE))] {
                let way = format!("in a resume from {from} after {}", after.unwrap_or("the start"));
                let mut session = cast::connect(server, key, Some(position)).await;
                let events = if viewer.column == "stranger" && after.is_some() {
                    // A position of another realm's log is none of its own.
                    session.expect_reset(ResetReason::Epoch).await;
                    session.round_trip().await;
                    session.take_events().into_iter().map(|(_, event)| event).collect()
                } else {
                    to_the_last(&mut session).await
                };
                let found = self.names.of_all(&events);
                self.script.check(viewer, Way::Afterwards, &way, after, &found, findings);
            }
        }
    }

    /// What the HTTP API shows, asked in each way there is.
    async fn check_history(&self, server: &Server, findings: &mut Findings) {
        for viewer in &self.viewers {
            let api = cast::api(server, &viewer.account);
            if viewer.column == "put-out" {
                let status = api.get("messages", &page(&json!([]).to_string())).await.status;
                findings.check(&format!("{} asks for history, refused", viewer.name), &status, &401);
                continue;
            }
            let own = |row: &str| self.script.entitles(row, viewer, Way::Afterwards);
            let host = json!([["sender", cast::email("host")]]);
            for narrow in [json!([]), json!([["topic", "first"]]), host] {
                // Of the stranger's realm there is no host.
                let refused = viewer.column == "stranger" && narrow[0][0] == "sender";
                let topic = narrow[0][0] == "topic";
                let shown = |row: &str| own(row) && (!topic || row.ends_with(":first"));
                let expected = (!refused).then(|| self.said_where(shown));
                let found = contents(&api, &narrow).await;
                findings.check(&format!("{} by HTTP, narrow {narrow}", viewer.name), &found, &expected);
            }
            for (row, message_id) in &self.messages {
                let found = self.found_by_id(&api, *message_id).await;
                findings.check(&format!("{} by HTTP, the id of {row:?}", viewer.name), &found, &own(row));
            }
            for stream in ["secret", "open"] {
                self.check_stream_history(viewer, &api, stream, findings).await;
            }
        }
    }

    async fn check_stream_history(&self, viewer: &Viewer, api: &Api, stream: &str, findings: &mut Findings) {
        let asked_by = if viewer.kind == Kind::Guest { "a guest" } else { "others" };
        let rule = self.history.cell(&format!("{stream}, {asked_by}"), &viewer.column);
        let shown = |row: &str| {
            let here = row.split(' ').next() == Some(stream);
            here && (rule == "all" || self.script.entitles(row, viewer, Way::Afterwards))
        };
        let expected = (rule != "refused").then(|| self.said_where(shown));
        let stream_id = self.names.stream_id(stream);
        let who = &viewer.name;
        let found = contents(api, &json!([["stream", stream_id]])).await;
        findings.check(&format!("{who} by HTTP, narrow to {stream}"), &found, &expected);

        let topics = api.get(&format!("users/me/{stream_id}/topics"), &[]).await;
        let found = (topics.status == 200).then(|| {
            let topics = topics.json()["topics"].as_array().expect("topics").clone();
            topics.iter().rev().map(|topic| topic["name"].as_str().expect("a name").to_owned()).collect()
        });
        let expected: Option<Vec<String>> = expected
            .map(|rows| rows.iter().map(|row| row.split(':').nth(1).expect("a topic").to_owned()).collect());
        findings.check(&format!("{who} by HTTP, topics of {stream}"), &found, &expected);
    }

    /// The rows of the messages for which this holds.
    fn said_where(&self, shown: impl Fn(&str) -> bool) -> Vec<String> {
        self.messages.iter().map(|(row, _)| row.clone()).filter(|row| shown(row)).collect()
    }

    async fn found_by_id(&self, api: &Api, message_id: MessageId) -> bool {
        let anchor = message_id.to_string();
        let answer =
            api.get("messages", &[("anchor", &anchor), ("num_before", "0"), ("num_after", "0")]).await;
        succeeded(&answer)["messages"] != json!([])
    }
}

/// The table, and what it says of a viewer.
struct Script(Table);

impl Script {
    /// Name, column and kind of each viewer.
    fn cast(&self) -> Vec<(String, String, Kind)> {
        let mut cast = Vec::new();
        for column in self.0.columns() {
            let several = OF_EACH_KIND.contains(&column.as_str());
            for kind in if several { &Kind::ALL[..] } else { &[Kind::Member] } {
                let name = if several { format!("{}-{column}", kind.name()) } else { column.clone() };
                cast.push((name, column.clone(), *kind));
            }
        }
        cast
    }

    fn entitles(&self, row: &str, viewer: &Viewer, way: Way) -> bool {
        match self.0.cell(row, &viewer.column) {
            "yes" => true,
            "no" => false,
            "regulars" => viewer.kind != Kind::Guest,
            "later" => way == Way::Afterwards,
            other => panic!("nobody knows what {other:?} means"),
        }
    }

    /// Each row after `after` is a cell; that they came in order, once each, and nothing else is one more.
    fn check(
        &self,
        viewer: &Viewer,
        way: Way,
        words: &str,
        after: Option<&str>,
        found: &[String],
        findings: &mut Findings,
    ) {
        let skipped = after.map_or(0, |after| 1 + self.0.rows().position(|row| row == after).expect("a row"));
        let rows = || self.0.rows().skip(skipped);
        for row in rows() {
            let expected = self.entitles(row, viewer, way);
            let seen = found.iter().any(|found| found == row);
            findings.check(&format!("{} sees {row:?} {words}", viewer.name), &seen, &expected);
        }
        let expected: Vec<&str> = rows().filter(|row| self.entitles(row, viewer, way)).collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        findings.check(&format!("{} sees in order {words}", viewer.name), &found, &expected);
    }
}

/// What ids are called in the script.
#[derive(Default)]
struct Names {
    streams: BTreeMap<StreamId, String>,
    /// The column that a user stands in.
    users: BTreeMap<UserId, String>,
}

impl Names {
    fn stream_id(&self, name: &str) -> StreamId {
        let found = self.streams.iter().find(|(_, stream)| *stream == name);
        *found.unwrap_or_else(|| panic!("no stream {name:?}")).0
    }

    /// Everybody in these columns.
    fn user_ids(&self, columns: &str) -> Vec<UserId> {
        let columns: Vec<&str> = columns.split(',').collect();
        let users = self.users.iter().filter(|(_, column)| columns.contains(&column.as_str()));
        users.map(|(user_id, _)| *user_id).collect()
    }

    fn of_all(&self, events: &[Event]) -> Vec<String> {
        events.iter().map(|event| self.of(event)).collect()
    }

    /// The row that made the event.
    fn of(&self, event: &Event) -> String {
        match event {
            Event::Message(message) => message.content.clone(),
            Event::StreamCreated { stream } => format!("realm stream_created:{}", stream.name),
            Event::MembersAdded { stream, user_ids, .. } => {
                format!("{} add:{}", stream.name, self.columns(user_ids))
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                let stream = self.streams.get(stream_id).map_or("an unknown stream", String::as_str);
                format!("{stream} remove:{}", self.columns(user_ids))
            }
            Event::UserAdded { user } => format!("realm user_added:{}", local_part(&user.email)),
            Event::UserUpdated { user, previous } if user.is_active && !previous.is_active => {
                "realm user_updated:back".to_owned()
            }
            Event::UserUpdated { user, .. } => format!("realm user_updated:{}", local_part(&user.email)),
            Event::StreamUpdated { stream, .. } => format!("realm stream_updated:{}", stream.name),
            Event::MessageEdited(edit) => format!("edited:{}", edit.content),
            Event::MessagesMoved(moved) => format!("moved:{}", moved.topic),
            Event::MessagesDeleted(_) => "deleted".to_owned(),
            Event::ReactionAdded(reaction) => format!("reacted:{}", reaction.emoji_name),
            Event::ReactionRemoved(reaction) => format!("unreacted:{}", reaction.emoji_name),
            Event::FlagsAdded(flags) | Event::FlagsRemoved(flags) => format!("flags:{:?}", flags.flag),
            Event::TopicPolicySet(policy) => format!("topic policy:{}", policy.topic),
            Event::SubscriptionSet(setting) => format!("subscription setting:{}", setting.name),
            Event::SettingSet(setting) => format!("setting:{}", setting.name),
            Event::CredentialChanged { user_id } => {
                format!("realm credential_changed:{}", self.columns(&[*user_id]))
            }
        }
    }

    /// The columns of these users, each once, in the order of the users' making.
    fn columns(&self, user_ids: &[UserId]) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for user_id in user_ids {
            let column = self.users.get(user_id).map_or("newcomer", String::as_str);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns.join(",")
    }
}

/// Says so much to itself that the script begins in another block of the log than all that led to it: to stamp
/// it anew, who was in which stream must then be found by going back, not by starting from nothing.
async fn fill_the_log(host: &mut Client) {
    let alone = Destination::Direct { user_ids: vec![host.user_id()] };
    let burst = SENDS_IN_FLIGHT_MAX / 2;
    for _ in 0..=LOG_RANGE_EVENTS_MAX / burst {
        let mut send_ids = Vec::new();
        for _ in 0..burst {
            send_ids.push(host.send(&alone, "filler").await);
        }
        for send_id in &send_ids {
            host.expect_sent(send_id).await;
        }
    }
}

fn local_part(email: &str) -> &str {
    email.split('@').next().unwrap_or_default()
}

/// The events up to the script's end, which is not among them.
async fn to_the_last(client: &mut Client) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let (_, event) = client.next_event().await;
        match &event {
            Event::UserAdded { user } if user.email == cast::email(LAST) => return events,
            _ => events.push(event),
        }
    }
}

/// The contents that a narrow shows, oldest first; none if it is refused.
async fn contents(api: &Api, narrow: &Value) -> Option<Vec<String>> {
    let answer = api.get("messages", &page(&narrow.to_string())).await;
    let text = |message: &Value| message["content"].as_str().expect("content").to_owned();
    match answer.status {
        200 => Some(answer.json()["messages"].as_array().expect("messages").iter().map(text).collect()),
        400 => None,
        other => panic!("{other}: {}", answer.json()),
    }
}

fn page(narrow: &str) -> [(&str, &str); 5] {
    [
        ("anchor", "oldest"),
        ("num_before", "0"),
        ("num_after", "1000"),
        ("apply_markdown", "false"),
        ("narrow", narrow),
    ]
}

async fn is_unauthorized(server: &Server, token: &str) -> bool {
    let mut line = server.line().await;
    let hello =
        Hello { token: token.to_owned(), position: None, presence: Status::Active, scope: Scope::None };
    line.say(&ClientMessage::Hello(hello)).await;
    line.expect_error(ErrorCode::Unauthorized).await;
    line.assert_closed(CloseCode::Unauthorized).await;
    true
}
