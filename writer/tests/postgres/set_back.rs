//! A database that is set back to an older state.

use std::collections::BTreeSet;

use squall_protocol::Position;
use squall_servers::Postgres;

use crate::bench::{answered, furnish, send_until_stored, writer_on};

#[tokio::test]
async fn a_database_set_back_gets_one_new_epoch_though_all_nodes_ask_for_it() {
    let mut server = Postgres::start();
    let url = server.url();
    let writers = [writer_on(&url).await, writer_on(&url).await];
    let (back, same) = (furnish(&writers[0], "Back", 1).await, furnish(&writers[0], "Same", 1).await);
    send_until_stored(&[&writers[0]], back.send(0, "before")).await;
    server.stop();
    let older = server.copy_data();
    server.restart();
    for n in 0..5 {
        send_until_stored(&[&writers[0]], back.send(0, &format!("lost-{n}"))).await;
    }
    let realms = vec![back.realm_id, same.realm_id];
    let seen = answered(|| writers[0].heads(realms.clone(), None)).await.heads;
    server.stop();
    server.put_back(&older);
    server.restart();
    // A new history goes on from the old place, and overtakes what was seen.
    for n in 0..9 {
        send_until_stored(&[&writers[1]], back.send(0, &format!("new-{n}"))).await;
    }
    let now = answered(|| writers[1].heads(realms.clone(), None)).await.heads;
    assert_eq!(now[0].1.epoch, seen[0].1.epoch, "the database itself does not know");
    assert!(now[0].1.sequence > seen[0].1.sequence);
    let mut tasks = Vec::new();
    for node in 0..20 {
        let (writer, seen) = (writers[node % 2].clone(), seen.clone());
        tasks.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            for (realm_id, seen) in seen {
                answers.push(answered(|| writer.renew_epoch(realm_id, seen)).await);
            }
            answers
        }));
    }
    let mut heads: [BTreeSet<u64>; 2] = Default::default();
    for task in tasks {
        for (epochs, head) in heads.iter_mut().zip(task.await.unwrap()) {
            epochs.insert(head.epoch.0);
        }
    }
    assert_eq!(heads[0].len(), 1, "one new epoch");
    assert!(!heads[0].contains(&now[0].1.epoch.0));
    assert_eq!(heads[1], BTreeSet::from([now[1].1.epoch.0]), "a log that did not go back keeps its own");
    let head = writers[0].renew_epoch(back.realm_id, now[0].1).await.unwrap();
    assert_eq!((head.sequence, head.mark), (now[0].1.sequence, now[0].1.mark));
    send_until_stored(&[&writers[0]], back.send(0, "after")).await;
    let after = writers[0].heads(vec![back.realm_id], None).await.unwrap().heads[0].1;
    assert_eq!(after.epoch, head.epoch);
    assert_eq!(writers[1].renew_epoch(back.realm_id, Position { ..after }).await.unwrap(), after);
}
