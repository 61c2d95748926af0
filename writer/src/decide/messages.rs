//! Sending.

use squall_protocol::event::{Event, Message, Role};
use squall_protocol::limits::DIRECT_USERS_MAX;
use squall_protocol::link::RefusalCode;
use squall_protocol::{Destination, SendId, StreamId, UserId};
use squall_zulip::markdown;

use super::{Ledger, MentionRow, MessageRow, RecentSend, Refused, StoredSend, sorted};
use crate::change::Outcome;
use crate::limits::RESEND_WINDOW_S;
use crate::secret::MessageDigest;
use crate::text;

impl Ledger {
    /// The same id again is answered like the first time, even if the sender may no longer write there.
    pub(super) fn send(
        &mut self,
        sender_id: UserId,
        send_id: &SendId,
        to: &Destination,
        content: &str,
    ) -> Result<Outcome, Refused> {
        self.actor(sender_id)?;
        let (to, content) = normal_form(sender_id, to, content)?;
        let digest = MessageDigest::of(&to, content);
        if let Some(stored) = self.facts.sends.get(&(sender_id, send_id.clone())) {
            return first_answer(stored, digest);
        }
        match &to {
            Destination::Stream { stream_id, .. } => self.may_send(sender_id, *stream_id)?,
            Destination::Direct { user_ids } => self.all_active(user_ids)?,
        }
        Ok(self.store_message(sender_id, send_id, to, content, digest))
    }

    /// What a client sends again without an id is the message that it sent lately, to the same destination and
    /// in the same words; if there is none, it is a message.
    pub(super) fn resend(
        &mut self,
        sender_id: UserId,
        send_id: &SendId,
        to: &Destination,
        content: &str,
    ) -> Result<Outcome, Refused> {
        let since_s = self.stamp.now_s.saturating_sub(RESEND_WINDOW_S);
        let stored =
            digest(sender_id, to, content).and_then(|digest| self.facts.recent.get(&(sender_id, digest)));
        match stored.filter(|stored| stored.created_s >= since_s) {
            Some(RecentSend { message_id, sequence, .. }) => {
                let (message_id, sequence) = (*message_id, *sequence);
                self.actor(sender_id)?;
                Ok(Outcome::Sent { message_id, sequence })
            }
            None => self.send(sender_id, send_id, to, content),
        }
    }

    /// Members send; who may know the stream is told so.
    fn may_send(&self, sender_id: UserId, stream_id: StreamId) -> Result<(), Refused> {
        if self.is_member(stream_id, sender_id) {
            return Ok(());
        }
        self.knows(sender_id, stream_id)?;
        Err((RefusalCode::Forbidden, format!("not a member of stream {stream_id}")))
    }

    /// That the user may know of the stream: members of any, all but guests of public ones.
    pub(super) fn knows(&self, user_id: UserId, stream_id: StreamId) -> Result<(), Refused> {
        let guest = self.actor(user_id)?.role == Role::Guest;
        let stream = self.facts.streams.get(&stream_id);
        let visible = stream.is_some_and(|stream| !stream.invite_only && !guest);
        if visible || (stream.is_some() && self.is_member(stream_id, user_id)) {
            Ok(())
        } else {
            Err((RefusalCode::UnknownStream, format!("no stream {stream_id}")))
        }
    }

    /// The sequence first, then the id: both grow together.
    fn store_message(
        &mut self,
        sender_id: UserId,
        send_id: &SendId,
        to: Destination,
        content: &str,
        digest: MessageDigest,
    ) -> Outcome {
        let Some(message_id) = self.facts.ids.messages.pop_front() else {
            return Outcome::refused(RefusalCode::Unavailable, "no message id was reserved");
        };
        let sequence = self.advance();
        let stored = StoredSend { message_id, sequence, digest };
        self.facts.sends.insert((sender_id, send_id.clone()), stored);
        let recent = RecentSend { message_id, sequence, created_s: self.stamp.now_s };
        self.facts.recent.insert((sender_id, digest), recent);
        let message = Message {
            message_id,
            sender_id,
            timestamp: self.stamp.now_s,
            to,
            content: content.to_owned(),
            send_id: send_id.clone(),
        };
        let mentions = markdown::mentions(content, &self.facts.surface);
        self.rows.surface.mentions.extend(MentionRow::of(message_id, &mentions));
        let event = Event::Message(message);
        self.log(sequence, &event);
        if let Event::Message(message) = event {
            self.rows.messages.push(MessageRow { message, sequence, digest });
        }
        Outcome::Sent { message_id, sequence }
    }
}

/// The digest of a message as it would be stored; none if it would be refused.
pub(super) fn digest(sender_id: UserId, to: &Destination, content: &str) -> Option<MessageDigest> {
    let (to, content) = normal_form(sender_id, to, content).ok()?;
    Some(MessageDigest::of(&to, content))
}

fn first_answer(stored: &StoredSend, digest: MessageDigest) -> Result<Outcome, Refused> {
    let StoredSend { message_id, sequence, .. } = *stored;
    if stored.digest == digest {
        Ok(Outcome::Sent { message_id, sequence })
    } else {
        Err((RefusalCode::SendIdReused, format!("this send id is message {message_id}, which is another")))
    }
}

/// The message as it will be stored: text cut, the sender among the users, ascending, each once.
fn normal_form<'a>(
    sender_id: UserId,
    to: &Destination,
    content: &'a str,
) -> Result<(Destination, &'a str), Refused> {
    let invalid = |error: text::TextError| (RefusalCode::InvalidContent, error.to_string());
    let content = text::content(content).map_err(invalid)?;
    let to = match to {
        Destination::Stream { stream_id, topic } => {
            let topic = text::topic(topic).map_err(invalid)?.to_owned();
            Destination::Stream { stream_id: *stream_id, topic }
        }
        Destination::Direct { user_ids } => {
            let mut user_ids = user_ids.clone();
            user_ids.push(sender_id);
            let user_ids = sorted(&user_ids);
            if user_ids.len() > DIRECT_USERS_MAX {
                let words = format!("{} users, at most {DIRECT_USERS_MAX}", user_ids.len());
                return Err((RefusalCode::TooMany, words));
            }
            Destination::Direct { user_ids }
        }
    };
    Ok((to, content))
}
