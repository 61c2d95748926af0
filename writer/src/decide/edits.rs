//! Changing messages that are there: their text, their topic, and away with them.

use squall_protocol::event::{Event, MessageDeletion, MessageEdit, MessageMove, Role};
use squall_protocol::link::RefusalCode;
use squall_protocol::{Audience, Destination, MessageId, StreamId, UserId};
use squall_zulip::markdown;

use super::{EditRow, Ledger, MentionRow, MessageFacts, MoveRow, Refused};
use crate::change::{Edit, MoveMode, Outcome};
use crate::limits::{MOVE_EVENTS_MAX, MOVED_MAX};
use crate::text;

impl Ledger {
    /// The sender changes the text; whoever may write there and is no guest the topic.
    pub(super) fn edit(&mut self, edit: &Edit) -> Result<Outcome, Refused> {
        let Some(facts) = self.readable(edit.actor_id, edit.message_id)? else {
            return Ok(Outcome::NoMessage);
        };
        let content = edit.content.as_deref().map(text::content).transpose().map_err(invalid)?;
        let content = content.filter(|content| *content != facts.message.content);
        if content.is_some() && facts.message.sender_id != edit.actor_id {
            return Err((RefusalCode::Forbidden, "You don't have permission to edit this message".into()));
        }
        let moved = match &edit.topic {
            Some(topic) => self.plan_move(edit, &facts, topic)?,
            None => None,
        };
        if content.is_none() && moved.is_none() {
            return Ok(Outcome::Unchanged);
        }
        if let Some(content) = content {
            self.edit_content(edit.actor_id, &facts, content);
        }
        if let Some(moved) = moved {
            self.store_move(edit.actor_id, moved);
        }
        Ok(Outcome::Done { sequence: self.facts.head.sequence, user_ids: Vec::new() })
    }

    /// The sender takes a message away, or an administrator.
    pub(super) fn delete(&mut self, actor_id: UserId, message_id: MessageId) -> Result<Outcome, Refused> {
        let Some(facts) = self.readable(actor_id, message_id)? else { return Ok(Outcome::NoMessage) };
        if facts.message.sender_id != actor_id && self.actor(actor_id)?.role != Role::Admin {
            return Err((RefusalCode::Forbidden, "You don't have permission to delete this message".into()));
        }
        let sequence = self.advance();
        let (message_ids, to) = (vec![message_id], facts.message.to.clone());
        let event = Event::MessagesDeleted(MessageDeletion { message_ids, actor_id, to });
        self.log_for(self.audience_of(&facts), sequence, &event);
        self.rows.surface.deleted.push(message_id);
        self.facts.surface.messages.remove(&message_id);
        Ok(Outcome::Done { sequence, user_ids: Vec::new() })
    }

    /// The message, if it is there and the user may read it.
    pub(super) fn readable(
        &self,
        user_id: UserId,
        message_id: MessageId,
    ) -> Result<Option<MessageFacts>, Refused> {
        self.actor(user_id)?;
        let is_readable = self.facts.surface.readable.contains(&(user_id, message_id));
        Ok(self.facts.surface.messages.get(&message_id).filter(|_| is_readable).cloned())
    }

    /// Who sees what happens to a message.
    pub(super) fn audience_of(&self, facts: &MessageFacts) -> Audience {
        match &facts.message.to {
            Destination::Stream { stream_id, .. } => {
                self.facts.surface.audience_of(*stream_id, facts.placed_at)
            }
            Destination::Direct { user_ids } => Audience::users(user_ids.clone()),
        }
    }

    fn edit_content(&mut self, actor_id: UserId, facts: &MessageFacts, content: &str) {
        let (sequence, timestamp) = (self.advance(), self.stamp.now_s);
        let message_id = facts.message.message_id;
        let (to, content) = (facts.message.to.clone(), content.to_owned());
        let event = Event::MessageEdited(MessageEdit {
            message_id,
            actor_id,
            timestamp,
            to,
            content: content.clone(),
        });
        self.log_for(self.audience_of(facts), sequence, &event);
        let mentions = markdown::mentions(&content, &self.facts.surface);
        self.rows.surface.edits.push(EditRow {
            message_id,
            sequence,
            actor_id,
            edited_s: timestamp,
            content: content.clone(),
            content_before: facts.message.content.clone(),
            mentions: MentionRow::of(message_id, &mentions),
        });
        if let Some(known) = self.facts.surface.messages.get_mut(&message_id) {
            known.message.content = content;
        }
    }

    /// What a change of topic means; nothing if the message is there already.
    fn plan_move(&self, edit: &Edit, facts: &MessageFacts, topic: &str) -> Result<Option<Move>, Refused> {
        let Destination::Stream { stream_id, topic: topic_before } = &facts.message.to else {
            return Err((RefusalCode::InvalidContent, "Direct messages cannot have topics.".into()));
        };
        let topic = text::topic(topic).map_err(invalid)?.to_owned();
        if topic == *topic_before {
            return Ok(None);
        }
        if self.actor(edit.actor_id)?.role == Role::Guest {
            return Err((RefusalCode::Forbidden, "You don't have permission to edit this message".into()));
        }
        let of_mode = |mode| {
            self.facts.surface.moved.get(&(edit.message_id, mode)).map(Vec::as_slice).unwrap_or_default()
        };
        let messages = of_mode(edit.mode);
        if messages.len() > MOVED_MAX {
            let words = format!("more than {MOVED_MAX} messages at once: move the later ones first");
            return Err((RefusalCode::TooMany, words));
        }
        let mut parts: Vec<(Audience, Vec<MessageId>)> = Vec::new();
        for (message_id, placed_at) in messages {
            let audience = self.facts.surface.audience_of(*stream_id, *placed_at);
            match parts.iter_mut().find(|(known, _)| *known == audience) {
                Some((_, message_ids)) => message_ids.push(*message_id),
                None => parts.push((audience, vec![*message_id])),
            }
        }
        if parts.len() > MOVE_EVENTS_MAX {
            let words = "too many people came to this topic at different times: move fewer messages";
            return Err((RefusalCode::TooMany, words.into()));
        }
        let is_whole = messages.len() == of_mode(MoveMode::All).len();
        Ok(Some(Move { stream_id: *stream_id, topic_before: topic_before.clone(), topic, parts, is_whole }))
    }

    fn store_move(&mut self, actor_id: UserId, moved: Move) {
        let Move { stream_id, topic_before, topic, parts, is_whole } = moved;
        let timestamp = self.stamp.now_s;
        for (audience, message_ids) in parts {
            let sequence = self.advance();
            let event = Event::MessagesMoved(MessageMove {
                message_ids: message_ids.clone(),
                actor_id,
                timestamp,
                stream_id,
                topic_before: topic_before.clone(),
                topic: topic.clone(),
            });
            self.log_for(audience, sequence, &event);
            for message_id in &message_ids {
                if let Some(known) = self.facts.surface.messages.get_mut(message_id) {
                    known.message.to = Destination::Stream { stream_id, topic: topic.clone() };
                }
            }
            // A plan made of what the topic held before is no good after this.
            self.facts.surface.moved.retain(|(of, _), _| !message_ids.contains(of));
            self.rows.surface.moves.push(MoveRow {
                message_ids,
                sequence,
                actor_id,
                edited_s: timestamp,
                stream_id,
                topic: topic.clone(),
                topic_before: topic_before.clone(),
                is_whole,
            });
        }
    }
}

/// Messages on their way to another topic.
struct Move {
    stream_id: StreamId,
    topic_before: String,
    topic: String,
    /// By who may read them.
    parts: Vec<(Audience, Vec<MessageId>)>,
    is_whole: bool,
}

fn invalid(error: text::TextError) -> Refused {
    (RefusalCode::InvalidContent, error.to_string())
}
