//! Two writers on one database.

use std::collections::BTreeMap;

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
