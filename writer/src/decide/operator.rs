//! What the operator does: users, keys, first streams.

use std::collections::BTreeMap;

use squall_protocol::event::{Event, User};
use squall_protocol::link::{Refusal, RefusalCode};
use squall_protocol::{StreamId, UserId};

use super::memberships::parse_stream;
use super::{Ledger, Refused, sorted};
use crate::change::{NewStream, NewUser, Outcome, UserChange};
use crate::limits::{STREAMS_ENTERED_MAX, USERS_CREATED_MAX};
use crate::secret::KeyHash;
use crate::text;

impl Ledger {
    /// Makes each user that can be made, then puts them into their streams, one event a stream. The first
    /// of those added is named as the actor: an operator is no user.
    pub(super) fn create_users(&mut self, users: &[NewUser], keys: &[KeyHash]) -> Result<Outcome, Refused> {
        if users.len() > USERS_CREATED_MAX {
            let words = format!("{} users, at most {USERS_CREATED_MAX}", users.len());
            return Err((RefusalCode::TooMany, words));
        }
        let mut joining: BTreeMap<StreamId, Vec<UserId>> = BTreeMap::new();
        let mut created = Vec::with_capacity(users.len());
        for (user, key) in users.iter().zip(keys) {
            let streams = self.streams_named(&user.streams);
            let user_id = streams.and_then(|streams| {
                let fits =
                    streams.iter().filter(|stream| !joining.contains_key(stream)).count() + joining.len();
                if fits > STREAMS_ENTERED_MAX {
                    return Err((RefusalCode::TooMany, format!("more than {STREAMS_ENTERED_MAX} streams")));
                }
                Ok((self.create_user(user, *key)?, streams))
            });
            created.push(user_id.map(|(user_id, streams)| {
                for stream in streams {
                    joining.entry(stream).or_default().push(user_id);
                }
                user_id
            }));
        }
        for (stream_id, user_ids) in joining {
            self.add_members(stream_id, &user_ids, user_ids[0]);
        }
        let refusal = |(code, message): Refused| Refusal::fatal(code, message);
        Ok(Outcome::UsersCreated(created.into_iter().map(|user| user.map_err(refusal)).collect()))
    }

    fn create_user(&mut self, raw: &NewUser, key: KeyHash) -> Result<UserId, Refused> {
        let invalid = |error: text::TextError| (RefusalCode::InvalidContent, error.to_string());
        let email = text::email(&raw.email).map_err(invalid)?.to_owned();
        let full_name = text::full_name(&raw.full_name).map_err(invalid)?.to_owned();
        if self.facts.emails.contains(&text::key(&email)) {
            return Err((RefusalCode::Forbidden, format!("{email} is taken")));
        }
        let reserved = self.facts.ids.users.pop_front();
        let user_id = reserved.ok_or((RefusalCode::Unavailable, "no user id was reserved".into()))?;
        self.facts.emails.insert(text::key(&email));
        let NewUser { role, is_bot, .. } = *raw;
        let user = User { user_id, email, full_name, role, is_bot, is_active: true };
        let sequence = self.advance();
        self.log(sequence, &Event::UserAdded { user: user.clone() });
        self.facts.users.insert(user_id, user.clone());
        self.rows.users.push((user, key));
        Ok(user_id)
    }

    fn streams_named(&self, names: &[String]) -> Result<Vec<StreamId>, Refused> {
        let find = |name: &String| match self.facts.stream_named(name.trim()) {
            Some(stream) => Ok(stream.stream_id),
            None => Err((RefusalCode::UnknownStream, format!("no stream {name:?}"))),
        };
        let mut streams = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        streams.sort_unstable();
        streams.dedup();
        Ok(streams)
    }

    /// Makes a stream with members chosen by the operator.
    pub(super) fn create_stream_for(
        &mut self,
        stream: &NewStream,
        user_ids: &[UserId],
    ) -> Result<Outcome, Refused> {
        let stream = parse_stream(stream)?;
        if self.facts.stream_named(&stream.name).is_some() {
            return Err((RefusalCode::Forbidden, format!("stream {:?} is there already", stream.name)));
        }
        let user_ids = sorted(user_ids);
        self.all_active(&user_ids)?;
        let created = self.create_stream(stream).and_then(|id| self.facts.streams.get(&id)).cloned();
        let stream = created.ok_or((RefusalCode::Unavailable, "no stream id was reserved".into()))?;
        if let Some(first) = user_ids.first() {
            self.add_members(stream.stream_id, &user_ids, *first);
        }
        Ok(Outcome::StreamCreated(stream))
    }

    /// A deactivation is a change of credential too: what was known of the key before it is void.
    pub(super) fn change_user(&mut self, user_id: UserId, change: &UserChange) -> Result<Outcome, Refused> {
        let previous = self.existing(user_id)?.clone();
        let UserChange { full_name, role, is_active } = change;
        let mut user = previous.clone();
        if let Some(full_name) = full_name {
            let full_name = text::full_name(full_name);
            user.full_name = full_name.map_err(|e| (RefusalCode::InvalidContent, e.to_string()))?.to_owned();
        }
        user.role = role.unwrap_or(user.role);
        user.is_active = is_active.unwrap_or(user.is_active);
        if user == previous {
            return Ok(Outcome::Done { sequence: self.facts.head.sequence, user_ids: Vec::new() });
        }
        let deactivated = previous.is_active && !user.is_active;
        let sequence = self.advance();
        self.log(sequence, &Event::UserUpdated { user: user.clone(), previous });
        self.facts.users.insert(user_id, user.clone());
        self.rows.changed_users.push((user, deactivated.then_some(sequence)));
        Ok(Outcome::Done { sequence, user_ids: vec![user_id] })
    }

    pub(super) fn change_key(&mut self, user_id: UserId, key: KeyHash) -> Result<Outcome, Refused> {
        self.existing(user_id)?;
        let sequence = self.advance();
        self.log(sequence, &Event::CredentialChanged { user_id });
        self.rows.changed_keys.push((user_id, key, sequence));
        Ok(Outcome::Done { sequence, user_ids: vec![user_id] })
    }

    fn existing(&self, user_id: UserId) -> Result<&User, Refused> {
        let user = self.facts.users.get(&user_id);
        user.ok_or_else(|| (RefusalCode::UnknownUser, format!("user {user_id} is not of this realm")))
    }
}
