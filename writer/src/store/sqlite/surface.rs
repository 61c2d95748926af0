//! What deciding about messages that are there, and about what is a user's own, must know.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use squall_protocol::event::{ReactionType, User};
use squall_protocol::{MessageId, RealmId, Sequence, UserId};

use super::messages::{MESSAGE, message as message_row};
use super::rows::{USER, json, user};
use super::{Failure, unread};
use crate::change::MoveMode;
use crate::decide::{FlagState, Latecomer, MessageFacts, ReactionKey, SurfaceFacts, SurfaceNeeds};
use crate::limits::{FLAGGED_MAX, MOVED_MAX};
use crate::store::StoredMessage;
use crate::store::clauses::{is_read, is_starred, readable};
use crate::store::columns::{reaction_type_name, reaction_type_named};

/// The facts, in a transaction that holds the lock.
pub(super) fn facts(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    needs: &SurfaceNeeds,
) -> Result<SurfaceFacts, Failure> {
    let mut facts = SurfaceFacts::default();
    if needs.is_empty() {
        return Ok(facts);
    }
    messages(tx, realm_id, &needs.messages, &mut facts)?;
    moved(tx, &needs.moved, &mut facts)?;
    latecomers(tx, realm_id, &mut facts)?;
    facts.reactions = reactions(tx, &needs.reactions)?;
    facts.flags = flags(tx, realm_id, &needs.flags)?;
    for (user_id, scope) in &needs.unread {
        let unread = unread::oldest(tx, realm_id, *user_id, scope, FLAGGED_MAX)?;
        facts.unread.insert((*user_id, scope.clone()), unread);
    }
    facts.called = called(tx, realm_id, &needs.names, &needs.named_ids)?;
    Ok(facts)
}

fn messages(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    asked: &BTreeSet<(UserId, MessageId)>,
    facts: &mut SurfaceFacts,
) -> Result<(), Failure> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {MESSAGE}, {} FROM messages AS m
         LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
         WHERE m.message_id = ?1 AND m.realm_id = ?3",
        readable!("?2")
    ))?;
    for (user_id, message_id) in asked {
        let mut rows = select.query(params![message_id.0, user_id.0, realm_id.0])?;
        let Some(row) = rows.next()? else { continue };
        let StoredMessage { message, sequence } = message_row(row)?;
        if row.get(10)? {
            facts.readable.insert((*user_id, *message_id));
        }
        facts.messages.insert(*message_id, MessageFacts { message, placed_at: sequence });
    }
    Ok(())
}

fn moved(
    tx: &Transaction<'_>,
    asked: &BTreeSet<(MessageId, MoveMode)>,
    facts: &mut SurfaceFacts,
) -> Result<(), Failure> {
    let mut of_topic = tx.prepare_cached(
        "SELECT n.message_id, n.sequence FROM messages AS m JOIN messages AS n
         ON n.stream_id = m.stream_id AND n.topic_key = m.topic_key
         WHERE m.message_id = ?1 AND n.message_id >= ?2 ORDER BY n.message_id LIMIT ?3",
    )?;
    for (message_id, mode) in asked {
        let Some(known) = facts.messages.get(message_id) else { continue };
        let from = match mode {
            MoveMode::One => {
                facts.moved.insert((*message_id, *mode), vec![(*message_id, known.placed_at)]);
                continue;
            }
            MoveMode::Later => *message_id,
            MoveMode::All => MessageId(0),
        };
        let row = |row: &Row<'_>| Ok((MessageId(row.get(0)?), Sequence(row.get(1)?)));
        let found = of_topic.query_map(params![message_id.0, from.0, MOVED_MAX + 1], row)?;
        let found: Vec<_> = found.collect::<Result<_, _>>()?;
        facts.moved.insert((*message_id, *mode), found);
    }
    Ok(())
}

fn latecomers(tx: &Transaction<'_>, realm_id: RealmId, facts: &mut SurfaceFacts) -> Result<(), Failure> {
    let mut came = tx.prepare_cached(
        "SELECT DISTINCT m.user_id FROM members AS m JOIN streams AS s USING (stream_id)
         JOIN users AS u ON u.user_id = m.user_id
         WHERE m.stream_id = ?1 AND m.from_sequence > ?2 AND m.to_sequence IS NULL
         AND (s.invite_only OR u.role = 'guest')",
    )?;
    let mut intervals = tx.prepare_cached(
        "SELECT from_sequence, to_sequence FROM members WHERE stream_id = ?1 AND user_id = ?2",
    )?;
    for (stream_id, oldest) in facts.oldest_of_streams() {
        let users = came.query_map([stream_id.0, oldest.0], |row| Ok(UserId(row.get(0)?)))?;
        let mut latecomers = Vec::new();
        for user_id in users.collect::<Result<Vec<_>, _>>()? {
            let interval =
                |row: &Row<'_>| Ok((Sequence(row.get(0)?), row.get::<_, Option<u64>>(1)?.map(Sequence)));
            let found = intervals.query_map(params![stream_id.0, user_id.0], interval)?;
            latecomers.push(Latecomer { user_id, intervals: found.collect::<Result<_, _>>()? });
        }
        if !latecomers.is_empty() {
            let members = super::streams::members_of(tx, realm_id, stream_id)?;
            facts.members.insert(stream_id, members);
            facts.latecomers.insert(stream_id, latecomers);
        }
    }
    Ok(())
}

fn reactions(tx: &Transaction<'_>, asked: &BTreeSet<ReactionKey>) -> Result<HashSet<ReactionKey>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT 1 FROM reactions WHERE message_id = ?1 AND user_id = ?2 AND reaction_type = ?3
         AND emoji_code = ?4",
    )?;
    let mut found = HashSet::new();
    for key in asked {
        let (message_id, user_id, kind, code) = key;
        if select.exists(params![message_id.0, user_id.0, reaction_type_name(*kind), code])? {
            found.insert(key.clone());
        }
    }
    Ok(found)
}

fn flags(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    asked: &BTreeSet<(UserId, MessageId)>,
) -> Result<HashMap<(UserId, MessageId), FlagState>, Failure> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {}, {} FROM messages AS m WHERE m.message_id = ?1 AND m.realm_id = ?3 AND {}",
        is_read!("?2"),
        is_starred!("?2"),
        readable!("?2")
    ))?;
    let mut found = HashMap::new();
    for (user_id, message_id) in asked {
        let state = select.query_row(params![message_id.0, user_id.0, realm_id.0], |row| {
            Ok(FlagState { read: row.get(0)?, starred: row.get(1)? })
        });
        if let Some(state) = state.optional()? {
            found.insert((*user_id, *message_id), state);
        }
    }
    Ok(found)
}

fn called(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    names: &BTreeSet<String>,
    ids: &BTreeSet<UserId>,
) -> Result<HashMap<UserId, User>, Failure> {
    if names.is_empty() && ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = tx.prepare_cached(&format!(
        "SELECT {USER} FROM users AS u WHERE u.realm_id = ?1
         AND u.full_name IN (SELECT value FROM json_each(?2))
         UNION SELECT {USER} FROM users AS u WHERE u.realm_id = ?1
         AND u.user_id IN (SELECT value FROM json_each(?3))"
    ))?;
    let users = select.query_map(params![realm_id.0, json(names)?, json(ids)?], user)?;
    users.map(|user| Ok(user.map(|user| (user.user_id, user))?)).collect()
}

/// The kind of a reaction's emoji in a column.
pub(super) fn reaction_type(row: &Row<'_>, column: usize) -> Result<ReactionType, Failure> {
    let name: String = row.get(column)?;
    reaction_type_named(&name).ok_or_else(|| Failure::Row(format!("no kind of emoji: {name}")))
}
