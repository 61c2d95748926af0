//! Who is in which stream.

use squall_protocol::event::{Event, Role, Stream};
use squall_protocol::limits::MEMBERS_CHANGED_MAX;
use squall_protocol::link::RefusalCode;
use squall_protocol::{StreamId, UserId};

use super::{Ledger, MembershipRow, Refused, sorted};
use crate::change::{Enter, Entered, NewStream, Outcome};
use crate::limits::STREAMS_ENTERED_MAX;
use crate::text;

impl Ledger {
    /// Joining a public stream, or adding others to a stream: any member of the realm to a public one, its
    /// members to an invite-only one; guests never.
    pub(super) fn subscribe(
        &mut self,
        actor_id: UserId,
        stream_id: StreamId,
        user_ids: &[UserId],
    ) -> Result<Outcome, Refused> {
        self.knows(actor_id, stream_id)?;
        let subjects = subjects(actor_id, user_ids)?;
        let added: Vec<_> = self.not_in(stream_id, &subjects);
        if added.is_empty() {
            return Ok(Outcome::Done { sequence: self.facts.head.sequence, user_ids: added });
        }
        // Whoever is here and no guest is a member, or the stream is public: `knows` saw to it.
        if self.actor(actor_id)?.role == Role::Guest {
            return Err((RefusalCode::Forbidden, "guests can't add members".into()));
        }
        self.all_active(&added)?;
        self.add_members(stream_id, &added, actor_id);
        Ok(Outcome::Done { sequence: self.facts.head.sequence, user_ids: added })
    }

    /// Leaving a stream, or (administrators) removing others from it.
    pub(super) fn unsubscribe(
        &mut self,
        actor_id: UserId,
        stream_id: StreamId,
        user_ids: &[UserId],
    ) -> Result<Outcome, Refused> {
        self.knows(actor_id, stream_id)?;
        let subjects = subjects(actor_id, user_ids)?;
        let only_itself = subjects == [actor_id];
        if !only_itself && self.actor(actor_id)?.role != Role::Admin {
            return Err((RefusalCode::Forbidden, "only administrators remove others".into()));
        }
        let known = |user_id: &&UserId| !self.facts.users.contains_key(*user_id);
        if let Some(unknown) = subjects.iter().find(known) {
            return Err((RefusalCode::UnknownUser, format!("user {unknown} is not of this realm")));
        }
        let removed: Vec<_> =
            subjects.into_iter().filter(|user_id| self.is_member(stream_id, *user_id)).collect();
        self.remove_members(stream_id, &removed, actor_id);
        Ok(Outcome::Done { sequence: self.facts.head.sequence, user_ids: removed })
    }

    /// Streams by name: the missing ones are made, then all are entered. Nothing is done unless all can
    /// be, or the request takes what it gets.
    pub(super) fn enter(&mut self, enter: &Enter) -> Result<Outcome, Refused> {
        let guest = self.actor(enter.actor_id)?.role == Role::Guest;
        if enter.streams.len() > STREAMS_ENTERED_MAX {
            let words = format!("{} streams, at most {STREAMS_ENTERED_MAX}", enter.streams.len());
            return Err((RefusalCode::TooMany, words));
        }
        let subjects = subjects(enter.actor_id, &enter.user_ids)?;
        self.all_active(&subjects)?;
        let streams: Vec<NewStream> = enter.streams.iter().map(parse_stream).collect::<Result<_, _>>()?;
        let barred = |stream: &&NewStream| !self.may_enter(enter.actor_id, guest, &stream.name, &subjects);
        if let Some(barred) = streams.iter().find(barred).filter(|_| enter.all_or_nothing) {
            return Err((RefusalCode::Forbidden, format!("Unable to access channel ({}).", barred.name)));
        }
        let entered = streams.into_iter().map(|stream| self.enter_one(enter, guest, stream, &subjects));
        Ok(Outcome::Entered(entered.collect()))
    }

    fn enter_one(&mut self, enter: &Enter, guest: bool, stream: NewStream, subjects: &[UserId]) -> Entered {
        let name = self.facts.stream_named(&stream.name).map_or(&stream.name, |known| &known.name).clone();
        if !self.may_enter(enter.actor_id, guest, &stream.name, subjects) {
            return Entered { name, added: Vec::new(), already: Vec::new(), refused: true };
        }
        let known = self.facts.stream_named(&stream.name).map(|known| known.stream_id);
        let Some(stream_id) = known.or_else(|| self.create_stream(stream)) else {
            return Entered { name, added: Vec::new(), already: Vec::new(), refused: true };
        };
        let added = self.not_in(stream_id, subjects);
        let already = subjects.iter().copied().filter(|user_id| !added.contains(user_id)).collect();
        self.add_members(stream_id, &added, enter.actor_id);
        Entered { name, added, already, refused: false }
    }

    /// A stream that is not there may be made and a known one entered by all but guests; guests may only
    /// ask for what is so already.
    fn may_enter(&self, actor_id: UserId, guest: bool, name: &str, subjects: &[UserId]) -> bool {
        let Some(stream) = self.facts.stream_named(name) else { return !guest };
        let stream_id = stream.stream_id;
        if guest {
            return self.is_member(stream_id, actor_id) && self.not_in(stream_id, subjects).is_empty();
        }
        !stream.invite_only || self.is_member(stream_id, actor_id)
    }

    /// Makes a stream and says so; `None` if no id was reserved for it.
    pub(super) fn create_stream(&mut self, stream: NewStream) -> Option<StreamId> {
        let stream_id = self.facts.ids.streams.pop_front()?;
        let NewStream { name, description, invite_only } = stream;
        let stream = Stream { stream_id, name, description, invite_only };
        let sequence = self.advance();
        self.log(sequence, &Event::StreamCreated { stream: stream.clone() });
        self.rows.streams.push(stream.clone());
        self.facts.streams.insert(stream_id, stream);
        Some(stream_id)
    }

    /// Makes members of users who are none, and says so; nobody makes no event.
    pub(super) fn add_members(&mut self, stream_id: StreamId, user_ids: &[UserId], actor_id: UserId) {
        let Some(stream) = self.facts.streams.get(&stream_id).filter(|_| !user_ids.is_empty()).cloned()
        else {
            return;
        };
        let sequence = self.advance();
        self.log(sequence, &Event::MembersAdded { stream, user_ids: user_ids.to_vec(), actor_id });
        self.facts.members.extend(user_ids.iter().map(|user_id| (stream_id, *user_id)));
        let row = MembershipRow { stream_id, user_ids: user_ids.to_vec(), sequence, begins: true };
        self.rows.memberships.push(row);
    }

    fn remove_members(&mut self, stream_id: StreamId, user_ids: &[UserId], actor_id: UserId) {
        if user_ids.is_empty() {
            return;
        }
        let sequence = self.advance();
        self.log(sequence, &Event::MembersRemoved { stream_id, user_ids: user_ids.to_vec(), actor_id });
        for user_id in user_ids {
            self.facts.members.remove(&(stream_id, *user_id));
        }
        let row = MembershipRow { stream_id, user_ids: user_ids.to_vec(), sequence, begins: false };
        self.rows.memberships.push(row);
    }

    fn not_in(&self, stream_id: StreamId, user_ids: &[UserId]) -> Vec<UserId> {
        user_ids.iter().copied().filter(|user_id| !self.is_member(stream_id, *user_id)).collect()
    }
}

/// The stream with its texts in their normal form.
pub(super) fn parse_stream(raw: &NewStream) -> Result<NewStream, Refused> {
    let invalid = |error: text::TextError| (RefusalCode::InvalidContent, error.to_string());
    Ok(NewStream {
        name: text::stream_name(&raw.name).map_err(invalid)?.to_owned(),
        description: text::description(&raw.description).map_err(invalid)?,
        invite_only: raw.invite_only,
    })
}

/// Whom a membership change is about: those named, or the actor.
fn subjects(actor_id: UserId, user_ids: &[UserId]) -> Result<Vec<UserId>, Refused> {
    if user_ids.is_empty() {
        return Ok(vec![actor_id]);
    }
    let subjects = sorted(user_ids);
    if subjects.len() > MEMBERS_CHANGED_MAX {
        let words = format!("{} users, at most {MEMBERS_CHANGED_MAX}", subjects.len());
        return Err((RefusalCode::TooMany, words));
    }
    Ok(subjects)
}
