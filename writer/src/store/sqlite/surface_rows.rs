//! What became of messages, and what is users' own, stored.

use rusqlite::{Transaction, params};
use squall_protocol::event::{Flag, Stream};
use squall_protocol::{MessageId, UserId};

use super::rows::json;
use super::{Failure, unread};
use crate::decide::{
    EditRow, FlagRow, MentionRow, MoveRow, ReactionRow, SettingRow, SubscriptionRow, SurfaceRows,
    TopicPolicyRow,
};
use crate::store::columns::{reaction_type_name, topic_place};
use crate::text;

/// All of it, after the messages themselves.
pub(super) fn store(tx: &Transaction<'_>, rows: &SurfaceRows) -> Result<(), Failure> {
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
    store_mentions(tx, mentions)?;
    edits.iter().try_for_each(|edit| store_edit(tx, edit))?;
    moves.iter().try_for_each(|moved| store_move(tx, moved))?;
    reactions.iter().try_for_each(|reaction| store_reaction(tx, reaction))?;
    flags.iter().try_for_each(|flags| store_flags(tx, flags))?;
    delete(tx, deleted)?;
    topic_policies.iter().try_for_each(|policy| store_topic_policy(tx, policy))?;
    subscriptions.iter().try_for_each(|setting| store_subscription(tx, setting))?;
    settings.iter().try_for_each(|setting| store_setting(tx, setting))?;
    streams.iter().try_for_each(|stream| update_stream(tx, stream))
}

fn store_mentions(tx: &Transaction<'_>, mentions: &[MentionRow]) -> Result<(), Failure> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO mentions (message_id, user_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for MentionRow { message_id, user_id } in mentions {
        insert.execute(params![message_id.0, user_id.0])?;
    }
    Ok(())
}

fn store_edit(tx: &Transaction<'_>, edit: &EditRow) -> Result<(), Failure> {
    let EditRow { message_id, sequence, actor_id, edited_s, content, content_before, mentions } = edit;
    tx.prepare_cached("UPDATE messages SET content = ?2, edited_s = ?3 WHERE message_id = ?1")?
        .execute(params![message_id.0, content, edited_s])?;
    tx.prepare_cached(
        "INSERT INTO message_edits (message_id, sequence, actor_id, edited_s, content_before)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![message_id.0, sequence.0, actor_id.0, edited_s, content_before])?;
    tx.prepare_cached("DELETE FROM mentions WHERE message_id = ?1")?.execute([message_id.0])?;
    store_mentions(tx, mentions)
}

fn store_move(tx: &Transaction<'_>, moved: &MoveRow) -> Result<(), Failure> {
    let MoveRow { message_ids, sequence, actor_id, edited_s, stream_id, topic, topic_before, is_whole } =
        moved;
    let ids = json(message_ids)?;
    tx.prepare_cached(
        "UPDATE messages SET topic = ?2, topic_key = ?3 WHERE message_id IN (SELECT value FROM json_each(?1))",
    )?
    .execute(params![ids, topic, text::key(topic)])?;
    tx.prepare_cached(
        "INSERT INTO message_edits (message_id, sequence, actor_id, edited_s, topic_before)
         SELECT value, ?2, ?3, ?4, ?5 FROM json_each(?1)",
    )?
    .execute(params![ids, sequence.0, actor_id.0, edited_s, topic_before])?;
    if *is_whole && text::key(topic) != text::key(topic_before) {
        // Whoever has a marker in the new topic keeps it.
        tx.prepare_cached(
            "INSERT INTO read_markers (user_id, place, up_to) SELECT user_id, ?2, up_to FROM read_markers
             WHERE place = ?1 ON CONFLICT DO NOTHING",
        )?
        .execute(params![topic_place(*stream_id, topic_before), topic_place(*stream_id, topic)])?;
    }
    Ok(())
}

fn store_reaction(tx: &Transaction<'_>, row: &ReactionRow) -> Result<(), Failure> {
    let ReactionRow { reaction, add } = row;
    let kind = reaction_type_name(reaction.reaction_type);
    let (message_id, user_id, code) = (reaction.message_id.0, reaction.user_id.0, &reaction.emoji_code);
    if *add {
        let mut insert = tx.prepare_cached(
            "INSERT INTO reactions (message_id, user_id, reaction_type, emoji_code, emoji_name)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        insert.execute(params![message_id, user_id, kind, code, reaction.emoji_name])?;
    } else {
        let mut delete = tx.prepare_cached(
            "DELETE FROM reactions WHERE message_id = ?1 AND user_id = ?2 AND reaction_type = ?3
             AND emoji_code = ?4",
        )?;
        delete.execute(params![message_id, user_id, kind, code])?;
    }
    Ok(())
}

fn store_flags(tx: &Transaction<'_>, row: &FlagRow) -> Result<(), Failure> {
    let FlagRow { user_id, flag, add, message_ids } = row;
    match (flag, add) {
        (Flag::Read, true) => unread::mark_read(tx, *user_id, message_ids),
        (Flag::Read, false) => unread::mark_unread(tx, *user_id, message_ids),
        (Flag::Starred, true) => store_stars(tx, *user_id, message_ids),
        (Flag::Starred, false) => {
            tx.prepare_cached(
                "DELETE FROM stars WHERE user_id = ?1 AND message_id IN (SELECT value FROM json_each(?2))",
            )?
            .execute(params![user_id.0, json(message_ids)?])?;
            Ok(())
        }
    }
}

fn store_stars(tx: &Transaction<'_>, user_id: UserId, message_ids: &[MessageId]) -> Result<(), Failure> {
    tx.prepare_cached(
        "INSERT INTO stars (user_id, message_id) SELECT ?1, value FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![user_id.0, json(message_ids)?])?;
    Ok(())
}

/// The messages, and whatever hangs on them.
fn delete(tx: &Transaction<'_>, message_ids: &[MessageId]) -> Result<(), Failure> {
    if message_ids.is_empty() {
        return Ok(());
    }
    let ids = json(message_ids)?;
    for table in ["messages", "message_edits", "reactions", "mentions", "stars", "read_exceptions"] {
        tx.prepare_cached(&format!(
            "DELETE FROM {table} WHERE message_id IN (SELECT value FROM json_each(?1))"
        ))?
        .execute([&ids])?;
    }
    Ok(())
}

fn store_topic_policy(tx: &Transaction<'_>, row: &TopicPolicyRow) -> Result<(), Failure> {
    let TopicPolicyRow { user_id, stream_id, topic, policy, updated_s } = row;
    tx.prepare_cached(
        "INSERT INTO topic_policies (user_id, stream_id, topic_key, topic, policy, updated_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
         topic = excluded.topic, policy = excluded.policy, updated_s = excluded.updated_s",
    )?
    .execute(params![user_id.0, stream_id.0, text::key(topic), topic, policy, updated_s])?;
    Ok(())
}

fn store_subscription(tx: &Transaction<'_>, row: &SubscriptionRow) -> Result<(), Failure> {
    let SubscriptionRow { user_id, stream_id, name, value } = row;
    tx.prepare_cached(
        "INSERT INTO subscription_settings (user_id, stream_id, name, value) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![user_id.0, stream_id.0, name, value])?;
    Ok(())
}

fn store_setting(tx: &Transaction<'_>, row: &SettingRow) -> Result<(), Failure> {
    let SettingRow { user_id, name, value } = row;
    tx.prepare_cached(
        "INSERT INTO user_settings (user_id, name, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![user_id.0, name, value])?;
    Ok(())
}

fn update_stream(tx: &Transaction<'_>, stream: &Stream) -> Result<(), Failure> {
    let Stream { stream_id, name, description, .. } = stream;
    tx.prepare_cached("UPDATE streams SET name = ?2, name_key = ?3, description = ?4 WHERE stream_id = ?1")?
        .execute(params![stream_id.0, name, text::key(name), description])?;
    Ok(())
}
