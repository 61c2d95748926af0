//! Sessions that events put an end to: a changed key, a deactivated user.

use std::collections::HashMap;
use std::sync::Arc;

use squall_hub::roster::{FanOut, SessionKey};
use squall_hub::{RealmState, RingEvent};
use squall_protocol::event::Event;
use squall_protocol::{CloseCode, RealmId, UserId, json};

use super::Shard;
use super::connection::Connection;

impl Shard {
    /// Cuts a pass short for those whom its events put an end to: each gets what comes up to its own end, the
    /// event that says so included, and nothing after it. Who is behind ends at once.
    pub(super) fn cut_short(
        &mut self,
        id: RealmId,
        fan_out: &mut FanOut,
        state: &RealmState,
    ) -> Vec<SessionKey> {
        let mut kept: HashMap<SessionKey, u64> = HashMap::new();
        for (bit, event) in fan_out.events.iter().enumerate() {
            let Some(user) = ended_user(event) else { continue };
            for key in self.ended(&self.sessions_of(id, user), state) {
                kept.entry(key).or_insert(u64::MAX >> (63 - bit));
            }
        }
        for (key, mask) in &mut fan_out.deliveries {
            *mask &= kept.get(key).copied().unwrap_or(u64::MAX);
        }
        let roster = self.realms.get(&id).and_then(|realm| realm.roster.as_ref());
        let (behind, live): (Vec<_>, Vec<_>) =
            kept.into_keys().partition(|key| roster.is_some_and(|roster| roster.behind(*key).is_some()));
        behind.into_iter().for_each(|key| self.close(key, CloseCode::Revoked));
        live
    }

    /// Those of `keys` whose users the realm no longer lets in with the credential they came with.
    pub(super) fn ended(&self, keys: &[SessionKey], state: &RealmState) -> Vec<SessionKey> {
        let is_ended = |key: &SessionKey| {
            if let Some(guest) = self.guests.get(*key) {
                return !guest.is_admitted(state);
            }
            let connection = self.connections.get(key.slot as usize);
            let session = connection.filter(|connection| connection.generation == key.generation);
            let session = session.and_then(Connection::session);
            session.is_some_and(|session| !state.admits(session.user_id(), session.as_of()))
        };
        keys.iter().copied().filter(is_ended).collect()
    }

    fn sessions_of(&self, id: RealmId, user: UserId) -> Vec<SessionKey> {
        let roster = self.realms.get(&id).and_then(|realm| realm.roster.as_ref());
        roster.map(|roster| roster.sessions_of(user)).unwrap_or_default()
    }
}

/// Whose sessions an event may put an end to.
fn ended_user(event: &Arc<RingEvent>) -> Option<UserId> {
    if !event.record().changes_state {
        return None;
    }
    match json::decode_event(&event.record().body).ok()? {
        Event::UserUpdated { user, .. } => (!user.is_active).then_some(user.user_id),
        Event::CredentialChanged { user_id } => Some(user_id),
        Event::Message(_)
        | Event::StreamCreated { .. }
        | Event::MembersAdded { .. }
        | Event::MembersRemoved { .. }
        | Event::UserAdded { .. }
        | Event::StreamUpdated { .. }
        | Event::MessageEdited(_)
        | Event::MessagesMoved(_)
        | Event::MessagesDeleted(_)
        | Event::ReactionAdded(_)
        | Event::ReactionRemoved(_)
        | Event::FlagsAdded(_)
        | Event::FlagsRemoved(_)
        | Event::TopicPolicySet(_)
        | Event::SubscriptionSet(_)
        | Event::SettingSet(_) => None,
    }
}
