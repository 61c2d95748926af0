//! What every store must do. A store's own tests call [`conformance`] with what opens an empty one.
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else came is a failed test")]

use std::sync::Arc;

use squall_protocol::event::{Event, Role};
use squall_protocol::link::{LastHeard, LogRange, RealmPage};
use squall_protocol::{
    Destination, Epoch, Mark, MessageId, RealmId, SendId, Sequence, StreamId, UserId, json,
};

use super::{
    Anchor, Group, HistoryPage, HistoryQuery, Narrow, RealmGroup, Store, StoreError, StreamRef, StreamView,
};
use crate::change::{Change, NewStream, NewUser, Outcome, Request, UserChange};
use crate::secret::{ApiKey, KeyHash, random_epoch, random_mark};

/// Makes a test of each promise.
macro_rules! conformance {
    ($open:expr; $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _guard) = $open;
            crate::store::conformance::$name(crate::store::conformance::Bench::new(store).await).await;
        }
    )*};
    ($open:expr) => {
        crate::store::conformance::conformance! { $open;
            a_commit_is_logged_with_its_head_and_mark
            a_retry_after_a_lost_answer_finds_the_first
            several_realms_share_a_group_and_keep_their_own_logs
            a_realm_that_is_not_there_is_said_so
            realm_names_are_taken_once
            a_key_names_its_active_user_alone
            pages_together_are_the_realm
            the_log_is_read_in_ranges_with_the_changes_behind_them
            an_old_end_is_pruned_and_the_rest_stays
            the_later_last_heard_stays
            streams_show_themselves_to_whom_they_may
            a_stream_is_found_by_id_and_name
            public_history_is_whole_and_private_history_has_intervals
            without_a_stream_one_sees_what_one_received
            history_pages_around_an_anchor
            narrows_by_topic_sender_and_conversation
            topics_are_told_by_their_newest_visible_message
            users_are_found_by_address_and_id
            a_closed_store_says_so
        }
    };
}
pub(crate) use conformance;

/// A store with a realm of four users: 1 admin, 2 and 3 members, 4 a guest; streams `general` (public: 1, 2, 4)
/// and `Leads` (invite-only: 1, 2).
pub(crate) struct Bench {
    store: Arc<dyn Store>,
    realm: RealmId,
    keys: Vec<ApiKey>,
    next_send: u32,
}

const ADMIN: UserId = UserId(1);
const MEMBER: UserId = UserId(2);
const OTHER: UserId = UserId(3);
const GUEST: UserId = UserId(4);
const GENERAL: StreamId = StreamId(1);
const LEADS: StreamId = StreamId(2);

/// Events that making the bench takes: four users, two streams with members.
const SETUP: u64 = 4 + 2 * 2;

impl Bench {
    pub(crate) async fn new(store: Arc<dyn Store>) -> Self {
        let realm = store.create_realm("Bench".into(), random_epoch()).await.unwrap().unwrap();
        let keys: Vec<ApiKey> = (0..4).map(|_| ApiKey::random()).collect();
        let bench = Self { store, realm, keys, next_send: 0 };
        let user = |(name, role): (&str, Role)| NewUser {
            email: format!("{name}@Bench.example"),
            full_name: name.to_uppercase(),
            role,
            is_bot: false,
            streams: vec![],
        };
        let users = [("a", Role::Admin), ("m", Role::Member), ("o", Role::Member), ("g", Role::Guest)]
            .map(user)
            .into();
        let hashes = bench.keys.iter().map(ApiKey::hash).collect();
        bench.one(Change::CreateUsers { users, keys: hashes }).await;
        for (name, invite_only, user_ids) in
            [("general", false, vec![ADMIN, MEMBER, GUEST]), ("Leads", true, vec![ADMIN, MEMBER])]
        {
            let stream = NewStream { name: name.into(), description: "d".into(), invite_only };
            bench.one(Change::CreateStream { stream, user_ids }).await;
        }
        bench
    }

    async fn group(&self, parts: Vec<(RealmId, Vec<Change>)>) -> Vec<super::RealmCommit> {
        let part = |(realm_id, changes): (RealmId, Vec<Change>)| RealmGroup {
            realm_id,
            mark: random_mark(),
            requests: changes.into_iter().map(|change| Request { realm_id, change }).collect(),
        };
        let group = Group { now_s: 1_000, realms: parts.into_iter().map(part).collect() };
        self.store.commit(Arc::new(group)).await.unwrap()
    }

    async fn one(&self, change: Change) -> Outcome {
        self.group(vec![(self.realm, vec![change])]).await.remove(0).outcomes.remove(0)
    }

    fn message(&mut self, sender_id: UserId, to: Destination, content: &str) -> Change {
        self.next_send += 1;
        let send_id = SendId::parse(format!("s{}", self.next_send)).unwrap();
        Change::Send { sender_id, send_id, to, content: content.into() }
    }

    async fn send_to(&mut self, sender_id: UserId, to: Destination, content: &str) -> MessageId {
        let change = self.message(sender_id, to, content);
        match self.one(change).await {
            Outcome::Sent { message_id, .. } => message_id,
            other => panic!("not sent: {other:?}"),
        }
    }

    async fn send(&mut self, sender_id: UserId, stream: StreamId, topic: &str, content: &str) -> MessageId {
        self.send_to(sender_id, Destination::Stream { stream_id: stream, topic: topic.into() }, content).await
    }

    async fn log(&self, after: u64, limit: usize) -> LogRange {
        self.store.read_log(self.realm, Sequence(after), limit).await.unwrap()
    }

    async fn history(&self, viewer: UserId, narrow: Narrow) -> HistoryPage {
        self.around(viewer, narrow, Anchor::Oldest, 0, 1000).await
    }

    async fn around(
        &self,
        viewer: UserId,
        narrow: Narrow,
        anchor: Anchor,
        num_before: usize,
        num_after: usize,
    ) -> HistoryPage {
        let query = HistoryQuery {
            realm_id: self.realm,
            viewer,
            narrow,
            anchor,
            num_before,
            num_after,
            include_anchor: true,
        };
        self.store.history(query).await.unwrap().value
    }
}

fn contents(page: &HistoryPage) -> Vec<&str> {
    page.messages.iter().map(|stored| stored.message.content.as_str()).collect()
}

fn of_stream(stream_id: StreamId) -> Narrow {
    Narrow { stream_id: Some(stream_id), ..Narrow::default() }
}

pub(crate) async fn a_commit_is_logged_with_its_head_and_mark(mut bench: Bench) {
    let before = bench.log(SETUP, 10).await.head;
    let to = Destination::Stream { stream_id: GENERAL, topic: "t".into() };
    let changes = vec![
        bench.message(ADMIN, to.clone(), "one"),
        bench.message(OTHER, to.clone(), "refused"),
        bench.message(MEMBER, to, "two"),
    ];
    let commit = bench.group(vec![(bench.realm, changes)]).await.remove(0);
    let publication = commit.publication.unwrap();
    assert_eq!(publication.previous_mark, before.mark);
    assert_eq!(publication.epoch, before.epoch);
    let sequences: Vec<_> = publication.records.iter().map(|record| record.sequence.0).collect();
    assert_eq!(sequences, [SETUP + 1, SETUP + 2]);
    let range = bench.log(SETUP, 10).await;
    assert_eq!(range.records, publication.records, "stored is published");
    assert_eq!(range.head.sequence, Sequence(SETUP + 2));
    assert_eq!(range.head.mark, publication.records[1].mark);
    let heads = bench.store.heads(vec![bench.realm, RealmId(99)]).await.unwrap();
    assert_eq!(heads, [(bench.realm, range.head)]);
    let Event::Message(message) = json::decode_event(&range.records[1].body).unwrap() else { panic!() };
    assert_eq!((message.content.as_str(), message.timestamp), ("two", 1_000));
    let page = bench.history(ADMIN, of_stream(GENERAL)).await;
    assert_eq!(page.messages[1].message, message, "history and log say the same");
    assert_eq!(page.messages[1].sequence, range.records[1].sequence);
}

pub(crate) async fn a_retry_after_a_lost_answer_finds_the_first(mut bench: Bench) {
    let to = Destination::Direct { user_ids: vec![MEMBER] };
    let change = bench.message(ADMIN, to, "psst");
    let first = bench.one(change.clone()).await;
    let commit = bench.group(vec![(bench.realm, vec![change.clone(), change])]).await.remove(0);
    assert_eq!(commit.outcomes, [first.clone(), first]);
    assert_eq!(commit.publication, None);
    assert_eq!(bench.log(SETUP, 10).await.records.len(), 1);
}

pub(crate) async fn several_realms_share_a_group_and_keep_their_own_logs(mut bench: Bench) {
    let epoch = Epoch(4711);
    let second = bench.store.create_realm("Second".into(), epoch).await.unwrap().unwrap();
    let user = NewUser {
        email: "a@bench.example".into(),
        full_name: "A".into(),
        role: Role::Member,
        is_bot: true,
        streams: vec![],
    };
    let key = ApiKey::random();
    let create = Change::CreateUsers { users: vec![user], keys: vec![key.hash()] };
    let to = Destination::Stream { stream_id: GENERAL, topic: "t".into() };
    let parts = vec![(bench.realm, vec![bench.message(ADMIN, to.clone(), "x")]), (second, vec![create])];
    let commits = bench.group(parts).await;
    assert_eq!(commits[1].publication.as_ref().unwrap().previous_mark, Mark(0));
    assert!(matches!(&commits[1].outcomes[0], Outcome::UsersCreated(users) if users[0] == Ok(UserId(5))));
    let heads = bench.store.heads(vec![second]).await.unwrap();
    assert_eq!((heads[0].1.epoch, heads[0].1.sequence), (epoch, Sequence(1)));
    let foreign = Change::Send {
        sender_id: UserId(5),
        send_id: SendId::parse("f").unwrap(),
        to,
        content: "across".into(),
    };
    let commit = bench.group(vec![(second, vec![foreign.clone()])]).await.remove(0);
    assert!(matches!(&commit.outcomes[0], Outcome::Refused(_)), "no stream of another realm");
    let commit = bench.group(vec![(bench.realm, vec![foreign])]).await.remove(0);
    assert!(matches!(&commit.outcomes[0], Outcome::Refused(_)), "no user of another realm");
}

pub(crate) async fn a_realm_that_is_not_there_is_said_so(bench: Bench) {
    let missing = RealmId(99);
    let change = Change::RotateKey { user_id: ADMIN, key: ApiKey::random().hash() };
    let commit = bench.group(vec![(missing, vec![change])]).await.remove(0);
    assert!(matches!(&commit.outcomes[0], Outcome::Refused(_)));
    let unknown = StoreError::UnknownRealm(missing);
    let store = &bench.store;
    assert_eq!(store.read_log(missing, Sequence(0), 1).await.unwrap_err(), unknown);
    assert_eq!(store.realm_page(missing, None, 10).await.unwrap_err(), unknown);
    assert_eq!(store.users(missing).await.unwrap_err(), unknown);
    assert_eq!(store.streams(missing, ADMIN, false).await.unwrap_err(), unknown);
    assert_eq!(store.topics(missing, ADMIN, GENERAL).await.unwrap_err(), unknown);
}

pub(crate) async fn realm_names_are_taken_once(bench: Bench) {
    assert_eq!(bench.store.create_realm("BENCH".into(), random_epoch()).await.unwrap(), None);
    let second = bench.store.create_realm("Second".into(), random_epoch()).await.unwrap().unwrap();
    let realms = bench.store.realms().await.unwrap();
    let names: Vec<_> = realms.iter().map(|realm| (realm.realm_id, realm.name.as_str())).collect();
    assert_eq!(names, [(bench.realm, "Bench"), (second, "Second")]);
}

pub(crate) async fn a_key_names_its_active_user_alone(bench: Bench) {
    let account = |key: KeyHash| bench.store.account(key);
    let found = account(bench.keys[1].hash()).await.unwrap().unwrap();
    assert_eq!((found.user.user_id, found.realm.realm_id), (MEMBER, bench.realm));
    assert_eq!(found.as_of.sequence, Sequence(SETUP));
    assert_eq!(account(ApiKey::random().hash()).await.unwrap(), None);
    let new = ApiKey::random();
    bench.one(Change::RotateKey { user_id: MEMBER, key: new.hash() }).await;
    assert_eq!(account(bench.keys[1].hash()).await.unwrap(), None, "the old key ends");
    assert_eq!(account(new.hash()).await.unwrap().unwrap().user.user_id, MEMBER);
    let keys = vec![new.hash(), bench.keys[1].hash(), bench.keys[0].hash(), new.hash()];
    let several = bench.store.accounts(keys).await.unwrap();
    let users = several.iter().map(|found| found.as_ref().map(|found| found.user.user_id));
    assert_eq!(users.collect::<Vec<_>>(), [Some(MEMBER), None, Some(ADMIN), Some(MEMBER)], "in their order");
    let change = UserChange { is_active: Some(false), ..UserChange::default() };
    bench.one(Change::UpdateUser { user_id: MEMBER, change }).await;
    assert_eq!(account(new.hash()).await.unwrap(), None, "a deactivated user's ends");
    let page = bench.store.realm_page(bench.realm, None, 100).await.unwrap();
    let changed: Vec<_> = page.users.iter().map(|row| row.credential_changed.0).collect();
    assert_eq!(changed, [0, SETUP + 2, 0, 0]);
}

pub(crate) async fn pages_together_are_the_realm(bench: Bench) {
    let whole = bench.store.realm_page(bench.realm, None, 1000).await.unwrap();
    assert_eq!((whole.users.len(), whole.streams.len(), whole.next.as_ref()), (4, 2, None));
    assert_eq!(
        whole.members,
        [(GENERAL, ADMIN), (GENERAL, MEMBER), (GENERAL, GUEST), (LEADS, ADMIN), (LEADS, MEMBER)]
    );
    for rows_max in 1..12 {
        let mut parts = RealmPage { users: vec![], streams: vec![], members: vec![], ..whole.clone() };
        let mut cursor = None;
        loop {
            let page = bench.store.realm_page(bench.realm, cursor, rows_max).await.unwrap();
            assert!(page.users.len() + page.streams.len() + page.members.len() <= rows_max);
            parts.users.extend(page.users);
            parts.streams.extend(page.streams);
            parts.members.extend(page.members);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(parts, whole, "{rows_max} rows a page");
    }
    let foreign = squall_protocol::link::PageCursor("members:1".into());
    assert!(bench.store.realm_page(bench.realm, Some(foreign), 10).await.is_err());
}

pub(crate) async fn the_log_is_read_in_ranges_with_the_changes_behind_them(mut bench: Bench) {
    bench.send(ADMIN, GENERAL, "t", "one").await;
    bench.one(Change::Subscribe { actor_id: OTHER, stream_id: GENERAL, user_ids: vec![] }).await;
    bench.send(OTHER, GENERAL, "t", "two").await;
    let range = bench.log(SETUP, 1).await;
    assert_eq!(range.floor, Sequence(0));
    assert_eq!(range.records.len(), 1);
    let changes: Vec<_> = range.changes.iter().map(|record| record.sequence.0).collect();
    assert_eq!(changes, [SETUP + 2], "state behind the range, and nothing else");
    assert_eq!(range.after_mark, Some(bench.log(SETUP - 1, 1).await.records[0].mark));
    let all = bench.log(0, 1000).await;
    assert_eq!(all.after_mark, Some(Mark(0)));
    assert!(all.changes.is_empty());
    assert!(all.records.iter().zip(1..).all(|(record, sequence)| record.sequence.0 == sequence));
    let head = all.head.sequence.0;
    let at_head = bench.log(head, 10).await;
    assert_eq!((at_head.after_mark, at_head.records.len()), (Some(all.head.mark), 0));
    let beyond = bench.log(head + 1, 10).await;
    assert_eq!((beyond.after_mark, beyond.records.len()), (None, 0));
}

pub(crate) async fn an_old_end_is_pruned_and_the_rest_stays(mut bench: Bench) {
    bench.send(ADMIN, GENERAL, "t", "one").await;
    assert_eq!(bench.store.prune_log(1_000, 100).await.unwrap(), 0, "stored at 1000 is not before 1000");
    assert_eq!(bench.store.prune_log(1_001, 3).await.unwrap(), 3, "no more than asked");
    let range = bench.log(3, 100).await;
    assert_eq!((range.floor, range.after_mark, range.records.len()), (Sequence(3), None, SETUP as usize - 2));
    let behind = bench.log(2, 100).await;
    assert_eq!((behind.floor, behind.records.len()), (Sequence(3), 0), "no hole is passed off as a range");
    assert_eq!(bench.store.prune_log(1_001, 100).await.unwrap(), SETUP as usize - 2);
    let empty = bench.log(SETUP + 1, 100).await;
    assert_eq!(empty.floor, empty.head.sequence);
    assert_eq!(empty.after_mark, Some(empty.head.mark), "whoever is at the head goes on");
    assert_eq!(bench.store.realm_page(bench.realm, None, 100).await.unwrap().members.len(), 5);
    bench.send(ADMIN, GENERAL, "t", "two").await;
    assert_eq!(bench.log(SETUP + 1, 10).await.records.len(), 1);
    assert_eq!(contents(&bench.history(ADMIN, of_stream(GENERAL)).await), ["one", "two"]);
}

pub(crate) async fn the_later_last_heard_stays(bench: Bench) {
    let heard = |user_id, last_heard_s| LastHeard { user_id, last_heard_s };
    bench.store.store_last_heard(vec![heard(ADMIN, 50), heard(MEMBER, 60)]).await.unwrap();
    bench
        .store
        .store_last_heard(vec![heard(ADMIN, 40), heard(MEMBER, 70), heard(UserId(99), 1)])
        .await
        .unwrap();
    let page = bench.store.realm_page(bench.realm, None, 100).await.unwrap();
    let times: Vec<_> = page.users.iter().map(|row| row.last_heard_s).collect();
    assert_eq!(times, [Some(50), Some(70), None, None]);
}

pub(crate) async fn streams_show_themselves_to_whom_they_may(bench: Bench) {
    let mut seen = Vec::new();
    for viewer in [ADMIN, MEMBER, OTHER, GUEST, UserId(99)] {
        let views = bench.store.streams(bench.realm, viewer, true).await.unwrap().value;
        let view = |view: &StreamView| (view.stream.stream_id, view.subscribed, view.members.len());
        seen.push(views.iter().map(view).collect::<Vec<_>>());
    }
    let both = vec![(GENERAL, true, 3), (LEADS, true, 2)];
    assert_eq!(seen, [both.clone(), both, vec![(GENERAL, false, 0)], vec![(GENERAL, true, 3)], vec![]]);
    let members = |viewer, stream| bench.store.members(bench.realm, viewer, stream);
    assert_eq!(members(OTHER, GENERAL).await.unwrap().value, Some(vec![ADMIN, MEMBER, GUEST]));
    assert_eq!(members(OTHER, LEADS).await.unwrap().value, None);
    assert_eq!(members(GUEST, LEADS).await.unwrap().value, None);
    assert_eq!(members(ADMIN, StreamId(77)).await.unwrap().value, None);
}

pub(crate) async fn a_stream_is_found_by_id_and_name(bench: Bench) {
    let find = |viewer, stream| bench.store.stream(bench.realm, viewer, stream);
    let by_name = |name: &str| StreamRef::Name(name.into());
    let found = find(OTHER, by_name(" GENERAL ")).await.unwrap().value.unwrap();
    assert_eq!((found.stream.stream_id, found.subscribed), (GENERAL, false));
    assert!(find(MEMBER, StreamRef::Id(LEADS)).await.unwrap().value.is_some());
    for hidden in [by_name("leads"), StreamRef::Id(LEADS), by_name("nope"), StreamRef::Id(StreamId(9))] {
        assert_eq!(find(OTHER, hidden).await.unwrap().value, None);
    }
}

pub(crate) async fn public_history_is_whole_and_private_history_has_intervals(mut bench: Bench) {
    for (stream, text) in [(GENERAL, "early"), (LEADS, "before")] {
        bench.send(ADMIN, stream, "t", text).await;
    }
    let add = |stream_id, user| Change::Subscribe { actor_id: ADMIN, stream_id, user_ids: vec![user] };
    bench.one(add(LEADS, OTHER)).await;
    bench.send(ADMIN, LEADS, "t", "inside").await;
    bench.one(Change::Unsubscribe { actor_id: ADMIN, stream_id: LEADS, user_ids: vec![OTHER] }).await;
    bench.send(ADMIN, LEADS, "t", "outside").await;
    assert_eq!(contents(&bench.history(OTHER, of_stream(LEADS)).await), ["inside"], "left, but theirs");
    bench.one(add(LEADS, OTHER)).await;
    bench.send(ADMIN, LEADS, "t", "again").await;
    assert_eq!(contents(&bench.history(OTHER, of_stream(LEADS)).await), ["inside", "again"]);
    assert_eq!(
        contents(&bench.history(OTHER, of_stream(GENERAL)).await),
        ["early"],
        "public: all but guests"
    );
    assert_eq!(contents(&bench.history(GUEST, of_stream(LEADS)).await), [""; 0]);
    assert_eq!(contents(&bench.history(GUEST, of_stream(GENERAL)).await), ["early"], "sent while in it");
    bench.one(Change::Unsubscribe { actor_id: GUEST, stream_id: GENERAL, user_ids: vec![] }).await;
    bench.send(ADMIN, GENERAL, "t", "late").await;
    assert_eq!(
        contents(&bench.history(GUEST, of_stream(GENERAL)).await),
        ["early"],
        "a guest's are intervals"
    );
}

pub(crate) async fn without_a_stream_one_sees_what_one_received(mut bench: Bench) {
    bench.send(ADMIN, GENERAL, "t", "to general").await;
    bench.send(ADMIN, LEADS, "t", "to leads").await;
    bench.send_to(ADMIN, Destination::Direct { user_ids: vec![OTHER] }, "to other").await;
    bench.send_to(MEMBER, Destination::Direct { user_ids: vec![ADMIN, OTHER] }, "to two").await;
    let all = Narrow::default();
    assert_eq!(contents(&bench.history(MEMBER, all.clone()).await), ["to general", "to leads", "to two"]);
    assert_eq!(
        contents(&bench.history(OTHER, all.clone()).await),
        ["to other", "to two"],
        "a public one's not"
    );
    assert_eq!(contents(&bench.history(GUEST, all.clone()).await), ["to general"]);
    let page = bench.history(OTHER, all).await;
    assert_eq!(page.users.len(), 3, "senders and recipients");
    assert!(page.streams.is_empty());
    let direct = Narrow { is_direct: true, ..Narrow::default() };
    assert_eq!(contents(&bench.history(ADMIN, direct).await), ["to other", "to two"]);
}

pub(crate) async fn history_pages_around_an_anchor(mut bench: Bench) {
    let mut ids = Vec::new();
    for text in ["1", "2", "3", "4", "5"] {
        ids.push(bench.send(ADMIN, GENERAL, "t", text).await);
    }
    let general = || of_stream(GENERAL);
    let page = bench.around(OTHER, general(), Anchor::At(ids[2]), 1, 1).await;
    assert_eq!(contents(&page), ["2", "3", "4"]);
    assert_eq!((page.found_anchor, page.found_oldest, page.found_newest), (true, false, false));
    let page = bench.around(OTHER, general(), Anchor::Newest, 2, 5).await;
    assert_eq!(contents(&page), ["4", "5"]);
    assert_eq!((page.found_anchor, page.found_oldest, page.found_newest), (false, false, true));
    let page = bench.around(OTHER, general(), Anchor::Oldest, 5, 2).await;
    assert_eq!(contents(&page), ["1", "2"]);
    assert_eq!((page.found_oldest, page.found_newest), (true, false));
    let page = bench.around(OTHER, general(), Anchor::At(ids[0]), 3, 10).await;
    assert_eq!(contents(&page), ["1", "2", "3", "4", "5"]);
    assert_eq!((page.found_oldest, page.found_newest), (true, true));
    let page = bench.around(OTHER, general(), Anchor::At(MessageId(ids[4].0 + 100)), 1, 1).await;
    assert_eq!((contents(&page), page.found_anchor), (vec!["5"], false));
    let query = HistoryQuery {
        realm_id: bench.realm,
        viewer: OTHER,
        narrow: general(),
        anchor: Anchor::At(ids[2]),
        num_before: 0,
        num_after: 1,
        include_anchor: false,
    };
    let found = bench.store.history(query).await.unwrap();
    assert_eq!(contents(&found.value), ["4"]);
    assert_eq!(found.as_of.sequence, Sequence(SETUP + 5));
}

pub(crate) async fn narrows_by_topic_sender_and_conversation(mut bench: Bench) {
    bench.send(ADMIN, GENERAL, "Lunch", "soup").await;
    bench.send(MEMBER, GENERAL, "lunch", "stew").await;
    bench.send(MEMBER, GENERAL, "dinner", "rice").await;
    bench.send_to(MEMBER, Destination::Direct { user_ids: vec![ADMIN] }, "pair").await;
    bench.send_to(MEMBER, Destination::Direct { user_ids: vec![ADMIN, OTHER] }, "three").await;
    let topic = |topic: &str| Narrow { topic: Some(topic.into()), ..of_stream(GENERAL) };
    assert_eq!(contents(&bench.history(OTHER, topic(" LUNCH ")).await), ["soup", "stew"]);
    let both = Narrow { sender_id: Some(MEMBER), ..topic("lunch") };
    assert_eq!(contents(&bench.history(OTHER, both).await), ["stew"]);
    let sender = Narrow { sender_id: Some(MEMBER), ..Narrow::default() };
    assert_eq!(contents(&bench.history(ADMIN, sender).await), ["stew", "rice", "pair", "three"]);
    let direct = |users: &[UserId]| Narrow { direct: Some(users.to_vec()), ..Narrow::default() };
    assert_eq!(contents(&bench.history(ADMIN, direct(&[ADMIN, MEMBER])).await), ["pair"]);
    assert_eq!(contents(&bench.history(OTHER, direct(&[ADMIN, MEMBER])).await), [""; 0], "not theirs");
    assert_eq!(contents(&bench.history(OTHER, direct(&[ADMIN, MEMBER, OTHER])).await), ["three"]);
}

pub(crate) async fn topics_are_told_by_their_newest_visible_message(mut bench: Bench) {
    let first = bench.send(ADMIN, LEADS, "plans", "a").await;
    let plans = bench.send(ADMIN, LEADS, "Plans", "b").await;
    bench.one(Change::Subscribe { actor_id: ADMIN, stream_id: LEADS, user_ids: vec![OTHER] }).await;
    let budget = bench.send(ADMIN, LEADS, "budget", "c").await;
    let topics = |viewer, stream| bench.store.topics(bench.realm, viewer, stream);
    let pairs = |topics: Option<Vec<super::Topic>>| {
        topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.max_id)).collect::<Vec<_>>())
    };
    let whole = pairs(topics(MEMBER, LEADS).await.unwrap().value).unwrap();
    assert_eq!(whole, [("budget".into(), budget), ("Plans".into(), plans)], "newest first, newest spelling");
    let since = pairs(topics(OTHER, LEADS).await.unwrap().value).unwrap();
    assert_eq!(since, [("budget".into(), budget)]);
    assert_eq!(topics(GUEST, LEADS).await.unwrap().value, None);
    assert_eq!(topics(OTHER, GENERAL).await.unwrap().value, Some(vec![]));
    assert!(first < plans);
}

pub(crate) async fn users_are_found_by_address_and_id(bench: Bench) {
    let users = bench.store.users(bench.realm).await.unwrap();
    assert_eq!(users.as_of.sequence, Sequence(SETUP));
    assert_eq!(users.value.len(), 4);
    let emails = vec![" M@bench.EXAMPLE ".to_owned(), "nobody@x".to_owned()];
    let found = bench.store.users_by_email(bench.realm, emails).await.unwrap();
    assert_eq!(found, [Some(users.value[1].clone()), None]);
    let found = bench.store.users_by_id(bench.realm, vec![GUEST, UserId(99)]).await.unwrap().value;
    assert_eq!(found, [Some(users.value[3].clone()), None]);
}

pub(crate) async fn a_closed_store_says_so(bench: Bench) {
    bench.store.close().await;
    assert!(matches!(bench.store.realms().await, Err(StoreError::Unavailable(_))));
    let group = Group { now_s: 1, realms: vec![] };
    assert!(matches!(bench.store.commit(Arc::new(group)).await, Err(StoreError::Unavailable(_))));
    bench.store.close().await;
}
