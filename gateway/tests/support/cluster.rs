//! Gateways and writers as processes beside each other, each of which can be killed, frozen and started again.

use std::net::SocketAddr;

use serde_json::{Value, json};
use squall_protocol::{Destination, Position, StreamId};
use squall_servers::free_port;

use super::api::Api;
use super::client::{Client, Opening};
use super::line::Line;
use super::member::{Member, Start};
use super::operator::{Account, Operator};
use super::within;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How many gateways.
    pub(crate) gateways: usize,
    /// How many writers; more than one need a database.
    pub(crate) writers: usize,
    /// How many users, all of them in one realm and one stream.
    pub(crate) users: usize,
    /// A PostgreSQL database; none: the one writer's own SQLite.
    pub(crate) database: Option<String>,
    /// A Redis; none: one that is not there.
    pub(crate) redis: Option<String>,
    /// What gateways show and writers ask for.
    pub(crate) secret: Option<String>,
    /// More options of each gateway.
    pub(crate) gateway_options: Vec<String>,
    /// More options of each writer.
    pub(crate) writer_options: Vec<String>,
}

/// A running cluster with users. All of it is gone when it is dropped.
pub(crate) struct Cluster {
    gateways: Vec<Member>,
    writers: Vec<Member>,
    accounts: Vec<Account>,
    stream_id: StreamId,
}

/// The realm of a cluster's users.
pub(crate) const REALM: &str = "Test";

/// The stream they are in.
pub(crate) const STREAM: &str = "general";

impl Default for Plan {
    /// One gateway, one writer, SQLite, no Redis, two users.
    fn default() -> Self {
        Self {
            gateways: 1,
            writers: 1,
            users: 2,
            database: None,
            redis: None,
            secret: None,
            gateway_options: Vec::new(),
            writer_options: Vec::new(),
        }
    }
}

impl Plan {
    /// More options of each gateway.
    pub(crate) fn with_gateway_options(mut self, options: &[&str]) -> Self {
        self.gateway_options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// A writer of this plan, started.
    pub(crate) async fn start_writer(&self) -> Member {
        let mut options = vec!["--rate-limit".to_owned(), "0".to_owned()];
        options.extend(self.redis.iter().flat_map(|url| ["--redis".to_owned(), url.clone()]));
        options.extend(self.writer_options.iter().cloned());
        let mut environment: Vec<_> =
            self.database.iter().map(|url| ("SQUALL_DATABASE_URL", url.clone())).collect();
        environment.extend(self.secret());
        let start =
            Start { program: "writer", command: &["serve"], options: &options, environment: &environment };
        Member::start(start).await
    }

    /// A gateway of this plan for writers at these addresses, started.
    pub(crate) async fn start_gateway(&self, writers: &[SocketAddr]) -> Member {
        let away = || format!("redis://127.0.0.1:{}", free_port());
        let mut options = vec!["--redis".to_owned(), self.redis.clone().unwrap_or_else(away)];
        options.extend(writers.iter().flat_map(|link| ["--writer".to_owned(), format!("http://{link}")]));
        options.extend(["--shards", "2"].map(str::to_owned));
        options.extend(self.gateway_options.iter().cloned());
        let environment: Vec<_> = self.secret().into_iter().collect();
        let start = Start { program: "gateway", command: &[], options: &options, environment: &environment };
        Member::start(start).await
    }

    fn secret(&self) -> Option<(&'static str, String)> {
        Some(("SQUALL_LINK_SECRET", self.secret.clone()?))
    }
}

impl Cluster {
    /// Starts the writers, makes the users, starts the gateways, and waits until each is ready.
    pub(crate) async fn start(plan: &Plan) -> Self {
        let mut writers = Vec::new();
        for _ in 0..plan.writers {
            writers.push(plan.start_writer().await);
        }
        let (accounts, stream_id) = furnish(Operator(writers[0].admin()), plan.users).await;
        let links: Vec<_> = writers.iter().map(Member::link).collect();
        let mut gateways = Vec::new();
        for _ in 0..plan.gateways {
            gateways.push(plan.start_gateway(&links).await);
        }
        let cluster = Self { gateways, writers, accounts, stream_id };
        cluster.until_all_ready().await;
        cluster
    }

    /// A gateway.
    pub(crate) fn gateway(&self, number: usize) -> &Member {
        &self.gateways[number]
    }

    /// A gateway, to be killed or started again.
    pub(crate) fn gateway_mut(&mut self, number: usize) -> &mut Member {
        &mut self.gateways[number]
    }

    /// A writer.
    pub(crate) fn writer(&self, number: usize) -> &Member {
        &self.writers[number]
    }

    /// A writer, to be killed or started again.
    pub(crate) fn writer_mut(&mut self, number: usize) -> &mut Member {
        &mut self.writers[number]
    }

    /// A user.
    pub(crate) fn account(&self, user: usize) -> &Account {
        &self.accounts[user]
    }

    /// A topic of the stream that all users are in.
    pub(crate) fn topic(&self, topic: &str) -> Destination {
        Destination::Stream { stream_id: self.stream_id, topic: topic.to_owned() }
    }

    /// A session of a user at a gateway, from the log's head.
    pub(crate) async fn client(&self, gateway: usize, user: usize) -> Client {
        self.client_with(gateway, user, Opening::default()).await
    }

    /// A session of a user at a gateway that goes on from `position`.
    pub(crate) async fn resume(&self, gateway: usize, user: usize, position: Position) -> Client {
        let opening = Opening { position: Some(position), ..Opening::default() };
        self.client_with(gateway, user, opening).await
    }

    /// A session of a user at a gateway with a hello of one's own.
    pub(crate) async fn client_with(&self, gateway: usize, user: usize, opening: Opening) -> Client {
        Client::open(self.line(gateway).await, &self.accounts[user].key, opening).await
    }

    /// A socket at a gateway that did not yet say hello.
    pub(crate) async fn line(&self, gateway: usize) -> Line {
        Line::open(self.gateways[gateway].address()).await
    }

    /// The HTTP API as a user, through a gateway.
    pub(crate) fn api(&self, gateway: usize, user: usize) -> Api {
        let Account { email, key, .. } = &self.accounts[user];
        Api::new(self.gateways[gateway].address(), email, key)
    }

    /// What an operator can do, by a writer.
    pub(crate) fn operator(&self) -> Operator {
        Operator(self.writers[0].admin())
    }

    /// Waits until each gateway reaches every writer.
    pub(crate) async fn until_all_ready(&self) {
        let all_up = |status: u16, said: &Value| {
            let writers = said["writers"].as_array();
            status == 200 && writers.is_some_and(|writers| writers.iter().all(|writer| writer["up"] == true))
        };
        for gateway in &self.gateways {
            gateway.until_it_says("a gateway to be ready", all_up).await;
        }
    }

    /// What a gateway asked of the writers so far, by kind.
    pub(crate) async fn link_stats(&self, gateway: usize) -> Value {
        self.gateways[gateway].ask("/admin/stats").await.json()["link"].clone()
    }

    /// The contents of the stream's messages, as the database has them.
    pub(crate) async fn contents(&self, gateway: usize) -> Vec<String> {
        within("the messages", self.api(gateway, 0).contents(&json!([["stream", STREAM]]))).await
    }
}

/// Makes the realm, its stream and so many users in it.
async fn furnish(operator: Operator, users: usize) -> (Vec<Account>, StreamId) {
    operator.operate_well("POST", "realms", &[json!({ "name": REALM })]).await;
    let stream = json!({ "realm": REALM, "name": STREAM });
    let made = operator.operate_well("POST", "streams", &[stream]).await;
    let stream_id = StreamId(made[0]["stream_id"].as_u64().expect("a stream id"));
    let user = |number: usize| {
        let email = format!("user{number}@test.example");
        json!({ "realm": REALM, "email": email, "full_name": format!("User {number}"), "streams": [STREAM] })
    };
    let lines: Vec<_> = (0..users).map(user).collect();
    (operator.create_users(&lines).await, stream_id)
}
