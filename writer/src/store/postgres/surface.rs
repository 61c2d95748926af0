//! What deciding about messages that are there, and about what is a user's own, must know. Rare beside sends: it
//! may take a few round trips.

use std::collections::{BTreeSet, HashMap, HashSet};

use squall_protocol::event::{ReactionType, User};
use squall_protocol::{MessageId, RealmId, Sequence, UserId};
use tokio_postgres::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::messages::{message_columns, message_from};
use super::rows::{
    all, big, bigs, column, message_id, optional_number, sequence, user, user_columns, user_id, wanted,
};
use super::unread;
use crate::change::MoveMode;
use crate::decide::{FlagState, Latecomer, MessageFacts, ReactionKey, SurfaceFacts, SurfaceNeeds};
use crate::limits::{FLAGGED_MAX, MOVED_MAX};
use crate::store::StoredMessage;
use crate::store::clauses::{is_read, is_starred, readable};
use crate::store::columns::{reaction_type_name, reaction_type_named};

/// The facts, in a transaction that holds the lock.
pub(super) async fn facts(
    c: &Connection,
    realm_id: RealmId,
    needs: &SurfaceNeeds,
) -> Result<SurfaceFacts, Failure> {
    let mut facts = SurfaceFacts::default();
    if needs.is_empty() {
        return Ok(facts);
    }
    messages(c, realm_id, &needs.messages, &mut facts).await?;
    moved(c, &needs.moved, &mut facts).await?;
    latecomers(c, realm_id, &mut facts).await?;
    facts.reactions = reactions(c, &needs.reactions).await?;
    facts.flags = flags(c, realm_id, &needs.flags).await?;
    for (user_id, scope) in &needs.unread {
        let unread = unread::oldest(c, realm_id, *user_id, scope, FLAGGED_MAX).await?;
        facts.unread.insert((*user_id, scope.clone()), unread);
    }
    facts.called = called(c, realm_id, &needs.names, &needs.named_ids).await?;
    Ok(facts)
}

const MESSAGES: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", a.user_id, ",
    readable!("a.user_id"),
    " FROM unnest($2::bigint[], $3::bigint[]) AS a (user_id, message_id)
     JOIN messages AS m ON m.message_id = a.message_id AND m.realm_id = $1
     LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id"
);

async fn messages(
    c: &Connection,
    realm_id: RealmId,
    asked: &BTreeSet<(UserId, MessageId)>,
    facts: &mut SurfaceFacts,
) -> Result<(), Failure> {
    if asked.is_empty() {
        return Ok(());
    }
    let (users, ids): (Vec<i64>, Vec<i64>) = asked.iter().map(|(user, id)| (big(user.0), big(id.0))).unzip();
    for row in &c.query(MESSAGES, [&big(realm_id.0), &users, &ids]).await? {
        let StoredMessage { message, sequence } = message_from(row)?;
        let message_id = message.message_id;
        if column(row, 11)? {
            facts.readable.insert((user_id(row, 10)?, message_id));
        }
        facts.messages.insert(message_id, MessageFacts { message, placed_at: sequence });
    }
    Ok(())
}

const OF_TOPIC: &str = "SELECT n.message_id, n.sequence FROM messages AS m
     JOIN messages AS n ON n.stream_id = m.stream_id AND n.topic_key = m.topic_key
     WHERE m.message_id = $1 AND n.message_id >= $2 ORDER BY n.message_id LIMIT $3";

async fn moved(
    c: &Connection,
    asked: &BTreeSet<(MessageId, MoveMode)>,
    facts: &mut SurfaceFacts,
) -> Result<(), Failure> {
    for (id, mode) in asked {
        let Some(known) = facts.messages.get(id) else { continue };
        let from = match mode {
            MoveMode::One => {
                facts.moved.insert((*id, *mode), vec![(*id, known.placed_at)]);
                continue;
            }
            MoveMode::Later => *id,
            MoveMode::All => MessageId(0),
        };
        let limit = big(MOVED_MAX as u64 + 1);
        let rows = c.query(OF_TOPIC, [&big(id.0), &big(from.0), &limit]).await?;
        let found = all(&rows, |row| Ok((message_id(row, 0)?, sequence(row, 1)?)))?;
        facts.moved.insert((*id, *mode), found);
    }
    Ok(())
}

const LATECOMERS: &str = "SELECT i.user_id, i.from_sequence, i.to_sequence FROM members AS i
     WHERE i.stream_id = $1 AND i.user_id IN (
         SELECT m.user_id FROM members AS m JOIN streams AS s ON s.stream_id = m.stream_id
         JOIN users AS u ON u.user_id = m.user_id
         WHERE m.stream_id = $1 AND m.from_sequence > $2 AND m.to_sequence IS NULL
         AND (s.invite_only OR u.role = 'guest'))
     ORDER BY i.user_id";

const MEMBERS: &str = "SELECT user_id FROM members
     WHERE realm_id = $1 AND stream_id = $2 AND to_sequence IS NULL ORDER BY user_id";

async fn latecomers(c: &Connection, realm_id: RealmId, facts: &mut SurfaceFacts) -> Result<(), Failure> {
    for (stream_id, oldest) in facts.oldest_of_streams() {
        let stream = big(stream_id.0);
        let mut latecomers: Vec<Latecomer> = Vec::new();
        for row in &c.query(LATECOMERS, [&stream, &big(oldest.0)]).await? {
            let user_id = user_id(row, 0)?;
            let interval = (sequence(row, 1)?, optional_number(row, 2)?.map(Sequence));
            match latecomers.last_mut().filter(|last| last.user_id == user_id) {
                Some(last) => last.intervals.push(interval),
                None => latecomers.push(Latecomer { user_id, intervals: vec![interval] }),
            }
        }
        if !latecomers.is_empty() {
            let rows = c.query(MEMBERS, [&big(realm_id.0), &stream]).await?;
            facts.members.insert(stream_id, all(&rows, |row| user_id(row, 0))?);
            facts.latecomers.insert(stream_id, latecomers);
        }
    }
    Ok(())
}

const REACTIONS: &str = "SELECT r.message_id, r.user_id, r.reaction_type, r.emoji_code
     FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
     AS a (message_id, user_id, reaction_type, emoji_code)
     JOIN reactions AS r USING (message_id, user_id, reaction_type, emoji_code)";

async fn reactions(c: &Connection, asked: &BTreeSet<ReactionKey>) -> Result<HashSet<ReactionKey>, Failure> {
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let messages = bigs(asked.iter().map(|key| key.0.0));
    let users = bigs(asked.iter().map(|key| key.1.0));
    let kinds: Vec<&str> = asked.iter().map(|key| reaction_type_name(key.2)).collect();
    let codes: Vec<String> = asked.iter().map(|key| wanted(&key.3)).collect();
    let rows = c.query(REACTIONS, [&messages, &users, &kinds, &codes]).await?;
    all(&rows, |row| Ok((message_id(row, 0)?, user_id(row, 1)?, reaction_type(row, 2)?, column(row, 3)?)))
}

const FLAGS: &str = concat!(
    "SELECT a.user_id, m.message_id, ",
    is_read!("a.user_id"),
    ", ",
    is_starred!("a.user_id"),
    " FROM unnest($2::bigint[], $3::bigint[]) AS a (user_id, message_id)
     JOIN messages AS m ON m.message_id = a.message_id AND m.realm_id = $1 WHERE ",
    readable!("a.user_id")
);

async fn flags(
    c: &Connection,
    realm_id: RealmId,
    asked: &BTreeSet<(UserId, MessageId)>,
) -> Result<HashMap<(UserId, MessageId), FlagState>, Failure> {
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let (users, ids): (Vec<i64>, Vec<i64>) = asked.iter().map(|(user, id)| (big(user.0), big(id.0))).unzip();
    let rows = c.query(FLAGS, [&big(realm_id.0), &users, &ids]).await?;
    all(&rows, |row| {
        let state = FlagState { read: column(row, 2)?, starred: column(row, 3)? };
        Ok(((user_id(row, 0)?, message_id(row, 1)?), state))
    })
}

const CALLED: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users AS u WHERE u.realm_id = $1 AND u.full_name = ANY ($2)
     UNION SELECT ",
    user_columns!(),
    " FROM users AS u WHERE u.realm_id = $1 AND u.user_id = ANY ($3)"
);

async fn called(
    c: &Connection,
    realm_id: RealmId,
    names: &BTreeSet<String>,
    ids: &BTreeSet<UserId>,
) -> Result<HashMap<UserId, User>, Failure> {
    if names.is_empty() && ids.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<String> = names.iter().map(|name| wanted(name)).collect();
    let rows = c.query(CALLED, [&big(realm_id.0), &names, &bigs(ids.iter().map(|id| id.0))]).await?;
    all(&rows, |row| user(row).map(|user| (user.user_id, user)))
}

/// The kind of a reaction's emoji in a column.
pub(super) fn reaction_type(row: &Row, index: usize) -> Result<ReactionType, Failure> {
    let name: &str = column(row, index)?;
    reaction_type_named(name).ok_or_else(|| Failure::Row(format!("no kind of emoji: {name}")))
}
