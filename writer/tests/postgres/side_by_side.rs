//! Two writers on one database.

use std::collections::BTreeMap;

use squall_protocol::Sequence;
use squall_protocol::link::WriteOutcome;
use squall_servers::Postgres;

use crate::bench::{Realm, furnish, send_until_stored, writer_on};

#[tokio::test]
async fn two_writers_make_one_dense_log_of_each_realm() {
    let server = Postgres::shared();
    let url = server.create_database();
    let writers = [writer_on(&url).await, writer_on(&url).await];
    let realms = [furnish(&writers[0], "One", 8).await, furnish(&writers[1], "Two", 8).await];
    let mut tasks = Vec::new();
    for task in 0..32 {
        let (writer, realm) = (writers[task % 2].clone(), realms[task / 2 % 2].clone());
        tasks.push(tokio::spawn(async move {
            let id = |n: usize| format!("{task}-{n}");
            let mut answers = BTreeMap::new();
            for round in 0..10 {
                let batch = (0..5).map(|n| realm.send(task % 8, &id(5 * round + n))).collect();
                for (n, outcome) in writer.write(batch).await.into_iter().enumerate() {
                    let WriteOutcome::Sent { message_id, sequence } = outcome else { panic!("{outcome:?}") };
                    answers.insert(id(5 * round + n), (message_id, sequence));
                }
            }
            assert!((1..50).all(|n| answers[&id(n - 1)].1 < answers[&id(n)].1), "in the order sent");
            (task / 2 % 2, answers)
        }));
    }
    let mut answers = [BTreeMap::new(), BTreeMap::new()];
    for task in tasks {
        let (realm, more) = task.await.unwrap();
        answers[realm].extend(more);
    }
    for (realm, answers) in realms.iter().zip(&answers) {
        assert_eq!(answers.len(), 800);
        realm.audit(&writers[0], answers).await;
    }
}

#[tokio::test]
async fn one_send_over_both_writers_at_once_is_stored_once() {
    let server = Postgres::shared();
    let url = server.create_database();
    let writers = [writer_on(&url).await, writer_on(&url).await];
    let realm: Realm = furnish(&writers[0], "One", 2).await;
    let mut answers = BTreeMap::new();
    for n in 0..50 {
        let id = format!("{n}");
        let (first, second) = ([&writers[n % 2]], [&writers[1 - n % 2]]);
        let request = realm.send(n % 2, &id);
        let (a, b) = tokio::join!(
            send_until_stored(&first, request.clone()),
            send_until_stored(&second, request.clone())
        );
        assert_eq!(a, b, "the same answer, with no refusal");
        answers.insert(id, a.0);
    }
    realm.audit(&writers[0], &answers).await;
}

#[tokio::test]
async fn what_one_writer_changed_the_other_goes_by() {
    let server = Postgres::shared();
    let url = server.create_database();
    let (one, other) = (writer_on(&url).await, writer_on(&url).await);
    let realm = furnish(&one, "One", 2).await;
    let key = one.change_key(realm.realm_id, realm.users[0]).await.unwrap();
    assert_eq!(other.identify(key.reveal()).await.unwrap().unwrap().user_id, realm.users[0]);
    let change = squall_writer::UserChange { is_active: Some(false), ..Default::default() };
    one.change_user(realm.realm_id, realm.users[0], change).await.unwrap();
    assert!(other.identify(key.reveal()).await.unwrap().is_none());
    let outcome = other.write(vec![realm.send(0, "late")]).await.remove(0);
    assert!(matches!(outcome, WriteOutcome::Refused(refusal) if refusal.retry_after_ms.is_none()));
}

#[tokio::test]
async fn tables_that_grow_are_not_walked_through_for_a_plan_made_when_they_were_empty() {
    let server = Postgres::start();
    let writer = writer_on(&server.url()).await;
    let realm = furnish(&writer, "One", 64).await;
    for round in 0..40 {
        let batch = (0..64).map(|user| realm.send(user, &format!("{round}-{user}"))).collect();
        for outcome in writer.write(batch).await {
            assert!(matches!(outcome, WriteOutcome::Sent { .. }), "{outcome:?}");
        }
        writer.read_log(realm.realm_id, Sequence(realm.setup), 10).await.unwrap();
    }
    // PostgreSQL adds up what a session did when that ends.
    writer.close().await;
    let rows = "SELECT coalesce(sum(seq_tup_read), 0), coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables
         WHERE relname IN ('messages', 'events', 'members')";
    let counts = squall_servers::until("the counts", || {
        let counts = server.sql(rows);
        let (read, inserted) = counts.split_once('|').unwrap();
        (inserted.parse::<u64>().unwrap() > 5_000).then(|| read.parse::<u64>().unwrap())
    });
    assert!(counts < 1_000, "{counts} rows read by walking through whole tables");
}
