//! Who has read which: floors, markers, exceptions.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use squall_protocol::{MessageId, RealmId, UserId};

use super::Failure;
use super::rows::json;
use crate::change::ReadScope;
use crate::store::clauses::{below_marks, is_mentioned, is_read, place, received};
use crate::store::columns::users_of_key;
use crate::store::{UnreadMessage, UnreadPlace};

/// At most `limit` of the user's unread messages, the oldest first.
pub(super) fn oldest(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    scope: &ReadScope,
    limit: usize,
) -> Result<Vec<MessageId>, Failure> {
    let (within, stream_id, topic_key) = match scope {
        ReadScope::All => ("?3 IS NULL AND ?4 IS NULL", None, None),
        ReadScope::Stream(stream_id) => ("m.stream_id = ?3 AND ?4 IS NULL", Some(stream_id.0), None),
        ReadScope::Topic(stream_id, key) => {
            ("m.stream_id = ?3 AND m.topic_key = ?4", Some(stream_id.0), Some(key))
        }
    };
    let mut select = tx.prepare_cached(&format!("{} ORDER BY message_id LIMIT ?5", unread_ids(within)))?;
    let found = select.query_map(params![realm_id.0, viewer.0, stream_id, topic_key, limit], |row| {
        Ok(MessageId(row.get(0)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Unread messages of user ?2: those above the floor, and those below it that are exceptions.
fn unread_ids(within: &str) -> String {
    let (received, is_read) = (received!("?2"), is_read!("?2"));
    format!(
        "SELECT m.message_id FROM messages AS m WHERE m.realm_id = ?1
         AND m.message_id > (SELECT coalesce(max(floor), 0) FROM read_floors WHERE user_id = ?2)
         AND {within} AND {received} AND NOT {is_read}
         UNION SELECT m.message_id FROM read_exceptions AS e JOIN messages AS m USING (message_id)
         WHERE e.user_id = ?2 AND e.unread AND {within}"
    )
}

/// At most `limit` of the user's unread messages, the newest first, with where they are.
pub(super) fn newest(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    limit: usize,
) -> Result<Vec<UnreadMessage>, Failure> {
    let ids = unread_ids("true");
    let mut select = tx.prepare_cached(&format!(
        "SELECT m.message_id, m.sender_id, m.stream_id, m.topic, c.users_key, {} FROM messages AS m
         LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
         WHERE m.message_id IN ({ids} ORDER BY message_id DESC LIMIT ?3) ORDER BY m.message_id DESC",
        is_mentioned!("?2")
    ))?;
    let mut rows = select.query(params![realm_id.0, viewer.0, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(unread(row)?);
    }
    Ok(found)
}

fn unread(row: &Row<'_>) -> Result<UnreadMessage, Failure> {
    let stream_id: Option<u64> = row.get(2)?;
    let place = match stream_id {
        Some(stream_id) => UnreadPlace::Topic(squall_protocol::StreamId(stream_id), row.get(3)?),
        None => {
            let key: String = row.get(4)?;
            let users = users_of_key(&key).ok_or_else(|| Failure::Row(format!("no users: {key:?}")))?;
            UnreadPlace::Direct(users)
        }
    };
    Ok(UnreadMessage {
        message_id: MessageId(row.get(0)?),
        sender_id: UserId(row.get(1)?),
        place,
        mentioned: row.get(5)?,
    })
}

/// All up to here is read, but for exceptions; a floor never goes down.
pub(super) fn raise_floor(tx: &Transaction<'_>, user_id: UserId, floor: MessageId) -> Result<(), Failure> {
    tx.prepare_cached(
        "INSERT INTO read_floors (user_id, floor) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET floor = max(floor, excluded.floor)",
    )?
    .execute(params![user_id.0, floor.0])?;
    // What the floor says of them already.
    tx.prepare_cached("DELETE FROM read_exceptions WHERE user_id = ?1 AND message_id <= ?2 AND NOT unread")?
        .execute(params![user_id.0, floor.0])?;
    Ok(())
}

/// An exception where the marks say otherwise; then the markers go up as far as all below them is read.
pub(super) fn mark_read(
    tx: &Transaction<'_>,
    user_id: UserId,
    message_ids: &[MessageId],
) -> Result<(), Failure> {
    except(tx, user_id, message_ids, false)?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT {} AS place, max(m.message_id) FROM json_each(?1) AS a JOIN messages AS m ON m.message_id = a.value
         GROUP BY place",
        place!()
    ))?;
    let touched = select.query_map([json(message_ids)?], |row| Ok((row.get(0)?, MessageId(row.get(1)?))))?;
    let touched: BTreeMap<String, MessageId> = touched.collect::<Result<_, _>>()?;
    for (place, some_message) in touched {
        raise_marker(tx, user_id, &place, some_message)?;
    }
    Ok(())
}

pub(super) fn mark_unread(
    tx: &Transaction<'_>,
    user_id: UserId,
    message_ids: &[MessageId],
) -> Result<(), Failure> {
    except(tx, user_id, message_ids, true)
}

/// Makes messages read or unread. What is unread is said even if the marks say so already: they may go up meanwhile.
fn except(
    tx: &Transaction<'_>,
    user_id: UserId,
    message_ids: &[MessageId],
    unread: bool,
) -> Result<(), Failure> {
    let ids = json(message_ids)?;
    tx.prepare_cached(
        "DELETE FROM read_exceptions WHERE user_id = ?1 AND message_id IN (SELECT value FROM json_each(?2))",
    )?
    .execute(params![user_id.0, ids])?;
    tx.prepare_cached(&format!(
        "INSERT INTO read_exceptions (user_id, message_id, unread)
         SELECT ?2, m.message_id, ?3 FROM json_each(?1) AS a JOIN messages AS m ON m.message_id = a.value
         WHERE ?3 OR NOT {}",
        below_marks!("?2")
    ))?
    .execute(params![ids, user_id.0, unread])?;
    Ok(())
}

/// Raises the marker of the place that `some_message` is in to just below its first unread message, or to its
/// newest; exceptions that it makes superfluous go.
fn raise_marker(
    tx: &Transaction<'_>,
    user_id: UserId,
    place: &str,
    some_message: MessageId,
) -> Result<(), Failure> {
    let of_place = if place.starts_with('d') { OF_CONVERSATION } else { OF_TOPIC };
    let before: Option<u64> = tx
        .prepare_cached("SELECT up_to FROM read_markers WHERE user_id = ?1 AND place = ?2")?
        .query_row(params![user_id.0, place], |row| row.get(0))
        .optional()?;
    let before = before.unwrap_or(0);
    let unread: Option<u64> = tx
        .prepare_cached(&format!(
            "SELECT m.message_id FROM messages AS m WHERE {of_place} AND m.message_id > ?3 AND {} AND NOT {}
             ORDER BY m.message_id LIMIT 1",
            received!("?2"),
            is_read!("?2")
        ))?
        .query_row(params![some_message.0, user_id.0, before], |row| row.get(0))
        .optional()?;
    let up_to: u64 = match unread {
        Some(unread) => unread - 1,
        None => tx
            .prepare_cached(&format!("SELECT max(m.message_id) FROM messages AS m WHERE {of_place}"))?
            .query_row([some_message.0], |row| row.get(0))?,
    };
    if up_to <= before {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO read_markers (user_id, place, up_to) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET up_to = excluded.up_to",
    )?
    .execute(params![user_id.0, place, up_to])?;
    tx.prepare_cached(&format!(
        "DELETE FROM read_exceptions WHERE user_id = ?2 AND NOT unread AND message_id <= ?3
         AND message_id IN (SELECT m.message_id FROM read_exceptions AS e JOIN messages AS m USING (message_id)
                            WHERE e.user_id = ?2 AND {of_place})"
    ))?
    .execute(params![some_message.0, user_id.0, up_to])?;
    Ok(())
}

/// Messages of the topic of message ?1.
const OF_TOPIC: &str = "m.stream_id = (SELECT o.stream_id FROM messages AS o WHERE o.message_id = ?1)
     AND m.topic_key = (SELECT o.topic_key FROM messages AS o WHERE o.message_id = ?1)";

/// Messages of the conversation of message ?1.
const OF_CONVERSATION: &str =
    "m.conversation_id = (SELECT o.conversation_id FROM messages AS o WHERE o.message_id = ?1)";
