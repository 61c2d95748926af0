//! A client and what it was told.

use squall_protocol::client::{Client, Closed, Config, Update, Updates};
use squall_protocol::{Event, MessageId, Position, Sequence};

use crate::support::server::Server;
use crate::support::within;

/// A demo user at the Rust client.
pub(crate) struct Listener {
    pub(crate) client: Client,
    pub(crate) updates: Updates,
}

/// A message as its event told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) content: String,
    pub(crate) message_id: MessageId,
    pub(crate) sequence: Sequence,
    pub(crate) own: bool,
}

/// What a demo user's client is started with.
pub(crate) fn config(server: &Server, name: &str) -> Config {
    let path = server.zuliprc_path(name);
    let text = std::fs::read_to_string(&path).expect("the server wrote it");
    Config::from_zuliprc(&text).expect("all fields are there")
}

impl Listener {
    /// One that is in a session, from the log's head.
    pub(crate) async fn start(server: &Server, name: &str) -> Self {
        Self::start_with(config(server, name)).await
    }

    /// One that is in a session.
    pub(crate) async fn start_with(config: Config) -> Self {
        let (client, updates) = Client::connect(config).expect("a good configuration");
        let mut listener = Self { client, updates };
        listener.until("a welcome", |update| matches!(update, Update::Welcome { .. }).then_some(())).await;
        listener
    }

    /// The first update in which `find` finds something.
    pub(crate) async fn until<T>(&mut self, what: &str, mut find: impl FnMut(Update) -> Option<T>) -> T {
        within(what, async {
            loop {
                let update = self.updates.next().await.expect("the client goes on");
                if let Some(found) = find(update) {
                    return found;
                }
            }
        })
        .await
    }

    /// The next message; whatever else comes before it must be no reset.
    pub(crate) async fn message(&mut self) -> Told {
        self.until("a message", |update| match update {
            Update::Event { position: Position { sequence, .. }, event: Event::Message(message), own } => {
                let (content, message_id) = (message.content, message.message_id);
                Some(Told { content, message_id, sequence, own })
            }
            Update::Reset { reason, .. } => panic!("events are lost: {reason:?}"),
            Update::Warning(warning) => panic!("{warning}"),
            _ => None,
        })
        .await
    }

    /// Why the client ends.
    pub(crate) async fn closed(&mut self) -> Closed {
        within("the client's end", async {
            loop {
                if let Err(closed) = self.updates.next().await {
                    return closed;
                }
            }
        })
        .await
    }
}
