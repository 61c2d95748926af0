//! A realm to look around in: made on the first start of an all-in-one.

use squall_protocol::event::Role;
use squall_protocol::link::{LinkError, Refusal};
use squall_protocol::{Destination, RealmId, StreamId, UserId};

use crate::change::{Change, NewStream, NewUser, Outcome, Request};
use crate::secret::{ApiKey, random_send_id};
use crate::writer::{CreateError, Writer};

/// A user of the demo realm, with the only copy of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoUser {
    /// Short, lower case: good for a file name.
    pub name: String,
    /// The name people see.
    pub full_name: String,
    /// Its address.
    pub email: String,
    /// Its key.
    pub api_key: ApiKey,
}

/// Why the demo realm was not made whole.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The writer refused a part of it.
    #[error("demo realm: {0}")]
    Refused(#[from] Refusal),
    /// The realm itself was not made.
    #[error("demo realm: {0}")]
    Create(#[from] CreateError),
    /// The database gave no answer.
    #[error("demo realm: {0}")]
    Link(#[from] LinkError),
}

const USERS: [(&str, &str, Role); 5] = [
    ("ada", "Ada Lindqvist", Role::Admin),
    ("bruno", "Bruno Castellani", Role::Member),
    ("chidi", "Chidi Okafor", Role::Member),
    ("dalia", "Dalia Haddad", Role::Member),
    ("emre", "Emre Yıldız", Role::Member),
];

/// Name, description, invite-only, how many of the users are in it.
const STREAMS: [(&str, &str, bool, usize); 3] = [
    ("general", "For everybody, about everything", false, 5),
    ("random", "Away from work", false, 5),
    ("leads", "Planning, by invitation", true, 4),
];

/// Stream, topic, sender, text: indices into the tables above.
const MESSAGES: [(usize, &str, usize, &str); 17] = [
    (0, "welcome", 0, "Welcome to Squall! Pick a topic on the left and say something."),
    (0, "welcome", 1, "Messages arrive as you watch. Open a second window as somebody else and try it."),
    (
        0,
        "welcome",
        3,
        "You can also pull the network cable: what you miss comes when you are back, in order.",
    ),
    (0, "release", 2, "The release notes are done. Could somebody read them once more before four?"),
    (0, "release", 4, "I'll do it right after stand-up."),
    (0, "release", 2, "Thanks, Emre. The upgrade section is the part I'm least sure of."),
    (0, "release", 4, "Read it. Two typos, otherwise clear. Ship it."),
    (0, "office", 1, "The coffee machine is back from repair."),
    (0, "office", 0, "Best news of the week."),
    (1, "lunch", 3, "Soup place or the noodle bar today?"),
    (1, "lunch", 4, "Noodles. It's raining."),
    (1, "lunch", 1, "That's an argument for soup, Emre."),
    (1, "books", 2, "Finished the one about lighthouse keepers. Recommended."),
    (1, "books", 0, "Can I have it next?"),
    (
        2,
        "planning",
        0,
        "Draft for the next quarter is in the shared folder. Comments until Thursday, please.",
    ),
    (2, "planning", 1, "Looks good. I'd move the migration before the summer."),
    (2, "planning", 3, "Agreed, and we should ask Emre's team early."),
];

/// Makes the demo realm; `None` if the store has a realm already.
pub async fn seed(writer: &Writer) -> Result<Option<Vec<DemoUser>>, SeedError> {
    if !writer.realms().await?.is_empty() {
        return Ok(None);
    }
    let realm_id = writer.create_realm("Demo").await?;
    let users = create_users(writer, realm_id).await?;
    let user_ids: Vec<UserId> = users.iter().map(|(user_id, _)| *user_id).collect();
    let streams = create_streams(writer, realm_id, &user_ids).await?;
    send_messages(writer, realm_id, &user_ids, &streams).await?;
    Ok(Some(users.into_iter().map(|(_, user)| user).collect()))
}

async fn create_users(writer: &Writer, realm_id: RealmId) -> Result<Vec<(UserId, DemoUser)>, SeedError> {
    let new = USERS.map(|(name, full_name, role)| NewUser {
        email: format!("{name}@demo.example"),
        full_name: full_name.into(),
        role,
        is_bot: false,
        streams: Vec::new(),
    });
    let created = writer.create_users(realm_id, new.into()).await;
    let mut users = Vec::with_capacity(USERS.len());
    for ((name, full_name, _), created) in USERS.iter().zip(created) {
        let created = created?;
        let user = DemoUser {
            name: (*name).into(),
            full_name: (*full_name).into(),
            email: created.email,
            api_key: created.api_key,
        };
        users.push((created.user_id, user));
    }
    Ok(users)
}

async fn create_streams(
    writer: &Writer,
    realm_id: RealmId,
    user_ids: &[UserId],
) -> Result<Vec<StreamId>, SeedError> {
    let mut streams = Vec::with_capacity(STREAMS.len());
    for (name, description, invite_only, members) in STREAMS {
        let stream = NewStream { name: name.into(), description: description.into(), invite_only };
        let members = user_ids[..members].to_vec();
        streams.push(writer.create_stream(realm_id, stream, members).await?.stream_id);
    }
    Ok(streams)
}

async fn send_messages(
    writer: &Writer,
    realm_id: RealmId,
    user_ids: &[UserId],
    streams: &[StreamId],
) -> Result<(), SeedError> {
    let send = |sender_id: UserId, to: Destination, content: &str| Request {
        realm_id,
        change: Change::Send { sender_id, send_id: random_send_id(), to, content: content.into() },
    };
    let mut requests: Vec<Request> = MESSAGES
        .iter()
        .map(|(stream, topic, sender, content)| {
            let to = Destination::Stream { stream_id: streams[*stream], topic: (*topic).into() };
            send(user_ids[*sender], to, content)
        })
        .collect();
    let to = Destination::Direct { user_ids: vec![user_ids[0], user_ids[1]] };
    requests.push(send(user_ids[1], to, "Hi Ada, do you have ten minutes for the migration plan tomorrow?"));
    for outcome in writer.apply(requests).await {
        if let Outcome::Refused(refusal) = outcome {
            return Err(refusal.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::writer;

    #[tokio::test]
    async fn the_demo_realm_is_made_once() {
        let (writer, _dir) = writer().await;
        let users = seed(&writer).await.unwrap().unwrap();
        assert_eq!(users.len(), 5);
        for user in &users {
            assert!(writer.identify(user.api_key.reveal()).await.unwrap().is_some(), "{}", user.name);
        }
        assert!(seed(&writer).await.unwrap().is_none());
        let page = writer.realm_page(RealmId(1), None).await.unwrap();
        assert_eq!((page.users.len(), page.streams.len(), page.members.len()), (5, 3, 14));
        // Five users, two events a stream, the messages and the direct one.
        assert_eq!(page.as_of.sequence.0 as usize, 5 + 2 * 3 + MESSAGES.len() + 1);
    }
}
