//! One connection to one server. The only file that knows the client library.
//!
//! What it is used for: RESP3, pipelining, pub/sub messages. What it is kept from: it connects once and never
//! again, follows no redirection and keeps no subscriptions. Each of these it does silently, or only logs that
//! it failed; here a connection that is in doubt ends, and its owner makes a new one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ServerConfig, TcpConfig};
use fred::types::{ClusterHash, CustomCommand, Message, RespVersion, Value};
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::address::{Credentials, Server};

/// A connection, for asking. It is closed when it is dropped.
pub(super) struct Wire {
    client: Client,
    /// Why it ended, once it has.
    ended: watch::Receiver<Option<String>>,
    task: AbortHandle,
    answer_timeout: Duration,
}

/// The same connection, for what comes by itself.
pub(super) struct Messages {
    messages: broadcast::Receiver<Message>,
    ended: watch::Receiver<Option<String>>,
}

/// How to make a connection.
#[derive(Debug, Clone)]
pub(super) struct WireOptions {
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    /// Messages the client library may hold.
    pub(super) received_max: usize,
}

/// What is asked of a server, for one answer.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Publish { kind: Channels, channel: String, payload: Bytes },
    Ask(Vec<String>),
}

/// Channels of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    /// Known to every server of a replication group.
    Plain,
    /// In a slot of a Cluster, known to its owner.
    Sharded,
}

/// What came over a connection by itself.
pub(super) enum Received {
    Message {
        channel: String,
        payload: Bytes,
    },
    /// Messages came faster than they were taken, and some are lost.
    Lagged,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// The slot lies elsewhere.
    #[error("the slot lies on {0}")]
    Moved(String),
    /// Redis says no.
    #[error("{0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection is gone.
    #[error("the connection ended: {0}")]
    Ended(String),
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Nil,
    Integer(i64),
    Text(String),
    List(Vec<Answer>),
}

impl Wire {
    /// Connects, and is known to the server afterwards.
    pub(super) async fn connect(
        server: &Server,
        credentials: &Credentials,
        options: &WireOptions,
    ) -> Result<(Self, Messages), WireError> {
        let config = Config {
            fail_fast: true,
            version: RespVersion::RESP3,
            server: ServerConfig::new_centralized(server.host.as_str(), server.port),
            username: credentials.username.clone(),
            password: credentials.password.clone(),
            ..Config::default()
        };
        let performance = PerformanceConfig {
            broadcast_channel_capacity: options.received_max,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: options.connect_timeout,
            internal_command_timeout: options.connect_timeout,
            // Nothing is ever sent twice.
            max_command_attempts: 1,
            max_redirections: 0,
            disable_cluster_health_check: true,
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        // Without a policy there is no second attempt: the task ends with the connection.
        let client = Client::new(config, Some(performance), Some(connection), None);
        let messages = client.message_rx();
        let mut connected = client.inner().notifications.connect.load().subscribe();
        let connecting = client.connect();
        let task = connecting.abort_handle();
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let words = match connecting.await {
                Ok(Ok(())) => "closed".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            // Nobody may be left to hear it.
            let _ = end.send(Some(words));
        });
        let messages = Messages { messages, ended: ended.clone() };
        let wire = Self { client, ended, task, answer_timeout: options.answer_timeout };
        // One time for the socket, one for the greeting.
        let limit = options.connect_timeout * 2;
        match timeout(limit, connected.recv()).await {
            Ok(Ok(Ok(()))) => Ok((wire, messages)),
            Ok(Ok(Err(error))) => Err(WireError::Ended(error.to_string())),
            Ok(Err(error)) => Err(WireError::Ended(error.to_string())),
            Err(_) => Err(WireError::Timeout(limit)),
        }
    }

    /// Waits until the connection ends, and says why it did.
    pub(super) async fn end(&self) -> WireError {
        end_of(&self.ended).await
    }

    /// Asks for channels. The sharded ones that lie elsewhere are left out and returned; the caller has to
    /// count afterwards, because nothing says that the plain ones were granted.
    pub(super) async fn subscribe(
        &self,
        kind: Channels,
        channels: Vec<String>,
    ) -> Result<Vec<String>, WireError> {
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        match kind {
            Channels::Plain => {
                self.done(self.client.subscribe(channels)).await?;
                Ok(Vec::new())
            }
            Channels::Sharded => {
                // One by one in the pipeline: the library expects one answer to a command, whatever it names.
                let asked = channels.iter().map(|channel| self.client.ssubscribe(channel.as_str())).collect();
                let answers = self.all_done(asked).await?;
                let mut elsewhere = Vec::new();
                for (channel, answer) in channels.into_iter().zip(answers) {
                    match answer {
                        Ok(()) => {}
                        Err(WireError::Moved(_)) => elsewhere.push(channel),
                        Err(error) => return Err(error),
                    }
                }
                Ok(elsewhere)
            }
        }
    }

    /// Lets go of channels.
    pub(super) async fn unsubscribe(&self, kind: Channels, channels: Vec<String>) -> Result<(), WireError> {
        match kind {
            // Without a name it would be all of them.
            _ if channels.is_empty() => Ok(()),
            Channels::Plain => self.done(self.client.unsubscribe(channels)).await,
            Channels::Sharded => {
                // Each by itself: their slots differ.
                for channel in channels {
                    self.done(self.client.sunsubscribe(channel)).await?;
                }
                Ok(())
            }
        }
    }

    /// How many channels the server holds for this connection, by its own word.
    pub(super) async fn count(&self, kind: Channels) -> Result<usize, WireError> {
        let mut answers = self.run(vec![count()]).await?;
        let answer = answers.pop().unwrap_or_else(|| Err(WireError::Ended("no answer".into())))?;
        counted(kind, &answer)
    }

    /// Asks one thing.
    pub(super) async fn ask(&self, words: &[&str]) -> Result<Answer, WireError> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let mut answers = self.run(vec![Command::Ask(words)]).await?;
        answers.pop().unwrap_or_else(|| Err(WireError::Ended("no answer".into())))
    }

    /// Has commands done in this order; one result for each. The outer error is that of the connection.
    pub(super) async fn run(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Answer, WireError>>, WireError> {
        let run = |command| async move {
            match command {
                Command::Publish { kind: Channels::Plain, channel, payload } => {
                    self.client.publish(channel, payload).await
                }
                Command::Publish { kind: Channels::Sharded, channel, payload } => {
                    self.client.spublish(channel, payload).await
                }
                Command::Ask(words) => self.custom(words).await,
            }
        };
        let answers = self.all_done(commands.into_iter().map(run).collect()).await?;
        Ok(answers.into_iter().map(|answer| answer.map(Answer::from)).collect())
    }

    async fn custom(&self, mut words: Vec<String>) -> Result<Value, Error> {
        let name = if words.is_empty() { String::new() } else { words.remove(0) };
        self.client.custom(CustomCommand::new(name, ClusterHash::FirstKey, false), words).await
    }

    async fn done<T>(&self, asked: impl Future<Output = Result<T, Error>> + Send) -> Result<T, WireError> {
        tokio::select! {
            answer = timeout(self.answer_timeout, asked) => match answer {
                Ok(answer) => answer.map_err(WireError::from),
                Err(_) => Err(WireError::Timeout(self.answer_timeout)),
            },
            error = end_of(&self.ended) => Err(error),
        }
    }

    /// The outer error is that of the connection.
    async fn all_done<T>(
        &self,
        asked: Vec<impl Future<Output = Result<T, Error>> + Send>,
    ) -> Result<Vec<Result<T, WireError>>, WireError> {
        tokio::select! {
            answers = timeout(self.answer_timeout, in_order(asked)) => match answers {
                Ok(answers) => Ok(answers.into_iter().map(|answer| answer.map_err(WireError::from)).collect()),
                Err(_) => Err(WireError::Timeout(self.answer_timeout)),
            },
            error = end_of(&self.ended) => Err(error),
        }
    }
}

impl Messages {
    /// The next thing that comes by itself; cancel-safe. An error once the connection has ended.
    pub(super) async fn receive(&mut self) -> Result<Received, WireError> {
        tokio::select! {
            // What came before the end is still received.
            biased;
            message = self.messages.recv() => match message {
                Ok(message) => Ok(Received::from(message)),
                Err(broadcast::error::RecvError::Lagged(_)) => Ok(Received::Lagged),
                Err(broadcast::error::RecvError::Closed) => Err(WireError::Ended("closed".into())),
            },
            error = end_of(&self.ended) => Err(error),
        }
    }
}

/// Asks a server how many channels it holds for this connection.
pub(super) fn count() -> Command {
    Command::Ask(vec!["CLIENT".into(), "INFO".into()])
}

/// The number in the answer to [`count`].
pub(super) fn counted(kind: Channels, answer: &Answer) -> Result<usize, WireError> {
    let field = match kind {
        Channels::Plain => "sub=",
        Channels::Sharded => "ssub=",
    };
    let text = answer.text().unwrap_or_default();
    let count = text.split_whitespace().find_map(|word| word.strip_prefix(field)?.parse().ok());
    let untold = || format!("CLIENT INFO tells no {field}: Redis 7.0.3 or newer is needed");
    count.ok_or_else(|| WireError::Refused(untold()))
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn end_of(ended: &watch::Receiver<Option<String>>) -> WireError {
    let mut ended = ended.clone();
    let words = ended.wait_for(Option::is_some).await.map_or(None, |words| words.clone());
    WireError::Ended(words.unwrap_or_else(|| "closed".into()))
}

/// Begins the futures in their order, which is that of what they send, and waits for all.
async fn in_order<T>(futures: Vec<impl Future<Output = T> + Send>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    // Answers come in order too: all before this one are there.
    let mut first = 0;
    poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results).skip(first) {
            let Some(pending) = future else { continue };
            if let Poll::Ready(value) = Pin::new(pending).poll(context) {
                *result = Some(value);
                *future = None;
            }
        }
        while futures.get(first).is_some_and(Option::is_none) {
            first += 1;
        }
        if first == futures.len() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

impl From<Message> for Received {
    fn from(message: Message) -> Self {
        let channel = message.channel.to_string();
        Self::Message { channel, payload: message.value.into_bytes().unwrap_or_default() }
    }
}

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        let words = error.details();
        let mut parts = words.split_whitespace();
        match (parts.next(), parts.next(), parts.next()) {
            (Some("MOVED"), Some(_), Some(server)) => Self::Moved(server.to_owned()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Nil,
            Value::Integer(integer) => Self::Integer(integer),
            Value::Boolean(boolean) => Self::Integer(boolean.into()),
            Value::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            Value::Map(map) => {
                let pairs = map.inner().into_iter();
                let flat = pairs.flat_map(|(key, value)| {
                    [Self::Text(String::from_utf8_lossy(key.as_bytes()).into_owned()), Self::from(value)]
                });
                Self::List(flat.collect())
            }
            Value::Double(_) | Value::String(_) | Value::Bytes(_) | Value::Queued => {
                let bytes = value.into_bytes().unwrap_or_default();
                Self::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }
}

impl Answer {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            // Sentinels tell ports in words.
            Self::Text(text) => text.parse().ok(),
            Self::Nil | Self::List(_) => None,
        }
    }

    pub(super) fn list(&self) -> &[Answer] {
        if let Self::List(list) = self { list } else { &[] }
    }
}
