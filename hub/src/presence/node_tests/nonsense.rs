//! Whatever other nodes say, a node goes on, and tells its clients one story.

use std::collections::BTreeMap;

use proptest::prelude::*;
use squall_protocol::client_message::Status;
use squall_protocol::link::NodeLease;
use squall_protocol::node_presence::{NodePresence, PresenceAsk, PresenceSource};
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{NodeId, RealmId, SessionId, UserId};

use super::cluster::{SECOND, START_MS, times};
use crate::presence::Presence;

const ME: NodeId = NodeId(1);

#[derive(Debug, Clone)]
enum Step {
    Part(NodePresence),
    Ask(PresenceAsk),
    Leases(Vec<NodeLease>, u64),
    Link(bool),
    Gap,
    Connect(UserId),
    Wait(u64),
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..6u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![6 => START_MS - 50 * SECOND..START_MS + 100 * SECOND, 1 => Just(0), 1 => any::<u64>()]
}

fn users() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec((0..5u32).prop_map(UserId), 0..3)
}

fn source() -> impl Strategy<Value = PresenceSource> {
    (1..4u64, 0..3u64).prop_map(|(node, opening)| PresenceSource { node_id: NodeId(node), opening })
}

fn part() -> impl Strategy<Value = NodePresence> {
    let offline = prop::collection::vec(((0..5u32).prop_map(UserId), any::<u64>()), 0..3);
    let diff = (time(), number(), number(), users(), users(), offline);
    (source(), number(), diff).prop_map(|(source, change, (as_of_ms, from, to, active, idle, offline))| {
        let diff = PresenceDiff { as_of_ms, from, to, active, idle, offline };
        NodePresence { realm_id: RealmId(1), source, change, diff }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let ask = (1..4u64, prop::option::of(source()), number()).prop_map(|(from, to, since)| PresenceAsk {
        realm_id: RealmId(1),
        from: NodeId(from),
        to,
        since,
    });
    let lease = (1..4u64, time()).prop_map(|(node, as_of_ms)| NodeLease { node_id: NodeId(node), as_of_ms });
    prop_oneof![
        6 => part().prop_map(Step::Part),
        2 => ask.prop_map(Step::Ask),
        1 => (prop::collection::vec(lease, 0..3), time()).prop_map(|(leases, at_ms)| Step::Leases(leases, at_ms)),
        1 => any::<bool>().prop_map(Step::Link),
        1 => Just(Step::Gap),
        2 => (0..5u32).prop_map(|user| Step::Connect(UserId(user))),
        4 => (0..60 * SECOND).prop_map(Step::Wait),
    ]
}

/// What a client has; the offline with their seconds.
type Shown = BTreeMap<UserId, (Option<Status>, u64)>;

fn shown(active: &[UserId], idle: &[UserId], offline: &[(UserId, u64)]) -> Shown {
    let here = |status| move |user: &UserId| (*user, (Some(status), 0));
    let active = active.iter().map(here(Status::Active));
    let idle = idle.iter().map(here(Status::Idle));
    let offline = offline.iter().map(|(user, heard_s)| (*user, (None, *heard_s)));
    active.chain(idle).chain(offline).collect()
}

fn all(snapshot: &PresenceSnapshot) -> Shown {
    shown(&snapshot.active, &snapshot.idle, &snapshot.offline)
}

proptest! {
    #[test]
    fn whatever_nodes_say_a_snapshot_and_diffs_are_the_snapshot_then(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let source = PresenceSource { node_id: ME, opening: 1 };
        let mut now_ms = START_MS;
        let mut presence = Presence::new(times(), [], now_ms).among_nodes(RealmId(1), source, true);
        let mut client = all(&presence.snapshot(now_ms));
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Part(part) => presence.handle_node_presence(&part, now_ms),
                Step::Ask(ask) => presence.handle_ask(&ask, now_ms),
                Step::Leases(leases, asked_ms) => presence.handle_leases(&leases, asked_ms.min(now_ms), now_ms),
                Step::Link(up) => presence.handle_link(up, now_ms),
                Step::Gap => presence.handle_gap(now_ms),
                Step::Connect(user) => {
                    presence.handle_connect(user, SessionId(number as u64), Status::Active, now_ms);
                }
                Step::Wait(ms) => now_ms += ms,
            }
            presence.poll_frames(now_ms);
            if let Some(PresenceDiff { active, idle, offline, .. }) = presence.poll_tick(now_ms) {
                prop_assert!(offline.iter().all(|(_, heard_s)| *heard_s <= now_ms / 1000));
                client.extend(shown(&active, &idle, &offline));
            }
            prop_assert_eq!(&client, &all(&presence.snapshot(now_ms)));
        }
    }
}
