//! Redis Cluster: sharded channels, slots that move, nodes that go.

use std::time::{Duration, Instant};

use squall_bus::{Bus as _, Delivery, RedisBus};
use squall_protocol::RealmId;
use squall_servers::{RedisCluster, until};
use tokio::time::sleep;

use crate::bench::{Bench, REALM, bus, quick, say};

fn channel(realm: RealmId) -> String {
    format!("squall:{{{}}}", realm.0)
}

#[tokio::test]
async fn a_slot_that_moves_under_load_is_followed() {
    let cluster = RedisCluster::start();
    let mut bench = Bench::on(&cluster.url()).await;
    let slot = cluster.slot(&channel(REALM));
    let mut longest = Duration::ZERO;
    for _ in 0..6 {
        bench.expect_frames(20).await;
        let to = (cluster.owner(slot) + 1) % cluster.size();
        let start = Instant::now();
        cluster.move_slot(slot, to);
        bench.expect_any_warning().await;
        bench.expect_frames(5).await;
        longest = longest.max(start.elapsed());
        let subscribers = || {
            let reply = cluster.node(to).command(&["PUBSUB", "SHARDNUMSUB", &channel(REALM)]);
            (reply.list()[1].integer() == 1).then_some(())
        };
        until("the channel has its one subscriber where its slot lies", subscribers);
    }
    say("a moved slot: said, and frames flow, the longest of six", longest);
    assert!(longest < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_unsubscribes_a_channel_by_itself_is_found_out() {
    let cluster = RedisCluster::start();
    let mut bench = Bench::on(&cluster.url()).await;
    let slot = cluster.slot(&channel(REALM));
    let owner = cluster.node(cluster.owner(slot));
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        // The slot is away and back before anybody could look: only the subscription is gone.
        let start = Instant::now();
        owner.command(&["CLUSTER", "DELSLOTS", &slot.to_string()]);
        owner.command(&["CLUSTER", "ADDSLOTS", &slot.to_string()]);
        bench.expect_any_warning().await;
        longest = longest.max(start.elapsed());
        cluster.wait_until_whole();
        bench.expect_frames(10).await;
    }
    say("sunsubscribe by the server: said, the longest of three", longest);
    assert!(bench.numbers_missed > 0);
}

#[tokio::test]
async fn many_slots_that_move_while_realms_come_and_go() {
    let cluster = RedisCluster::start();
    let (publisher, node) = (bus(&cluster.url(), quick()).await, bus(&cluster.url(), quick()).await);
    let mut link = node.open();
    let realms: Vec<_> = (100..160).map(RealmId).collect();
    for (number, realm) in realms.iter().enumerate() {
        link.subscribe(*realm);
        if number % 3 == 0 {
            let slot = cluster.slot(&channel(*realm));
            cluster.move_slot(slot, (cluster.owner(slot) + 1) % cluster.size());
        }
        if number % 4 == 0 {
            link.unsubscribe(realms[number / 2]);
            sleep(Duration::from_millis(5)).await;
        }
    }
    let wanted: Vec<_> = realms
        .iter()
        .enumerate()
        .filter(|(n, _)| !(0..60).any(|m| m % 4 == 0 && m / 2 == *n))
        .map(|(_, r)| *r)
        .collect();
    let subscribers = |realm: &RealmId| -> i64 {
        let name = channel(*realm);
        let count =
            |number| cluster.node(number).command(&["PUBSUB", "SHARDNUMSUB", &name]).list()[1].integer();
        (0..cluster.size()).map(count).sum()
    };
    let wrong = || -> Vec<_> {
        let counted = realms.iter().map(|realm| (realm.0, wanted.contains(realm), subscribers(realm)));
        counted.filter(|(_, wanted, subscribers)| *subscribers != i64::from(*wanted)).collect()
    };
    let start = Instant::now();
    while !wrong().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "realm, wanted, subscribers: {:?}", wrong());
        sleep(Duration::from_millis(50)).await;
    }
    for realm in &wanted {
        loop {
            let _ = publisher.publish(*realm, bytes::Bytes::from_static(b"here")).await;
            let came = tokio::time::timeout(Duration::from_millis(200), async {
                loop {
                    if matches!(link.recv().await, Delivery::Frame { realm: of, .. } if of == *realm) {
                        break;
                    }
                }
            });
            if came.await.is_ok() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_channel_that_no_server_wants_to_have_makes_the_link_down() {
    let cluster = RedisCluster::start();
    let mut bench = Bench::on(&cluster.url()).await;
    let slot = cluster.slot(&channel(REALM)).to_string();
    let from = cluster.owner(cluster.slot(&channel(REALM)));
    let to = (from + 1) % cluster.size();
    let id = cluster.node(to).command(&["CLUSTER", "MYID"]);
    // The old owner thinks it is the new one's, which has not heard of it: as after moves in too quick succession.
    cluster.node(from).command(&["CLUSTER", "SETSLOT", &slot, "NODE", id.text()]);
    let start = Instant::now();
    bench.expect(&Delivery::Down).await;
    say("a channel nobody has: down", start.elapsed());
    assert!(start.elapsed() < quick().silence_max() * 3);
    cluster.node(to).command(&["CLUSTER", "SETSLOT", &slot, "NODE", id.text()]);
    bench.expect(&Delivery::Up).await;
    bench.expect_frames(10).await;
}

#[tokio::test]
async fn a_node_of_the_cluster_that_is_killed_and_comes_back() {
    let mut cluster = RedisCluster::start();
    let mut bench = Bench::on(&cluster.url()).await;
    let owner = cluster.owner(cluster.slot(&channel(REALM)));
    cluster.node_mut(owner).kill_9();
    say("a node of a Cluster killed: down", bench.expect(&Delivery::Down).await);
    sleep(Duration::from_secs(2)).await;
    assert!(bench.longest_publication() < Duration::from_millis(500));
    cluster.node_mut(owner).restart();
    let start = Instant::now();
    cluster.wait_until_whole();
    bench.expect(&Delivery::Up).await;
    say("a node of a Cluster back: up", start.elapsed());
    bench.expect_frames(10).await;
}

#[tokio::test]
async fn any_node_that_is_frozen_makes_the_link_down() {
    let cluster = RedisCluster::start();
    let mut bench = Bench::on(&cluster.url()).await;
    let owner = cluster.owner(cluster.slot(&channel(REALM)));
    for number in [owner, (owner + 1) % cluster.size()] {
        cluster.node(number).freeze();
        let down = bench.expect(&Delivery::Down).await;
        say("a node of a Cluster frozen: down", down);
        assert!(down < quick().silence_max() * 2);
        cluster.node(number).thaw();
        cluster.wait_until_whole();
        bench.expect(&Delivery::Up).await;
        bench.expect_frames(10).await;
    }
}

#[tokio::test]
async fn a_cluster_is_found_by_any_of_its_nodes() {
    let cluster = RedisCluster::start();
    let dead = squall_servers::free_port();
    let url = format!("redis-cluster://127.0.0.1:{dead}?node={}", cluster.node(2).address());
    let mut bench = Bench::on(&url).await;
    bench.expect_frames(10).await;
    let single: RedisBus = RedisBus::connect(&url, quick()).unwrap();
    assert!(single.wait_until_publishing(Duration::from_secs(10)).await);
}
