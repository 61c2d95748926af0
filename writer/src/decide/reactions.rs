//! Reactions.

use squall_protocol::event::{Event, Reaction};
use squall_protocol::{MessageId, UserId};

use super::{Ledger, ReactionRow, Refused};
use crate::change::{Emoji, Outcome};

impl Ledger {
    /// Whoever may read a message reacts to it; each emoji once.
    pub(super) fn react(
        &mut self,
        user_id: UserId,
        message_id: MessageId,
        emoji: &Emoji,
        add: bool,
    ) -> Result<Outcome, Refused> {
        let Some(facts) = self.readable(user_id, message_id)? else { return Ok(Outcome::NoMessage) };
        let key = (message_id, user_id, emoji.kind, emoji.code.clone());
        let changed = if add {
            self.facts.surface.reactions.insert(key)
        } else {
            self.facts.surface.reactions.remove(&key)
        };
        if !changed {
            return Ok(Outcome::Unchanged);
        }
        let Emoji { name, code, kind } = emoji.clone();
        let reaction = Reaction {
            message_id,
            user_id,
            emoji_name: name,
            emoji_code: code,
            reaction_type: kind,
            to: facts.message.to.clone(),
        };
        let event = match add {
            true => Event::ReactionAdded(reaction.clone()),
            false => Event::ReactionRemoved(reaction.clone()),
        };
        let sequence = self.advance();
        self.log_for(self.audience_of(&facts), sequence, &event);
        self.rows.surface.reactions.push(ReactionRow { reaction, add });
        Ok(Outcome::Done { sequence, user_ids: Vec::new() })
    }
}
