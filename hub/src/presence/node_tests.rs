//! Each rule of presence across nodes, as a sentence.

mod cluster;
mod faults;
mod nonsense;

use squall_protocol::client_message::Status::{self, Active, Idle};
use squall_protocol::link::LastHeard;
use squall_protocol::node_presence::{NodePresence, PresenceAsk, PresenceSource};
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{NodeId, RealmId, SessionId, UserId};

use super::{Presence, Times};
use cluster::{Cluster, SECOND, START_MS, Seen};

const ANNA: UserId = UserId(7);
const BELA: UserId = UserId(3);
const LAPTOP: SessionId = SessionId(1);
const PHONE: SessionId = SessionId(2);

const GRACE: u64 = 20 * SECOND;
const SILENCE: u64 = 45 * SECOND;
const TWO_TICKS: u64 = 2 * SECOND;
const SIGN_OF_LIFE: u64 = 5 * SECOND;

const HERE_ACTIVE: Option<Seen> = Some(Seen::Here(Active));
const HERE_IDLE: Option<Seen> = Some(Seen::Here(Idle));

/// Anna is on `north`, and everybody knows.
fn with_anna_in_the_north() -> Cluster {
    with_anna(Active)
}

/// The same for longer than an `active` lasts.
fn with_anna_idle_in_the_north() -> Cluster {
    with_anna(Idle)
}

fn with_anna(status: Status) -> Cluster {
    let mut cluster = Cluster::of(&["east", "north", "west"]);
    cluster.connect("north", ANNA, LAPTOP, status);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.all_show(&["east", "north", "west"], ANNA), Some(Seen::Here(status)));
    cluster.look();
    cluster
}

#[test]
fn who_comes_goes_idle_and_leaves_is_told_on_every_node_within_two_ticks() {
    let mut cluster = with_anna_in_the_north();
    let all = ["east", "north", "west"];
    cluster.node("north").presence.handle_status(LAPTOP, Idle, START_MS + 5 * SECOND);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.all_show(&all, ANNA), HERE_IDLE);
    cluster.close("north", LAPTOP);
    cluster.wait(GRACE);
    assert_eq!(cluster.all_show(&all, ANNA), HERE_IDLE);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.all_show(&all, ANNA), Some(Seen::Gone(7)));
}

#[test]
fn a_user_on_two_nodes_is_shown_as_the_better_of_both() {
    let mut cluster = Cluster::of(&["east", "north", "west"]);
    let all = ["east", "north", "west"];
    cluster.connect("north", ANNA, LAPTOP, Idle);
    cluster.connect("west", ANNA, PHONE, Active);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.all_show(&all, ANNA), HERE_ACTIVE);
    cluster.close("west", PHONE);
    cluster.wait(GRACE + TWO_TICKS);
    assert_eq!(cluster.all_show(&all, ANNA), HERE_IDLE);
    cluster.close("north", LAPTOP);
    cluster.wait(GRACE + TWO_TICKS);
    assert_eq!(cluster.all_show(&all, ANNA), Some(Seen::Gone(27)));
}

#[test]
fn who_moves_to_another_node_in_the_last_moment_of_grace_never_left() {
    // At every phase of the ticks.
    for offset_ms in (0..SECOND).step_by(10) {
        let mut cluster = with_anna_idle_in_the_north();
        cluster.wait(offset_ms);
        cluster.close("north", LAPTOP);
        cluster.wait(GRACE - 10);
        cluster.connect("west", ANNA, PHONE, Idle);
        cluster.wait(GRACE + SILENCE);
        assert_eq!(cluster.named(), 0, "told something, {offset_ms} ms after the tick");
    }
}

#[test]
fn a_moment_on_another_node_within_grace_begins_grace_anew() {
    let mut cluster = with_anna_in_the_north();
    cluster.close("north", LAPTOP);
    cluster.wait(GRACE - 3 * SECOND);
    cluster.connect("west", ANNA, PHONE, Active);
    cluster.close("west", PHONE);
    cluster.wait(GRACE - 10);
    assert_eq!(cluster.named(), 0);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.all_show(&["east", "north", "west"], ANNA), Some(Seen::Gone(22)));
}

#[test]
fn who_is_back_after_grace_left_and_came() {
    let mut cluster = with_anna_in_the_north();
    cluster.close("north", LAPTOP);
    cluster.wait(GRACE + TWO_TICKS);
    cluster.connect("west", ANNA, PHONE, Active);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.named(), 2 * 3);
}

#[test]
fn last_heard_is_the_last_on_any_node() {
    let mut cluster = Cluster::of(&["north", "west"]);
    cluster.connect("north", ANNA, LAPTOP, Active);
    cluster.connect("west", ANNA, PHONE, Active);
    cluster.wait(10 * SECOND);
    cluster.close("north", LAPTOP);
    // The phone fell silent long before, and is found out later.
    cluster.wait(20 * SECOND);
    let (heard_ms, now_ms) = (START_MS + 5 * SECOND, cluster.now_ms);
    cluster.node("west").presence.handle_disconnect(PHONE, heard_ms, now_ms);
    cluster.wait(GRACE + TWO_TICKS);
    assert_eq!(cluster.all_show(&["north", "west"], ANNA), Some(Seen::Gone(13)));
}

#[test]
fn the_users_of_a_killed_node_that_come_back_elsewhere_never_left() {
    let mut cluster = with_anna_idle_in_the_north();
    cluster.kill("north");
    cluster.wait(SILENCE - SIGN_OF_LIFE - TWO_TICKS);
    cluster.connect("west", ANNA, PHONE, Idle);
    cluster.wait(SILENCE);
    assert_eq!(cluster.named(), 0);
}

#[test]
fn the_users_of_a_killed_node_that_do_not_come_back_left_at_its_last_sign_of_life() {
    let mut cluster = with_anna_in_the_north();
    cluster.kill("north");
    // Its last sign was that Anna is there, in the fourth second.
    cluster.wait(SILENCE - TWO_TICKS);
    assert_eq!(cluster.all_show(&["east", "west"], ANNA), HERE_ACTIVE);
    cluster.wait(TWO_TICKS + SECOND);
    assert_eq!(cluster.all_show(&["east", "west"], ANNA), Some(Seen::Gone(3)));
    assert_eq!(cluster.node("east").presence.company.as_ref().unwrap().elsewhere.len(), (1, 0));
}

#[test]
fn a_node_that_restarts_at_once_is_a_new_one_and_its_users_never_left() {
    let mut cluster = with_anna_idle_in_the_north();
    cluster.kill("north");
    cluster.start("north");
    cluster.wait(3 * SECOND);
    assert_eq!(cluster.shown("north", ANNA), None, "nobody tells of a node that is dead");
    cluster.connect("north", ANNA, PHONE, Idle);
    cluster.wait(2 * SILENCE);
    assert_eq!(cluster.named(), 1, "only to the clients of the new node");
}

#[test]
fn a_node_that_loads_its_realm_anew_begins_anew_and_nobody_left() {
    let mut cluster = with_anna_idle_in_the_north();
    cluster.connect("west", BELA, PHONE, Idle);
    cluster.wait(TWO_TICKS);
    cluster.look();
    cluster.reopen("north", &[(ANNA, LAPTOP, Idle)]);
    cluster.wait(2 * SILENCE);
    let told_elsewhere: usize = ["east", "west"].map(|name| cluster.node(name).told.len()).iter().sum();
    assert_eq!(told_elsewhere, 0);
    assert_eq!(cluster.shown("north", BELA), HERE_IDLE, "it heard again of everybody");
}

#[test]
fn a_node_that_opens_the_realm_hears_of_everybody_before_it_is_settled() {
    let mut cluster = with_anna_in_the_north();
    cluster.connect("west", BELA, PHONE, Idle);
    cluster.wait(TWO_TICKS);
    cluster.start("south");
    assert!(!cluster.node("south").presence.is_settled(0));
    while !cluster.nodes["south"].presence.is_settled(cluster.now_ms) {
        cluster.wait(10);
    }
    let now_ms = cluster.now_ms;
    cluster.node("south").presence.poll_tick(now_ms);
    assert_eq!(cluster.shown("south", ANNA), HERE_ACTIVE);
    assert_eq!(cluster.shown("south", BELA), HERE_IDLE);
}

#[test]
fn ten_thousand_who_reconnect_after_a_nodes_death_cause_only_transitions_that_are_true() {
    const USERS: u32 = 10_000;
    let mut cluster = Cluster::of(&["east", "north", "west"]);
    (0..USERS).for_each(|user| cluster.connect("north", UserId(user), SessionId(user.into()), Idle));
    cluster.wait(3 * SECOND);
    cluster.kill("north");
    cluster.look();
    // All but ten, within a second; one in a hundred of them is active now.
    for user in 10..USERS {
        let status = if user % 100 == 0 { Active } else { Idle };
        let name = if user % 2 == 0 { "east" } else { "west" };
        cluster.connect(name, UserId(user), SessionId(u64::from(USERS + user)), status);
        if user % 100 == 0 {
            cluster.wait(10);
        }
    }
    cluster.wait(TWO_TICKS);
    let named_at_once = cluster.named();
    cluster.wait(SILENCE);
    // To the clients of two nodes: who is active now; then that, without a word from it, it is not; and who
    // did not come back.
    assert_eq!(named_at_once, 2 * 99);
    assert_eq!(cluster.named(), 2 * (2 * 99 + 10));
    let (frames, bytes) = ["east", "west"]
        .map(|name| cluster.cost(name))
        .into_iter()
        .fold((0, 0), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1));
    println!("10,000 reconnects: {frames} frames of {bytes} bytes");
    assert!(frames < 60 && bytes < 30_000);
}

#[test]
fn a_link_that_breaks_again_and_again_causes_no_frame() {
    let mut cluster = with_anna_in_the_north();
    let mut device = LAPTOP;
    for flap in 0..100 {
        cluster.wait(100);
        cluster.close("north", device);
        cluster.wait(100);
        device = SessionId(100 + flap);
        cluster.connect("north", ANNA, device, Active);
    }
    assert_eq!(cluster.named(), 0);
    let signs = cluster.published.iter().filter(|(name, _)| *name == "north").count();
    assert!(signs <= 5, "{signs} frames in 20 s");
}

#[test]
fn a_quiet_node_costs_a_frame_of_some_40_bytes_in_five_seconds() {
    let mut cluster = with_anna_in_the_north();
    cluster.wait(100 * SECOND);
    let (frames, bytes) = cluster.cost("north");
    assert_eq!(frames, 20);
    assert!(bytes <= 20 * 45, "{bytes} bytes");
}

#[test]
fn a_node_alone_publishes_nothing() {
    let mut presence = Presence::new(Times::default(), [], START_MS);
    presence.handle_connect(ANNA, LAPTOP, Active, START_MS);
    assert_eq!(presence.poll_frames(START_MS), []);
    assert!(presence.is_settled(START_MS));
    assert!(presence.poll_tick(START_MS).is_some());
    assert_eq!(presence.poll_frames(START_MS + 3_600 * SECOND), []);
}

#[test]
fn a_deactivated_user_is_gone_on_every_node_without_grace() {
    let mut cluster = with_anna_in_the_north();
    for name in ["east", "north", "west"] {
        let now_ms = cluster.now_ms;
        cluster.node(name).presence.handle_user_gone(ANNA, now_ms);
    }
    cluster.wait(TWO_TICKS);
    let shown = ["east", "north", "west"].map(|name| cluster.shown(name, ANNA));
    assert!(shown.iter().all(|shown| matches!(shown, Some(Seen::Gone(_)))), "{shown:?}");
    cluster.wait(SILENCE);
    assert_eq!(cluster.named(), 3);
}

#[test]
fn who_left_is_stored_by_the_node_that_heard_it_and_by_no_other() {
    let mut cluster = with_anna_in_the_north();
    cluster.close("north", LAPTOP);
    cluster.wait(GRACE + TWO_TICKS);
    let now_ms = cluster.now_ms;
    let stored = cluster.node("north").presence.poll_last_heard(now_ms);
    assert_eq!(stored, [LastHeard { user_id: ANNA, last_heard_s: START_MS / SECOND + 5 }]);
    assert_eq!(cluster.node("west").presence.poll_last_heard(now_ms), []);
    assert!(cluster.node("north").presence.is_empty());
}

#[test]
fn a_realm_is_not_dropped_before_its_last_change_is_published() {
    let mut presence = Presence::new(cluster::times(), [], START_MS).among_nodes(
        RealmId(1),
        PresenceSource { node_id: NodeId(1), opening: 1 },
        true,
    );
    presence.handle_connect(ANNA, LAPTOP, Active, START_MS);
    presence.poll_frames(START_MS);
    presence.handle_disconnect(LAPTOP, START_MS, START_MS);
    let later_ms = START_MS + GRACE;
    presence.poll_tick(later_ms);
    presence.poll_last_heard(later_ms);
    assert!(!presence.is_empty());
    presence.poll_frames(later_ms);
    assert!(presence.is_empty());
}

#[test]
fn a_node_alone_hears_nothing_of_others() {
    let mut presence = Presence::new(Times::default(), [], START_MS);
    let diff = PresenceDiff { as_of_ms: START_MS, to: 1, active: vec![ANNA], ..PresenceDiff::default() };
    let source = PresenceSource { node_id: NodeId(5), opening: 1 };
    let part = NodePresence { realm_id: RealmId(1), source, change: 1, diff };
    presence.handle_node_presence(&part, START_MS);
    presence.handle_ask(&PresenceAsk { realm_id: RealmId(1), from: NodeId(5), to: None, since: 0 }, START_MS);
    presence.handle_link(false, START_MS);
    presence.handle_gap(START_MS);
    presence.handle_leases(&[], START_MS, START_MS);
    assert!(!presence.needs_writer(START_MS));
    assert_eq!(presence.poll_tick(START_MS), None);
}
