//! Random numbers, API keys, digests.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use squall_protocol::limits::ID_MAX;
use squall_protocol::{Destination, Epoch, Mark, SendId};

/// A user's API key: 128 random bits in hexadecimal. Stored nowhere but as its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// The SHA-256 of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHash(pub(crate) [u8; 32]);

/// What a message is told apart by from another with the same send id: half a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageDigest(pub(crate) [u8; 16]);

impl ApiKey {
    /// A new one.
    pub(crate) fn random() -> Self {
        Self(HEXLOWER.encode(&random_bytes::<16>()))
    }

    /// The key as text, for its owner alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

/// Never the key: keys stay out of logs.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl KeyHash {
    /// The hash of a key that somebody showed.
    pub(crate) fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl MessageDigest {
    /// Of a message in its normal form: text cut, users sorted.
    pub(crate) fn of(to: &Destination, content: &str) -> Self {
        let mut hasher = Sha256::new();
        match to {
            Destination::Stream { stream_id, topic } => {
                hasher.update(b"s");
                hasher.update(stream_id.0.to_le_bytes());
                hasher.update((topic.len() as u64).to_le_bytes());
                hasher.update(topic.as_bytes());
            }
            Destination::Direct { user_ids } => {
                hasher.update(b"d");
                hasher.update((user_ids.len() as u64).to_le_bytes());
                for user_id in user_ids {
                    hasher.update(user_id.0.to_le_bytes());
                }
            }
        }
        hasher.update(content.as_bytes());
        let whole: [u8; 32] = hasher.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Self(half)
    }
}

/// A fresh epoch: non-zero, below 2^53.
pub(crate) fn random_epoch() -> Epoch {
    Epoch((u64::from_le_bytes(random_bytes()) & ID_MAX).max(1))
}

/// A fresh mark: non-zero, because 0 is the mark of the place before the first event.
pub(crate) fn random_mark() -> Mark {
    Mark(u32::from_le_bytes(random_bytes()).max(1))
}

/// A send id for a request that brought none.
pub(crate) fn random_send_id() -> SendId {
    let text = HEXLOWER.encode(&random_bytes::<16>());
    #[expect(clippy::expect_used, reason = "32 hexadecimal digits are visible ASCII")]
    SendId::parse(text).expect("hexadecimal digits are a send id")
}

/// A secret of a deployment.
pub(crate) fn random_secret() -> [u8; 32] {
    random_bytes()
}

/// A number that nobody else has.
pub(crate) fn random_number() -> u64 {
    u64::from_le_bytes(random_bytes())
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without the system's random source no key and no epoch is safe: there is nothing to go on with.
    #[expect(clippy::expect_used, reason = "see above")]
    getrandom::fill(&mut bytes).expect("the system has a random source");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_protocol::{StreamId, UserId};

    #[test]
    fn a_key_has_128_bits_and_does_not_show_itself() {
        let key = ApiKey::random();
        assert_eq!(key.reveal().len(), 32);
        assert_ne!(key, ApiKey::random());
        assert!(!format!("{key:?}").contains(key.reveal()));
        assert_eq!(key.hash(), KeyHash::of(key.reveal()));
    }

    #[test]
    fn a_digest_tells_destination_and_content_apart() {
        let to = |topic: &str| Destination::Stream { stream_id: StreamId(1), topic: topic.into() };
        let direct =
            |ids: &[u32]| Destination::Direct { user_ids: ids.iter().copied().map(UserId).collect() };
        let digests = [
            MessageDigest::of(&to("a"), "bc"),
            MessageDigest::of(&to("ab"), "c"),
            MessageDigest::of(&to("a"), "b"),
            MessageDigest::of(&direct(&[1, 2]), "bc"),
            MessageDigest::of(&direct(&[1]), "bc"),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
        assert_eq!(digests[0], MessageDigest::of(&to("a"), "bc"));
    }

    #[test]
    fn epochs_and_marks_are_never_zero_and_fit() {
        for _ in 0..1000 {
            assert!((1..=ID_MAX).contains(&random_epoch().0));
            assert_ne!(random_mark(), Mark(0));
        }
    }
}
