//! What is a user's own: flags, topics, settings; and a stream's name, which is an administrator's.

use squall_protocol::event::{
    Event, Flag, MessageFlags, Role, Stream, SubscriptionSetting, TopicPolicy, UserSetting,
};
use squall_protocol::link::RefusalCode;
use squall_protocol::{MessageId, StreamId, UserId};

use super::{FlagRow, FlagState, Ledger, Refused, SettingRow, SubscriptionRow, TopicPolicyRow};
use crate::change::{Outcome, OwnChange, ReadScope};
use crate::limits::FLAGGED_MAX;
use crate::text;

impl Ledger {
    pub(super) fn change_own(&mut self, user_id: UserId, change: &OwnChange) -> Result<Outcome, Refused> {
        self.actor(user_id)?;
        match change {
            OwnChange::Flag { flag, add, message_ids } => self.flag(user_id, *flag, *add, message_ids),
            OwnChange::MarkRead { scope } => Ok(self.mark_read(user_id, scope)),
            OwnChange::TopicPolicy { stream_id, topic, policy } => {
                self.set_topic_policy(user_id, *stream_id, topic, *policy)
            }
            OwnChange::Subscription { stream_id, name, value } => {
                self.set_subscription(user_id, *stream_id, name, value)
            }
            OwnChange::Setting { name, value } => Ok(self.set(user_id, name, value)),
        }
    }

    /// Messages that have the flag already, or that the user may not read, are left out.
    fn flag(
        &mut self,
        user_id: UserId,
        flag: Flag,
        add: bool,
        message_ids: &[MessageId],
    ) -> Result<Outcome, Refused> {
        if message_ids.len() > FLAGGED_MAX {
            let words = format!("{} messages, at most {FLAGGED_MAX}", message_ids.len());
            return Err((RefusalCode::TooMany, words));
        }
        let mut changed: Vec<MessageId> = Vec::new();
        for message_id in message_ids {
            let Some(state) = self.facts.surface.flags.get_mut(&(user_id, *message_id)) else { continue };
            let is_set = state.of(flag);
            if *is_set != add {
                *is_set = add;
                changed.push(*message_id);
            }
        }
        changed.sort_unstable();
        Ok(self.store_flags(user_id, flag, add, changed))
    }

    fn mark_read(&mut self, user_id: UserId, scope: &ReadScope) -> Outcome {
        let unread = self.facts.surface.unread.remove(&(user_id, scope.clone())).unwrap_or_default();
        let is_unread = |message_id: &MessageId| {
            !self.facts.surface.flags.get(&(user_id, *message_id)).is_some_and(|state| state.read)
        };
        let changed: Vec<MessageId> = unread.into_iter().filter(is_unread).collect();
        for message_id in &changed {
            let unstarred = FlagState { read: false, starred: false };
            self.facts.surface.flags.entry((user_id, *message_id)).or_insert(unstarred).read = true;
        }
        self.store_flags(user_id, Flag::Read, true, changed)
    }

    fn store_flags(
        &mut self,
        user_id: UserId,
        flag: Flag,
        add: bool,
        message_ids: Vec<MessageId>,
    ) -> Outcome {
        if message_ids.is_empty() {
            return Outcome::Unchanged;
        }
        let sequence = self.advance();
        let flags = MessageFlags { user_id, flag, message_ids: message_ids.clone() };
        let event = if add { Event::FlagsAdded(flags) } else { Event::FlagsRemoved(flags) };
        self.log(sequence, &event);
        self.rows.surface.flags.push(FlagRow { user_id, flag, add, message_ids });
        Outcome::Done { sequence, user_ids: Vec::new() }
    }

    fn set_topic_policy(
        &mut self,
        user_id: UserId,
        stream_id: StreamId,
        topic: &str,
        policy: u32,
    ) -> Result<Outcome, Refused> {
        self.knows(user_id, stream_id)?;
        let topic = text::topic(topic).map_err(|error| (RefusalCode::InvalidContent, error.to_string()))?;
        let (sequence, timestamp) = (self.advance(), self.stamp.now_s);
        let topic = topic.to_owned();
        let event = Event::TopicPolicySet(TopicPolicy {
            user_id,
            stream_id,
            topic: topic.clone(),
            policy,
            timestamp,
        });
        self.log(sequence, &event);
        let row = TopicPolicyRow { user_id, stream_id, topic, policy, updated_s: timestamp };
        self.rows.surface.topic_policies.push(row);
        Ok(Outcome::Done { sequence, user_ids: Vec::new() })
    }

    fn set_subscription(
        &mut self,
        user_id: UserId,
        stream_id: StreamId,
        name: &str,
        value: &str,
    ) -> Result<Outcome, Refused> {
        if !self.is_member(stream_id, user_id) {
            self.knows(user_id, stream_id)?;
            return Err((RefusalCode::Forbidden, format!("not a member of stream {stream_id}")));
        }
        let sequence = self.advance();
        let (name, value) = (name.to_owned(), value.to_owned());
        let setting = SubscriptionSetting { user_id, stream_id, name: name.clone(), value: value.clone() };
        self.log(sequence, &Event::SubscriptionSet(setting));
        self.rows.surface.subscriptions.push(SubscriptionRow { user_id, stream_id, name, value });
        Ok(Outcome::Done { sequence, user_ids: Vec::new() })
    }

    fn set(&mut self, user_id: UserId, name: &str, value: &str) -> Outcome {
        let sequence = self.advance();
        let (name, value) = (name.to_owned(), value.to_owned());
        let setting = UserSetting { user_id, name: name.clone(), value: value.clone() };
        self.log(sequence, &Event::SettingSet(setting));
        self.rows.surface.settings.push(SettingRow { user_id, name, value });
        Outcome::Done { sequence, user_ids: Vec::new() }
    }

    /// An administrator gives a stream another name or description.
    pub(super) fn update_stream(
        &mut self,
        actor_id: UserId,
        stream_id: StreamId,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Outcome, Refused> {
        self.knows(actor_id, stream_id)?;
        if self.actor(actor_id)?.role != Role::Admin {
            return Err((RefusalCode::Forbidden, "Must be an organization administrator".into()));
        }
        let Some(previous) = self.facts.streams.get(&stream_id).cloned() else {
            return Err((RefusalCode::UnknownStream, format!("no stream {stream_id}")));
        };
        let invalid = |error: text::TextError| (RefusalCode::InvalidContent, error.to_string());
        let mut stream = previous.clone();
        if let Some(name) = name {
            stream.name = text::stream_name(name).map_err(invalid)?.to_owned();
        }
        if let Some(description) = description {
            stream.description = text::description(description).map_err(invalid)?;
        }
        if stream == previous {
            return Ok(Outcome::Unchanged);
        }
        let taken = self.facts.stream_named(&stream.name).filter(|other| other.stream_id != stream_id);
        if taken.is_some() {
            let words = format!("Channel '{}' already exists", stream.name);
            return Err((RefusalCode::InvalidContent, words));
        }
        Ok(self.store_stream(stream, previous))
    }

    fn store_stream(&mut self, stream: Stream, previous: Stream) -> Outcome {
        let sequence = self.advance();
        self.log(sequence, &Event::StreamUpdated { stream: stream.clone(), previous });
        self.facts.streams.insert(stream.stream_id, stream.clone());
        self.rows.surface.streams.push(stream);
        Outcome::Done { sequence, user_ids: Vec::new() }
    }
}

impl FlagState {
    fn of(&mut self, flag: Flag) -> &mut bool {
        match flag {
            Flag::Read => &mut self.read,
            Flag::Starred => &mut self.starred,
        }
    }
}
