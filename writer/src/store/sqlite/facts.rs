//! What a decision needs, one statement a kind.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{OptionalExtension as _, Transaction, params};
use squall_protocol::event::{Stream, User};
use squall_protocol::{MessageId, RealmId, SendId, Sequence, StreamId, UserId};

use super::rows::{STREAM, USER, head, json, stream, user};
use super::{Failure, surface};
use crate::decide::{Facts, Ids, Needs, RecentSend, StoredSend};
use crate::limits::RESEND_LOOKUP_MAX;
use crate::secret::MessageDigest;

/// The facts, in a transaction that holds the lock; `None` if there is no such realm.
pub(super) fn read(tx: &Transaction<'_>, realm_id: RealmId, needs: &Needs) -> Result<Option<Facts>, Failure> {
    let head = match head(tx, realm_id) {
        Err(Failure::UnknownRealm(_)) => return Ok(None),
        head => head?,
    };
    let streams = streams(tx, realm_id, needs)?;
    let members = members(tx, realm_id, &needs.member_pairs(&streams))?;
    Ok(Some(Facts {
        head,
        users: users(tx, realm_id, &needs.users)?,
        streams,
        members,
        emails: emails(tx, realm_id, &needs.emails)?,
        sends: sends(tx, &needs.sends)?,
        recent: recent(tx, &needs.recent)?,
        surface: surface::facts(tx, realm_id, &needs.surface)?,
        ids: ids(tx, needs)?,
    }))
}

fn users(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    user_ids: &BTreeSet<UserId>,
) -> Result<HashMap<UserId, User>, Failure> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {USER} FROM json_each(?2) AS asked CROSS JOIN users AS u ON u.user_id = asked.value
         WHERE u.realm_id = ?1"
    ))?;
    let users = select.query_map(params![realm_id.0, json(user_ids)?], user)?;
    users.map(|user| Ok(user.map(|user| (user.user_id, user))?)).collect()
}

fn streams(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    needs: &Needs,
) -> Result<HashMap<StreamId, Stream>, Failure> {
    let mut streams = HashMap::new();
    if !needs.streams.is_empty() {
        let mut select = tx.prepare_cached(&format!(
            "SELECT {STREAM} FROM json_each(?2) AS asked CROSS JOIN streams AS s ON s.stream_id = asked.value
             WHERE s.realm_id = ?1"
        ))?;
        for stream in select.query_map(params![realm_id.0, json(&needs.streams)?], stream)? {
            let stream = stream?;
            streams.insert(stream.stream_id, stream);
        }
    }
    if !needs.stream_names.is_empty() {
        let mut select = tx.prepare_cached(&format!(
            "SELECT {STREAM} FROM json_each(?2) AS asked
             CROSS JOIN streams AS s ON s.realm_id = ?1 AND s.name_key = asked.value"
        ))?;
        for stream in select.query_map(params![realm_id.0, json(&needs.stream_names)?], stream)? {
            let stream = stream?;
            streams.insert(stream.stream_id, stream);
        }
    }
    Ok(streams)
}

fn members(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    pairs: &BTreeSet<(StreamId, UserId)>,
) -> Result<HashSet<(StreamId, UserId)>, Failure> {
    if pairs.is_empty() {
        return Ok(HashSet::new());
    }
    let mut select = tx.prepare_cached(
        "SELECT m.stream_id, m.user_id FROM json_each(?2) AS asked CROSS JOIN members AS m
         ON m.realm_id = ?1 AND m.stream_id = asked.value ->> 0 AND m.user_id = asked.value ->> 1
         AND m.to_sequence IS NULL",
    )?;
    let member = |row: &rusqlite::Row<'_>| Ok((StreamId(row.get(0)?), UserId(row.get(1)?)));
    let members = select.query_map(params![realm_id.0, json(pairs)?], member)?;
    members.map(|member| Ok(member?)).collect()
}

fn emails(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    emails: &BTreeSet<String>,
) -> Result<HashSet<String>, Failure> {
    if emails.is_empty() {
        return Ok(HashSet::new());
    }
    let mut select = tx.prepare_cached(
        "SELECT u.email_key FROM json_each(?2) AS asked
         CROSS JOIN users AS u ON u.realm_id = ?1 AND u.email_key = asked.value",
    )?;
    let taken = select.query_map(params![realm_id.0, json(emails)?], |row| row.get(0))?;
    taken.map(|email| Ok(email?)).collect()
}

fn sends(
    tx: &Transaction<'_>,
    sends: &BTreeSet<(UserId, SendId)>,
) -> Result<HashMap<(UserId, SendId), StoredSend>, Failure> {
    if sends.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = tx.prepare_cached(
        "SELECT m.sender_id, m.send_id, m.message_id, m.sequence, m.digest FROM json_each(?1) AS asked
         CROSS JOIN messages AS m ON m.sender_id = asked.value ->> 0 AND m.send_id = asked.value ->> 1",
    )?;
    let mut rows = select.query([json(sends)?])?;
    let mut stored = HashMap::new();
    while let Some(row) = rows.next()? {
        let send_id: String = row.get(1)?;
        let send_id = SendId::parse(send_id).map_err(|error| Failure::Row(error.to_string()))?;
        let send = StoredSend {
            message_id: MessageId(row.get(2)?),
            sequence: Sequence(row.get(3)?),
            digest: MessageDigest(row.get(4)?),
        };
        stored.insert((UserId(row.get(0)?), send_id), send);
    }
    Ok(stored)
}

fn recent(
    tx: &Transaction<'_>,
    wanted: &BTreeSet<(UserId, MessageDigest)>,
) -> Result<HashMap<(UserId, MessageDigest), RecentSend>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT message_id, sequence, created_s FROM
         (SELECT * FROM messages WHERE sender_id = ?1 ORDER BY message_id DESC LIMIT ?3)
         WHERE digest = ?2 ORDER BY message_id DESC LIMIT 1",
    )?;
    let mut found = HashMap::new();
    for (user_id, digest) in wanted {
        let recent = select
            .query_row(params![user_id.0, digest.0, RESEND_LOOKUP_MAX], |row| {
                Ok(RecentSend {
                    message_id: MessageId(row.get(0)?),
                    sequence: Sequence(row.get(1)?),
                    created_s: row.get(2)?,
                })
            })
            .optional()?;
        found.extend(recent.map(|recent| ((*user_id, *digest), recent)));
    }
    Ok(found)
}

/// Free ids; storing their rows takes them, and the file's lock keeps others away until then.
fn ids(tx: &Transaction<'_>, needs: &Needs) -> Result<Ids, Failure> {
    let free = |kind: &str, count: usize| -> Result<std::ops::Range<u64>, Failure> {
        if count == 0 {
            return Ok(0..0);
        }
        let mut select = tx.prepare_cached("SELECT next_id FROM counters WHERE kind = ?1")?;
        let next: u64 = select.query_row([kind], |row| row.get(0))?;
        Ok(next..next + count as u64)
    };
    let narrow = |id| u32::try_from(id).map(UserId).map_err(|_| Failure::Row("no user ids left".into()));
    Ok(Ids {
        messages: free("message", needs.new_messages)?.map(MessageId).collect(),
        users: free("user", needs.new_users)?.map(narrow).collect::<Result<_, _>>()?,
        streams: free("stream", needs.new_streams)?.map(StreamId).collect(),
    })
}
