//! Who sees the invite-only stream `leads`: its members, from the event that names them to the event that
//! names them again, live, in a resume and by HTTP alike. Emre is the outsider.

use serde_json::json;
use squall_protocol::Event;
use squall_protocol::link::RefusalCode;

use crate::support::api::in_stream;
use crate::support::server::Server;

#[tokio::test]
async fn an_outsider_hears_nothing_live() {
    let server = Server::start().await;
    let (plan, lunch) = (server.topic("leads", "plan").await, server.topic("general", "lunch").await);
    let (mut ada, mut emre) = (server.client("ada").await, server.client("emre").await);
    ada.say_in(&plan, "between us").await;
    ada.say_in(&lunch, "for all").await;
    emre.expect_message("for all").await;
}

#[tokio::test]
async fn an_outsider_hears_nothing_in_a_resume() {
    let mut server = Server::start().await;
    let (plan, lunch) = (server.topic("leads", "plan").await, server.topic("general", "lunch").await);
    let (mut ada, emre) = (server.client("ada").await, server.client("emre").await);
    let position = emre.disconnect();
    ada.say_in(&plan, "between us").await;
    ada.say_in(&lunch, "for all").await;
    let mut emre = server.resume("emre", position).await;
    emre.expect_message("for all").await;

    // Nor from the log, in a process that has nothing of it in memory.
    server.kill_9();
    server.restart().await;
    let mut emre = server.resume("emre", position).await;
    emre.expect_message("for all").await;
}

#[tokio::test]
async fn an_outsider_finds_nothing_by_http() {
    let server = Server::start().await;
    let plan = server.topic("leads", "plan").await;
    let stream_id = server.stream("leads").await.to_string();
    server.client("ada").await.say_in(&plan, "between us").await;

    let emre = server.api("emre");
    let narrows = [json!([]), in_stream("leads"), json!([["topic", "plan"]]), json!([["search", "between"]])];
    for narrow in narrows {
        let narrow = narrow.to_string();
        let parameters =
            [("anchor", "newest"), ("num_before", "1000"), ("num_after", "0"), ("narrow", narrow.as_str())];
        let answer = emre.get("messages", &parameters).await;
        assert!(!String::from_utf8(answer.body).unwrap().contains("between us"), "{narrow}");
    }
    for path in ["streams", "users/me/subscriptions", "register"] {
        let answer = emre.get(path, &[("include_public", "true"), ("include_all", "true")]).await;
        assert!(!String::from_utf8(answer.body).unwrap().contains("leads"), "{path}");
    }
    for path in [format!("streams/{stream_id}/members"), format!("users/me/{stream_id}/topics")] {
        let answer = emre.get(&path, &[]).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.json());
    }
    assert_eq!(emre.get("get_stream_id", &[("stream", "leads")]).await.status, 400);
}

#[tokio::test]
async fn an_outsider_can_neither_write_nor_join() {
    let server = Server::start().await;
    let (plan, lunch) = (server.topic("leads", "plan").await, server.topic("general", "lunch").await);
    let stream_id = server.stream("leads").await;
    let (mut ada, mut emre) = (server.client("ada").await, server.client("emre").await);
    let send_id = emre.send(&plan, "let me in").await;
    emre.expect_refused(&send_id, RefusalCode::UnknownStream).await;
    let send_id = emre.ask_to_subscribe(stream_id, &[]).await;
    emre.expect_refused(&send_id, RefusalCode::UnknownStream).await;
    emre.say_in(&lunch, "well then").await;
    ada.expect_message("well then").await;
}

#[tokio::test]
async fn an_invited_user_sees_the_stream_from_that_moment() {
    let server = Server::start().await;
    let plan = server.topic("leads", "plan").await;
    let leads = server.stream("leads").await;
    let (mut ada, mut emre) = (server.client("ada").await, server.client("emre").await);
    ada.say_in(&plan, "before").await;
    let added_at = ada.subscribe(leads, &[emre.user_id()]).await;
    ada.say_in(&plan, "welcome, emre").await;

    let (sequence, event) = emre.next_event().await;
    let Event::MembersAdded { stream, user_ids, actor_id } = event else { panic!("{event:?}") };
    assert_eq!(sequence, added_at);
    assert_eq!((stream.name.as_str(), stream.invite_only), ("leads", true));
    assert_eq!((user_ids, actor_id), (vec![emre.user_id()], ada.user_id()));
    emre.expect_message("welcome, emre").await;
    assert_eq!(server.api("emre").contents(&in_stream("leads")).await, ["welcome, emre"]);
}

#[tokio::test]
async fn a_removed_user_sees_the_stream_to_that_moment() {
    let server = Server::start().await;
    let (plan, lunch) = (server.topic("leads", "plan").await, server.topic("general", "lunch").await);
    let leads = server.stream("leads").await;
    let (mut ada, mut dalia) = (server.client("ada").await, server.client("dalia").await);
    ada.say_in(&plan, "with dalia").await;
    let removed_at = ada.unsubscribe(leads, &[dalia.user_id()]).await;
    ada.say_in(&plan, "without dalia").await;
    ada.say_in(&lunch, "for all").await;

    dalia.expect_message("with dalia").await;
    let (sequence, event) = dalia.next_event().await;
    let Event::MembersRemoved { stream_id, user_ids, .. } = event else { panic!("{event:?}") };
    assert_eq!((sequence, stream_id, user_ids), (removed_at, leads, vec![dalia.user_id()]));
    dalia.expect_message("for all").await;
    let send_id = dalia.send(&plan, "still here").await;
    dalia.expect_refused(&send_id, RefusalCode::UnknownStream).await;
    let all = server.api("dalia").contents(&json!([])).await;
    assert!(!all.contains(&"without dalia".to_owned()), "{all:?}");
}

#[tokio::test]
async fn a_resume_is_entitled_to_what_each_moment_was() {
    let mut server = Server::start().await;
    let plan = server.topic("leads", "plan").await;
    let leads = server.stream("leads").await;
    let (mut ada, emre) = (server.client("ada").await, server.client("emre").await);
    let emre_id = emre.user_id();
    let position = emre.disconnect();
    for inside in [false, true, false, true] {
        ada.say_in(&plan, if inside { "inside" } else { "outside" }).await;
        if inside {
            ada.unsubscribe(leads, &[emre_id]).await;
        } else {
            ada.subscribe(leads, &[emre_id]).await;
        }
    }
    for from_log in [false, true] {
        if from_log {
            server.kill_9();
            server.restart().await;
        }
        let mut emre = server.resume("emre", position).await;
        for _ in 0..2 {
            let (_, added) = emre.next_event().await;
            assert!(matches!(added, Event::MembersAdded { .. }), "{added:?}");
            emre.expect_message("inside").await;
            let (_, removed) = emre.next_event().await;
            assert!(matches!(removed, Event::MembersRemoved { .. }), "{removed:?}");
        }
    }
}

#[tokio::test]
async fn an_outsider_of_a_direct_conversation_finds_nothing_by_http() {
    let server = Server::start().await;
    let pair = server.direct(&["ada", "bruno"]).await;
    server.client("ada").await.say_in(&pair, "just you").await;
    let own = server.api("bruno").contents(&json!([["is", "private"]])).await;
    assert_eq!(own.last().unwrap(), "just you");
    let all = server.api("chidi").contents(&json!([])).await;
    assert!(!all.contains(&"just you".to_owned()), "{all:?}");
}

#[tokio::test]
async fn who_leaves_an_open_stream_hears_it_no_more_and_may_come_back() {
    let server = Server::start().await;
    let (lunch, news) = (server.topic("general", "lunch").await, server.topic("random", "news").await);
    let general = server.stream("general").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    bruno.unsubscribe(general, &[]).await;
    ada.say_in(&lunch, "unheard").await;
    bruno.subscribe(general, &[]).await;
    ada.say_in(&news, "heard").await;
    let (_, left) = bruno.next_event().await;
    assert!(matches!(left, Event::MembersRemoved { .. }), "{left:?}");
    let (_, joined) = bruno.next_event().await;
    assert!(matches!(joined, Event::MembersAdded { .. }), "{joined:?}");
    bruno.expect_message("heard").await;
    // The history of an open stream is open.
    assert_eq!(server.api("bruno").contents(&in_stream("general")).await.last().unwrap(), "unheard");
}
