//! Writes that are refused: the session goes on, and nobody else hears of it.

use serde_json::json;
use squall_protocol::limits::{CONTENT_CHARS_MAX, DIRECT_USERS_MAX, MEMBERS_CHANGED_MAX, TOPIC_CHARS_MAX};
use squall_protocol::link::RefusalCode;
use squall_protocol::{Destination, StreamId, UserId};

use crate::support::bystanders::Bystanders;
use crate::support::client::{Client, Outcome, fresh_send_id};
use crate::support::server::Server;

#[tokio::test]
async fn a_refused_write_is_its_senders_affair() {
    let server = Server::start_with(&["--rate-limit", "60"]).await;
    // Open to all, and nobody is in it.
    server.operate_well("POST", "streams", &[json!({ "realm": "Demo", "name": "annex" })]).await;
    let annex = server.stream("annex").await;
    let (lunch, plan) = (server.topic("annex", "lunch").await, server.topic("leads", "plan").await);
    let long_topic = server.topic("annex", &"t".repeat(TOPIC_CHARS_MAX + 1)).await;
    let mut others = Bystanders::talking(&server).await;
    // No member of `leads`, and no administrator.
    let mut emre = server.client("emre").await;
    let alone = Destination::Direct { user_ids: vec![emre.user_id()] };
    let (first, too_long) = (fresh_send_id(), "x".repeat(CONTENT_CHARS_MAX + 1));
    emre.send_as(&first, &alone, "first").await;
    emre.expect_sent(&first).await;
    emre.send_as(&first, &alone, "another").await;
    emre.expect_refused(&first, RefusalCode::SendIdReused).await;

    let nowhere = Destination::Stream { stream_id: StreamId(9_999), topic: "x".into() };
    let nobody = Destination::Direct { user_ids: vec![UserId(9_999)] };
    let crowd = Destination::Direct { user_ids: (1..=DIRECT_USERS_MAX as u32 + 1).map(UserId).collect() };
    for (to, content, code) in [
        (&lunch, "from outside", RefusalCode::Forbidden),
        (&lunch, "", RefusalCode::InvalidContent),
        (&lunch, " \n\t", RefusalCode::InvalidContent),
        (&lunch, "a\0b", RefusalCode::InvalidContent),
        (&lunch, &too_long, RefusalCode::InvalidContent),
        (&long_topic, "x", RefusalCode::InvalidContent),
        (&nowhere, "x", RefusalCode::UnknownStream),
        (&plan, "x", RefusalCode::UnknownStream),
        (&nobody, "x", RefusalCode::UnknownUser),
        (&crowd, "x", RefusalCode::TooMany),
    ] {
        let send_id = emre.send(to, content).await;
        emre.expect_refused(&send_id, code).await;
    }
    others.are_undisturbed().await;

    let everybody: Vec<UserId> = (1..=MEMBERS_CHANGED_MAX as u32 + 1).map(UserId).collect();
    let send_id = emre.ask_to_subscribe(annex, &everybody).await;
    emre.expect_refused(&send_id, RefusalCode::TooMany).await;
    others.are_undisturbed().await;

    until_rate_limited(&mut emre, &alone).await;
    others.are_undisturbed().await;
    emre.round_trip().await;
}

/// Sends until the user's minute is used up, and checks that it is told for how long.
async fn until_rate_limited(client: &mut Client, to: &Destination) {
    for number in 0..100 {
        let send_id = client.send(to, &format!("number {number}")).await;
        match client.outcome(&send_id).await {
            Outcome::Refused { code: RefusalCode::RateLimited, retry_after_ms: Some(1..=60_000) } => return,
            Outcome::Sent { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("a hundred sends passed a limit of sixty");
}
