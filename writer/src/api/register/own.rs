//! What is a user's own in the state that its client starts from.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use squall_protocol::{MessageId, StreamId, UserId};
use squall_zulip::streams::Preferences;

use crate::limits::UNREAD_MAX;
use crate::store::{Own, StreamView, UnreadMessage, UnreadPlace};

/// The policy that Zulip calls muted.
const MUTED: u32 = 1;

/// The part `unread_msgs`: each message once, by where it is.
pub(super) fn unread(own: &Own, viewer: UserId) -> Value {
    let mut streams: BTreeMap<(StreamId, &str), Vec<MessageId>> = BTreeMap::new();
    let mut pms: BTreeMap<UserId, Vec<MessageId>> = BTreeMap::new();
    let mut huddles: BTreeMap<&[UserId], Vec<MessageId>> = BTreeMap::new();
    let mut mentions = Vec::new();
    // Ascending.
    for UnreadMessage { message_id, place, mentioned, sender_id: _ } in own.unread.iter().rev() {
        let of_place = match place {
            UnreadPlace::Topic(stream_id, topic) => streams.entry((*stream_id, topic)).or_default(),
            UnreadPlace::Direct(user_ids) if user_ids.len() > 2 => huddles.entry(user_ids).or_default(),
            UnreadPlace::Direct(user_ids) => {
                let other = user_ids.iter().find(|user_id| **user_id != viewer).unwrap_or(&viewer);
                pms.entry(*other).or_default()
            }
        };
        of_place.push(*message_id);
        if *mentioned {
            mentions.push(*message_id);
        }
    }
    let of_topic = |((stream_id, topic), message_ids): ((StreamId, &str), Vec<MessageId>)| json!({ "stream_id": stream_id, "topic": topic, "unread_message_ids": message_ids });
    let of_user = |(user_id, message_ids): (UserId, Vec<MessageId>)| json!({ "other_user_id": user_id, "sender_id": user_id, "unread_message_ids": message_ids });
    let of_group = |(user_ids, message_ids): (&[UserId], Vec<MessageId>)| {
        let names: Vec<String> = user_ids.iter().map(ToString::to_string).collect();
        json!({ "user_ids_string": names.join(","), "unread_message_ids": message_ids })
    };
    json!({
        "count": own.unread.len(),
        "streams": streams.into_iter().map(of_topic).collect::<Vec<_>>(),
        "pms": pms.into_iter().map(of_user).collect::<Vec<_>>(),
        "huddles": huddles.into_iter().map(of_group).collect::<Vec<_>>(),
        "mentions": mentions,
        "old_unreads_missing": own.unread.len() >= UNREAD_MAX,
    })
}

/// The part `muted_topics`: by the stream's name, and since when.
pub(super) fn muted_topics(own: &Own, streams: &[StreamView]) -> Value {
    let names: BTreeMap<_, _> =
        streams.iter().map(|view| (view.stream.stream_id, view.stream.name.as_str())).collect();
    let muted = own.topic_policies.iter().filter(|(.., policy, _)| *policy == MUTED);
    let object = |(stream_id, topic, _, since_s): &(StreamId, String, u32, u64)| {
        names.get(stream_id).map(|name| json!([name, topic, since_s]))
    };
    muted.filter_map(object).collect::<Vec<_>>().into()
}

/// The part `user_topics`.
pub(super) fn user_topics(own: &Own) -> Value {
    let object = |(stream_id, topic, policy, since_s): &(StreamId, String, u32, u64)| {
        json!({
            "stream_id": stream_id,
            "topic_name": topic,
            "visibility_policy": policy,
            "last_updated": since_s,
        })
    };
    own.topic_policies.iter().map(object).collect::<Vec<_>>().into()
}

/// How the viewer wants a stream shown.
pub(in crate::api) fn preferences(settings: &[(StreamId, String, String)], view: &StreamView) -> Preferences {
    let mut preferences = Preferences::of(&view.stream);
    for (_, name, value) in settings.iter().filter(|(of, ..)| *of == view.stream.stream_id) {
        if let Ok(value) = serde_json::from_str(value) {
            // What it can't be any more is as by default.
            preferences.set(name, &value);
        }
    }
    preferences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_messages_are_told_by_where_they_are() {
        let message = |message_id, place, mentioned| UnreadMessage {
            message_id: MessageId(message_id),
            sender_id: UserId(8),
            place,
            mentioned,
        };
        let direct = |user_ids: &[u32]| UnreadPlace::Direct(user_ids.iter().copied().map(UserId).collect());
        let topic = |topic: &str| UnreadPlace::Topic(StreamId(2), topic.to_owned());
        let own = Own {
            unread: vec![
                message(16, direct(&[7]), false),
                message(15, direct(&[7, 8, 9]), true),
                message(14, direct(&[7, 8]), false),
                message(13, topic("b"), true),
                message(12, topic("a"), false),
                message(11, topic("b"), false),
            ],
            ..Own::default()
        };
        let expected = json!({
            "count": 6,
            "streams": [
                { "stream_id": 2, "topic": "a", "unread_message_ids": [12] },
                { "stream_id": 2, "topic": "b", "unread_message_ids": [11, 13] },
            ],
            "pms": [
                { "other_user_id": 7, "sender_id": 7, "unread_message_ids": [16] },
                { "other_user_id": 8, "sender_id": 8, "unread_message_ids": [14] },
            ],
            "huddles": [{ "user_ids_string": "7,8,9", "unread_message_ids": [15] }],
            "mentions": [13, 15],
            "old_unreads_missing": false,
        });
        assert_eq!(unread(&own, UserId(7)), expected);
    }
}
