//! Two writers on one database: what one can't do the other does.

use squall_protocol::{Event, SendId};
use squall_servers::{Postgres, Redis};

use crate::support::client::Client;
use crate::support::cluster::{Cluster, Plan};

struct Bench {
    cluster: Cluster,
    _redis: Redis,
    _postgres: Postgres,
}

impl Bench {
    async fn start() -> Self {
        let (redis, postgres) = (Redis::start(), Postgres::start());
        let plan = Plan {
            gateways: 2,
            writers: 2,
            users: 4,
            redis: Some(redis.url()),
            database: Some(postgres.create_database()),
            ..Plan::default()
        };
        Self { cluster: Cluster::start(&plan).await, _redis: redis, _postgres: postgres }
    }

    /// The writer that the realm's writes go to.
    async fn preferred(&self) -> usize {
        let mut ada = self.cluster.client(0, 0).await;
        ada.say_in(&self.cluster.topic("who"), "who?").await;
        let writes = self.cluster.writer(0).ask("/admin/stats").await.json()["link"]["writes"].clone();
        usize::from(writes == 0)
    }
}

/// The writer that fails.
type Failure = fn(&mut Cluster, usize);

/// Each of four users sends 150 messages without waiting while the realm's writer fails; every one must be stored
/// once, each user's in the order sent, and be heard so by all.
async fn every_send_is_stored_once_in_order(fail: Failure) {
    const SENDS: usize = 150;
    let mut bench = Bench::start().await;
    let preferred = bench.preferred().await;
    let lunch = bench.cluster.topic("lunch");
    let mut clients: Vec<Client> = Vec::new();
    for user in 0..4 {
        clients.push(bench.cluster.client(user % 2, user).await);
    }
    let mut sends: Vec<Vec<SendId>> = vec![Vec::new(); 4];
    for number in 0..SENDS {
        for (user, client) in clients.iter_mut().enumerate() {
            sends[user].push(client.send(&lunch, &format!("{user}.{number}")).await);
        }
        if number == SENDS / 3 {
            fail(&mut bench.cluster, preferred);
        }
    }
    for (client, sends) in clients.iter_mut().zip(&sends) {
        for send_id in sends {
            client.expect_sent(send_id).await;
        }
    }
    for client in &mut clients {
        let mut heard = [0; 4];
        for _ in 0..4 * SENDS {
            let (_, event) = client.next_event().await;
            let Event::Message(message) = event else { panic!("{event:?}") };
            let (user, number) = message.content.split_once('.').unwrap();
            let user: usize = user.parse().unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), heard[user], "user {user}'s, once and in order");
            heard[user] += 1;
        }
    }
    let stored = bench.cluster.contents(0).await;
    assert_eq!(stored.len(), 4 * SENDS + 1);
}

#[tokio::test]
async fn sends_go_on_by_the_other_writer_when_one_is_killed() {
    every_send_is_stored_once_in_order(|cluster, writer| cluster.writer_mut(writer).kill_9()).await;
}

#[tokio::test]
async fn sends_go_on_by_the_other_writer_when_one_is_frozen() {
    every_send_is_stored_once_in_order(|cluster, writer| cluster.writer(writer).freeze()).await;
}

#[tokio::test]
async fn no_send_is_refused_when_one_of_two_writers_is_ended_in_order() {
    every_send_is_stored_once_in_order(|cluster, writer| cluster.writer(writer).sigterm()).await;
}

#[tokio::test]
async fn a_frozen_writer_that_goes_on_doubles_nothing() {
    let bench = Bench::start().await;
    let preferred = bench.preferred().await;
    let (cluster, lunch) = (&bench.cluster, bench.cluster.topic("lunch"));
    let mut ada = cluster.client(0, 0).await;
    let mut sends = Vec::new();
    cluster.writer(preferred).freeze();
    for number in 0..50 {
        sends.push(ada.send(&lunch, &number.to_string()).await);
    }
    for send_id in &sends {
        ada.expect_sent(send_id).await;
    }
    cluster.writer(preferred).thaw();
    cluster.until_all_ready().await;
    ada.say_in(&lunch, "after").await;
    let mut expected = vec!["who?".to_owned()];
    expected.extend((0..50).map(|number| number.to_string()));
    expected.push("after".into());
    assert_eq!(cluster.contents(1).await, expected);
}
