//! The send id of a message sent by HTTP: `queue_id:local_id`, so that a retry is the same send.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use squall_protocol::limits::SEND_ID_BYTES_MAX;

/// The text of the send id that these two make. A queue id that would make it too long stands there as its
/// hash.
#[must_use]
pub fn send_id(queue_id: &str, local_id: &str) -> String {
    let plain = format!("{queue_id}:{local_id}");
    if plain.len() <= SEND_ID_BYTES_MAX { plain } else { format!("{}:{local_id}", short(queue_id)) }
}

/// The local id of a message that this queue's client sent.
#[must_use]
pub fn local_id<'a>(send_id: &'a str, queue_id: &str) -> Option<&'a str> {
    let after = |prefix: &str| send_id.strip_prefix(prefix)?.strip_prefix(':');
    after(queue_id).or_else(|| after(&short(queue_id)))
}

fn short(queue_id: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(queue_id.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_knows_its_own_sends_however_long_its_id_is() {
        for queue_id in ["q1", &"q".repeat(300)] {
            let id = send_id(queue_id, "7.01");
            assert!(id.len() <= SEND_ID_BYTES_MAX);
            assert_eq!(local_id(&id, queue_id), Some("7.01"));
            assert_eq!(local_id(&id, "other"), None);
        }
        assert_eq!(send_id("q1", "7.01"), "q1:7.01");
        assert_eq!(local_id("q12:7", "q1"), None);
    }
}
