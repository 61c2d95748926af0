//! What hangs on messages: flags of the viewer's, reactions, changes.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Transaction, params};
use squall_protocol::{MessageId, UserId};

use super::Failure;
use super::rows::json;
use super::surface::reaction_type;
use crate::store::clauses::{is_read, is_starred};
use crate::store::{EditedMessage, Extras, MessageReaction, StoredMessage};

/// Those of a page's messages.
pub(super) fn of(
    tx: &Transaction<'_>,
    viewer: UserId,
    messages: &[StoredMessage],
) -> Result<HashMap<MessageId, Extras>, Failure> {
    let ids: BTreeSet<MessageId> = messages.iter().map(|stored| stored.message.message_id).collect();
    let ids = json(ids)?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT m.message_id, {}, {}, m.edited_s FROM json_each(?1) AS a
         CROSS JOIN messages AS m ON m.message_id = a.value",
        is_read!("?2"),
        is_starred!("?2")
    ))?;
    let extras = select.query_map(params![ids, viewer.0], |row| {
        let extras =
            Extras { read: row.get(1)?, starred: row.get(2)?, edited_s: row.get(3)?, reactions: Vec::new() };
        Ok((MessageId(row.get(0)?), extras))
    })?;
    let mut extras: HashMap<MessageId, Extras> = extras.collect::<Result<_, _>>()?;
    let mut select = tx.prepare_cached(
        "SELECT r.message_id, r.user_id, r.emoji_name, r.emoji_code, r.reaction_type FROM json_each(?1) AS a
         CROSS JOIN reactions AS r ON r.message_id = a.value",
    )?;
    let mut rows = select.query([ids])?;
    while let Some(row) = rows.next()? {
        let reaction = MessageReaction {
            user_id: UserId(row.get(1)?),
            emoji_name: row.get(2)?,
            emoji_code: row.get(3)?,
            reaction_type: reaction_type(row, 4)?,
        };
        if let Some(extras) = extras.get_mut(&MessageId(row.get(0)?)) {
            extras.reactions.push(reaction);
        }
    }
    Ok(extras)
}

/// What became of a message, the oldest first.
pub(super) fn edits(tx: &Transaction<'_>, message_id: MessageId) -> Result<Vec<EditedMessage>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT actor_id, edited_s, content_before, topic_before FROM message_edits WHERE message_id = ?1
         ORDER BY sequence",
    )?;
    let edits = select.query_map([message_id.0], |row| {
        Ok(EditedMessage {
            actor_id: UserId(row.get(0)?),
            edited_s: row.get(1)?,
            content_before: row.get(2)?,
            topic_before: row.get(3)?,
        })
    })?;
    Ok(edits.collect::<Result<_, _>>()?)
}
