//! A commit group's transaction.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use squall_protocol::event::{Message, Stream, User};
use squall_protocol::link::EventRecord;
use squall_protocol::{Destination, RealmId, Sequence, UserId};

use super::{Failure, facts, surface_rows};
use crate::decide::{Decision, MembershipRow, MessageRow, Needs, Rows, Stamp, decide};
use crate::secret::KeyHash;
use crate::store::columns::{role_name, users_key};
use crate::store::{Group, RealmCommit};
use crate::text;

/// Locks, reads, decides, stores, commits; a group that changes nothing leaves the disk alone.
pub(super) fn commit(connection: &mut Connection, group: &Group) -> Result<Vec<RealmCommit>, Failure> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut commits = Vec::with_capacity(group.realms.len());
    let mut stored = false;
    for part in &group.realms {
        let Some(facts) = facts::read(&tx, part.realm_id, &Needs::of(&part.requests))? else {
            commits.push(RealmCommit::without_realm(part));
            continue;
        };
        let stamp = Stamp { now_s: group.now_s, mark: part.mark };
        let decision = decide(facts, &part.requests, stamp);
        if !decision.rows.events.is_empty() {
            store(&tx, part.realm_id, &decision, group.now_s)?;
            stored = true;
        }
        commits.push(RealmCommit::new(part.realm_id, decision));
    }
    if stored {
        tx.commit()?;
    }
    Ok(commits)
}

/// No row is without an event: what is stored is logged.
fn store(tx: &Transaction<'_>, realm_id: RealmId, decision: &Decision, now_s: u64) -> Result<(), Failure> {
    let Rows { users, changed_users, changed_keys, streams, memberships, messages, surface, events } =
        &decision.rows;
    store_users(tx, realm_id, users, now_s)?;
    change_users(tx, changed_users)?;
    change_keys(tx, changed_keys)?;
    store_streams(tx, realm_id, streams, now_s)?;
    store_memberships(tx, realm_id, memberships)?;
    store_messages(tx, realm_id, messages)?;
    surface_rows::store(tx, surface)?;
    store_events(tx, realm_id, events, now_s)?;
    let mut head =
        tx.prepare_cached("UPDATE realms SET head_sequence = ?2, head_mark = ?3 WHERE realm_id = ?1")?;
    head.execute(params![realm_id.0, decision.head.sequence.0, decision.head.mark.0])?;
    Ok(())
}

fn store_users(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    users: &[(User, KeyHash)],
    now_s: u64,
) -> Result<(), Failure> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO users (user_id, realm_id, email, email_key, full_name, role, is_bot, is_active, key_hash,
         created_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for (user, key) in users {
        let User { user_id, email, full_name, role, is_bot, is_active } = user;
        let email_key = text::key(email);
        insert.execute(params![
            user_id.0,
            realm_id.0,
            email,
            email_key,
            full_name,
            role_name(*role),
            is_bot,
            is_active,
            key.0,
            now_s
        ])?;
    }
    use_ids(tx, "user", users.last().map(|(user, _)| u64::from(user.user_id.0)))
}

fn change_users(tx: &Transaction<'_>, users: &[(User, Option<Sequence>)]) -> Result<(), Failure> {
    let mut update = tx.prepare_cached(
        "UPDATE users SET full_name = ?2, role = ?3, is_active = ?4,
         credential_changed = ifnull(?5, credential_changed) WHERE user_id = ?1",
    )?;
    for (user, credential_changed) in users {
        let User { user_id, full_name, role, is_active, .. } = user;
        let changed = credential_changed.map(|sequence| sequence.0);
        update.execute(params![user_id.0, full_name, role_name(*role), is_active, changed])?;
    }
    Ok(())
}

fn change_keys(tx: &Transaction<'_>, keys: &[(UserId, KeyHash, Sequence)]) -> Result<(), Failure> {
    let mut update = tx.prepare_cached(
        "UPDATE users SET key_hash = ?2, credential_changed = max(credential_changed, ?3) WHERE user_id = ?1",
    )?;
    for (user_id, key, sequence) in keys {
        update.execute(params![user_id.0, key.0, sequence.0])?;
    }
    Ok(())
}

fn store_streams(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    streams: &[Stream],
    now_s: u64,
) -> Result<(), Failure> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO streams (stream_id, realm_id, name, name_key, description, invite_only, created_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for stream in streams {
        let Stream { stream_id, name, description, invite_only } = stream;
        let name_key = text::key(name);
        insert.execute(params![stream_id.0, realm_id.0, name, name_key, description, invite_only, now_s])?;
    }
    use_ids(tx, "stream", streams.last().map(|stream| stream.stream_id.0))
}

fn store_memberships(tx: &Transaction<'_>, realm_id: RealmId, rows: &[MembershipRow]) -> Result<(), Failure> {
    let mut begin = tx.prepare_cached(
        "INSERT INTO members (stream_id, user_id, from_sequence, to_sequence, realm_id)
         VALUES (?1, ?2, ?3, NULL, ?4)",
    )?;
    let mut end = tx.prepare_cached(
        "UPDATE members SET to_sequence = ?3
         WHERE realm_id = ?4 AND stream_id = ?1 AND user_id = ?2 AND to_sequence IS NULL",
    )?;
    for MembershipRow { stream_id, user_ids, sequence, begins } in rows {
        let statement = if *begins { &mut begin } else { &mut end };
        for user_id in user_ids {
            statement.execute(params![stream_id.0, user_id.0, sequence.0, realm_id.0])?;
        }
    }
    Ok(())
}

fn store_messages(tx: &Transaction<'_>, realm_id: RealmId, rows: &[MessageRow]) -> Result<(), Failure> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO messages (message_id, realm_id, sequence, sender_id, send_id, digest, stream_id, topic,
         topic_key, conversation_id, created_s, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for MessageRow { message, sequence, digest } in rows {
        let Message { message_id, sender_id, timestamp, to, content, send_id } = message;
        let (stream_id, topic, conversation_id) = match to {
            Destination::Stream { stream_id, topic } => (Some(stream_id.0), Some(topic), None),
            Destination::Direct { user_ids } => (None, None, Some(conversation(tx, realm_id, user_ids)?)),
        };
        let topic_key = topic.map(|topic| text::key(topic));
        insert.execute(params![
            message_id.0,
            realm_id.0,
            sequence.0,
            sender_id.0,
            send_id.as_str(),
            digest.0,
            stream_id,
            topic,
            topic_key,
            conversation_id,
            timestamp,
            content
        ])?;
    }
    use_ids(tx, "message", rows.last().map(|row| row.message.message_id.0))
}

/// The conversation of exactly these users, made if it is missing.
fn conversation(tx: &Transaction<'_>, realm_id: RealmId, user_ids: &[UserId]) -> Result<i64, Failure> {
    let users_key = users_key(user_ids);
    let mut find = tx
        .prepare_cached("SELECT conversation_id FROM conversations WHERE realm_id = ?1 AND users_key = ?2")?;
    let found = find.query_row(params![realm_id.0, users_key], |row| row.get(0)).optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    let mut insert = tx.prepare_cached("INSERT INTO conversations (realm_id, users_key) VALUES (?1, ?2)")?;
    let conversation_id = insert.insert(params![realm_id.0, users_key])?;
    let mut insert =
        tx.prepare_cached("INSERT INTO conversation_users (user_id, conversation_id) VALUES (?1, ?2)")?;
    for user_id in user_ids {
        insert.execute(params![user_id.0, conversation_id])?;
    }
    Ok(conversation_id)
}

fn store_events(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    events: &[EventRecord],
    now_s: u64,
) -> Result<(), Failure> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO events (realm_id, sequence, mark, kind, changes_state, audience, body, created_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for EventRecord { sequence, mark, kind, changes_state, audience, body } in events {
        let audience = serde_json::to_string(audience).map_err(|error| Failure::Row(error.to_string()))?;
        let body = std::str::from_utf8(body).map_err(|error| Failure::Row(error.to_string()))?;
        insert.execute(params![
            realm_id.0,
            sequence.0,
            mark.0,
            kind.0,
            changes_state,
            audience,
            body,
            now_s
        ])?;
    }
    Ok(())
}

/// Ids up to `last` are taken.
fn use_ids(tx: &Transaction<'_>, kind: &str, last: Option<u64>) -> Result<(), Failure> {
    if let Some(last) = last {
        let mut update = tx.prepare_cached("UPDATE counters SET next_id = ?2 WHERE kind = ?1")?;
        update.execute(params![kind, last + 1])?;
    }
    Ok(())
}
