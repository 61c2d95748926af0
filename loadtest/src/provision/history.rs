//! The messages of a run as the HTTP API has them: a witness beside the sockets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;
use squall_protocol::{MessageId, SendId, Sequence, UserId};

use super::ground::{Realm, User};
use super::http::{Credentials, Http};
use super::making::Apis;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stored {
    pub(crate) sequence: Sequence,
    pub(crate) message_id: MessageId,
    pub(crate) sender_id: UserId,
    pub(crate) send_id: SendId,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Entry>,
    found_oldest: bool,
}

#[derive(Deserialize)]
struct Entry {
    id: u64,
    sender_id: u64,
    send_id: SendId,
    sequence: u64,
}

/// Reads what was stored in the realm's streams since the run began, by the first member of each.
pub(crate) fn read_streams(http: &Http, apis: &Apis, realm: &Realm) -> Result<BTreeSet<Stored>> {
    let users: BTreeMap<UserId, &User> = realm.users.iter().map(|user| (user.user_id, user)).collect();
    let mut stored = BTreeSet::new();
    for stream in &realm.streams {
        let Some(user) = stream.members.first().and_then(|user_id| users.get(user_id)) else { continue };
        let narrow = format!(r#"[["channel",{}]]"#, stream.stream_id);
        read_narrow(http, apis, user, &narrow, realm.head.sequence, &mut stored)?;
    }
    Ok(stored)
}

/// Reads what these users sent directly since the run began.
pub(crate) fn read_direct(
    http: &Http,
    apis: &Apis,
    realm: &Realm,
    senders: &[UserId],
) -> Result<BTreeSet<Stored>> {
    let mut stored = BTreeSet::new();
    for user in realm.users.iter().filter(|user| senders.binary_search(&user.user_id).is_ok()) {
        let narrow = format!(r#"[["is","dm"],["sender",{}]]"#, user.user_id);
        read_narrow(http, apis, user, &narrow, realm.head.sequence, &mut stored)?;
    }
    Ok(stored)
}

/// From the newest backwards, to the beginning of the run.
fn read_narrow(
    http: &Http,
    apis: &Apis,
    user: &User,
    narrow: &str,
    after: Sequence,
    stored: &mut BTreeSet<Stored>,
) -> Result<()> {
    let who = Credentials { email: &user.email, key: &user.key };
    let narrow = escape(narrow);
    let mut anchor = "newest".to_owned();
    loop {
        let url = format!(
            "{}/api/v1/messages?anchor={anchor}&include_anchor=false&num_before={PAGE_MESSAGES}&num_after=0\
             &apply_markdown=false&narrow={narrow}",
            apis.users
        );
        let page: Page =
            serde_json::from_value(http.get(&url, who)?).with_context(|| format!("GET {url}"))?;
        for entry in &page.messages {
            if entry.sequence > after.0 {
                stored.insert(Stored {
                    sequence: Sequence(entry.sequence),
                    message_id: MessageId(entry.id),
                    sender_id: UserId(u32::try_from(entry.sender_id).context("sender_id")?),
                    send_id: entry.send_id.clone(),
                });
            }
        }
        let Some(oldest) = page.messages.first() else { return Ok(()) };
        if page.found_oldest || oldest.sequence <= after.0 {
            return Ok(());
        }
        anchor = oldest.id.to_string();
    }
}

/// For a query string.
fn escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// In one request: the API's most.
const PAGE_MESSAGES: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_survives_a_query_string() {
        assert_eq!(escape(r#"[["channel",7]]"#), "%5B%5B%22channel%22%2C7%5D%5D");
    }
}
