//! What hangs on messages: flags of the viewer's, reactions, changes.

use std::collections::HashMap;

use squall_protocol::MessageId;
use tokio_postgres::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::rows::{all, big, column, message_id, number, optional_number, user_id};
use super::surface::reaction_type;
use crate::store::clauses::{is_read, is_starred};
use crate::store::{EditedMessage, Extras, MessageReaction};

/// Flags of user $2 on messages $1.
pub(super) const FLAGS: &str = concat!(
    "SELECT m.message_id, ",
    is_read!("$2"),
    ", ",
    is_starred!("$2"),
    ", m.edited_s FROM messages AS m WHERE m.message_id = ANY ($1)"
);

/// Reactions to messages $1.
pub(super) const REACTIONS: &str = "SELECT message_id, user_id, emoji_name, emoji_code, reaction_type
     FROM reactions WHERE message_id = ANY ($1) ORDER BY message_id, user_id, reaction_type, emoji_code";

/// What both of them brought.
pub(super) fn extras(flags: &[Row], reactions: &[Row]) -> Result<HashMap<MessageId, Extras>, Failure> {
    let mut extras: HashMap<MessageId, Extras> = all(flags, |row| {
        let (read, starred) = (column(row, 1)?, column(row, 2)?);
        let extras = Extras { read, starred, edited_s: optional_number(row, 3)?, reactions: Vec::new() };
        Ok((message_id(row, 0)?, extras))
    })?;
    for row in reactions {
        let reaction = MessageReaction {
            user_id: user_id(row, 1)?,
            emoji_name: column(row, 2)?,
            emoji_code: column(row, 3)?,
            reaction_type: reaction_type(row, 4)?,
        };
        if let Some(extras) = extras.get_mut(&message_id(row, 0)?) {
            extras.reactions.push(reaction);
        }
    }
    Ok(extras)
}

const EDITS: &str = "SELECT actor_id, edited_s, content_before, topic_before FROM message_edits
     WHERE message_id = $1 ORDER BY sequence";

/// What became of a message, the oldest first.
pub(super) async fn edits(c: &Connection, message_id: MessageId) -> Result<Vec<EditedMessage>, Failure> {
    let rows = c.query(EDITS, [&big(message_id.0)]).await?;
    all(&rows, |row| {
        Ok(EditedMessage {
            actor_id: user_id(row, 0)?,
            edited_s: number(row, 1)?,
            content_before: column(row, 2)?,
            topic_before: column(row, 3)?,
        })
    })
}
