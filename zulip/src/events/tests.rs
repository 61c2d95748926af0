use serde_json::from_slice;
use squall_protocol::client_message::{Status, TypingOp};
use squall_protocol::event::{
    Flag, MessageDeletion, MessageEdit, MessageFlags, MessageMove, Reaction, ReactionType, Role,
    SubscriptionSetting, TopicPolicy, UserSetting,
};
use squall_protocol::{Destination, Mark, MessageId, SendId, Sequence};

use super::*;
use crate::names::{KnownNames, Names};
use crate::params::Params;
use crate::presence::Shown;

struct TestRealm(KnownNames);

impl Names for TestRealm {
    fn user(&self, user_id: UserId) -> Option<&User> {
        self.0.user(user_id)
    }

    fn stream(&self, stream_id: StreamId) -> Option<&Stream> {
        self.0.stream(stream_id)
    }

    fn user_called(&self, full_name: &str) -> Option<&User> {
        self.0.user_called(full_name)
    }

    fn stream_called(&self, name: &str) -> Option<&Stream> {
        self.0.stream_called(name)
    }
}

impl Realm for TestRealm {
    fn members(&self, _: StreamId) -> Vec<UserId> {
        vec![UserId(1), UserId(2)]
    }
}

fn user(id: u32, name: &str) -> User {
    User {
        user_id: UserId(id),
        email: format!("{name}@x.example"),
        full_name: name.into(),
        role: Role::Member,
        is_bot: false,
        is_active: true,
    }
}

fn stream(invite_only: bool) -> Stream {
    Stream { stream_id: StreamId(4), name: "general".into(), description: "All".into(), invite_only }
}

fn realm() -> TestRealm {
    let users = [user(1, "ada"), user(2, "bo")].map(|user| (user.user_id, user)).into();
    TestRealm(KnownNames { users, streams: [(StreamId(4), stream(false))].into() })
}

const ID: u64 = 42 * 4096 + 7;

/// What user 1 hears of `event` in a queue registered with `params`.
fn heard(event: &Event, params: &[(&str, &str)]) -> Vec<Value> {
    let (options, realm) = (options(params), realm());
    let listener = Listener { viewer: UserId(1), queue_id: "q1", options: &options, realm: &realm };
    let mut list = EventList::default();
    let mut shared = |html| {
        let Event::Message(message) = event else { panic!("no message") };
        Rc::new(SharedMessage::new(message, &realm, html))
    };
    listener.hear(event, EventId::at(Sequence(42), Mark(7)), &mut shared, &mut list);
    let (count, answer) = (list.len(), list.into_answer("q1"));
    let answer: Value = from_slice(&answer).unwrap();
    assert_eq!(answer["result"], "success");
    assert_eq!(answer["queue_id"], "q1");
    let events = answer["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), count);
    assert!(events.iter().all(|event| event["id"] == ID));
    events
}

fn options(params: &[(&str, &str)]) -> QueueOptions {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    QueueOptions::read(&Params::of(params)).unwrap()
}

fn message(sender: u32, to: Destination, content: &str, send_id: &str) -> Event {
    Event::Message(Message {
        message_id: MessageId(907),
        sender_id: UserId(sender),
        timestamp: 1_763_818_162,
        to,
        content: content.into(),
        send_id: SendId::parse(send_id).unwrap(),
    })
}

fn lunch() -> Destination {
    Destination::Stream { stream_id: StreamId(4), topic: "lunch".into() }
}

#[test]
fn a_message_has_all_that_clients_read_of_it() {
    let events = heard(&message(2, lunch(), "*Soup* @**ada**?", "x"), &[]);
    let event = &events[0];
    assert_eq!((&event["type"], &event["flags"]), (&"message".into(), &json!(["mentioned"])));
    let message = &event["message"];
    for (key, value) in [
        ("id", json!(907)),
        ("sender_id", json!(2)),
        ("sender_email", json!("bo@x.example")),
        ("sender_full_name", json!("bo")),
        ("content", json!("*Soup* @**ada**?")),
        ("content_type", json!("text/x-markdown")),
        ("type", json!("stream")),
        ("stream_id", json!(4)),
        ("display_recipient", json!("general")),
        ("subject", json!("lunch")),
        ("timestamp", json!(1_763_818_162)),
        ("reactions", json!([])),
        ("is_me_message", json!(false)),
        ("avatar_url", json!(null)),
    ] {
        assert_eq!(message[key], value, "{key}");
    }
    assert!(event.get("local_message_id").is_none());
}

#[test]
fn content_and_picture_are_as_the_queue_wants_them() {
    let params = [("apply_markdown", "true"), ("client_gravatar", "false")];
    let events = heard(&message(2, lunch(), "*Soup*", "x"), &params);
    assert_eq!(events[0]["message"]["content"], "<p><em>Soup</em></p>");
    assert_eq!(events[0]["message"]["content_type"], "text/html");
    assert!(events[0]["message"]["avatar_url"].as_str().unwrap().contains("gravatar"));
}

#[test]
fn ones_own_message_is_read_and_known_by_its_local_id() {
    let events = heard(&message(1, lunch(), "Soup", "q1:7.01"), &[]);
    assert_eq!(events[0]["local_message_id"], "7.01");
    assert_eq!(events[0]["flags"], json!(["read"]));
    assert!(heard(&message(1, lunch(), "Soup", "q2:7.01"), &[])[0].get("local_message_id").is_none());
    assert!(heard(&message(2, lunch(), "Soup", "q1:7.01"), &[])[0].get("local_message_id").is_none());
}

#[test]
fn a_direct_message_names_its_users() {
    let to = Destination::Direct { user_ids: vec![UserId(1), UserId(2)] };
    let events = heard(&message(2, to, "psst", "x"), &[]);
    let message = &events[0]["message"];
    assert_eq!(message["type"], "private");
    assert_eq!(message["display_recipient"][1]["email"], "bo@x.example");
    assert_eq!(message["subject"], "");
    assert!(message.get("stream_id").is_none());
}

#[test]
fn a_queue_hears_only_the_types_and_the_narrow_it_asked_for() {
    let soup = message(2, lunch(), "Soup @**ada**", "x");
    assert!(heard(&soup, &[("event_types", "[\"presence\"]")]).is_empty());
    for (narrow, passes) in [
        (r#"[["stream","General"]]"#, true),
        (r#"[["channel",4],["topic","LUNCH"]]"#, true),
        (r#"[["stream","other"]]"#, false),
        (r#"[["topic","dinner"]]"#, false),
        (r#"[["sender","bo@x.example"]]"#, true),
        (r#"[["sender",1]]"#, false),
        (r#"[["is","private"]]"#, false),
        (r#"[["is","mentioned"]]"#, true),
        (r#"[{"operator":"stream","operand":"general","negated":true}]"#, false),
        (r#"[["-stream","other"]]"#, true),
    ] {
        assert_eq!(heard(&soup, &[("narrow", narrow)]).len(), usize::from(passes), "{narrow}");
    }
}

#[test]
fn memberships_are_subscriptions_of_ones_own_and_peers_for_who_asked() {
    let added = |user_ids: &[u32]| Event::MembersAdded {
        stream: stream(true),
        user_ids: user_ids.iter().copied().map(UserId).collect(),
        actor_id: UserId(2),
    };
    let events = heard(&added(&[1]), &[("include_subscribers", "true")]);
    assert_eq!(events[0]["type"], "stream");
    assert_eq!((&events[1]["op"], events.len()), (&"add".into(), 2));
    let subscription = &events[1]["subscriptions"][0];
    assert_eq!(subscription["subscribers"], json!([1, 2]));
    assert_eq!(subscription["name"], "general");
    assert_eq!(subscription["in_home_view"], true);
    assert!(heard(&added(&[2]), &[]).is_empty());
    let peers = heard(&added(&[2]), &[("include_subscribers", "true")]);
    assert_eq!(peers[0]["op"], "peer_add");
    assert_eq!((&peers[0]["stream_ids"], &peers[0]["user_ids"]), (&json!([4]), &json!([2])));
    let removed =
        Event::MembersRemoved { stream_id: StreamId(4), user_ids: vec![UserId(1)], actor_id: UserId(1) };
    let events = heard(&removed, &[]);
    assert_eq!(events[0]["subscriptions"], json!([{ "stream_id": 4, "name": "general" }]));
}

#[test]
fn a_users_changes_are_told_one_by_one() {
    let (mut changed, before) = (user(2, "bob"), user(2, "bo"));
    changed.role = Role::Guest;
    let events = heard(&Event::UserUpdated { user: changed, previous: before }, &[]);
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["person"], json!({ "user_id": 2, "full_name": "bob" }));
    assert_eq!(events[1]["person"]["role"], 600);
    let events = heard(&Event::UserAdded { user: user(3, "cy") }, &[]);
    assert_eq!((&events[0]["op"], &events[0]["person"]["full_name"]), (&"add".into(), &"cy".into()));
    assert!(heard(&Event::CredentialChanged { user_id: UserId(1) }, &[]).is_empty());
}

#[test]
fn an_edit_has_the_new_text_in_both_forms_and_a_move_both_topics() {
    let edit = MessageEdit {
        message_id: MessageId(907),
        actor_id: UserId(2),
        timestamp: 7,
        to: lunch(),
        content: "*Stew* @**ada**".into(),
    };
    let event = heard(&Event::MessageEdited(edit), &[]).remove(0);
    assert_eq!(event["type"], "update_message");
    assert_eq!((&event["message_id"], &event["stream_id"]), (&json!(907), &json!(4)));
    assert_eq!(event["content"], "*Stew* @**ada**");
    assert!(event["rendered_content"].as_str().unwrap().starts_with("<p><em>Stew</em>"));
    assert_eq!(event["flags"], json!(["mentioned", "read"]));
    let moved = MessageMove {
        message_ids: vec![MessageId(905), MessageId(907)],
        actor_id: UserId(2),
        timestamp: 7,
        stream_id: StreamId(4),
        topic_before: "lunch".into(),
        topic: "dinner".into(),
    };
    let event = heard(&Event::MessagesMoved(moved), &[]).remove(0);
    assert_eq!((&event["orig_subject"], &event["subject"]), (&json!("lunch"), &json!("dinner")));
    assert_eq!(event["message_ids"], json!([905, 907]));
    assert_eq!(event["propagate_mode"], "change_all");
    assert!(event.get("content").is_none() && event.get("rendered_content").is_none());
}

#[test]
fn deletions_come_together_for_who_knows_that_and_else_one_by_one() {
    let message_ids = vec![MessageId(905), MessageId(907)];
    let deleted = Event::MessagesDeleted(MessageDeletion { message_ids, actor_id: UserId(2), to: lunch() });
    let bulk = heard(&deleted, &[("client_capabilities", "{\"bulk_message_deletion\":true}")]);
    assert_eq!((bulk.len(), &bulk[0]["message_ids"]), (1, &json!([905, 907])));
    assert_eq!(bulk[0]["topic"], "lunch");
    let single = heard(&deleted, &[]);
    assert_eq!((&single[0]["message_id"], &single[1]["message_id"]), (&json!(905), &json!(907)));
}

#[test]
fn a_reaction_names_its_user_in_full() {
    let reaction = Reaction {
        message_id: MessageId(907),
        user_id: UserId(2),
        emoji_name: "stew".into(),
        emoji_code: "1f372".into(),
        reaction_type: ReactionType::UnicodeEmoji,
        to: lunch(),
    };
    let added = heard(&Event::ReactionAdded(reaction.clone()), &[]).remove(0);
    assert_eq!((&added["op"], &added["reaction_type"]), (&json!("add"), &json!("unicode_emoji")));
    assert_eq!(added["user"]["full_name"], "bo");
    assert_eq!((&added["emoji_name"], &added["emoji_code"]), (&json!("stew"), &json!("1f372")));
    assert_eq!(heard(&Event::ReactionRemoved(reaction), &[])[0]["op"], "remove");
}

#[test]
fn flags_that_follow_on_each_other_are_one_event_but_for_what_is_unread_again() {
    let (options, realm) = (options(&[]), realm());
    let listener = Listener { viewer: UserId(1), queue_id: "q", options: &options, realm: &realm };
    let mut list = EventList::default();
    let flags = |flag, id| MessageFlags { user_id: UserId(1), flag, message_ids: vec![MessageId(id)] };
    for (sequence, event) in (1..).zip([
        Event::FlagsAdded(flags(Flag::Read, 1)),
        Event::FlagsAdded(flags(Flag::Read, 2)),
        Event::FlagsAdded(flags(Flag::Starred, 2)),
        Event::FlagsAdded(flags(Flag::Read, 3)),
        Event::FlagsRemoved(flags(Flag::Read, 3)),
        Event::FlagsRemoved(flags(Flag::Read, 4)),
    ]) {
        listener.hear(&event, EventId::at(Sequence(sequence), Mark(0)), &mut |_| Rc::default(), &mut list);
    }
    assert_eq!(list.len(), 5);
    let answer: Value = from_slice(&list.into_answer("q")).unwrap();
    let told = answer["events"].as_array().unwrap().iter();
    let told: Vec<_> =
        told.map(|e| (e["op"].as_str().unwrap(), e["flag"].as_str().unwrap(), &e["messages"])).collect();
    assert_eq!(told[0], ("add", "read", &json!([1, 2])));
    assert_eq!(answer["events"][0]["id"], 2 * 4096, "the last of them is acknowledged");
    assert_eq!(told[1], ("add", "starred", &json!([2])));
    assert_eq!(told[3..], [("remove", "read", &json!([3])), ("remove", "read", &json!([4]))]);
}

#[test]
fn what_is_ones_own_comes_in_every_form_that_clients_know() {
    let user_id = UserId(1);
    let value = || "false".to_owned();
    let setting =
        Event::SettingSet(UserSetting { user_id, name: "twenty_four_hour_time".into(), value: value() });
    let types: Vec<_> = heard(&setting, &[]).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["user_settings", "update_display_settings"]);
    let muted = SubscriptionSetting {
        user_id,
        stream_id: StreamId(4),
        name: "is_muted".into(),
        value: "true".into(),
    };
    let events = heard(&Event::SubscriptionSet(muted), &[]);
    assert_eq!((&events[0]["property"], &events[0]["value"]), (&json!("is_muted"), &json!(true)));
    assert_eq!((&events[1]["property"], &events[1]["value"]), (&json!("in_home_view"), &json!(false)));
    let policy =
        TopicPolicy { user_id, stream_id: StreamId(4), topic: "lunch".into(), policy: 1, timestamp: 9 };
    let event = heard(&Event::TopicPolicySet(policy), &[]).remove(0);
    assert_eq!((&event["topic_name"], &event["visibility_policy"]), (&json!("lunch"), &json!(1)));
    let renamed = Stream { name: "lobby".into(), ..stream(false) };
    let event = heard(&Event::StreamUpdated { stream: renamed, previous: stream(false) }, &[]).remove(0);
    assert_eq!(
        (&event["property"], &event["value"], &event["name"]),
        (&json!("name"), &json!("lobby"), &json!("general"))
    );
}

#[test]
fn typing_in_streams_is_for_who_can_show_it() {
    let tell = |to: &Destination, params: &[(&str, &str)]| {
        let (options, realm) = (options(params), realm());
        let listener = Listener { viewer: UserId(1), queue_id: "q", options: &options, realm: &realm };
        let mut list = EventList::default();
        typing(&listener, TypingOp::Start, UserId(2), to, EventId::at(Sequence(1), Mark(0)), &mut list);
        from_slice::<Value>(&list.into_answer("q")).unwrap()["events"].as_array().unwrap().clone()
    };
    assert!(tell(&lunch(), &[]).is_empty());
    let events = tell(&lunch(), &[("client_capabilities", "{\"stream_typing_notifications\":true}")]);
    assert_eq!((&events[0]["message_type"], &events[0]["topic"]), (&"stream".into(), &"lunch".into()));
    let direct = Destination::Direct { user_ids: vec![UserId(1), UserId(2)] };
    let events = tell(&direct, &[]);
    assert_eq!(events[0]["sender"], json!({ "user_id": 2, "email": "bo@x.example" }));
    assert_eq!(events[0]["recipients"].as_array().unwrap().len(), 2);
    assert!(tell(&direct, &[("event_types", "[\"message\"]")]).is_empty());
}

#[test]
fn presence_comes_in_three_forms() {
    let tell = |params: &[(&str, &str)]| {
        let (options, realm) = (options(params), realm());
        let listener = Listener { viewer: UserId(1), queue_id: "q", options: &options, realm: &realm };
        let shown = [Shown { user_id: UserId(2), status: Some(Status::Active), heard_s: 100 }];
        let mut list = EventList::default();
        presence(&listener, &shown, 100_500, EventId::at(Sequence(1), Mark(0)), &mut list);
        from_slice::<Value>(&list.into_answer("q")).unwrap()["events"][0].clone()
    };
    let legacy = tell(&[]);
    assert_eq!((&legacy["email"], &legacy["user_id"]), (&"bo@x.example".into(), &json!(2)));
    assert_eq!(legacy["server_timestamp"], 100.5);
    assert_eq!(legacy["presence"]["website"]["status"], "active");
    assert!(tell(&[("slim_presence", "true")]).get("email").is_none());
    let modern = tell(&[("client_capabilities", "{\"simplified_presence_events\":true}")]);
    assert_eq!(modern["presences"]["2"]["active_timestamp"], 100);
}
