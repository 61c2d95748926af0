//! Random lives of a realm: groups of any size, retries at any time, all kinds of users.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn user() -> impl Strategy<Value = UserId> {
    prop_oneof![1u32..=8, Just(99u32)].prop_map(UserId)
}

fn users() -> impl Strategy<Value = Vec<UserId>> {
    vec(user(), 0..4)
}

fn stream() -> impl Strategy<Value = StreamId> {
    (1u64..=6).prop_map(StreamId)
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("general"), Just("LEADS"), Just("new"), Just("New"), Just("other"), Just(" ")]
}

/// Few send ids and few contents, so that they meet again and again.
fn change() -> impl Strategy<Value = Change> {
    let id = (0u32..12).prop_map(|id| format!("id{id}"));
    let content = prop_oneof![9 => Just("soup"), 1 => Just("stew"), 1 => Just(" ")];
    let to = prop_oneof![
        3 => stream().prop_map(|stream_id| Destination::Stream { stream_id, topic: "t".into() }),
        1 => users().prop_map(|user_ids| Destination::Direct { user_ids }),
    ];
    let email = (0u32..6).prop_map(|n| format!("new{n}@x"));
    let standing = (user(), proptest::option::of(any::<bool>()), 0..4);
    prop_oneof![
        8 => (user(), id, to, content).prop_map(|(user, id, to, text)| send_to(to, user, &id, text)),
        3 => (user(), stream(), users()).prop_map(|(user, stream, users)| subscribe(user, stream, &users)),
        2 => (user(), stream(), users()).prop_map(|(user, stream, users)| unsubscribe(user, stream, &users)),
        2 => (user(), vec(name(), 1..3), users(), any::<bool>())
            .prop_map(|(user, names, users, all)| enter(user, &names, &users, all)),
        1 => (vec(email, 1..3), name()).prop_map(|(emails, stream)| {
            create(emails.iter().map(|email| new_user(email, &[stream])).collect())
        }),
        1 => standing.prop_map(|(user_id, is_active, role)| {
            let role = [None, Some(Role::Admin), Some(Role::Member), Some(Role::Guest)][role as usize];
            Change::UpdateUser { user_id, change: UserChange { full_name: None, role, is_active } }
        }),
        1 => user().prop_map(|user_id| Change::RotateKey { user_id, key: ApiKey::random().hash() }),
    ]
}

/// The answers of successful sends, for comparison with retries.
type Answers = HashMap<(UserId, SendId, MessageDigest), (MessageId, Sequence)>;

fn check_answer(answers: &mut Answers, change: &Change, outcome: &Outcome) -> Result<(), TestCaseError> {
    let (Change::Send { sender_id, send_id, to, content }, Outcome::Sent { message_id, sequence }) =
        (change, outcome)
    else {
        return Ok(());
    };
    let to = match to {
        Destination::Stream { .. } => to.clone(),
        Destination::Direct { user_ids } => {
            let with_sender: Vec<_> = user_ids.iter().copied().chain([*sender_id]).collect();
            Destination::Direct { user_ids: sorted(&with_sender) }
        }
    };
    let key = (*sender_id, send_id.clone(), MessageDigest::of(&to, content.trim_end()));
    let first = answers.entry(key).or_insert((*message_id, *sequence));
    prop_assert_eq!(*first, (*message_id, *sequence), "a retry gets the first answer");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn logs_are_dense_and_every_send_is_stored_once(groups in vec(vec(change(), 1..8), 1..20)) {
        let mut tables = Tables::new();
        let mut answers = Answers::new();
        for group in groups {
            let outcomes = tables.apply(group.clone());
            prop_assert_eq!(outcomes.len(), group.len());
            for (change, outcome) in group.iter().zip(&outcomes) {
                check_answer(&mut answers, change, outcome)?;
            }
        }
        for (index, event) in tables.events.iter().enumerate() {
            prop_assert_eq!(event.sequence, Sequence(101 + index as u64), "dense");
        }
        prop_assert_eq!(tables.head.sequence.0, 100 + tables.events.len() as u64);
        prop_assert!(tables.events.last().is_none_or(|event| event.mark == tables.head.mark));
        let by_sequence = tables.stored.windows(2).all(|pair| {
            pair[0].0 < pair[1].0 && pair[0].1.message_id < pair[1].1.message_id
        });
        prop_assert!(by_sequence, "ids grow with sequences");
        prop_assert_eq!(answers.len(), tables.stored.len(), "one message for each send that was acknowledged");
    }

    /// Cut into groups in another way, the same requests come to the same end.
    #[test]
    fn grouping_does_not_matter(changes in vec(change(), 1..24), size in 1usize..8) {
        let (mut alone, mut grouped) = (Tables::new(), Tables::new());
        let singly: Vec<_> = changes.iter().map(|change| alone.apply_one(change.clone())).collect();
        let together: Vec<_> =
            changes.chunks(size).flat_map(|group| grouped.apply(group.to_vec())).collect();
        prop_assert_eq!(singly, together);
        prop_assert_eq!(&alone.users, &grouped.users);
        prop_assert_eq!(&alone.members, &grouped.members);
        prop_assert_eq!(&alone.stored, &grouped.stored);
        let bodies = |tables: &Tables| tables.events.iter().map(|e| e.body.clone()).collect::<Vec<_>>();
        prop_assert_eq!(bodies(&alone), bodies(&grouped));
    }

    /// The log alone rebuilds who is in which stream, and no event names one whom it does not change.
    #[test]
    fn memberships_follow_from_the_log(changes in vec(change(), 1..60)) {
        let mut tables = Tables::new();
        let mut members = tables.members.clone();
        for change in changes {
            tables.apply_one(change);
        }
        for record in &tables.events {
            match json::decode_event(&record.body).unwrap() {
                Event::MembersAdded { stream, user_ids, .. } => {
                    for user_id in user_ids {
                        prop_assert!(members.insert((stream.stream_id, user_id)));
                    }
                }
                Event::MembersRemoved { stream_id, user_ids, .. } => {
                    for user_id in user_ids {
                        prop_assert!(members.remove(&(stream_id, user_id)));
                    }
                }
                Event::Message(message) => {
                    if let Destination::Stream { stream_id, .. } = message.to {
                        prop_assert!(members.contains(&(stream_id, message.sender_id)), "members send");
                    }
                }
                Event::StreamCreated { .. }
                | Event::UserAdded { .. }
                | Event::UserUpdated { .. }
                | Event::CredentialChanged { .. }
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
            | Event::SettingSet(_) => {}
            }
        }
        prop_assert_eq!(members, tables.members);
    }
}
