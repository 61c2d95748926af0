//! A log's events as Zulip's clients hear them.
//!
//! One event of the log may be several of Zulip's, or none: all of them have its id. What all queues see alike
//! of a message is made once ([`SharedMessage`]); flags and the like are written around it.

mod ephemeral;
mod messages;
mod own;

use std::rc::Rc;

use serde_json::{Value, json};
use squall_protocol::event::{Event, Message, Stream, User};
use squall_protocol::{StreamId, UserId};

pub use ephemeral::{presence, typing};
pub use messages::type_name;
use own::FlagOp;
pub use own::flag_name;

use crate::event_id::EventId;
use crate::markdown::Mentions;
use crate::message;
use crate::names::Realm;
use crate::people::{self, role_number};
use crate::queue::{EventType, QueueOptions};
use crate::sends;
use crate::streams::{self, Preferences};

/// Whom events are told.
#[derive(Clone, Copy)]
pub struct Listener<'a> {
    /// Whose queue it is.
    pub viewer: UserId,
    /// The queue's id: a client knows its own messages by it.
    pub queue_id: &'a str,
    /// What it asked for.
    pub options: &'a QueueOptions,
    /// The realm, for names.
    pub realm: &'a dyn Realm,
}

/// A message as all queues see it that have the same view of content.
#[derive(Debug, Default)]
pub struct SharedMessage {
    /// The object's fields, without braces.
    fields: String,
    mentions: Mentions,
}

impl SharedMessage {
    /// `message`, its content as HTML or as it was written.
    #[must_use]
    pub fn new(message: &Message, realm: &dyn Realm, html: bool) -> Self {
        let (object, mentions) = message::shared(message, realm, html);
        let object = Value::Object(object).to_string();
        let fields = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        Self { fields: fields.to_owned(), mentions }
    }
}

/// The events of one answer.
#[derive(Debug, Default)]
pub struct EventList {
    json: String,
    count: usize,
    /// The last event, if it is of flags: others of the same kind are added to it.
    flags: Option<own::LastFlags>,
}

impl EventList {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The whole answer to a poll.
    #[must_use]
    pub fn into_answer(self, queue_id: &str) -> bytes::Bytes {
        let queue_id = Value::from(queue_id);
        let events = self.json;
        format!(r#"{{"result":"success","msg":"","events":[{events}],"queue_id":{queue_id}}}"#).into()
    }

    /// One event, which is an object without its id.
    pub fn push(&mut self, id: EventId, event: &Value) {
        let text = event.to_string();
        let fields = text.strip_prefix('{').unwrap_or_default();
        self.push_text(&format!(r#"{{"id":{},{fields}"#, id.number()));
    }

    /// A sign that the line is alive.
    pub fn push_heartbeat(&mut self, id: EventId) {
        self.push(id, &json!({ "type": "heartbeat" }));
    }

    fn push_text(&mut self, event: &str) {
        self.flags = None;
        if self.count > 0 {
            self.json.push(',');
        }
        self.json.push_str(event);
        self.count += 1;
    }
}

impl Listener<'_> {
    /// Adds what `event` is to this queue. `shared` gives the message of a message event in one of its two
    /// views of content.
    pub fn hear(
        &self,
        event: &Event,
        id: EventId,
        shared: &mut dyn FnMut(bool) -> Rc<SharedMessage>,
        list: &mut EventList,
    ) {
        match event {
            Event::Message(message) => self.message(message, id, shared, list),
            Event::StreamCreated { stream } => self.stream_created(stream, id, list),
            Event::MembersAdded { stream, user_ids, .. } => self.members_added(stream, user_ids, id, list),
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                self.members_removed(*stream_id, user_ids, id, list);
            }
            Event::UserAdded { user } => {
                let event = json!({ "type": "realm_user", "op": "add", "person": people::user(user) });
                self.tell(EventType::RealmUser, id, &event, list);
            }
            Event::UserUpdated { user, previous } => self.user_updated(user, previous, id, list),
            Event::CredentialChanged { .. } => {}
            Event::MessageEdited(edit) => self.message_edited(edit, id, list),
            Event::MessagesMoved(moved) => self.messages_moved(moved, id, list),
            Event::MessagesDeleted(deleted) => self.messages_deleted(deleted, id, list),
            Event::ReactionAdded(reaction) => self.reaction("add", reaction, id, list),
            Event::ReactionRemoved(reaction) => self.reaction("remove", reaction, id, list),
            Event::FlagsAdded(flags) => self.flags(FlagOp::Add, flags, id, list),
            Event::FlagsRemoved(flags) => self.flags(FlagOp::Remove, flags, id, list),
            Event::StreamUpdated { stream, previous } => self.stream_updated(stream, previous, id, list),
            Event::TopicPolicySet(policy) => self.topic_policy(policy, id, list),
            Event::SubscriptionSet(setting) => self.subscription_set(setting, id, list),
            Event::SettingSet(setting) => self.setting_set(setting, id, list),
        }
    }

    fn wants(&self, kind: EventType) -> bool {
        self.options.event_types.has(kind)
    }

    fn tell(&self, kind: EventType, id: EventId, event: &Value, list: &mut EventList) {
        if self.wants(kind) {
            list.push(id, event);
        }
    }

    fn message(
        &self,
        message: &Message,
        id: EventId,
        shared: &mut dyn FnMut(bool) -> Rc<SharedMessage>,
        list: &mut EventList,
    ) {
        if !self.wants(EventType::Message) {
            return;
        }
        let shared = shared(self.options.apply_markdown);
        let mentioned = shared.mentions.calls(self.viewer);
        if !self.options.narrow.accepts(message, self.realm, mentioned) {
            return;
        }
        let mut flags = shared.mentions.flags(self.viewer);
        if message.sender_id == self.viewer {
            flags.push("read");
        }
        let flags = json!(flags);
        let avatar = message::avatar(message.sender_id, self.realm, self.options.client_gravatar);
        let own = (message.sender_id == self.viewer)
            .then(|| sends::local_id(message.send_id.as_str(), self.queue_id))
            .flatten();
        let local = own.map_or_else(String::new, |id| format!(r#""local_message_id":{},"#, Value::from(id)));
        list.push_text(&format!(
            r#"{{"id":{},"type":"message","flags":{flags},{local}"message":{{{},"reactions":[],"avatar_url":{avatar}}}}}"#,
            id.number(),
            shared.fields,
        ));
    }

    /// One event for each property that changed.
    fn stream_updated(&self, stream: &Stream, previous: &Stream, id: EventId, list: &mut EventList) {
        let object = streams::stream(stream, None);
        let properties = [
            ("name", stream.name != previous.name, json!(stream.name)),
            ("description", stream.description != previous.description, json!(stream.description)),
        ];
        for (property, changed, value) in properties {
            if changed {
                let event = json!({
                    "type": "stream",
                    "op": "update",
                    "property": property,
                    "value": value,
                    "stream_id": stream.stream_id,
                    "name": previous.name,
                    "rendered_description": object["rendered_description"],
                    "history_public_to_subscribers": object["history_public_to_subscribers"],
                    "is_web_public": false,
                });
                self.tell(EventType::Stream, id, &event, list);
            }
        }
    }

    fn stream_created(&self, stream: &Stream, id: EventId, list: &mut EventList) {
        let streams = [streams::stream(stream, None)];
        let event = json!({ "type": "stream", "op": "create", "streams": streams });
        self.tell(EventType::Stream, id, &event, list);
    }

    /// Oneself gets the subscription; others are told of by their ids.
    fn members_added(&self, stream: &Stream, user_ids: &[UserId], id: EventId, list: &mut EventList) {
        if !self.wants(EventType::Subscription) {
            return;
        }
        if user_ids.contains(&self.viewer) {
            if stream.invite_only {
                // Its making was told to nobody.
                self.stream_created(stream, id, list);
            }
            let members = self.options.include_subscribers.then(|| self.realm.members(stream.stream_id));
            let object = streams::stream(stream, None);
            let preferences = Preferences::of(stream);
            let subscriptions = [streams::subscription(object, &preferences, members.as_deref())];
            list.push(id, &json!({ "type": "subscription", "op": "add", "subscriptions": subscriptions }));
        }
        self.peers("peer_add", stream.stream_id, user_ids, id, list);
    }

    fn members_removed(&self, stream_id: StreamId, user_ids: &[UserId], id: EventId, list: &mut EventList) {
        if !self.wants(EventType::Subscription) {
            return;
        }
        if user_ids.contains(&self.viewer) {
            let name = self.realm.stream(stream_id).map(|stream| stream.name.as_str());
            let subscriptions = [json!({ "stream_id": stream_id, "name": name })];
            list.push(id, &json!({ "type": "subscription", "op": "remove", "subscriptions": subscriptions }));
        }
        self.peers("peer_remove", stream_id, user_ids, id, list);
    }

    /// Only who asked for subscribers hears of others: a wide change costs the rest nothing.
    fn peers(&self, op: &str, stream_id: StreamId, user_ids: &[UserId], id: EventId, list: &mut EventList) {
        let others: Vec<_> = user_ids.iter().filter(|user_id| **user_id != self.viewer).collect();
        if self.options.include_subscribers && !others.is_empty() {
            let event =
                json!({ "type": "subscription", "op": op, "stream_ids": [stream_id], "user_ids": others });
            list.push(id, &event);
        }
    }

    /// One event for each property that changed.
    fn user_updated(&self, user: &User, previous: &User, id: EventId, list: &mut EventList) {
        let user_id = user.user_id;
        let mut persons = Vec::new();
        if user.full_name != previous.full_name {
            persons.push(json!({ "user_id": user_id, "full_name": user.full_name }));
        }
        if user.role != previous.role {
            persons.push(json!({ "user_id": user_id, "role": role_number(user.role) }));
        }
        if user.is_active != previous.is_active {
            persons.push(json!({ "user_id": user_id, "is_active": user.is_active }));
        }
        for person in persons {
            let event = json!({ "type": "realm_user", "op": "update", "person": person });
            self.tell(EventType::RealmUser, id, &event, list);
        }
    }
}

#[cfg(test)]
mod tests;
