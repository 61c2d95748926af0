//! The realms, streams and users as this worker knows them: where a client may send, and what it may see.

use std::collections::HashMap;

use squall_protocol::{Destination, Event, Position, RealmId, Sequence, StreamId, UserId};

use super::plan::{Plan, RealmPlan, StreamPlan, UserPlan};
use super::seen::Seen;
use crate::audit::RealmKey;
use crate::moment::Moment;

/// All realms, and the users of this worker's clients.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) realms: Vec<Realm>,
    pub(crate) users: Vec<User>,
    by_id: HashMap<(u16, UserId), u32>,
}

#[derive(Debug)]
pub(crate) struct Realm {
    pub(crate) target: u16,
    pub(crate) realm_id: RealmId,
    pub(crate) key: RealmKey,
    pub(crate) users: Vec<UserId>,
    pub(crate) streams: Vec<Stream>,
    by_id: HashMap<StreamId, u16>,
    /// The latest event that any client of this worker was told of.
    pub(crate) newest: Sequence,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) stream_id: StreamId,
    pub(crate) invite_only: bool,
    /// Never leaves.
    pub(crate) anchor: Option<UserId>,
    /// The latest change of its members that was taken in: an older one, told again, changes nothing.
    changed_at: Sequence,
    /// Users of this worker who were members at the start.
    pub(crate) locals: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct User {
    pub(crate) realm: u16,
    pub(crate) user_id: UserId,
    pub(crate) key: Box<str>,
    pub(crate) is_guest: bool,
    /// Where it is a member and may send.
    pub(crate) streams: Vec<u16>,
    /// What it left, or is leaving.
    pub(crate) left: Vec<u16>,
    /// Its clients.
    pub(crate) clients: Vec<u32>,
}

/// An event of the window.
#[derive(Debug)]
pub(crate) struct Known {
    /// When it was due, if it is a message of this run.
    pub(crate) due: Option<Moment>,
    reach: Reach,
}

/// Who sees an event, as far as this worker can tell.
#[derive(Debug)]
enum Reach {
    Realm,
    Regulars,
    /// The members, and these.
    Stream(u16, Box<[UserId]>),
    Users(Box<[UserId]>),
}

impl World {
    /// Takes realms and users out of `plan`.
    pub(crate) fn new(plan: &mut Plan) -> Self {
        let users: Vec<_> = std::mem::take(&mut plan.users).into_iter().map(User::new).collect();
        let by_id: HashMap<_, _> =
            users.iter().zip(0..).map(|(user, index)| ((user.realm, user.user_id), index)).collect();
        let plans = std::mem::take(&mut plan.realms).into_iter().zip(0..);
        let realms = plans.map(|(realm, index)| Realm::new(realm, index, &by_id)).collect();
        let mut world = Self { realms, users, by_id };
        for (client, index) in plan.clients.iter().zip(0..) {
            world.users[client.user as usize].clients.push(index);
        }
        world
    }

    /// The index of a stream of a realm.
    pub(crate) fn stream(&self, realm: u16, stream_id: StreamId) -> Option<u16> {
        self.realms[usize::from(realm)].by_id.get(&stream_id).copied()
    }

    /// A user, if it is one of this worker's.
    pub(crate) fn user(&mut self, realm: u16, user_id: UserId) -> Option<&mut User> {
        self.by_id.get(&(realm, user_id)).map(|index| &mut self.users[*index as usize])
    }

    /// Takes in what an event says, and makes what is known of it.
    pub(crate) fn learn(
        &mut self,
        realm: u16,
        (sequence, event): (Sequence, &Event),
        due: Option<Moment>,
    ) -> Known {
        let of = |stream_id: &StreamId| self.realms[usize::from(realm)].by_id.get(stream_id).copied();
        let users = |users: &[UserId]| Reach::Users(users.into());
        let reach = match event {
            Event::Message(message) => match &message.to {
                Destination::Stream { stream_id, .. } => {
                    of(stream_id).map_or(users(&[]), |stream| Reach::Stream(stream, [].into()))
                }
                Destination::Direct { user_ids } => users(user_ids),
            },
            Event::StreamCreated { stream } if stream.invite_only => users(&[]),
            Event::StreamCreated { .. } => Reach::Regulars,
            Event::MembersAdded { stream, user_ids, .. } => match of(&stream.stream_id) {
                Some(stream) => self.change(realm, stream, sequence, user_ids, true),
                None => users(user_ids),
            },
            Event::MembersRemoved { stream_id, user_ids, .. } => match of(stream_id) {
                Some(stream) => self.change(realm, stream, sequence, user_ids, false),
                None => users(user_ids),
            },
            Event::UserAdded { .. } | Event::UserUpdated { .. } => Reach::Realm,
            Event::CredentialChanged { user_id } => users(&[*user_id]),
        };
        let newest = &mut self.realms[usize::from(realm)].newest;
        *newest = (*newest).max(sequence);
        Known { due, reach }
    }

    fn change(
        &mut self,
        realm: u16,
        stream: u16,
        at: Sequence,
        user_ids: &[UserId],
        is_member: bool,
    ) -> Reach {
        let changed_at = &mut self.realms[usize::from(realm)].streams[usize::from(stream)].changed_at;
        if at > *changed_at {
            *changed_at = at;
            for user_id in user_ids {
                let Some(index) = self.by_id.get(&(realm, *user_id)) else { continue };
                self.users[*index as usize].set_member(stream, is_member);
            }
        }
        Reach::Stream(stream, user_ids.into())
    }
}

impl Realm {
    fn new(plan: RealmPlan, index: u16, users: &HashMap<(u16, UserId), u32>) -> Self {
        let stream = |stream: &StreamPlan| Stream {
            stream_id: stream.stream_id,
            invite_only: stream.invite_only,
            anchor: stream.members.first().copied(),
            changed_at: plan.head.sequence,
            locals: stream.members.iter().filter_map(|user| users.get(&(index, *user)).copied()).collect(),
        };
        Self {
            target: plan.target,
            realm_id: plan.realm_id,
            key: RealmKey { target: plan.target, realm_id: plan.realm_id },
            streams: plan.streams.iter().map(stream).collect(),
            users: plan.users,
            by_id: plan.streams.iter().zip(0..).map(|(stream, index)| (stream.stream_id, index)).collect(),
            newest: plan.head.sequence,
        }
    }
}

impl User {
    fn new(plan: UserPlan) -> Self {
        Self {
            realm: plan.realm,
            user_id: plan.user_id,
            key: plan.key,
            is_guest: plan.is_guest,
            streams: plan.streams,
            left: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// It became a member of a stream, or is one no more.
    pub(crate) fn set_member(&mut self, stream: u16, is_member: bool) {
        let (to, from) =
            if is_member { (&mut self.streams, &mut self.left) } else { (&mut self.left, &mut self.streams) };
        from.retain(|other| *other != stream);
        if !to.contains(&stream) {
            to.push(stream);
        }
    }

    /// Whether it sees an event, by the memberships of now.
    fn sees(&self, event: &Known) -> bool {
        match &event.reach {
            Reach::Realm => true,
            Reach::Regulars => !self.is_guest,
            Reach::Stream(stream, also) => self.streams.contains(stream) || also.contains(&self.user_id),
            Reach::Users(users) => users.contains(&self.user_id),
        }
    }
}

/// The latest event that `user` missed after `position`, as far as this worker knows: having that, it has
/// caught up.
pub(crate) fn last_missed(
    world: &World,
    seen: &Seen<Known>,
    user: &User,
    position: Position,
) -> Option<Sequence> {
    let newest = world.realms[usize::from(user.realm)].newest;
    let missed = (position.sequence.0 + 1..=newest.0).rev().take(MISSED_MAX).map(Sequence);
    let mut seen_by_it =
        missed.filter(|sequence| seen.get((user.realm, *sequence)).is_some_and(|event| user.sees(event)));
    seen_by_it.next()
}

/// How far back it is looked for what a client missed.
const MISSED_MAX: usize = 10_000;
