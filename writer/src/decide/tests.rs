//! One realm in memory stands for every database: facts are read from it and rows stored in it.
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else came is a failed test")]

use std::collections::{BTreeMap, HashMap, HashSet};

use squall_protocol::event::{Message, Role};
use squall_protocol::limits::{DIRECT_USERS_MAX, MEMBERS_CHANGED_MAX};
use squall_protocol::{Destination, Epoch, MessageId, json};

use super::*;
use crate::change::{Enter, Entered, NewStream, NewUser, UserChange};
use crate::secret::{ApiKey, random_mark};
use crate::text;

mod properties;

const ADMIN: UserId = UserId(1);
const MEMBER: UserId = UserId(2);
const OTHER: UserId = UserId(3);
const GUEST: UserId = UserId(4);
const GONE: UserId = UserId(5);
const STRANGER: UserId = UserId(99);

/// Public; ADMIN, MEMBER and GUEST are in it.
const GENERAL: StreamId = StreamId(1);
/// Invite-only; MEMBER and GUEST are in it.
const LEADS: StreamId = StreamId(2);
/// Public; nobody is in it.
const EMPTY: StreamId = StreamId(3);

/// A realm's tables.
#[derive(Debug, Clone)]
struct Tables {
    head: Position,
    users: BTreeMap<UserId, User>,
    streams: BTreeMap<StreamId, Stream>,
    members: HashSet<(StreamId, UserId)>,
    messages: HashMap<(UserId, SendId), StoredSend>,
    stored: Vec<(Sequence, Message)>,
    events: Vec<EventRecord>,
    next_message: u64,
}

impl Tables {
    fn new() -> Self {
        let user = |id: UserId, role, is_active| {
            let (email, full_name) = (format!("u{id}@x"), format!("User {id}"));
            (id, User { user_id: id, email, full_name, role, is_bot: false, is_active })
        };
        let stream = |stream_id, name: &str, invite_only| {
            let (name, description) = (name.to_owned(), String::new());
            (stream_id, Stream { stream_id, name, description, invite_only })
        };
        let head = Position { epoch: Epoch(7), sequence: Sequence(100), mark: Mark(5) };
        Self {
            head,
            users: BTreeMap::from([
                user(ADMIN, Role::Admin, true),
                user(MEMBER, Role::Member, true),
                user(OTHER, Role::Member, true),
                user(GUEST, Role::Guest, true),
                user(GONE, Role::Member, false),
            ]),
            streams: BTreeMap::from([
                stream(GENERAL, "general", false),
                stream(LEADS, "Leads", true),
                stream(EMPTY, "empty", false),
            ]),
            members: HashSet::from([
                (GENERAL, ADMIN),
                (GENERAL, MEMBER),
                (GENERAL, GUEST),
                (LEADS, MEMBER),
                (LEADS, GUEST),
            ]),
            messages: HashMap::new(),
            stored: Vec::new(),
            events: Vec::new(),
            next_message: 50,
        }
    }

    /// Exactly what is asked for, as a database would read it: a decision that looks at more than its needs
    /// name finds nothing there.
    fn read(&self, needs: &Needs) -> Facts {
        let named = |stream: &Stream| needs.stream_names.contains(&text::key(&stream.name));
        let wanted = |stream: &&Stream| needs.streams.contains(&stream.stream_id) || named(stream);
        let streams: HashMap<_, _> =
            self.streams.values().filter(wanted).map(|stream| (stream.stream_id, stream.clone())).collect();
        let pairs = needs.member_pairs(&streams);
        let users = self.users.values().filter(|user| needs.users.contains(&user.user_id));
        let emails = self.users.values().map(|user| text::key(&user.email));
        let sends = self.messages.iter().filter(|(key, _)| needs.sends.contains(*key));
        let next_user = self.users.keys().next_back().map_or(1, |last| last.0 + 1);
        let next_stream = self.streams.keys().next_back().map_or(1, |last| last.0 + 1);
        Facts {
            head: self.head,
            users: users.map(|user| (user.user_id, user.clone())).collect(),
            streams,
            members: self.members.intersection(&pairs.into_iter().collect()).copied().collect(),
            emails: emails.filter(|email| needs.emails.contains(email)).collect(),
            sends: sends.map(|(key, send)| (key.clone(), *send)).collect(),
            recent: self.recent(needs),
            // What is done to messages that are there is tried on the stores themselves: their conformance suite.
            surface: SurfaceFacts::default(),
            ids: Ids {
                messages: (self.next_message..).take(needs.new_messages).map(MessageId).collect(),
                users: (next_user..).take(needs.new_users).map(UserId).collect(),
                streams: (next_stream..).take(needs.new_streams).map(StreamId).collect(),
            },
        }
    }

    fn recent(&self, needs: &Needs) -> HashMap<(UserId, MessageDigest), RecentSend> {
        let recent = self.stored.iter().map(|(sequence, message)| {
            let Message { message_id, sender_id, timestamp, to, content, .. } = message;
            let key = (*sender_id, MessageDigest::of(to, content));
            (key, RecentSend { message_id: *message_id, sequence: *sequence, created_s: *timestamp })
        });
        recent.filter(|(key, _)| needs.recent.contains(key)).collect()
    }

    fn store(&mut self, decision: &Decision) {
        let rows = &decision.rows;
        assert_eq!(decision.previous_mark, self.head.mark);
        self.head = decision.head;
        let changed = rows.changed_users.iter().map(|(user, _)| user);
        for user in rows.users.iter().map(|(user, _)| user).chain(changed) {
            self.users.insert(user.user_id, user.clone());
        }
        for stream in &rows.streams {
            assert!(self.streams.insert(stream.stream_id, stream.clone()).is_none());
        }
        for MembershipRow { stream_id, user_ids, begins, .. } in &rows.memberships {
            for user_id in user_ids {
                let pair = (*stream_id, *user_id);
                let changed = if *begins { self.members.insert(pair) } else { self.members.remove(&pair) };
                assert!(changed, "a membership row that changes nothing");
            }
        }
        for MessageRow { message, sequence, digest } in &rows.messages {
            let key = (message.sender_id, message.send_id.clone());
            let send = StoredSend { message_id: message.message_id, sequence: *sequence, digest: *digest };
            assert!(self.messages.insert(key, send).is_none(), "a send id twice");
            self.next_message = message.message_id.0 + 1;
            self.stored.push((*sequence, message.clone()));
        }
        self.events.extend(rows.events.iter().cloned());
    }

    fn apply(&mut self, changes: Vec<Change>) -> Vec<Outcome> {
        self.apply_at(1_000, changes)
    }

    fn apply_at(&mut self, now_s: u64, changes: Vec<Change>) -> Vec<Outcome> {
        let requests: Vec<_> =
            changes.into_iter().map(|change| Request { realm_id: RealmId(1), change }).collect();
        let stamp = Stamp { now_s, mark: random_mark() };
        let decision = decide(self.read(&Needs::of(&requests)), &requests, stamp);
        self.store(&decision);
        decision.outcomes
    }

    fn apply_one(&mut self, change: Change) -> Outcome {
        self.apply(vec![change]).remove(0)
    }

    fn refusal(&mut self, change: Change) -> RefusalCode {
        let before = self.events.len();
        match self.apply_one(change) {
            Outcome::Refused(refusal) => {
                assert_eq!(self.events.len(), before, "a refusal leaves nothing behind");
                assert_eq!(refusal.retry_after_ms, None, "a decision is final");
                refusal.code
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn last_event(&self) -> Event {
        json::decode_event(&self.events.last().unwrap().body).unwrap()
    }
}

fn send_to(to: Destination, sender_id: UserId, id: &str, content: &str) -> Change {
    Change::Send { sender_id, send_id: SendId::parse(id).unwrap(), to, content: content.into() }
}

fn send(sender_id: UserId, stream_id: StreamId, id: &str, content: &str) -> Change {
    send_to(Destination::Stream { stream_id, topic: "lunch".into() }, sender_id, id, content)
}

fn direct(sender_id: UserId, user_ids: &[UserId], id: &str) -> Change {
    send_to(Destination::Direct { user_ids: user_ids.to_vec() }, sender_id, id, "psst")
}

fn subscribe(actor_id: UserId, stream_id: StreamId, user_ids: &[UserId]) -> Change {
    Change::Subscribe { actor_id, stream_id, user_ids: user_ids.to_vec() }
}

fn unsubscribe(actor_id: UserId, stream_id: StreamId, user_ids: &[UserId]) -> Change {
    Change::Unsubscribe { actor_id, stream_id, user_ids: user_ids.to_vec() }
}

fn new_stream(name: &str, invite_only: bool) -> NewStream {
    NewStream { name: name.into(), description: String::new(), invite_only }
}

fn enter(actor_id: UserId, names: &[&str], user_ids: &[UserId], all_or_nothing: bool) -> Change {
    let streams = names.iter().map(|name| new_stream(name, true)).collect();
    Change::Enter(Enter { actor_id, streams, user_ids: user_ids.to_vec(), all_or_nothing })
}

fn new_user(email: &str, streams: &[&str]) -> NewUser {
    NewUser {
        email: email.into(),
        full_name: "New".into(),
        role: Role::Member,
        is_bot: false,
        streams: streams.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn create(users: Vec<NewUser>) -> Change {
    let keys = users.iter().map(|_| ApiKey::random().hash()).collect();
    Change::CreateUsers { users, keys }
}

#[test]
fn only_what_passes_is_numbered_and_ids_grow_with_sequences() {
    let mut tables = Tables::new();
    let outcomes = tables.apply(vec![
        send(MEMBER, GENERAL, "a", "one"),
        send(OTHER, GENERAL, "b", "not a member"),
        send(ADMIN, GENERAL, "c", "two"),
        send(ADMIN, GENERAL, "d", " "),
        send(MEMBER, LEADS, "e", "three"),
    ]);
    let sent = |id, sequence| Outcome::Sent { message_id: MessageId(id), sequence: Sequence(sequence) };
    assert_eq!(outcomes[0], sent(50, 101));
    assert_eq!(outcomes[2], sent(51, 102));
    assert_eq!(outcomes[4], sent(52, 103));
    assert!(matches!(&outcomes[1], Outcome::Refused(refusal) if refusal.code == RefusalCode::Forbidden));
    assert!(matches!(&outcomes[3], Outcome::Refused(refusal) if refusal.code == RefusalCode::InvalidContent));
    assert_eq!(tables.head.sequence, Sequence(103));
    assert!(tables.events.iter().all(|event| event.mark == tables.head.mark));
}

#[test]
fn who_may_send_to_a_stream() {
    let mut tables = Tables::new();
    for (sender, stream, refused) in [
        (MEMBER, GENERAL, None),
        (GUEST, GENERAL, None),
        (GUEST, LEADS, None),
        (OTHER, GENERAL, Some(RefusalCode::Forbidden)),
        (OTHER, LEADS, Some(RefusalCode::UnknownStream)),
        (ADMIN, LEADS, Some(RefusalCode::UnknownStream)),
        (GUEST, EMPTY, Some(RefusalCode::UnknownStream)),
        (MEMBER, StreamId(77), Some(RefusalCode::UnknownStream)),
        (GONE, GENERAL, Some(RefusalCode::UnknownUser)),
        (STRANGER, GENERAL, Some(RefusalCode::UnknownUser)),
    ] {
        let change = send(sender, stream, &format!("{sender}-{stream}"), "x");
        match refused {
            Some(code) => assert_eq!(tables.refusal(change), code, "{sender} to {stream}"),
            None => assert!(matches!(tables.apply_one(change), Outcome::Sent { .. }), "{sender} to {stream}"),
        }
    }
}

#[test]
fn the_same_id_is_the_same_send_even_when_rights_are_gone() {
    let mut tables = Tables::new();
    let first = tables.apply_one(send(MEMBER, GENERAL, "a", "soup?"));
    assert_eq!(tables.apply_one(send(MEMBER, GENERAL, "a", "soup?  \n")), first, "the normal form counts");
    tables.apply_one(unsubscribe(MEMBER, GENERAL, &[]));
    let events = tables.events.len();
    assert_eq!(tables.apply_one(send(MEMBER, GENERAL, "a", "soup?")), first);
    assert_eq!(tables.events.len(), events);
    assert_eq!(tables.refusal(send(MEMBER, GENERAL, "a", "stew?")), RefusalCode::SendIdReused);
    assert_eq!(tables.refusal(send(MEMBER, LEADS, "a", "soup?")), RefusalCode::SendIdReused);
    assert!(
        matches!(tables.apply_one(send(ADMIN, GENERAL, "a", "mine")), Outcome::Sent { .. }),
        "ids are a user's"
    );
}

#[test]
fn a_refused_send_is_not_remembered() {
    let mut tables = Tables::new();
    assert_eq!(tables.refusal(send(OTHER, GENERAL, "a", "x")), RefusalCode::Forbidden);
    tables.apply_one(subscribe(OTHER, GENERAL, &[]));
    assert!(matches!(tables.apply_one(send(OTHER, GENERAL, "a", "y")), Outcome::Sent { .. }));
}

/// The same message, sent again by a client that names no id: it gets a fresh one.
fn again(change: Change, fresh: &str) -> Change {
    match change {
        Change::Send { sender_id, to, content, .. } => {
            Change::Resend { sender_id, send_id: SendId::parse(fresh).unwrap(), to, content }
        }
        other => panic!("no send: {other:?}"),
    }
}

#[test]
fn a_message_sent_again_without_an_id_within_a_minute_is_the_first() {
    let mut tables = Tables::new();
    let message = send(MEMBER, GENERAL, "a", "x");
    let first = tables.apply_at(1_000, vec![message.clone()]).remove(0);
    assert_eq!(tables.apply_at(1_060, vec![again(message.clone(), "b")]).remove(0), first);
    let others =
        [send(MEMBER, GENERAL, "c", "y"), send(ADMIN, GENERAL, "c", "x"), direct(MEMBER, &[OTHER], "d")];
    for other in others {
        assert_ne!(tables.apply_at(1_000, vec![again(other, "e")]).remove(0), first);
    }
    assert_ne!(tables.apply_at(1_061, vec![again(message, "f")]), [first], "too late to tell");
}

#[test]
fn a_message_sent_again_in_the_same_group_is_the_first() {
    let mut tables = Tables::new();
    let message = send(MEMBER, GENERAL, "a", "x");
    let outcomes = tables.apply(vec![message.clone(), again(message, "b")]);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(tables.stored.len(), 1);
    let refused = again(send(OTHER, LEADS, "c", "x"), "c");
    assert_eq!(tables.refusal(refused), RefusalCode::UnknownStream);
}

#[test]
fn a_retry_in_the_same_group_is_one_message() {
    let mut tables = Tables::new();
    let outcomes = tables.apply(vec![
        send(MEMBER, GENERAL, "a", "x"),
        send(MEMBER, GENERAL, "a", "x"),
        send(MEMBER, GENERAL, "a", "y"),
    ]);
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(matches!(&outcomes[2], Outcome::Refused(refusal) if refusal.code == RefusalCode::SendIdReused));
    assert_eq!(tables.stored.len(), 1);
}

#[test]
fn a_group_sees_its_own_earlier_changes() {
    let mut tables = Tables::new();
    let outcomes = tables.apply(vec![
        subscribe(OTHER, GENERAL, &[]),
        send(OTHER, GENERAL, "a", "in"),
        unsubscribe(OTHER, GENERAL, &[]),
        send(OTHER, GENERAL, "b", "out"),
    ]);
    assert!(matches!(outcomes[1], Outcome::Sent { sequence: Sequence(102), .. }));
    assert!(matches!(&outcomes[3], Outcome::Refused(refusal) if refusal.code == RefusalCode::Forbidden));
}

#[test]
fn direct_messages_name_the_sender_and_each_user_once() {
    let mut tables = Tables::new();
    tables.apply_one(direct(OTHER, &[MEMBER, ADMIN, MEMBER], "a"));
    let to = Destination::Direct { user_ids: vec![ADMIN, MEMBER, OTHER] };
    assert_eq!(tables.stored[0].1.to, to);
    assert!(matches!(tables.apply_one(direct(OTHER, &[], "b")), Outcome::Sent { .. }), "a note to oneself");
    assert_eq!(tables.refusal(direct(OTHER, &[GONE], "c")), RefusalCode::UnknownUser);
    assert_eq!(tables.refusal(direct(OTHER, &[STRANGER], "d")), RefusalCode::UnknownUser);
    let many: Vec<_> = (1000..1000 + DIRECT_USERS_MAX as u32).map(UserId).collect();
    assert_eq!(tables.refusal(direct(OTHER, &many, "e")), RefusalCode::TooMany);
}

#[test]
fn who_may_add_members() {
    for (actor, stream, subjects, refused) in [
        (OTHER, GENERAL, &[][..], None),
        (OTHER, GENERAL, &[OTHER, ADMIN][..], None),
        (MEMBER, LEADS, &[OTHER][..], None),
        (MEMBER, EMPTY, &[GUEST][..], None),
        (GUEST, EMPTY, &[][..], Some(RefusalCode::UnknownStream)),
        (GUEST, GENERAL, &[OTHER][..], Some(RefusalCode::Forbidden)),
        (GUEST, LEADS, &[OTHER][..], Some(RefusalCode::Forbidden)),
        (OTHER, LEADS, &[][..], Some(RefusalCode::UnknownStream)),
        (ADMIN, LEADS, &[ADMIN][..], Some(RefusalCode::UnknownStream)),
        (MEMBER, GENERAL, &[GONE][..], Some(RefusalCode::UnknownUser)),
        (MEMBER, GENERAL, &[OTHER, STRANGER][..], Some(RefusalCode::UnknownUser)),
        (GONE, GENERAL, &[][..], Some(RefusalCode::UnknownUser)),
    ] {
        let mut tables = Tables::new();
        let change = subscribe(actor, stream, subjects);
        match refused {
            Some(code) => assert_eq!(tables.refusal(change), code, "{actor} {stream} {subjects:?}"),
            None => assert!(matches!(tables.apply_one(change), Outcome::Done { .. }), "{actor} {stream}"),
        }
    }
}

#[test]
fn members_added_names_the_new_ones_only() {
    let mut tables = Tables::new();
    let outcome = tables.apply_one(subscribe(MEMBER, GENERAL, &[OTHER, ADMIN, OTHER]));
    assert_eq!(outcome, Outcome::Done { sequence: Sequence(101), user_ids: vec![OTHER] });
    let stream = tables.streams[&GENERAL].clone();
    assert_eq!(tables.last_event(), Event::MembersAdded { stream, user_ids: vec![OTHER], actor_id: MEMBER });
}

#[test]
fn what_is_so_already_is_done_without_an_event() {
    let mut tables = Tables::new();
    let nothing = Outcome::Done { sequence: Sequence(100), user_ids: vec![] };
    assert_eq!(tables.apply_one(subscribe(GUEST, GENERAL, &[])), nothing);
    assert_eq!(tables.apply_one(subscribe(GUEST, GENERAL, &[ADMIN])), nothing);
    assert_eq!(tables.apply_one(unsubscribe(OTHER, GENERAL, &[])), nothing);
    assert_eq!(tables.apply_one(unsubscribe(ADMIN, GENERAL, &[OTHER])), nothing);
    let same = UserChange { role: Some(Role::Admin), is_active: Some(true), ..UserChange::default() };
    assert_eq!(tables.apply_one(Change::UpdateUser { user_id: ADMIN, change: same }), nothing);
    assert!(tables.events.is_empty());
    assert_eq!(tables.head.mark, Mark(5), "and the head keeps its mark");
}

#[test]
fn who_may_remove_members() {
    for (actor, stream, subjects, refused) in [
        (GUEST, LEADS, &[][..], None),
        (ADMIN, GENERAL, &[MEMBER, GUEST][..], None),
        (MEMBER, GENERAL, &[MEMBER][..], None),
        (MEMBER, GENERAL, &[GUEST][..], Some(RefusalCode::Forbidden)),
        (MEMBER, GENERAL, &[MEMBER, GUEST][..], Some(RefusalCode::Forbidden)),
        (ADMIN, LEADS, &[MEMBER][..], Some(RefusalCode::UnknownStream)),
        (ADMIN, GENERAL, &[STRANGER][..], Some(RefusalCode::UnknownUser)),
        (OTHER, LEADS, &[][..], Some(RefusalCode::UnknownStream)),
    ] {
        let mut tables = Tables::new();
        let change = unsubscribe(actor, stream, subjects);
        match refused {
            Some(code) => assert_eq!(tables.refusal(change), code, "{actor} {stream} {subjects:?}"),
            None => assert!(matches!(tables.apply_one(change), Outcome::Done { .. }), "{actor} {stream}"),
        }
    }
}

#[test]
fn too_many_at_once_are_refused() {
    let mut tables = Tables::new();
    let many: Vec<_> = (1000..=1000 + MEMBERS_CHANGED_MAX as u32).map(UserId).collect();
    assert_eq!(tables.refusal(subscribe(MEMBER, GENERAL, &many)), RefusalCode::TooMany);
    assert_eq!(tables.refusal(unsubscribe(ADMIN, GENERAL, &many)), RefusalCode::TooMany);
    let names: Vec<_> = (0..=crate::limits::STREAMS_ENTERED_MAX).map(|n| format!("s{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(tables.refusal(enter(MEMBER, &names, &[], false)), RefusalCode::TooMany);
}

#[test]
fn entering_makes_what_is_missing_and_says_what_came_of_each() {
    let mut tables = Tables::new();
    let outcome = tables.apply_one(enter(MEMBER, &["GENERAL", " new one ", "leads"], &[], true));
    let entered = |name: &str, added: &[UserId], already: &[UserId]| Entered {
        name: name.into(),
        added: added.to_vec(),
        already: already.to_vec(),
        refused: false,
    };
    assert_eq!(
        outcome,
        Outcome::Entered(vec![
            entered("general", &[], &[MEMBER]),
            entered("new one", &[MEMBER], &[]),
            entered("Leads", &[], &[MEMBER]),
        ])
    );
    assert_eq!(tables.events.len(), 2, "created, and its member");
    assert!(tables.members.contains(&(StreamId(4), MEMBER)));
    assert!(tables.streams[&StreamId(4)].invite_only);
}

#[test]
fn entering_is_all_or_nothing_if_asked() {
    let mut tables = Tables::new();
    assert_eq!(tables.refusal(enter(OTHER, &["new", "leads"], &[], true)), RefusalCode::Forbidden);
    let Outcome::Entered(entered) = tables.apply_one(enter(OTHER, &["new", "leads"], &[ADMIN], false)) else {
        panic!("not entered");
    };
    assert_eq!((entered[0].refused, &entered[0].added[..]), (false, &[ADMIN][..]));
    assert_eq!((entered[1].refused, entered[1].added.len()), (true, 0));
    assert_eq!(tables.refusal(enter(GUEST, &["brand new"], &[], true)), RefusalCode::Forbidden);
    assert_eq!(tables.refusal(enter(GUEST, &["empty"], &[], true)), RefusalCode::Forbidden);
    assert_eq!(tables.refusal(enter(OTHER, &["new"], &[GONE], true)), RefusalCode::UnknownUser);
    assert_eq!(tables.refusal(enter(OTHER, &["a\nb"], &[], true)), RefusalCode::InvalidContent);
    let Outcome::Entered(same) = tables.apply_one(enter(GUEST, &["general"], &[], true)) else {
        panic!("a guest is where it is");
    };
    assert_eq!(same[0].already, [GUEST]);
}

#[test]
fn users_are_made_each_by_itself() {
    let mut tables = Tables::new();
    let outcome = tables.apply_one(create(vec![
        new_user("a@x", &["general", "Leads", "general"]),
        new_user("A@x", &[]),
        new_user("u1@X", &[]),
        new_user("nonsense", &[]),
        new_user("b@x", &["no such"]),
        new_user("c@x", &["general"]),
    ]));
    let Outcome::UsersCreated(created) = outcome else { panic!("{outcome:?}") };
    assert_eq!(created[0], Ok(UserId(6)));
    assert_eq!(created[5], Ok(UserId(7)));
    let codes: Vec<_> = created[1..5].iter().map(|user| user.as_ref().unwrap_err().code).collect();
    let taken = RefusalCode::Forbidden;
    assert_eq!(codes, [taken, taken, RefusalCode::InvalidContent, RefusalCode::UnknownStream]);
    assert_eq!(tables.events.len(), 4, "two users, then one event for each stream");
    assert!(tables.members.contains(&(GENERAL, UserId(7))));
}

#[test]
fn an_operators_stream_has_its_members_from_the_start() {
    let mut tables = Tables::new();
    let change = |name: &str, user_ids: &[UserId]| Change::CreateStream {
        stream: new_stream(name, true),
        user_ids: user_ids.to_vec(),
    };
    let outcome = tables.apply_one(change("board", &[OTHER, ADMIN]));
    assert!(matches!(outcome, Outcome::StreamCreated(Stream { stream_id: StreamId(4), .. })));
    assert!(tables.members.contains(&(StreamId(4), OTHER)));
    assert_eq!(tables.refusal(change("Board", &[])), RefusalCode::Forbidden);
    assert_eq!(tables.refusal(change("next", &[GONE])), RefusalCode::UnknownUser);
    assert_eq!(tables.refusal(change("  ", &[])), RefusalCode::InvalidContent);
}

#[test]
fn a_deactivation_and_a_new_key_are_credential_changes_a_new_role_is_none() {
    let mut tables = Tables::new();
    let request = |change| Request { realm_id: RealmId(1), change };
    let change = |role, is_active| UserChange { full_name: None, role, is_active };
    let key = ApiKey::random().hash();
    let requests = [
        request(Change::UpdateUser { user_id: OTHER, change: change(Some(Role::Guest), None) }),
        request(Change::UpdateUser { user_id: MEMBER, change: change(None, Some(false)) }),
        request(Change::UpdateUser { user_id: GONE, change: change(None, Some(true)) }),
        request(Change::RotateKey { user_id: ADMIN, key }),
        request(send(MEMBER, GENERAL, "a", "too late")),
    ];
    let stamp = Stamp { now_s: 1, mark: Mark(9) };
    let decision = decide(tables.read(&Needs::of(&requests)), &requests, stamp);
    let credential: Vec<_> = decision.rows.changed_users.iter().map(|(_, changed)| *changed).collect();
    assert_eq!(credential, [None, Some(Sequence(102)), None]);
    assert_eq!(decision.rows.changed_keys, [(ADMIN, key, Sequence(104))]);
    assert!(
        matches!(&decision.outcomes[4], Outcome::Refused(refusal) if refusal.code == RefusalCode::UnknownUser)
    );
    let previous = tables.users[&OTHER].clone();
    let user = User { role: Role::Guest, ..previous.clone() };
    let event = json::decode_event(&decision.rows.events[0].body).unwrap();
    assert_eq!(event, Event::UserUpdated { user, previous });
    tables.store(&decision);
    let nobody = Change::RotateKey { user_id: STRANGER, key };
    assert_eq!(tables.refusal(nobody), RefusalCode::UnknownUser);
    let nameless = UserChange { full_name: Some(" ".into()), ..UserChange::default() };
    let nameless = Change::UpdateUser { user_id: ADMIN, change: nameless };
    assert_eq!(tables.refusal(nameless), RefusalCode::InvalidContent);
}

#[test]
fn a_realm_that_is_not_there_refuses_all() {
    let requests = [Request { realm_id: RealmId(9), change: send(MEMBER, GENERAL, "a", "x") }];
    let outcomes = decide_without_realm(RealmId(9), &requests);
    assert!(matches!(&outcomes[0], Outcome::Refused(refusal) if refusal.code == RefusalCode::UnknownUser));
}
