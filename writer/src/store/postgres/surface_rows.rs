//! What became of messages, and what is users' own, stored. Rare beside sends: a statement at a time.

use squall_protocol::event::{Flag, Stream};
use squall_protocol::{MessageId, UserId};

use super::connection::{Connection, Parameter};
use super::failure::Failure;
use super::rows::{big, bigs};
use super::unread;
use crate::decide::{
    EditRow, FlagRow, MentionRow, MoveRow, ReactionRow, SettingRow, SubscriptionRow, SurfaceRows,
    TopicPolicyRow,
};
use crate::store::columns::{reaction_type_name, topic_place};
use crate::text;

/// All of it, after the messages themselves.
pub(super) async fn store(c: &Connection, rows: &SurfaceRows) -> Result<(), Failure> {
    let SurfaceRows {
        mentions,
        edits,
        moves,
        deleted,
        reactions,
        flags,
        topic_policies,
        subscriptions,
        settings,
        streams,
    } = rows;
    store_mentions(c, mentions).await?;
    for edit in edits {
        store_edit(c, edit).await?;
    }
    for moved in moves {
        store_move(c, moved).await?;
    }
    for reaction in reactions {
        store_reaction(c, reaction).await?;
    }
    for row in flags {
        store_flags(c, row).await?;
    }
    delete(c, deleted).await?;
    for policy in topic_policies {
        store_topic_policy(c, policy).await?;
    }
    for SubscriptionRow { user_id, stream_id, name, value } in subscriptions {
        c.execute(SUBSCRIPTION, [&big(user_id.0), &big(stream_id.0), name, value]).await?;
    }
    for SettingRow { user_id, name, value } in settings {
        c.execute(SETTING, [&big(user_id.0), name, value]).await?;
    }
    for Stream { stream_id, name, description, .. } in streams {
        c.execute(STREAM, [&big(stream_id.0), name, &text::key(name), description]).await?;
    }
    Ok(())
}

const MENTIONS: &str = "INSERT INTO mentions (message_id, user_id)
     SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING";

async fn store_mentions(c: &Connection, mentions: &[MentionRow]) -> Result<(), Failure> {
    if mentions.is_empty() {
        return Ok(());
    }
    let messages = bigs(mentions.iter().map(|row| row.message_id.0));
    let users = bigs(mentions.iter().map(|row| row.user_id.0));
    c.execute(MENTIONS, [&messages, &users]).await.map(drop)
}

const CONTENT: &str = "UPDATE messages SET content = $2, edited_s = $3 WHERE message_id = $1";

const CONTENT_BEFORE: &str =
    "INSERT INTO message_edits (message_id, sequence, actor_id, edited_s, content_before)
     VALUES ($1, $2, $3, $4, $5)";

const NO_MENTIONS: &str = "DELETE FROM mentions WHERE message_id = $1";

async fn store_edit(c: &Connection, edit: &EditRow) -> Result<(), Failure> {
    let EditRow { message_id, sequence, actor_id, edited_s, content, content_before, mentions } = edit;
    let (id, edited) = (big(message_id.0), big(*edited_s));
    c.execute(CONTENT, [&id, content, &edited]).await?;
    let before: [Parameter<'_>; 5] = [&id, &big(sequence.0), &big(actor_id.0), &edited, content_before];
    c.execute(CONTENT_BEFORE, before).await?;
    c.execute(NO_MENTIONS, [&id]).await?;
    store_mentions(c, mentions).await
}

const TOPIC: &str = "UPDATE messages SET topic = $2, topic_key = $3 WHERE message_id = ANY ($1)";

const TOPIC_BEFORE: &str = "INSERT INTO message_edits (message_id, sequence, actor_id, edited_s, topic_before)
     SELECT n.message_id, $2::bigint, $3::bigint, $4::bigint, $5::text FROM unnest($1::bigint[]) AS n (message_id)";

/// Whoever has a marker in the new topic keeps it.
const MARKERS: &str = "INSERT INTO read_markers (user_id, place, up_to)
     SELECT user_id, $2::text, up_to FROM read_markers WHERE place = $1 ON CONFLICT DO NOTHING";

async fn store_move(c: &Connection, moved: &MoveRow) -> Result<(), Failure> {
    let MoveRow { message_ids, sequence, actor_id, edited_s, stream_id, topic, topic_before, is_whole } =
        moved;
    let ids = bigs(message_ids.iter().map(|id| id.0));
    c.execute(TOPIC, [&ids, topic, &text::key(topic)]).await?;
    let before: [Parameter<'_>; 5] =
        [&ids, &big(sequence.0), &big(actor_id.0), &big(*edited_s), topic_before];
    c.execute(TOPIC_BEFORE, before).await?;
    if *is_whole && text::key(topic) != text::key(topic_before) {
        let (from, to) = (topic_place(*stream_id, topic_before), topic_place(*stream_id, topic));
        c.execute(MARKERS, [&from, &to]).await?;
    }
    Ok(())
}

const REACTION: &str = "INSERT INTO reactions (message_id, user_id, reaction_type, emoji_code, emoji_name)
     VALUES ($1, $2, $3, $4, $5)";

const NO_REACTION: &str = "DELETE FROM reactions
     WHERE message_id = $1 AND user_id = $2 AND reaction_type = $3 AND emoji_code = $4";

async fn store_reaction(c: &Connection, row: &ReactionRow) -> Result<(), Failure> {
    let ReactionRow { reaction, add } = row;
    let (message, user) = (big(reaction.message_id.0), big(reaction.user_id.0));
    let (kind, code) = (reaction_type_name(reaction.reaction_type), &reaction.emoji_code);
    if *add {
        let parameters: [Parameter<'_>; 5] = [&message, &user, &kind, code, &reaction.emoji_name];
        c.execute(REACTION, parameters).await.map(drop)
    } else {
        c.execute(NO_REACTION, [&message, &user, &kind, code]).await.map(drop)
    }
}

const STARS: &str = "INSERT INTO stars (user_id, message_id)
     SELECT $1::bigint, n.message_id FROM unnest($2::bigint[]) AS n (message_id) ON CONFLICT DO NOTHING";

const NO_STARS: &str = "DELETE FROM stars WHERE user_id = $1 AND message_id = ANY ($2)";

async fn store_flags(c: &Connection, row: &FlagRow) -> Result<(), Failure> {
    let FlagRow { user_id, flag, add, message_ids } = row;
    match (flag, add) {
        (Flag::Read, true) => unread::mark_read(c, *user_id, message_ids).await,
        (Flag::Read, false) => unread::mark_unread(c, *user_id, message_ids).await,
        (Flag::Starred, true) => star(c, STARS, *user_id, message_ids).await,
        (Flag::Starred, false) => star(c, NO_STARS, *user_id, message_ids).await,
    }
}

async fn star(c: &Connection, sql: &str, user_id: UserId, message_ids: &[MessageId]) -> Result<(), Failure> {
    c.execute(sql, [&big(user_id.0), &bigs(message_ids.iter().map(|id| id.0))]).await.map(drop)
}

/// The messages, and whatever hangs on them.
const DELETE: [&str; 6] = [
    "DELETE FROM messages WHERE message_id = ANY ($1)",
    "DELETE FROM message_edits WHERE message_id = ANY ($1)",
    "DELETE FROM reactions WHERE message_id = ANY ($1)",
    "DELETE FROM mentions WHERE message_id = ANY ($1)",
    "DELETE FROM stars WHERE message_id = ANY ($1)",
    "DELETE FROM read_exceptions WHERE message_id = ANY ($1)",
];

async fn delete(c: &Connection, message_ids: &[MessageId]) -> Result<(), Failure> {
    if message_ids.is_empty() {
        return Ok(());
    }
    let ids = bigs(message_ids.iter().map(|id| id.0));
    for sql in DELETE {
        c.execute(sql, [&ids]).await?;
    }
    Ok(())
}

const TOPIC_POLICY: &str =
    "INSERT INTO topic_policies (user_id, stream_id, topic_key, topic, policy, updated_s)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, stream_id, topic_key) DO UPDATE SET
     topic = excluded.topic, policy = excluded.policy, updated_s = excluded.updated_s";

async fn store_topic_policy(c: &Connection, row: &TopicPolicyRow) -> Result<(), Failure> {
    let TopicPolicyRow { user_id, stream_id, topic, policy, updated_s } = row;
    let policy = i32::try_from(*policy).unwrap_or(i32::MAX);
    let parameters: [Parameter<'_>; 6] =
        [&big(user_id.0), &big(stream_id.0), &text::key(topic), topic, &policy, &big(*updated_s)];
    c.execute(TOPIC_POLICY, parameters).await.map(drop)
}

const SUBSCRIPTION: &str = "INSERT INTO subscription_settings (user_id, stream_id, name, value)
     VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, stream_id, name) DO UPDATE SET value = excluded.value";

const SETTING: &str = "INSERT INTO user_settings (user_id, name, value) VALUES ($1, $2, $3)
     ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value";

const STREAM: &str = "UPDATE streams SET name = $2, name_key = $3, description = $4 WHERE stream_id = $1";
