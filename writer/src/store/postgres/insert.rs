//! A decision's rows: one statement a kind, all in one round trip.

mod membership_changes;

use std::collections::BTreeMap;

use squall_protocol::event::{Message, Stream, User};
use squall_protocol::{Destination, RealmId, Sequence, UserId};

use super::connection::{Connection, Parameter};
use super::failure::Failure;
use super::rows::{big, bigs};
use super::surface_rows;
use crate::decide::{Decision, MessageRow, Rows};
use crate::secret::KeyHash;
use crate::store::columns::{role_name, users_key};
use crate::text;
use membership_changes::MembershipChanges;

/// Statements to have ready: they must go out together, before the commit.
pub(super) const STATEMENTS: [&str; 10] = [
    USERS,
    CHANGED_USERS,
    CHANGED_KEYS,
    STREAMS,
    ENDED_MEMBERSHIPS,
    BEGUN_MEMBERSHIPS,
    CONVERSATIONS,
    MESSAGES,
    EVENTS,
    HEAD,
];

const USERS: &str = "INSERT INTO users
     (realm_id, created_s, user_id, email, email_key, full_name, role, is_bot, is_active, key_hash)
     SELECT $1, $2, n.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[],
     $9::boolean[], $10::bytea[]) AS n";

const CHANGED_USERS: &str = "UPDATE users AS u SET full_name = n.full_name, role = n.role,
     is_active = n.is_active, credential_changed = greatest(u.credential_changed, n.credential_changed)
     FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::bigint[])
     AS n (user_id, full_name, role, is_active, credential_changed) WHERE u.user_id = n.user_id";

const CHANGED_KEYS: &str = "UPDATE users AS u SET key_hash = n.key_hash,
     credential_changed = greatest(u.credential_changed, n.credential_changed)
     FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS n (user_id, key_hash, credential_changed)
     WHERE u.user_id = n.user_id";

const STREAMS: &str = "INSERT INTO streams
     (realm_id, created_s, stream_id, name, name_key, description, invite_only)
     SELECT $1, $2, n.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::boolean[]) AS n";

const ENDED_MEMBERSHIPS: &str = "UPDATE members AS m SET to_sequence = n.to_sequence
     FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS n (stream_id, user_id, to_sequence)
     WHERE m.realm_id = $1 AND m.stream_id = n.stream_id AND m.user_id = n.user_id AND m.to_sequence IS NULL";

const BEGUN_MEMBERSHIPS: &str = "INSERT INTO members
     (realm_id, stream_id, user_id, from_sequence, to_sequence)
     SELECT $1, n.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS n";

/// Those that are missing, each with its users.
const CONVERSATIONS: &str = "WITH made AS (
         INSERT INTO conversations (realm_id, users_key)
         SELECT $1, n.users_key FROM unnest($2::text[]) AS n (users_key)
         WHERE NOT EXISTS (SELECT 1 FROM conversations AS c WHERE c.realm_id = $1 AND c.users_key = n.users_key)
         RETURNING conversation_id, users_key)
     INSERT INTO conversation_users (user_id, conversation_id)
     SELECT unnest(string_to_array(users_key, ',')::bigint[]), conversation_id FROM made";

const MESSAGES: &str = "INSERT INTO messages (realm_id, message_id, sequence, sender_id, send_id, digest,
     stream_id, topic, topic_key, conversation_id, created_s, content)
     SELECT $1, n.message_id, n.sequence, n.sender_id, n.send_id, n.digest, n.stream_id, n.topic, n.topic_key,
     (SELECT c.conversation_id FROM conversations AS c WHERE c.realm_id = $1 AND c.users_key = n.users_key),
     n.created_s, n.content
     FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[], $7::bigint[], $8::text[],
     $9::text[], $10::text[], $11::bigint[], $12::text[]) AS n (message_id, sequence, sender_id, send_id, digest,
     stream_id, topic, topic_key, users_key, created_s, content)";

const EVENTS: &str = "INSERT INTO events
     (realm_id, created_s, sequence, mark, kind, changes_state, audience, body)
     SELECT $1, $2, n.* FROM unnest($3::bigint[], $4::bigint[], $5::integer[], $6::boolean[], $7::text[],
     $8::text[]) AS n";

const HEAD: &str = "UPDATE realms SET head_sequence = $2, head_mark = $3 WHERE realm_id = $1";

/// Polled once, all is on its way; done, all is stored and nothing committed.
pub(super) async fn insert(
    c: &Connection,
    realm_id: RealmId,
    decision: &Decision,
    now_s: u64,
) -> Result<(), Failure> {
    let Rows { users, changed_users, changed_keys, streams, memberships, messages, surface, events } =
        &decision.rows;
    let (realm, now) = (big(realm_id.0), big(now_s));
    let changes = MembershipChanges::of(memberships);
    let (sequence, mark) = (big(decision.head.sequence.0), i64::from(decision.head.mark.0));
    tokio::try_join!(
        biased;
        insert_users(c, realm, now, users),
        change_users(c, changed_users),
        change_keys(c, changed_keys),
        insert_streams(c, realm, now, streams),
        end_memberships(c, realm, &changes),
        begin_memberships(c, realm, &changes),
        insert_conversations(c, realm, messages),
        insert_messages(c, realm, messages),
        insert_events(c, realm, now, decision),
        store(c, !events.is_empty(), HEAD, [&realm, &sequence, &mark]),
    )?;
    surface_rows::store(c, surface).await
}

/// Nothing, if there are no rows.
async fn store<const N: usize>(
    c: &Connection,
    any: bool,
    sql: &str,
    parameters: [Parameter<'_>; N],
) -> Result<(), Failure> {
    if any {
        c.execute(sql, parameters).await?;
    }
    Ok(())
}

async fn insert_users(
    c: &Connection,
    realm: i64,
    now: i64,
    users: &[(User, KeyHash)],
) -> Result<(), Failure> {
    let each = || users.iter().map(|(user, _)| user);
    let ids = bigs(each().map(|user| user.user_id.0));
    let emails: Vec<&str> = each().map(|user| user.email.as_str()).collect();
    let email_keys: Vec<String> = each().map(|user| text::key(&user.email)).collect();
    let names: Vec<&str> = each().map(|user| user.full_name.as_str()).collect();
    let roles: Vec<&str> = each().map(|user| role_name(user.role)).collect();
    let bots: Vec<bool> = each().map(|user| user.is_bot).collect();
    let active: Vec<bool> = each().map(|user| user.is_active).collect();
    let keys: Vec<&[u8]> = users.iter().map(|(_, key)| &key.0[..]).collect();
    let parameters: [Parameter<'_>; 10] =
        [&realm, &now, &ids, &emails, &email_keys, &names, &roles, &bots, &active, &keys];
    store(c, !users.is_empty(), USERS, parameters).await
}

/// Of a user who is changed more than once the last state counts, and the last change of credential.
async fn change_users(c: &Connection, users: &[(User, Option<Sequence>)]) -> Result<(), Failure> {
    let mut last: BTreeMap<UserId, (&User, Sequence)> = BTreeMap::new();
    for (user, credential_changed) in users {
        let before = last.get(&user.user_id).map_or(Sequence::ZERO, |(_, sequence)| *sequence);
        last.insert(user.user_id, (user, credential_changed.unwrap_or(before)));
    }
    let ids = bigs(last.keys().map(|user_id| user_id.0));
    let names: Vec<&str> = last.values().map(|(user, _)| user.full_name.as_str()).collect();
    let roles: Vec<&str> = last.values().map(|(user, _)| role_name(user.role)).collect();
    let active: Vec<bool> = last.values().map(|(user, _)| user.is_active).collect();
    let changed = bigs(last.values().map(|(_, sequence)| sequence.0));
    store(c, !ids.is_empty(), CHANGED_USERS, [&ids, &names, &roles, &active, &changed]).await
}

/// Of a user whose key is changed more than once the last counts.
async fn change_keys(c: &Connection, keys: &[(UserId, KeyHash, Sequence)]) -> Result<(), Failure> {
    let last: BTreeMap<UserId, (&KeyHash, Sequence)> =
        keys.iter().map(|(user_id, key, sequence)| (*user_id, (key, *sequence))).collect();
    let ids = bigs(last.keys().map(|user_id| user_id.0));
    let hashes: Vec<&[u8]> = last.values().map(|(key, _)| &key.0[..]).collect();
    let changed = bigs(last.values().map(|(_, sequence)| sequence.0));
    store(c, !ids.is_empty(), CHANGED_KEYS, [&ids, &hashes, &changed]).await
}

async fn insert_streams(c: &Connection, realm: i64, now: i64, streams: &[Stream]) -> Result<(), Failure> {
    let ids = bigs(streams.iter().map(|stream| stream.stream_id.0));
    let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
    let keys: Vec<String> = names.iter().map(|name| text::key(name)).collect();
    let descriptions: Vec<&str> = streams.iter().map(|stream| stream.description.as_str()).collect();
    let invite_only: Vec<bool> = streams.iter().map(|stream| stream.invite_only).collect();
    let parameters: [Parameter<'_>; 7] = [&realm, &now, &ids, &names, &keys, &descriptions, &invite_only];
    store(c, !ids.is_empty(), STREAMS, parameters).await
}

async fn end_memberships(c: &Connection, realm: i64, changes: &MembershipChanges) -> Result<(), Failure> {
    let streams = bigs(changes.ended.iter().map(|ended| ended.stream_id.0));
    let users = bigs(changes.ended.iter().map(|ended| ended.user_id.0));
    let to = bigs(changes.ended.iter().map(|ended| ended.to.0));
    store(c, !to.is_empty(), ENDED_MEMBERSHIPS, [&realm, &streams, &users, &to]).await
}

async fn begin_memberships(c: &Connection, realm: i64, changes: &MembershipChanges) -> Result<(), Failure> {
    let streams = bigs(changes.begun.iter().map(|begun| begun.stream_id.0));
    let users = bigs(changes.begun.iter().map(|begun| begun.user_id.0));
    let from = bigs(changes.begun.iter().map(|begun| begun.from.0));
    let to: Vec<Option<i64>> = changes.begun.iter().map(|begun| begun.to.map(|to| big(to.0))).collect();
    store(c, !from.is_empty(), BEGUN_MEMBERSHIPS, [&realm, &streams, &users, &from, &to]).await
}

async fn insert_conversations(c: &Connection, realm: i64, rows: &[MessageRow]) -> Result<(), Failure> {
    let mut keys: Vec<String> = rows.iter().filter_map(|row| conversation(&row.message.to)).collect();
    keys.sort_unstable();
    keys.dedup();
    store(c, !keys.is_empty(), CONVERSATIONS, [&realm, &keys]).await
}

async fn insert_messages(c: &Connection, realm: i64, rows: &[MessageRow]) -> Result<(), Failure> {
    let each = || rows.iter().map(|row| &row.message);
    let ids = bigs(each().map(|message| message.message_id.0));
    let sequences = bigs(rows.iter().map(|row| row.sequence.0));
    let senders = bigs(each().map(|message| message.sender_id.0));
    let send_ids: Vec<&str> = each().map(|message| message.send_id.as_str()).collect();
    let digests: Vec<&[u8]> = rows.iter().map(|row| &row.digest.0[..]).collect();
    let streams: Vec<Option<i64>> =
        each().map(|message| stream_and_topic(message).map(|(stream, _)| stream)).collect();
    let topics: Vec<Option<&str>> =
        each().map(|message| stream_and_topic(message).map(|(_, topic)| topic)).collect();
    let topic_keys: Vec<Option<String>> = topics.iter().map(|topic| topic.map(text::key)).collect();
    let conversations: Vec<Option<String>> = each().map(|message| conversation(&message.to)).collect();
    let times = bigs(each().map(|message| message.timestamp));
    let contents: Vec<&str> = each().map(|message| message.content.as_str()).collect();
    let parameters: [Parameter<'_>; 12] = [
        &realm,
        &ids,
        &sequences,
        &senders,
        &send_ids,
        &digests,
        &streams,
        &topics,
        &topic_keys,
        &conversations,
        &times,
        &contents,
    ];
    store(c, !ids.is_empty(), MESSAGES, parameters).await
}

fn stream_and_topic(message: &Message) -> Option<(i64, &str)> {
    match &message.to {
        Destination::Stream { stream_id, topic } => Some((big(stream_id.0), topic)),
        Destination::Direct { .. } => None,
    }
}

fn conversation(to: &Destination) -> Option<String> {
    match to {
        Destination::Stream { .. } => None,
        Destination::Direct { user_ids } => Some(users_key(user_ids)),
    }
}

async fn insert_events(c: &Connection, realm: i64, now: i64, decision: &Decision) -> Result<(), Failure> {
    let events = &decision.rows.events;
    let wrong = |error: &dyn std::fmt::Display| Failure::Row(error.to_string());
    let sequences = bigs(events.iter().map(|event| event.sequence.0));
    let marks = bigs(events.iter().map(|event| event.mark.0));
    let kinds: Vec<i32> = events.iter().map(|event| i32::from(event.kind.0)).collect();
    let changes_state: Vec<bool> = events.iter().map(|event| event.changes_state).collect();
    let audience = |event: &squall_protocol::link::EventRecord| {
        serde_json::to_string(&event.audience).map_err(|error| wrong(&error))
    };
    let audiences: Vec<String> = events.iter().map(audience).collect::<Result<_, _>>()?;
    let body = |event: &'_ squall_protocol::link::EventRecord| {
        std::str::from_utf8(&event.body).map(str::to_owned).map_err(|error| wrong(&error))
    };
    let bodies: Vec<String> = events.iter().map(body).collect::<Result<_, _>>()?;
    let parameters: [Parameter<'_>; 8] =
        [&realm, &now, &sequences, &marks, &kinds, &changes_state, &audiences, &bodies];
    store(c, !events.is_empty(), EVENTS, parameters).await
}
