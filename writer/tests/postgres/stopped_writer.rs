//! A writer that stands still in the middle of a commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use squall_protocol::Sequence;
use squall_servers::Postgres;

use crate::bench::{Realm, furnish, send_until_stored, writer_on};
use crate::support::{Client, Place, Server};

/// Stops the writer at a moment at which it holds the realm's lock.
fn stop_in_a_commit(writer: &Server, server: &Postgres) {
    for attempt in 0..500 {
        writer.signal("-STOP");
        let holding = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        if server.sql(holding) != "0" {
            return;
        }
        writer.signal("-CONT");
        // Long enough that it gets somewhere, each time somewhere else.
        sleep(Duration::from_millis(20 + attempt % 17));
    }
    panic!("never caught in a commit");
}

#[tokio::test]
async fn a_writer_stopped_in_a_commit_holds_up_the_others_for_two_seconds_and_heals() {
    const USERS: usize = 4;
    let server = Postgres::start();
    let url = server.url();
    let other = writer_on(&url).await;
    let realm: Realm = furnish(&other, "One", USERS + 1).await;
    let mut keys = Vec::new();
    for user in &realm.users[..USERS] {
        keys.push(other.change_key(realm.realm_id, *user).await.unwrap().reveal().to_owned());
    }
    let stopped = Server::start(&Place::database(&url));
    let enough = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for (user, key) in keys.into_iter().enumerate() {
        let mut client = Client::connect(&stopped.api, &format!("u{user}@x"), &key);
        let enough = Arc::clone(&enough);
        senders.push(thread::spawn(move || {
            let mut answers = BTreeMap::new();
            for n in 0.. {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("{user}-{n}");
                // Refused for now, it is sent again, as a client does.
                let answer = loop {
                    let answer = client.send(&id, &id).unwrap();
                    if answer["result"] == "success" {
                        break answer;
                    }
                    assert!(answer["retry-after"].is_number(), "{answer}");
                    sleep(Duration::from_millis(50));
                };
                answers.insert(id, answer["id"].as_u64().unwrap());
            }
            answers
        }));
    }
    sleep(Duration::from_millis(300));
    let mut ours = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for round in 0..3 {
        stop_in_a_commit(&stopped, &server);
        let began = Instant::now();
        let id = format!("other-{round}");
        let (answer, _) = send_until_stored(&[&other], realm.send(USERS, &id)).await;
        longest = longest.max(began.elapsed());
        ours.insert(id, answer.0.0);
        let began = Instant::now();
        send_until_stored(&[&other], realm.send(USERS, &format!("other-{round}"))).await;
        assert!(began.elapsed() < Duration::from_secs(1), "healed");
        stopped.signal("-CONT");
        sleep(Duration::from_millis(500));
    }
    assert!(longest < Duration::from_millis(4500), "{longest:?}");
    enough.store(true, Ordering::Relaxed);
    for sender in senders {
        let answers = sender.join().unwrap();
        assert!(answers.len() > 10, "it came to send: {}", answers.len());
        ours.extend(answers);
    }
    let messages = realm.messages(&other).await;
    let stored: BTreeMap<String, u64> = messages
        .values()
        .map(|message| (message.send_id.as_str().to_owned(), message.message_id.0))
        .collect();
    assert_eq!(stored, ours, "each once, and nothing else");
    assert_eq!(stored.len(), messages.len());
    assert!(messages.keys().next().unwrap() > &Sequence(realm.setup));
}
