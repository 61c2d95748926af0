//! Two users in conversation while something bad happens elsewhere.

use std::future::Future;

use squall_protocol::{Destination, Event};

use super::client::Client;
use super::server::Server;

/// Ada and bruno, each on one socket that must live through it all.
pub(crate) struct Bystanders {
    ada: Client,
    bruno: Client,
    topic: Destination,
    said: usize,
}

impl Bystanders {
    /// Opens both sockets and lets them talk.
    pub(crate) async fn talking(server: &Server) -> Self {
        let topic = server.topic("general", "bystanders").await;
        let (ada, bruno) = (server.client("ada").await, server.client("bruno").await);
        let mut pair = Self { ada, bruno, topic, said: 0 };
        pair.are_undisturbed().await;
        pair
    }

    /// They talk on while `event` is awaited, and once more after it.
    pub(crate) async fn are_undisturbed_until(&mut self, event: impl Future<Output = ()>) {
        tokio::pin!(event);
        loop {
            tokio::select! {
                // An exchange is finished even if the event comes in its midst.
                () = &mut event => return self.are_undisturbed().await,
                () = tokio::task::yield_now() => self.are_undisturbed().await,
            }
        }
    }

    /// What one says the other hears, next and both ways, on the sockets they always had.
    pub(crate) async fn are_undisturbed(&mut self) {
        self.said += 1;
        let (question, answer) = (format!("still there, {}?", self.said), format!("yes, {}", self.said));
        self.ada.say_in(&self.topic, &question).await;
        hears(&mut self.bruno, &question).await;
        self.bruno.say_in(&self.topic, &answer).await;
        hears(&mut self.ada, &question).await;
        hears(&mut self.ada, &answer).await;
        hears(&mut self.bruno, &answer).await;
    }
}

/// The next message must be this one; what becomes of users meanwhile is no disturbance.
async fn hears(client: &mut Client, content: &str) {
    loop {
        match client.next_event().await {
            (_, Event::Message(message)) => return assert_eq!(message.content, content),
            (_, Event::UserUpdated { .. }) => {}
            (_, other) => panic!("expected {content:?}, not {other:?}"),
        }
    }
}
