//! `streams`, `get_stream_id`, subscriptions, topics.

use serde_json::json;

use super::*;

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|stream| stream["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn streams_are_listed_to_whom_they_may() {
    let server = server().await;
    for (user, params, expected) in [
        ("ada", vec![], vec!["general", "leads"]),
        ("cy", vec![], vec!["general"]),
        ("gus", vec![], vec!["general"]),
        ("ada", vec![("include_public", "false")], vec!["general", "leads"]),
        ("ada", vec![("include_subscribed", "false")], vec!["general"]),
        ("cy", vec![("include_public", "false")], vec![]),
    ] {
        let body = server.get(user, "streams", &params).await.success();
        assert_eq!(names(&body["streams"]), expected, "{user} {params:?}");
        assert_eq!(body["as_of"], server.head().await);
    }
    let body = server.get("ada", "streams", &[]).await.success();
    let leads = &body["streams"][1];
    assert_eq!(
        (&leads["invite_only"], &leads["history_public_to_subscribers"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(leads["rendered_description"], "<p>What &amp; why</p>");
    assert!(leads["date_created"].as_u64().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_streams_id_is_found_by_its_name() {
    let server = server().await;
    assert_eq!(server.get("ada", "get_stream_id", &[("stream", "Leads")]).await.success()["stream_id"], 2);
    let body = server.get("cy", "get_stream_id", &[("stream", "leads")]).await.error(400, "BAD_REQUEST");
    assert_eq!(body["msg"], "Invalid channel name 'leads'");
    server.get("cy", "get_stream_id", &[]).await.error(400, "REQUEST_VARIABLE_MISSING");
}

#[tokio::test]
async fn ones_subscriptions_come_with_what_clients_need() {
    let server = server().await;
    let body = server.get("gus", "users/me/subscriptions", &[]).await.success();
    assert_eq!(names(&body["subscriptions"]), ["general"]);
    assert_eq!(body["as_of"], server.head().await);
    let own = body["subscriptions"][0].as_object().unwrap();
    for field in [
        "stream_id",
        "description",
        "invite_only",
        "desktop_notifications",
        "pin_to_top",
        "in_home_view",
        "color",
        "message_retention_days",
        "email_address",
        "stream_weekly_traffic",
    ] {
        assert!(own.contains_key(field), "{field}");
    }
    assert!(!own.contains_key("subscribers"));
    let body =
        server.get("gus", "users/me/subscriptions", &[("include_subscribers", "true")]).await.success();
    assert_eq!(body["subscriptions"][0]["subscribers"], json!([1, 2, 4]));
}

#[tokio::test]
async fn joining_makes_what_is_missing() {
    let server = server().await;
    let wanted = json!([{"name": "general"}, {"name": "new", "description": "fresh"}]).to_string();
    let body = server.post("cy", "users/me/subscriptions", &[("subscriptions", &wanted)]).await.success();
    assert_eq!(body["subscribed"], json!({"3": ["general", "new"]}));
    assert_eq!(body["already_subscribed"], json!({}));
    let body = server.post("cy", "users/me/subscriptions", &[("subscriptions", &wanted)]).await.success();
    assert_eq!(body["already_subscribed"], json!({"3": ["general", "new"]}));
    let listed = server.get("ada", "streams", &[]).await.success();
    assert_eq!(listed["streams"][2]["description"], "fresh");
}

#[tokio::test]
async fn others_are_added_by_id_or_address() {
    let server = server().await;
    let wanted = json!([{"name": "board"}]).to_string();
    let add = |principals| {
        [("subscriptions", wanted.as_str()), ("principals", principals), ("invite_only", "true")]
    };
    let body = server.post("bo", "users/me/subscriptions", &add("[3, 2]")).await.success();
    assert_eq!(body["subscribed"], json!({"2": ["board"], "3": ["board"]}));
    let body = server.post("bo", "users/me/subscriptions", &add("[\"gus@test.example\"]")).await.success();
    assert_eq!(body["subscribed"], json!({"4": ["board"]}));
    let body = server.get("gus", "streams/3/members", &[]).await.success();
    assert_eq!((&body["subscribers"], &body["as_of"]), (&json!([2, 3, 4]), &server.head().await));
    for (principals, code) in [
        ("[99]", "BAD_REQUEST"),
        ("[\"nobody@x\"]", "BAD_REQUEST"),
        ("7", "REQUEST_VARIABLE_INVALID"),
        ("[true]", "REQUEST_VARIABLE_INVALID"),
    ] {
        server.post("bo", "users/me/subscriptions", &add(principals)).await.error(400, code);
    }
}

#[tokio::test]
async fn a_stream_that_may_not_be_entered_refuses_all_or_is_named() {
    let server = server().await;
    let wanted = json!([{"name": "fine"}, {"name": "leads"}]).to_string();
    let params = [("subscriptions", wanted.as_str())];
    let body = server.post("cy", "users/me/subscriptions", &params).await.error(400, "BAD_REQUEST");
    assert_eq!(body["msg"], "Unable to access channel (leads).");
    assert_eq!(names(&server.get("cy", "streams", &[]).await.success()["streams"]), ["general"]);
    let params = [("subscriptions", wanted.as_str()), ("authorization_errors_fatal", "false")];
    let body = server.post("cy", "users/me/subscriptions", &params).await.success();
    assert_eq!((&body["unauthorized"], &body["subscribed"]), (&json!(["leads"]), &json!({"3": ["fine"]})));
    server.post("gus", "users/me/subscriptions", &params).await.success();
    assert_eq!(names(&server.get("gus", "streams", &[]).await.success()["streams"]), ["general"]);
}

#[tokio::test]
async fn more_streams_than_fit_a_group_are_entered_in_parts() {
    let server = server().await;
    let many: Vec<_> = (0..100).map(|n| json!({"name": format!("s{n}")})).collect();
    let body =
        server.post("cy", "users/me/subscriptions", &[("subscriptions", &json!(many).to_string())]).await;
    assert_eq!(body.success()["subscribed"]["3"].as_array().unwrap().len(), 100);
    let many: Vec<_> = (0..1001).map(|n| json!({"name": format!("t{n}")})).collect();
    let reply =
        server.post("cy", "users/me/subscriptions", &[("subscriptions", &json!(many).to_string())]).await;
    reply.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn broken_wishes_are_named() {
    let server = server().await;
    for (value, code) in [
        ("general", "REQUEST_VARIABLE_INVALID"),
        ("[\"general\"]", "REQUEST_VARIABLE_INVALID"),
        ("[{\"name\": \" \"}]", "BAD_REQUEST"),
    ] {
        server.post("cy", "users/me/subscriptions", &[("subscriptions", value)]).await.error(400, code);
    }
    server.post("cy", "users/me/subscriptions", &[]).await.error(400, "REQUEST_VARIABLE_MISSING");
    server.delete("cy", "users/me/subscriptions", &[]).await.error(400, "REQUEST_VARIABLE_MISSING");
    let reply = server.delete("cy", "users/me/subscriptions", &[("subscriptions", "[7]")]).await;
    reply.error(400, "REQUEST_VARIABLE_INVALID");
}

#[tokio::test]
async fn leaving_and_removing() {
    let server = server().await;
    let general = "[\"general\"]";
    let leave = [("subscriptions", general)];
    let body = server.delete("bo", "users/me/subscriptions", &leave).await.success();
    assert_eq!((&body["removed"], &body["not_removed"]), (&json!(["general"]), &json!([])));
    let body = server.delete("bo", "users/me/subscriptions", &leave).await.success();
    assert_eq!((&body["removed"], &body["not_removed"]), (&json!([]), &json!(["general"])));
    let others = [("subscriptions", general), ("principals", "[4]")];
    server.delete("bo", "users/me/subscriptions", &others).await.error(400, "BAD_REQUEST");
    server.delete("ada", "users/me/subscriptions", &others).await.success();
    assert!(names(&server.get("gus", "streams", &[]).await.success()["streams"]).is_empty());
    let unknown = [("subscriptions", "[\"leads\"]")];
    let body = server.delete("cy", "users/me/subscriptions", &unknown).await.error(400, "BAD_REQUEST");
    assert_eq!(body["msg"], "Channel(s) (leads) do not exist");
}

#[tokio::test]
async fn members_and_topics_are_for_those_who_may_know_the_stream() {
    let server = server().await;
    let first = server.send("bo", "leads", "plans", "a").await;
    let second = server.send("bo", "leads", "budget", "b").await;
    let body = server.get("ada", "users/me/2/topics", &[]).await.success();
    let expected = json!([{"name": "budget", "max_id": second}, {"name": "plans", "max_id": first}]);
    assert_eq!((&body["topics"], &body["as_of"]), (&expected, &server.head().await));
    assert_eq!(server.get("ada", "streams/2/members", &[]).await.success()["subscribers"], json!([1, 2]));
    for path in ["users/me/2/topics", "streams/2/members", "users/me/77/topics", "streams/x/members"] {
        let body = server.get("cy", path, &[]).await.error(400, "BAD_REQUEST");
        assert_eq!(body["msg"], "Invalid channel ID");
    }
}
