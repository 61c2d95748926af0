//! A database that was set back: a new epoch, once, and everybody is told.

use squall_protocol::server_message::ResetReason;
use squall_servers::{Postgres, Redis};

use crate::support::cluster::{Cluster, Plan};

#[tokio::test]
async fn a_database_set_back_has_one_new_epoch_and_every_client_starts_again() {
    let (redis, mut postgres) = (Redis::start(), Postgres::start());
    let plan = Plan {
        gateways: 2,
        writers: 2,
        users: 4,
        redis: Some(redis.url()),
        database: Some(postgres.url()),
        ..Plan::default()
    };
    let cluster = Cluster::start(&plan).await;
    let lunch = cluster.topic("lunch");
    let mut clients = Vec::new();
    for user in 0..4 {
        clients.push(cluster.client(user % 2, user).await);
    }
    clients[0].say_in(&lunch, "kept").await;
    for client in &mut clients {
        client.expect_message("kept").await;
    }
    let away = clients.pop().unwrap();
    postgres.stop();
    let copy = postgres.copy_data();
    postgres.restart();
    cluster.until_all_ready().await;
    let mut lost = away.position();
    for number in 0..5 {
        clients[0].say_in(&lunch, &format!("lost {number}")).await;
        for client in &mut clients {
            client.expect_message(&format!("lost {number}")).await;
        }
        lost = clients[0].position();
    }
    postgres.stop();
    postgres.put_back(&copy);
    postgres.restart();
    let mut heads = Vec::new();
    for client in &mut clients {
        heads.push(client.expect_reset(ResetReason::Epoch).await);
    }
    assert!(heads.iter().all(|head| head.epoch == heads[0].epoch), "one new epoch for all: {heads:?}");
    assert_ne!(heads[0].epoch, lost.epoch);
    // Even when the new history has overtaken the old one, no old position passes for one of the new.
    for number in 0..10 {
        clients[0].say_in(&lunch, &format!("new {number}")).await;
    }
    for (gateway, position) in [(0, lost), (1, lost), (0, away.position())] {
        cluster.resume(gateway, 3, position).await.expect_reset(ResetReason::Epoch).await;
    }
    for client in &mut clients {
        for number in 0..10 {
            client.expect_message(&format!("new {number}")).await;
        }
    }
    let mut renewals = 0;
    for gateway in 0..2 {
        renewals += cluster.link_stats(gateway).await["renew_epoch"]["calls"].as_u64().unwrap();
    }
    assert!((1..=2).contains(&renewals), "each node asks once at most: {renewals}");
}
