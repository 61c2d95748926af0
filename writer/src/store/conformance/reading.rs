//! What users may find, and in which order.

use super::*;

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
    assert_eq!(page.names.users.len(), 3, "senders and recipients");
    assert!(page.names.streams.is_empty());
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
    let pairs = |topics: Option<Vec<crate::store::Topic>>| {
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

pub(crate) async fn what_no_row_can_have_is_not_found(bench: Bench) {
    let store = &bench.store;
    let found = store.users_by_email(bench.realm, vec!["a\0@bench.example".into()]).await.unwrap();
    assert_eq!(found, [None]);
    let find = |stream| store.stream(bench.realm, ADMIN, stream);
    assert_eq!(find(StreamRef::Name("gen\0eral".into())).await.unwrap().value, None);
    assert_eq!(find(StreamRef::Id(StreamId(ID_MAX))).await.unwrap().value, None);
    let narrow = Narrow { topic: Some("t\0".into()), ..of_stream(GENERAL) };
    assert!(bench.history(ADMIN, narrow).await.messages.is_empty());
    assert!(bench.history(ADMIN, of_stream(StreamId(ID_MAX))).await.messages.is_empty());
    assert!(store.heads(vec![RealmId(ID_MAX)]).await.unwrap().is_empty());
    let user = NewUser {
        email: "n\0@x".into(),
        full_name: "N".into(),
        role: Role::Member,
        is_bot: false,
        streams: vec!["gen\0eral".into()],
    };
    let keys = vec![ApiKey::random().hash()];
    let outcome = bench.one(Change::CreateUsers { users: vec![user], keys }).await;
    assert!(matches!(&outcome, Outcome::UsersCreated(users) if users[0].is_err()), "{outcome:?}");
    let stream = NewStream { name: "s\0".into(), description: "d\0".into(), invite_only: false };
    let outcome = bench.one(Change::CreateStream { stream, user_ids: vec![] }).await;
    assert!(matches!(outcome, Outcome::Refused(_)));
}
