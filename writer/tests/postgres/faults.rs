//! A server that is killed, frozen, away, or held up by somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use squall_protocol::link::{LinkError, RefusalCode, WriteOutcome};
use squall_servers::Postgres;

use crate::bench::{furnish, send_until_stored, writer_on};

/// Ends the sessions of the writers, or the whole server, until it is told that this is enough.
fn break_things(mut server: Postgres, enough: &AtomicBool) -> (Postgres, usize) {
    let mut broken = 0;
    while !enough.load(Ordering::Relaxed) {
        if broken % 8 == 7 {
            server.kill_9();
            server.restart();
        } else {
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'squall'");
        }
        broken += 1;
        sleep(Duration::from_millis(60));
    }
    (server, broken)
}

#[tokio::test]
async fn a_thousand_sends_are_each_stored_once_though_sessions_and_server_are_killed_in_the_middle() {
    const USERS: usize = 20;
    const SENDS: usize = 50;
    let server = Postgres::start();
    let url = server.url();
    let writers = [writer_on(&url).await, writer_on(&url).await];
    let realm = furnish(&writers[0], "One", USERS).await;
    let enough = Arc::new(AtomicBool::new(false));
    let breaking = tokio::task::spawn_blocking({
        let enough = Arc::clone(&enough);
        move || break_things(server, &enough)
    });
    let mut tasks = Vec::new();
    for user in 0..USERS {
        let (writers, realm) = (writers.clone(), realm.clone());
        tasks.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            let mut refused = 0;
            for n in 0..SENDS {
                let id = format!("{user}-{n}");
                // A retry goes to the other writer: the outcome is in the database, not in a process.
                let both = [&writers[user % 2], &writers[1 - user % 2]];
                let (answer, refusals) = send_until_stored(&both, realm.send(user, &id)).await;
                refused += refusals;
                answers.push((id, answer));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(answers.is_sorted_by(|(_, a), (_, b)| a < b), "in the order sent");
            (answers, refused)
        }));
    }
    let mut answers = BTreeMap::new();
    let mut refused = 0;
    for task in tasks {
        let (more, refusals) = task.await.unwrap();
        answers.extend(more);
        refused += refusals;
    }
    enough.store(true, Ordering::Relaxed);
    let (_server, broken) = breaking.await.unwrap();
    assert_eq!(answers.len(), USERS * SENDS);
    assert!(
        broken >= 8 && refused > 20,
        "{broken} times broken, {refused} times refused: too little to tell"
    );
    realm.audit(&writers[0], &answers).await;
}

#[tokio::test]
async fn without_the_server_all_is_refused_at_once_and_heals_by_itself() {
    let mut server = Postgres::start();
    let writer = writer_on(&server.url()).await;
    let realm = furnish(&writer, "One", 1).await;
    server.kill_9();
    for n in 0..20 {
        let began = Instant::now();
        let outcome = writer.write(vec![realm.send(0, &format!("{n}"))]).await.remove(0);
        let WriteOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert_eq!(refusal.code, RefusalCode::Unavailable);
        assert!(refusal.retry_after_ms.is_some());
        let heads = writer.heads(vec![realm.realm_id], None).await;
        assert!(matches!(heads, Err(LinkError::Unavailable(_))), "{heads:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.restart();
    let began = Instant::now();
    let (answer, _) = send_until_stored(&[&writer], realm.send(0, "0")).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    realm.audit(&writer, &BTreeMap::from([("0".to_owned(), answer)])).await;
}

#[tokio::test]
async fn a_frozen_server_is_waited_for_no_longer_than_told_and_heals_by_itself() {
    let server = Postgres::start();
    let writer = writer_on(&server.url()).await;
    let realm = furnish(&writer, "One", 1).await;
    server.freeze();
    let mut longest = Duration::ZERO;
    for n in 0..4 {
        let began = Instant::now();
        let (outcomes, heads) =
            tokio::join!(writer.write(vec![realm.send(0, "a")]), writer.heads(vec![realm.realm_id], None));
        assert!(matches!(&outcomes[0], WriteOutcome::Refused(refusal) if refusal.retry_after_ms.is_some()));
        assert!(matches!(heads, Err(LinkError::Unavailable(_))));
        longest = longest.max(began.elapsed());
        assert!(n == 0 || began.elapsed() < Duration::from_secs(4), "round {n}: {:?}", began.elapsed());
    }
    assert!(longest < Duration::from_secs(8), "{longest:?}");
    server.thaw();
    let (answer, _) = send_until_stored(&[&writer], realm.send(0, "a")).await;
    realm.audit(&writer, &BTreeMap::from([("a".to_owned(), answer)])).await;
}

#[tokio::test]
async fn a_realm_that_somebody_holds_is_refused_in_time_and_the_others_go_on() {
    let server = Arc::new(Postgres::start());
    let writer = writer_on(&server.url()).await;
    let (held, free) = (furnish(&writer, "Held", 1).await, furnish(&writer, "Free", 1).await);
    let holding = thread::spawn({
        let (server, realm) = (Arc::clone(&server), held.realm_id);
        move || {
            let lock = format!("SELECT 1 FROM realms WHERE realm_id = {realm} FOR UPDATE");
            server.sql(&format!("BEGIN; {lock}; SELECT pg_sleep(4); COMMIT"));
        }
    });
    let waiting = || server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(4)%'");
    while waiting() == "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    let mut batch = vec![held.send(0, "a"), held.send(0, "b")];
    batch[1].session_id = squall_protocol::SessionId(7);
    let refused = async {
        let outcomes = writer.write(batch).await;
        for outcome in outcomes {
            let WriteOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
            assert_eq!(refusal.code, RefusalCode::Unavailable, "each is told so, none is tried by itself");
        }
        began.elapsed()
    };
    let others = async {
        for n in 0..20 {
            let (_, refusals) = send_until_stored(&[&writer], free.send(0, &format!("{n}"))).await;
            assert_eq!(refusals, 0);
        }
        began.elapsed()
    };
    let (refused, others) = tokio::join!(refused, others);
    assert!((Duration::from_millis(1500)..Duration::from_millis(3500)).contains(&refused), "{refused:?}");
    assert!(others < Duration::from_millis(1800), "{others:?}");
    let (answer, refusals) = send_until_stored(&[&writer], held.send(0, "a")).await;
    assert!(refusals <= 2, "{refusals}");
    holding.join().unwrap();
    held.audit(&writer, &BTreeMap::from([("a".to_owned(), answer)])).await;
}
