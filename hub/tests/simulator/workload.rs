//! What people do: changes that are valid by the tables as they are.

use squall_protocol::event::{Event, Message, Role, Stream, User};
use squall_protocol::{Destination, MessageId, SendId, Sequence, StreamId, UserId};

use crate::log::{REALM, Tables};
use crate::rng::Rng;

pub(crate) const USERS_MAX: u64 = 12;
const STREAMS_MAX: u64 = 5;

/// The events that make a realm of so many users and streams.
pub(crate) fn origin(users: u64, streams: u64, rng: &mut Rng) -> Vec<Event> {
    let mut events: Vec<Event> = (1..=users).map(|id| Event::UserAdded { user: user(id, rng) }).collect();
    for id in 1..=streams {
        let stream = stream(id, rng);
        events.push(Event::StreamCreated { stream: stream.clone() });
        let user_ids: Vec<_> = (1..=users as u32).map(UserId).filter(|_| rng.per_mille(600)).collect();
        events.push(Event::MembersAdded { stream, user_ids, actor_id: UserId(1) });
    }
    events
}

/// The next event, after which the head is `sequence`.
pub(crate) fn event(tables: &Tables, sequence: Sequence, rng: &mut Rng) -> Event {
    let change = match rng.within(0..=99) {
        0..=3 => new_stream(tables, rng),
        4..=17 => members_added(tables, rng),
        18..=28 => members_removed(tables, rng),
        29..=30 => new_user(tables, rng),
        31..=34 => changed_user(tables, rng, |user, rng| user.role = role(rng)),
        35..=37 => changed_user(tables, rng, |user, _| user.is_active = !user.is_active),
        38 => any_user(tables, rng).map(|user_id| Event::CredentialChanged { user_id }),
        _ => None,
    };
    change.unwrap_or_else(|| {
        let sender = any_user(tables, rng).unwrap_or(UserId(1));
        let to = destination(tables, sender, rng);
        message(sender, to, sequence)
    })
}

/// Where `sender` writes: mostly to a stream it is in.
pub(crate) fn destination(tables: &Tables, sender: UserId, rng: &mut Rng) -> Destination {
    let streams: Vec<_> =
        tables.streams.keys().filter(|stream| tables.members.contains(&(**stream, sender))).collect();
    match rng.pick(&streams) {
        Some(stream) if rng.per_mille(850) => Destination::Stream { stream_id: **stream, topic: "t".into() },
        _ => {
            let mut user_ids = vec![sender, any_user(tables, rng).unwrap_or(sender)];
            user_ids.sort_unstable();
            user_ids.dedup();
            Destination::Direct { user_ids }
        }
    }
}

pub(crate) fn message(sender_id: UserId, to: Destination, sequence: Sequence) -> Event {
    Event::Message(Message {
        message_id: MessageId(sequence.0),
        sender_id,
        timestamp: 0,
        to,
        content: format!("{sender_id} says {sequence}"),
        send_id: SendId::parse(sequence.0.to_string()).unwrap_or_else(|_| unreachable!("digits are visible")),
    })
}

fn new_stream(tables: &Tables, rng: &mut Rng) -> Option<Event> {
    let id = tables.streams.len() as u64 + 1;
    (id <= STREAMS_MAX).then(|| Event::StreamCreated { stream: stream(id, rng) })
}

fn members_added(tables: &Tables, rng: &mut Rng) -> Option<Event> {
    let streams: Vec<_> = tables.streams.values().collect();
    let stream = (*rng.pick(&streams)?).clone();
    let outside: Vec<_> =
        tables.users.keys().filter(|user| !tables.members.contains(&(stream.stream_id, **user))).collect();
    let user_ids = one_or_two(&outside, rng)?;
    Some(Event::MembersAdded { stream, actor_id: user_ids[0], user_ids })
}

fn members_removed(tables: &Tables, rng: &mut Rng) -> Option<Event> {
    let streams: Vec<_> = tables.streams.keys().copied().collect();
    let stream_id = *rng.pick(&streams)?;
    let inside: Vec<_> = tables.members_of(stream_id).collect();
    let user_ids = one_or_two(&inside.iter().collect::<Vec<_>>(), rng)?;
    Some(Event::MembersRemoved { stream_id, actor_id: user_ids[0], user_ids })
}

fn new_user(tables: &Tables, rng: &mut Rng) -> Option<Event> {
    let id = tables.users.len() as u64 + 1;
    (id <= USERS_MAX).then(|| Event::UserAdded { user: user(id, rng) })
}

fn changed_user(tables: &Tables, rng: &mut Rng, change: impl FnOnce(&mut User, &mut Rng)) -> Option<Event> {
    let previous = tables.users[&any_user(tables, rng)?].user.clone();
    let mut user = previous.clone();
    change(&mut user, rng);
    Some(Event::UserUpdated { user, previous })
}

fn any_user(tables: &Tables, rng: &mut Rng) -> Option<UserId> {
    let users: Vec<_> = tables.users.keys().collect();
    rng.pick(&users).copied().copied()
}

fn one_or_two(from: &[&UserId], rng: &mut Rng) -> Option<Vec<UserId>> {
    let mut some = vec![**rng.pick(from)?, **rng.pick(from)?];
    some.sort_unstable();
    some.dedup();
    Some(some)
}

fn user(id: u64, rng: &mut Rng) -> User {
    User {
        user_id: UserId(id as u32),
        email: format!("{id}@{REALM}"),
        full_name: String::new(),
        role: role(rng),
        is_bot: false,
        is_active: true,
    }
}

fn role(rng: &mut Rng) -> Role {
    [Role::Admin, Role::Member, Role::Member, Role::Guest][rng.index(4)]
}

fn stream(id: u64, rng: &mut Rng) -> Stream {
    let invite_only = rng.per_mille(500);
    Stream { stream_id: StreamId(id), name: format!("s{id}"), description: String::new(), invite_only }
}
