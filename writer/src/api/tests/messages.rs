//! `messages` and `typing`.

use serde_json::json;
use squall_bus::{Bus as _, Delivery, MemoryBus};
use squall_protocol::Audience;
use squall_protocol::frame::Frame;
use squall_protocol::{ServerMessage, StreamId, UserId};

use super::*;

const STREAM: [(&str, &str); 3] = [("type", "stream"), ("to", "general"), ("topic", "lunch")];

fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params: BTreeMap<&str, &str> = base.iter().copied().collect();
    params.extend(more.iter().copied());
    params.into_iter().collect()
}

async fn contents(server: &Server, user: &str, narrow: Value) -> Vec<String> {
    let narrow = narrow.to_string();
    let params = [("anchor", "oldest"), ("num_before", "0"), ("num_after", "100"), ("narrow", &narrow)];
    let body = server.get(user, "messages", &with(&params, &[("apply_markdown", "false")])).await.success();
    let messages = body["messages"].as_array().unwrap();
    messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_stream_is_named_in_every_way_zulip_takes() {
    let server = server().await;
    for to in ["general", "GENERAL", "1", "\"general\"", "[\"general\"]", "[1]"] {
        let body =
            server.post("bo", "messages", &with(&STREAM, &[("to", to), ("content", "x")])).await.success();
        assert!(body["id"].is_u64() && body["sequence"].is_u64(), "{to}: {body}");
    }
    let old = with(&[("type", "channel"), ("to", "general"), ("subject", "old name")], &[("content", "x")]);
    server.post("bo", "messages", &old).await.success();
}

#[tokio::test]
async fn a_send_is_refused_in_zulips_words() {
    let server = server().await;
    for (params, code, words) in [
        (vec![("content", " \n")], "BAD_REQUEST", "Message must not be empty"),
        (vec![("content", "a\0")], "BAD_REQUEST", "null bytes"),
        (
            vec![("content", "x"), ("to", "nowhere")],
            "STREAM_DOES_NOT_EXIST",
            "Channel 'nowhere' does not exist",
        ),
        (
            vec![("content", "x"), ("to", "77")],
            "STREAM_DOES_NOT_EXIST",
            "Channel with ID '77' does not exist",
        ),
        (vec![("content", "x"), ("to", "[1, 2]")], "BAD_REQUEST", "exactly one"),
        (vec![("content", "x"), ("topic", " ")], "BAD_REQUEST", "Topic"),
        (vec![("content", "x"), ("topic", "a\nb")], "BAD_REQUEST", "control"),
        (vec![("content", "x"), ("type", "shout")], "REQUEST_VARIABLE_INVALID", "type"),
        (vec![("content", "x"), ("send_id", "é")], "REQUEST_VARIABLE_INVALID", "send_id"),
        (
            vec![("content", "x"), ("queue_id", "q"), ("local_id", " ")],
            "REQUEST_VARIABLE_INVALID",
            "local_id",
        ),
    ] {
        let body = server.post("bo", "messages", &with(&STREAM, &params)).await.error(400, code);
        assert!(body["msg"].as_str().unwrap().contains(words), "{}", body["msg"]);
    }
    for missing in ["type", "to", "topic", "content"] {
        let all = with(&STREAM, &[("content", "x")]);
        let params: Vec<_> = all.into_iter().filter(|(name, _)| *name != missing).collect();
        let body = server.post("bo", "messages", &params).await.error(400, "REQUEST_VARIABLE_MISSING");
        assert_eq!(body["var_name"], missing);
    }
}

#[tokio::test]
async fn outsiders_of_a_public_stream_may_not_send_and_of_a_private_one_not_know() {
    let server = server().await;
    let send = |to| with(&STREAM, &[("to", to), ("content", "x")]);
    server.post("cy", "messages", &send("general")).await.error(400, "BAD_REQUEST");
    let body = server.post("cy", "messages", &send("leads")).await.error(400, "STREAM_DOES_NOT_EXIST");
    assert_eq!(body["stream"], "leads");
    let body = server.post("cy", "messages", &send("2")).await.error(400, "STREAM_DOES_NOT_EXIST");
    assert_eq!(body["stream_id"], 2);
}

#[tokio::test]
async fn long_texts_are_cut_as_zulip_does() {
    let server = server().await;
    let (content, topic) = ("é".repeat(10_001), "t".repeat(61));
    let params = with(&STREAM, &[("content", &content), ("topic", &topic)]);
    server.post("bo", "messages", &params).await.success();
    let stored = contents(&server, "bo", json!([])).await.remove(0);
    assert_eq!(stored.chars().count(), 10_000);
    assert!(stored.ends_with("\n[message truncated]"));
    let topics = server.get("bo", "users/me/1/topics", &[]).await.success();
    assert_eq!(topics["topics"][0]["name"], format!("{}...", "t".repeat(57)));
}

#[tokio::test]
async fn a_retry_with_the_same_ids_is_the_same_message() {
    let server = server().await;
    let of_queue = with(&STREAM, &[("content", "x"), ("queue_id", "q1"), ("local_id", "7.01")]);
    let first = server.post("bo", "messages", &of_queue).await.success();
    assert_eq!(first["send_id"], "q1:7.01");
    assert_eq!(server.post("bo", "messages", &of_queue).await.success(), first);
    let own = with(&STREAM, &[("content", "x"), ("send_id", "q1:7.01")]);
    assert_eq!(server.post("bo", "messages", &own).await.success(), first, "one id, whoever made it");
    let other = with(&own, &[("content", "y")]);
    server.post("bo", "messages", &other).await.error(400, "SEND_ID_REUSED");
    let without = with(&STREAM, &[("content", "x")]);
    let second = server.post("bo", "messages", &without).await.success();
    assert_ne!(second["id"], first["id"], "without an id each is a message of its own");
    assert_eq!(contents(&server, "bo", json!([])).await, ["x", "x"]);
}

#[tokio::test]
async fn what_is_sent_again_without_an_id_is_the_message_of_the_last_minute() {
    let server = server().await;
    let once = with(&STREAM, &[("content", "x ")]);
    let again = with(&STREAM, &[("content", "x"), ("dont_block", "true")]);
    let first = server.post("bo", "messages", &once).await.success();
    assert_eq!(server.post("bo", "messages", &again).await.success()["id"], first["id"]);
    assert_eq!(server.post("bo", "messages", &again).await.success()["id"], first["id"]);
    for (user, other) in [("bo", ("content", "y")), ("bo", ("topic", "t2")), ("ada", ("content", "x"))] {
        let other = with(&again, &[other]);
        assert_ne!(server.post(user, "messages", &other).await.success()["id"], first["id"], "{other:?}");
    }
    let with_id = with(&again, &[("send_id", "fresh")]);
    assert_ne!(server.post("bo", "messages", &with_id).await.success()["id"], first["id"], "an id decides");
    let body = server.post("bo", "messages", &with(&again, &[("dont_block", "1")])).await;
    body.error(400, "REQUEST_VARIABLE_INVALID");
}

#[tokio::test]
async fn direct_messages_go_to_ids_or_addresses() {
    let server = server().await;
    let direct = |to| [("type", "direct"), ("to", to), ("content", "psst")];
    for to in [
        "[1]",
        "[\"ada@test.example\"]",
        "ada@test.example",
        "\"ada@test.example\"",
        "[1, \"cy@test.example\"]",
    ] {
        server.post("bo", "messages", &direct(to)).await.success();
    }
    for (to, words) in [
        ("[99]", "99"),
        ("nobody@test.example", "Invalid email 'nobody@test.example'"),
        ("[]", "recipients"),
        ("{}", "Invalid data type"),
    ] {
        let body = server.post("bo", "messages", &direct(to)).await.error(400, "BAD_REQUEST");
        assert!(body["msg"].as_str().unwrap().contains(words), "{}", body["msg"]);
    }
    assert_eq!(contents(&server, "cy", json!([])).await.len(), 1);
    assert_eq!(contents(&server, "ada", json!([["is", "dm"]])).await.len(), 5);
    assert_eq!(contents(&server, "ada", json!([["pm_with", "bo@test.example"]])).await.len(), 4);
    let three = json!([{"operator": "dm", "operand": [2, 3]}]);
    assert_eq!(contents(&server, "ada", three).await.len(), 1);
    assert_eq!(contents(&server, "cy", json!([["pm-with", 2]])).await.len(), 0, "not a party to it");
}

#[tokio::test]
async fn a_message_is_told_with_all_that_clients_need() {
    let server = server().await;
    let id = server.send("bo", "general", "lunch", "<soup> & stew").await;
    server
        .post("bo", "messages", &[("type", "private"), ("to", "[1]"), ("content", "/me waves")])
        .await
        .success();
    let params = [("anchor", "newest"), ("num_before", "10"), ("num_after", "0")];
    let body = server.get("ada", "messages", &params).await.success();
    assert_eq!(body["anchor"], 10_000_000_000_000_000_u64);
    assert_eq!((&body["found_newest"], &body["found_oldest"]), (&json!(true), &json!(true)));
    assert_eq!((&body["found_anchor"], &body["history_limited"]), (&json!(false), &json!(false)));
    assert_eq!(body["as_of"], server.head().await);
    let message = &body["messages"][0];
    for (field, value) in [
        ("id", json!(id)),
        ("sender_id", json!(2)),
        ("sender_email", json!("bo@test.example")),
        ("sender_full_name", json!("BO")),
        ("content", json!("<p>&lt;soup&gt; &amp; stew</p>")),
        ("content_type", json!("text/html")),
        ("subject", json!("lunch")),
        ("type", json!("stream")),
        ("stream_id", json!(1)),
        ("display_recipient", json!("general")),
        ("is_me_message", json!(false)),
        ("reactions", json!([])),
        ("flags", json!([])),
        ("avatar_url", json!(null)),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    assert!(message["timestamp"].as_u64().unwrap() > 1_700_000_000);
    assert!(message["send_id"].is_string() && message["sequence"].is_u64());
    let direct = &body["messages"][1];
    assert_eq!((&direct["type"], &direct["subject"]), (&json!("private"), &json!("")));
    assert_eq!(direct["is_me_message"], true);
    let ids: Vec<_> =
        direct["display_recipient"].as_array().unwrap().iter().map(|user| &user["id"]).collect();
    assert_eq!(ids, [1, 2]);
    assert_ne!(direct["recipient_id"], message["recipient_id"]);
}

#[tokio::test]
async fn anchors_by_number_and_word() {
    let server = server().await;
    let mut ids = Vec::new();
    for text in ["1", "2", "3"] {
        ids.push(server.send("bo", "general", "t", text).await.to_string());
    }
    let range = |anchor: &str, before: &str, after: &str| {
        let params =
            [("anchor", anchor), ("num_before", before), ("num_after", after), ("apply_markdown", "false")];
        let params = params.map(|(name, value)| (name, value.to_owned()));
        let server = &server;
        async move {
            let params = params.each_ref().map(|(name, value)| (*name, value.as_str()));
            let body = server.get("bo", "messages", &params).await.success();
            let messages = body["messages"].as_array().unwrap().clone();
            let texts: Vec<_> = messages.iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect();
            (texts.concat(), body["anchor"].as_u64().unwrap())
        }
    };
    let newest = 10_000_000_000_000_000;
    assert_eq!(range(&ids[1], "1", "1").await.0, "123");
    assert_eq!(range(&ids[1], "0", "0").await.0, "2");
    assert_eq!(range("oldest", "5", "2").await, ("12".into(), 0));
    assert_eq!(range("0", "5", "2").await, ("12".into(), 0));
    assert_eq!(range("-1", "5", "2").await.0, "12");
    assert_eq!(range("newest", "2", "0").await, ("23".into(), newest));
    assert_eq!(range("first_unread", "1", "9").await, ("3".into(), newest));
    assert_eq!(range("10000000000000000", "1", "0").await, ("3".into(), newest));
    let terminal =
        [("anchor", "0"), ("use_first_unread_anchor", "true"), ("num_before", "30"), ("num_after", "10")];
    let body = server.get("bo", "messages", &terminal).await.success();
    assert_eq!((body["messages"].as_array().unwrap().len(), &body["anchor"]), (3, &json!(newest)));
    let without =
        [("anchor", &*ids[1]), ("num_before", "1"), ("num_after", "1"), ("include_anchor", "false")];
    assert_eq!(
        server.get("bo", "messages", &without).await.success()["messages"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_fetch_is_refused_by_name() {
    let server = server().await;
    let base = [("anchor", "newest"), ("num_before", "1"), ("num_after", "1")];
    for (params, code) in [
        (vec![("anchor", "soon")], "REQUEST_VARIABLE_INVALID"),
        (vec![("num_before", "-1")], "REQUEST_VARIABLE_INVALID"),
        (vec![("num_after", "many")], "REQUEST_VARIABLE_INVALID"),
        (vec![("num_before", "5000")], "BAD_REQUEST"),
        (vec![("narrow", "stream:general")], "REQUEST_VARIABLE_INVALID"),
        (vec![("narrow", "[[\"is\", \"starred\"]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"search\", \"soup\"]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"-stream\", \"general\"]]")], "BAD_NARROW"),
        (vec![("narrow", "[{\"operator\":\"topic\",\"operand\":\"x\",\"negated\":true}]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"stream\", \"nowhere\"]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"stream\", null]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"topic\", 7]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"sender\", \"nobody@x\"]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"dm\", {}]]")], "BAD_NARROW"),
        (vec![("narrow", "[[\"stream\", \"general\"], [\"stream\", \"leads\"]]")], "BAD_NARROW"),
    ] {
        server.get("bo", "messages", &with(&base, &params)).await.error(400, code);
    }
    for missing in ["anchor", "num_before", "num_after"] {
        let params: Vec<_> = base.into_iter().filter(|(name, _)| *name != missing).collect();
        let body = server.get("bo", "messages", &params).await.error(400, "REQUEST_VARIABLE_MISSING");
        assert_eq!(body["var_name"], missing);
    }
}

#[tokio::test]
async fn who_may_read_what() {
    let server = server().await;
    server.send("ada", "leads", "plans", "secret").await;
    server.send("ada", "general", "plans", "open").await;
    let leads = json!([["stream", "leads"]]);
    assert_eq!(contents(&server, "bo", leads.clone()).await, ["secret"]);
    let params =
        [("anchor", "oldest"), ("num_before", "0"), ("num_after", "9"), ("narrow", &leads.to_string())];
    server.get("cy", "messages", &params).await.error(400, "BAD_NARROW");
    assert_eq!(contents(&server, "cy", json!([["topic", "plans"]])).await, [""; 0], "received nothing");
    assert_eq!(contents(&server, "cy", json!([["channel", 1], ["topic", "Plans"]])).await, ["open"]);
    assert_eq!(
        contents(&server, "cy", json!([["channel", 1], ["sender", "bo@test.example"]])).await,
        [""; 0]
    );
    assert_eq!(contents(&server, "bo", json!([["sender", 1]])).await, ["secret", "open"]);
}

#[tokio::test]
async fn typing_is_told_to_those_who_may_read_there_and_stored_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let bus = MemoryBus::new();
    let config = Config { data_dir: dir.path().to_owned(), rate_limit_per_minute: 0, ..Config::default() };
    let writer = Writer::open(config, std::sync::Arc::new(bus.clone())).await.unwrap();
    let users = crate::demo::seed(&writer).await.unwrap().unwrap();
    let key = users[0].api_key.reveal().to_owned();
    let server = Server { router: writer.api(), writer, keys: BTreeMap::from([("ada", key)]), _dir: dir };
    let mut link = bus.open();
    link.subscribe(RealmId(1));
    let head = server.head().await;
    let credentials = format!("ada@demo.example:{}", server.keys["ada"]);
    let typing = |form: &str| {
        let request = Request::builder()
            .method("POST")
            .uri("/api/v1/typing")
            .header("authorization", format!("Basic {}", BASE64.encode(credentials.as_bytes())))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        server.request(request.unwrap())
    };
    typing("op=start&type=stream&stream_id=3&topic=planning").await.success();
    let Delivery::Frame { frame, .. } = link.recv().await else { panic!("no frame") };
    let Some(Frame::Ephemeral(frame)) = Frame::decode(&frame).unwrap() else { panic!("not ephemeral") };
    assert_eq!(frame.audience, Audience::members(StreamId(3)));
    assert_eq!(frame.except, Some(UserId(1)));
    assert!(matches!(frame.message, ServerMessage::Typing { sender_id: UserId(1), .. }));
    typing("op=stop&to=[3,2]").await.success();
    let Delivery::Frame { frame, .. } = link.recv().await else { panic!("no frame") };
    let Some(Frame::Ephemeral(frame)) = Frame::decode(&frame).unwrap() else { panic!("not ephemeral") };
    assert_eq!(frame.audience, Audience::users(vec![UserId(1), UserId(2), UserId(3)]));
    for (form, code) in [
        ("to=[2]", "REQUEST_VARIABLE_MISSING"),
        ("op=pause&to=[2]", "REQUEST_VARIABLE_INVALID"),
        ("op=start&type=x", "REQUEST_VARIABLE_INVALID"),
        ("op=start", "REQUEST_VARIABLE_MISSING"),
        ("op=start&to=[]", "BAD_REQUEST"),
        ("op=start&to=[99]", "BAD_REQUEST"),
        ("op=start&type=stream&topic=t", "REQUEST_VARIABLE_MISSING"),
        ("op=start&type=stream&stream_id=3", "REQUEST_VARIABLE_MISSING"),
        ("op=start&type=stream&stream_id=3&topic=", "REQUEST_VARIABLE_INVALID"),
        ("op=start&type=stream&stream_id=77&topic=t", "STREAM_DOES_NOT_EXIST"),
    ] {
        typing(form).await.error(400, code);
    }
    assert_eq!(server.head().await, head);
}

#[tokio::test]
async fn typing_where_one_may_not_write_is_refused() {
    let server = server().await;
    let typing = |stream_id| [("op", "start"), ("type", "stream"), ("stream_id", stream_id), ("topic", "t")];
    server.post("cy", "typing", &typing("1")).await.error(400, "BAD_REQUEST");
    server.post("cy", "typing", &typing("2")).await.error(400, "STREAM_DOES_NOT_EXIST");
    server.post("gus", "typing", &typing("1")).await.success();
}
