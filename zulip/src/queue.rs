//! An event queue: nothing but its id, which is signed and says everything about it.
//!
//! No server keeps anything of a queue between two polls: what it has delivered is the `last_event_id` that
//! its client sends. So a queue outlives servers, and any of them serves it.

mod event_types;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use squall_protocol::{Epoch, Mark, Position, RealmId, Sequence, UserId};

use crate::answer::ApiError;
use crate::narrow::QueueNarrow;
use crate::params::Params;
pub use event_types::{EventType, EventTypes};

/// What signs the ids of a deployment's queues: kept in its database.
#[derive(Clone)]
pub struct QueueKey(Hmac<Sha256>);

/// A queue, read from its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its realm.
    pub realm_id: RealmId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it begins: it has no events up to here.
    pub base: Position,
    /// What its client wants.
    pub options: QueueOptions,
    /// Told apart from others of the same user by this.
    pub nonce: u64,
}

/// What a client asked for when it registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueOptions {
    /// Which events.
    pub event_types: EventTypes,
    /// Content as HTML rather than as it was written.
    pub apply_markdown: bool,
    /// The client computes Gravatar's addresses itself.
    pub client_gravatar: bool,
    /// Presence keyed by user, in the modern form.
    pub slim_presence: bool,
    /// Who else joins and leaves streams is told by the ids of all of them.
    pub include_subscribers: bool,
    /// Several messages deleted at once are one event.
    pub bulk_message_deletion: bool,
    /// Typing in streams is told too.
    pub stream_typing: bool,
    /// Presence of several users in one event.
    pub simplified_presence: bool,
    /// Which of the messages.
    pub narrow: QueueNarrow,
}

/// The longest queue id, in bytes: it is in the address of every poll.
pub const QUEUE_ID_BYTES_MAX: usize = 2048;

/// Bytes of a signature: as good as a key of 128 bits.
const SIGNATURE_BYTES: usize = 16;

/// What is signed, as a JSON list: version, realm, user, epoch, sequence, mark, types, flags, narrow, nonce.
type Payload = (u8, RealmId, UserId, Epoch, Sequence, Mark, EventTypes, u32, QueueNarrow, u64);

const VERSION: u8 = 1;

impl QueueKey {
    /// The key of these bytes, which must be secret and random.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        Self(Hmac::new_from_slice(secret).expect("HMAC takes any key"))
    }

    fn sign(&self, payload: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let whole = self.0.clone().chain_update(payload).finalize().into_bytes();
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&whole[..SIGNATURE_BYTES]);
        signature
    }

    fn is_signed(&self, payload: &[u8], signature: &[u8]) -> bool {
        self.0.clone().chain_update(payload).verify_truncated_left(signature).is_ok()
    }
}

impl std::fmt::Debug for QueueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueueKey(…)")
    }
}

impl Queue {
    /// Its id: the payload and the signature, each in the Base64 of addresses.
    pub fn id(&self, key: &QueueKey) -> Result<String, ApiError> {
        let Self { realm_id, user_id, base, options, nonce } = self;
        let payload: Payload = (
            VERSION,
            *realm_id,
            *user_id,
            base.epoch,
            base.sequence,
            base.mark,
            options.event_types,
            options.flags(),
            options.narrow.clone(),
            *nonce,
        );
        let too_long = || ApiError::bad("The narrow is too long for an event queue");
        let payload = serde_json::to_vec(&payload).map_err(|_| too_long())?;
        let signature = key.sign(&payload);
        let id = format!("{}.{}", BASE64URL_NOPAD.encode(&payload), BASE64URL_NOPAD.encode(&signature));
        if id.len() > QUEUE_ID_BYTES_MAX { Err(too_long()) } else { Ok(id) }
    }

    /// The queue of an id that a client sent; none if we did not make it.
    #[must_use]
    pub fn read(id: &str, key: &QueueKey) -> Option<Self> {
        if id.len() > QUEUE_ID_BYTES_MAX {
            return None;
        }
        let (payload, signature) = id.split_once('.')?;
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        if signature.len() != SIGNATURE_BYTES || !key.is_signed(&payload, &signature) {
            return None;
        }
        let (version, realm_id, user_id, epoch, sequence, mark, event_types, flags, narrow, nonce) =
            serde_json::from_slice::<Payload>(&payload).ok()?;
        let options = QueueOptions { event_types, narrow, ..QueueOptions::of_flags(flags) };
        let base = Position { epoch, sequence, mark };
        (version == VERSION).then_some(Self { realm_id, user_id, base, options, nonce })
    }

    /// What tells it apart from all others, shorter than its id.
    #[must_use]
    pub fn tag(&self) -> QueueTag {
        QueueTag { user_id: self.user_id, nonce: self.nonce }
    }
}

/// A queue's short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueTag {
    /// Whose it is.
    pub user_id: UserId,
    /// Which of the user's.
    pub nonce: u64,
}

impl std::fmt::Display for QueueTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.user_id, HEXLOWER.encode(&self.nonce.to_be_bytes()))
    }
}

/// What a client can do, as it says itself. Those that change nothing here are known all the same.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Capabilities {
    bulk_message_deletion: bool,
    stream_typing_notifications: bool,
    simplified_presence_events: bool,
}

impl QueueOptions {
    /// Those that the parameters of a registration ask for.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        let types: Option<Vec<String>> = params.json("event_types", "a list of event types")?;
        let what = "an object of truth values";
        let capabilities: Capabilities = params.json("client_capabilities", what)?.unwrap_or_default();
        // Queues live as long as the log goes back, which is longer than any of these.
        params.accept(&["queue_lifespan_secs", "idle_queue_timeout"]);
        Ok(Self {
            event_types: types.map_or(EventTypes::ALL, |types| EventTypes::named(&types)),
            apply_markdown: params.flag("apply_markdown", false)?,
            client_gravatar: params.flag("client_gravatar", true)?,
            slim_presence: params.flag("slim_presence", false)?,
            include_subscribers: includes_subscribers(params)?,
            bulk_message_deletion: capabilities.bulk_message_deletion,
            stream_typing: capabilities.stream_typing_notifications,
            simplified_presence: capabilities.simplified_presence_events,
            narrow: QueueNarrow::read(params)?,
        })
    }

    fn bits(&self) -> [bool; 8] {
        [
            self.apply_markdown,
            self.client_gravatar,
            self.slim_presence,
            self.include_subscribers,
            self.bulk_message_deletion,
            self.stream_typing,
            self.simplified_presence,
            false,
        ]
    }

    fn flags(&self) -> u32 {
        self.bits().iter().enumerate().map(|(bit, set)| u32::from(*set) << bit).sum()
    }

    fn of_flags(flags: u32) -> Self {
        let bit = |bit: u32| flags >> bit & 1 == 1;
        Self {
            apply_markdown: bit(0),
            client_gravatar: bit(1),
            slim_presence: bit(2),
            include_subscribers: bit(3),
            bulk_message_deletion: bit(4),
            stream_typing: bit(5),
            simplified_presence: bit(6),
            ..Self::default()
        }
    }
}

/// `include_subscribers`: a truth value, or `"partial"`, which here is all.
pub fn includes_subscribers(params: &Params) -> Result<bool, ApiError> {
    match params.text("include_subscribers") {
        Some("partial" | "\"partial\"") => Ok(true),
        Some(_) => params.flag("include_subscribers", false),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> QueueKey {
        QueueKey::new(&[7; 32])
    }

    fn queue(params: &[(&str, &str)]) -> Queue {
        let params = Params::of(params.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Queue {
            realm_id: RealmId(1),
            user_id: UserId(3),
            base: Position { epoch: Epoch(5511), sequence: Sequence(42), mark: Mark(99) },
            options: QueueOptions::read(&params).unwrap(),
            nonce: 0xFEED,
        }
    }

    #[test]
    fn an_id_says_everything_about_its_queue() {
        for params in [
            &[][..],
            &[("event_types", "[\"message\"]"), ("apply_markdown", "true"), ("client_gravatar", "false")],
            &[
                ("narrow", "[[\"stream\",\"general\"],[\"topic\",\"lunch\"]]"),
                ("include_subscribers", "true"),
            ],
            &[(
                "client_capabilities",
                "{\"bulk_message_deletion\":true,\"stream_typing_notifications\":true,\"other\":true}",
            )],
        ] {
            let queue = queue(params);
            let id = queue.id(&key()).unwrap();
            assert!(id.len() < 255, "{}", id.len());
            assert_eq!(Queue::read(&id, &key()), Some(queue));
        }
    }

    #[test]
    fn an_id_that_was_changed_or_signed_by_others_is_none_of_ours() {
        let id = queue(&[]).id(&key()).unwrap();
        assert_eq!(Queue::read(&id, &QueueKey::new(&[8; 32])), None);
        for index in 0..id.len() {
            let mut forged = id.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(Queue::read(&String::from_utf8(forged).unwrap(), &key()), None, "{index}");
            assert_eq!(Queue::read(&id[..index], &key()), None);
        }
        assert_eq!(Queue::read(&"A".repeat(QUEUE_ID_BYTES_MAX + 1), &key()), None);
        assert_eq!(Queue::read("fb67bf8a-c031-47cc-84cf-ed80accacda8", &key()), None);
    }

    #[test]
    fn a_narrow_that_makes_the_id_too_long_is_refused() {
        let narrow = format!("[[\"stream\",\"{}\"]]", "x".repeat(QUEUE_ID_BYTES_MAX));
        assert!(queue(&[("narrow", &narrow)]).id(&key()).is_err());
    }

    #[test]
    fn options_that_are_none_are_refused() {
        for (name, value) in [
            ("event_types", "7"),
            ("apply_markdown", "yes"),
            ("client_capabilities", "[1]"),
            ("narrow", "{}"),
            ("include_subscribers", "some"),
        ] {
            let params = Params::of([(name.to_owned(), value.to_owned())]);
            assert!(QueueOptions::read(&params).is_err(), "{name}");
        }
    }
}
