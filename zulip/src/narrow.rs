//! Narrows: which messages a client wants to see.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall_protocol::event::Message;
use squall_protocol::{Destination, UserId};

use crate::answer::ApiError;
use crate::names::{Names, key};
use crate::params::Params;

/// One condition, in either of the two forms that clients send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawTerm")]
pub struct Term {
    /// What is compared: `stream`, `topic`, …; without the `-` of Zulip's older way to negate.
    pub operator: String,
    /// With what.
    pub operand: Value,
    /// Whether it must not hold.
    pub negated: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTerm {
    Pair(String, Value),
    Object {
        operator: String,
        operand: Value,
        #[serde(default)]
        negated: bool,
    },
}

impl From<RawTerm> for Term {
    fn from(raw: RawTerm) -> Self {
        let (operator, operand, negated) = match raw {
            RawTerm::Pair(operator, operand) => (operator, operand, false),
            RawTerm::Object { operator, operand, negated } => (operator, operand, negated),
        };
        match operator.strip_prefix('-') {
            Some(bare) => Self { operator: bare.to_owned(), operand, negated: true },
            None => Self { operator, operand, negated },
        }
    }
}

impl Term {
    /// The parameter `narrow`; without it, no condition.
    pub fn read_all(params: &Params) -> Result<Vec<Self>, ApiError> {
        Ok(params.json("narrow", "a list of narrow terms")?.unwrap_or_default())
    }
}

/// A queue's narrow: what an event's message can be told by without asking anyone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueNarrow(Vec<Condition>);

/// All of them must hold. Names are compared as everywhere: without case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Condition {
    /// In the stream of this name.
    #[serde(rename = "s")]
    Stream(String),
    /// In the stream of this id.
    #[serde(rename = "i")]
    StreamId(u64),
    /// In a topic of this name.
    #[serde(rename = "t")]
    Topic(String),
    /// Sent by the user of this address.
    #[serde(rename = "f")]
    Sender(String),
    /// Sent by the user of this id.
    #[serde(rename = "u")]
    SenderId(UserId),
    /// A direct message.
    #[serde(rename = "d")]
    Direct,
    /// It mentions the queue's user.
    #[serde(rename = "m")]
    Mentioned,
    /// The opposite of the condition within.
    #[serde(rename = "n")]
    Not(Box<Condition>),
}

impl QueueNarrow {
    /// The parameter `narrow` of a registration.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        Term::read_all(params)?.into_iter().map(Condition::of).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a message is one that the queue's user wants to see; `mentioned`: it mentions that user.
    #[must_use]
    pub fn accepts(&self, message: &Message, names: &dyn Names, mentioned: bool) -> bool {
        self.0.iter().all(|condition| condition.holds(message, names, mentioned))
    }
}

impl Condition {
    fn of(term: Term) -> Result<Self, ApiError> {
        let Term { operator, operand, negated } = term;
        let unsupported = || ApiError::narrow(&format!("{operator} is not supported in an event queue"));
        let condition = match (operator.as_str(), &operand) {
            ("stream" | "channel", Value::String(name)) => Self::Stream(key(name.trim())),
            ("stream" | "channel", Value::Number(id)) => Self::StreamId(id.as_u64().ok_or_else(unsupported)?),
            ("topic" | "subject", Value::String(topic)) => Self::Topic(key(topic.trim())),
            ("sender" | "from", Value::String(email)) => Self::Sender(key(email.trim())),
            ("sender" | "from", Value::Number(id)) => {
                let id = id.as_u64().and_then(|id| UserId::try_from(id).ok());
                Self::SenderId(id.ok_or_else(unsupported)?)
            }
            ("is", Value::String(what)) if matches!(what.as_str(), "dm" | "private") => Self::Direct,
            ("is", Value::String(what)) if what == "mentioned" => Self::Mentioned,
            _ => return Err(unsupported()),
        };
        Ok(if negated { Self::Not(Box::new(condition)) } else { condition })
    }

    fn holds(&self, message: &Message, names: &dyn Names, mentioned: bool) -> bool {
        let in_stream = |is: &dyn Fn(&str, u64) -> bool| match &message.to {
            Destination::Stream { stream_id, .. } => {
                let name = names.stream(*stream_id).map_or_else(String::new, |stream| key(&stream.name));
                is(&name, stream_id.0)
            }
            Destination::Direct { .. } => false,
        };
        match self {
            Self::Stream(wanted) => in_stream(&|name, _| name == wanted),
            Self::StreamId(wanted) => in_stream(&|_, id| id == *wanted),
            Self::Topic(wanted) => match &message.to {
                Destination::Stream { topic, .. } => key(topic) == *wanted,
                Destination::Direct { .. } => false,
            },
            Self::Sender(wanted) => {
                names.user(message.sender_id).is_some_and(|sender| key(&sender.email) == *wanted)
            }
            Self::SenderId(wanted) => message.sender_id == *wanted,
            Self::Direct => matches!(message.to, Destination::Direct { .. }),
            Self::Mentioned => mentioned,
            Self::Not(condition) => !condition.holds(message, names, mentioned),
        }
    }
}
