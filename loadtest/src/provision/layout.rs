//! Which realms, streams and users a run needs: the same for the same seed, under names of its own.

use serde_json::{Value, json};

use crate::engine::Tag;

/// How many of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) targets: u16,
    pub(crate) realms_per_target: u32,
    pub(crate) users: u32,
    /// Of them, the last ones.
    pub(crate) guests: u32,
    pub(crate) streams: u32,
    /// Of them, spread evenly.
    pub(crate) invite_only: u32,
    pub(crate) streams_per_user: u32,
}

/// A realm to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RealmLayout {
    pub(crate) target: u16,
    pub(crate) name: String,
    pub(crate) streams: Vec<StreamLayout>,
    pub(crate) users: Vec<UserLayout>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamLayout {
    pub(crate) name: String,
    pub(crate) invite_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserLayout {
    pub(crate) email: String,
    pub(crate) full_name: String,
    pub(crate) is_guest: bool,
    /// By their index.
    pub(crate) streams: Vec<u16>,
}

/// All realms of a run, target by target.
pub(crate) fn layout(sizes: &Sizes, seed: u64, tag: &Tag) -> Vec<RealmLayout> {
    let mut random = fastrand::Rng::with_seed(seed);
    let targets =
        (0..sizes.targets).flat_map(|target| (0..sizes.realms_per_target).map(move |realm| (target, realm)));
    targets.map(|(target, realm)| RealmLayout::new(sizes, target, realm, tag, &mut random)).collect()
}

impl RealmLayout {
    fn new(sizes: &Sizes, target: u16, realm: u32, tag: &Tag, random: &mut fastrand::Rng) -> Self {
        let tag = tag.as_str();
        let name = format!("load {tag} {target}.{realm}");
        let streams = (0..sizes.streams).map(|stream| StreamLayout {
            name: format!("stream {stream}"),
            // As many of each part of the whole.
            invite_only: share_at(stream, sizes.invite_only, sizes.streams),
        });
        let users = (0..sizes.users).map(|user| UserLayout {
            email: format!("u{user}@{tag}-{target}-{realm}.load.invalid"),
            full_name: format!("User {user}"),
            is_guest: user + sizes.guests >= sizes.users,
            streams: deal(user, sizes, random),
        });
        let (streams, users) = (streams.collect(), users.collect());
        Self { target, name, streams, users }
    }

    /// The line that makes it.
    pub(crate) fn realm_line(&self) -> Value {
        json!({ "name": self.name })
    }

    /// The lines that make its streams, empty at first.
    pub(crate) fn stream_lines(&self, realm_id: u64) -> Vec<Value> {
        let line = |stream: &StreamLayout| json!({ "realm": realm_id, "name": stream.name, "invite_only": stream.invite_only });
        self.streams.iter().map(line).collect()
    }

    /// The lines that make its users, each into its streams.
    pub(crate) fn user_lines(&self, realm_id: u64) -> Vec<Value> {
        let line = |user: &UserLayout| {
            let streams = user.streams.iter().map(|stream| &self.streams[usize::from(*stream)].name);
            json!({
                "realm": realm_id,
                "email": user.email,
                "full_name": user.full_name,
                "role": if user.is_guest { "guest" } else { "member" },
                "streams": streams.collect::<Vec<_>>(),
            })
        };
        self.users.iter().map(line).collect()
    }
}

/// The streams of a user: one in turn, so that none stays empty, and others by chance.
fn deal(user: u32, sizes: &Sizes, random: &mut fastrand::Rng) -> Vec<u16> {
    let wanted = sizes.streams_per_user.min(sizes.streams) as usize;
    let own = (user % sizes.streams.max(1)) as u16;
    let mut streams: Vec<u16> = (0..sizes.streams as u16).filter(|stream| *stream != own).collect();
    random.shuffle(&mut streams);
    streams.truncate(wanted.saturating_sub(1));
    if wanted > 0 {
        streams.push(own);
    }
    streams.sort_unstable();
    streams
}

/// Whether the one at `place` is among `some` of `all`, spread evenly.
fn share_at(place: u32, some: u32, all: u32) -> bool {
    let before = |place: u32| u64::from(place) * u64::from(some) / u64::from(all.max(1));
    before(place + 1) > before(place)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZES: Sizes = Sizes {
        targets: 2,
        realms_per_target: 2,
        users: 50,
        guests: 5,
        streams: 10,
        invite_only: 3,
        streams_per_user: 4,
    };

    #[test]
    fn the_same_seed_gives_the_same_and_another_another() {
        let tag = Tag::of(1);
        assert_eq!(layout(&SIZES, 7, &tag), layout(&SIZES, 7, &tag));
        assert_ne!(layout(&SIZES, 7, &tag), layout(&SIZES, 8, &tag));
    }

    #[test]
    fn another_run_uses_other_names() {
        let names = |tag| -> HashSet<String> {
            let realms = layout(&SIZES, 7, &Tag::of(tag));
            realms
                .into_iter()
                .flat_map(|realm| realm.users.into_iter().map(|user| user.email).chain([realm.name]))
                .collect()
        };
        let (first, second) = (names(1), names(2));
        assert_eq!(first.len(), 4 * 51, "and within a run each is unique");
        assert!(first.is_disjoint(&second));
    }

    #[test]
    fn sizes_are_as_asked_and_no_stream_stays_empty() {
        let realms = layout(&SIZES, 7, &Tag::of(1));
        assert_eq!(realms.iter().map(|realm| realm.target).collect::<Vec<_>>(), [0, 0, 1, 1]);
        for realm in realms {
            assert_eq!(realm.streams.iter().filter(|stream| stream.invite_only).count(), 3);
            assert_eq!(realm.users.iter().filter(|user| user.is_guest).count(), 5);
            assert!(!realm.users[0].is_guest, "the first ones are members");
            for user in &realm.users {
                assert_eq!(user.streams.iter().collect::<HashSet<_>>().len(), 4);
            }
            let members = realm.users.iter().filter(|user| !user.is_guest);
            assert_eq!(members.flat_map(|user| &user.streams).collect::<HashSet<_>>().len(), 10);
        }
    }

    #[test]
    fn a_user_in_all_streams_is_in_each_once() {
        let sizes = Sizes { streams: 3, streams_per_user: 3, invite_only: 3, ..SIZES };
        for realm in layout(&sizes, 7, &Tag::of(1)) {
            assert!(realm.users.iter().all(|user| user.streams == [0, 1, 2]));
            assert!(realm.streams.iter().all(|stream| stream.invite_only));
        }
    }

    #[test]
    fn the_lines_are_those_of_the_operators_api() {
        let realm = &layout(&SIZES, 7, &Tag::of(1))[0];
        assert_eq!(realm.realm_line(), json!({ "name": "load 10000000 0.0" }));
        assert_eq!(realm.stream_lines(9)[3], json!({ "realm": 9, "name": "stream 3", "invite_only": true }));
        let line = &realm.user_lines(9)[49];
        assert_eq!(line["email"], "u49@10000000-0-0.load.invalid");
        assert_eq!((&line["realm"], &line["role"]), (&json!(9), &json!("guest")));
        assert_eq!(line["streams"].as_array().map(Vec::len), Some(4));
    }
}
