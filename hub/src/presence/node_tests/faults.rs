//! What is lost, late, silent or cut off.

use squall_protocol::client_message::Status::{Active, Idle};
use squall_protocol::frame::Frame;
use squall_protocol::node_presence::{NodePresence, PresenceSource};
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{NodeId, RealmId, SessionId, UserId};

use super::super::elsewhere::NODES_MAX;
use super::cluster::{Cluster, SECOND, START_MS, Seen};
use super::{
    ANNA, BELA, HERE_ACTIVE, HERE_IDLE, LAPTOP, PHONE, SIGN_OF_LIFE, SILENCE, TWO_TICKS,
    with_anna_idle_in_the_north, with_anna_in_the_north,
};

#[test]
fn a_node_that_nobody_answers_is_settled_after_two_ticks() {
    let mut cluster = Cluster::default();
    cluster.loses = |_, _, _| true;
    cluster.start("north");
    cluster.wait(TWO_TICKS - 10);
    assert!(!cluster.nodes["north"].presence.is_settled(cluster.now_ms));
    cluster.wait(10);
    assert!(cluster.nodes["north"].presence.is_settled(cluster.now_ms));
}

#[test]
fn a_lost_part_is_found_by_the_next_one_and_asked_for() {
    let mut cluster = with_anna_in_the_north();
    cluster.loses = |from, to, _| from == "north" && to == "west";
    cluster.connect("north", BELA, PHONE, Active);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.shown("east", BELA), HERE_ACTIVE);
    assert_eq!(cluster.shown("west", BELA), None);
    cluster.loses = |_, _, _| false;
    cluster.connect("north", UserId(9), SessionId(9), Idle);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.shown("west", BELA), HERE_ACTIVE);
    assert_eq!(cluster.shown("west", UserId(9)), HERE_IDLE);
}

#[test]
fn a_lost_last_part_of_a_quiet_node_is_found_by_its_sign_of_life() {
    let mut cluster = with_anna_in_the_north();
    cluster.loses = |_, to, frame| to == "west" && matches!(frame, Frame::NodePresence(_));
    cluster.node("north").presence.handle_status(LAPTOP, Idle, START_MS);
    cluster.wait(SECOND);
    cluster.loses = |_, _, _| false;
    cluster.wait(SIGN_OF_LIFE + TWO_TICKS);
    assert_eq!(cluster.all_show(&["east", "north", "west"], ANNA), HERE_IDLE);
}

#[test]
fn a_copy_with_a_hole_lives_no_longer_than_its_last_whole_moment() {
    let mut cluster = with_anna_idle_in_the_north();
    // From now on, the west hears that the north lives, but not what it says.
    cluster.loses = |from, to, frame| {
        let names_nobody = |part: &NodePresence| part.diff.from == part.diff.to;
        from == "north" && to == "west" && !matches!(frame, Frame::NodePresence(part) if names_nobody(part))
    };
    cluster.connect("north", BELA, PHONE, Idle);
    cluster.wait(SILENCE - TWO_TICKS);
    assert_eq!(cluster.shown("west", ANNA), HERE_IDLE);
    cluster.wait(SIGN_OF_LIFE);
    assert_eq!(cluster.shown("west", ANNA), Some(Seen::Gone(3)));
    cluster.loses = |_, _, _| false;
    cluster.wait(SIGN_OF_LIFE + TWO_TICKS);
    assert_eq!(cluster.all_show(&["east", "north", "west"], ANNA), HERE_IDLE);
}

#[test]
fn parts_that_come_twice_late_or_from_oneself_change_nothing() {
    let mut cluster = with_anna_in_the_north();
    cluster.node("north").presence.handle_status(LAPTOP, Idle, START_MS);
    cluster.wait(TWO_TICKS);
    let said: Vec<_> = cluster.published.iter().map(|(_, frame)| frame.clone()).collect();
    cluster.look();
    for name in ["east", "north", "west"] {
        let now_ms = cluster.now_ms;
        for frame in said.iter().rev().chain(&said) {
            let Frame::NodePresence(part) = frame else { continue };
            cluster.node(name).presence.handle_node_presence(part, now_ms);
        }
    }
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.named(), 0);
}

#[test]
fn what_a_node_said_longer_ago_than_it_would_be_kept_is_not_heard() {
    let mut cluster = Cluster::of(&["west"]);
    let diff = PresenceDiff {
        as_of_ms: cluster.now_ms - SILENCE,
        to: 1,
        active: vec![ANNA],
        ..PresenceDiff::default()
    };
    let source = PresenceSource { node_id: NodeId(5), opening: 1 };
    let part = NodePresence { realm_id: RealmId(1), source, change: 1, diff };
    let now_ms = cluster.now_ms;
    cluster.node("west").presence.handle_node_presence(&part, now_ms);
    assert_eq!(cluster.node("west").presence.company.as_ref().unwrap().elsewhere.len(), (0, 0));
}

#[test]
fn times_to_come_count_as_now() {
    let mut cluster = Cluster::of(&["west"]);
    let (hour, now_ms) = (3_600 * SECOND, cluster.now_ms);
    let source = PresenceSource { node_id: NodeId(5), opening: 1 };
    let offline = vec![(ANNA, (now_ms + hour) / SECOND)];
    let diff = PresenceDiff {
        as_of_ms: now_ms + hour,
        to: 2,
        active: vec![BELA],
        offline,
        ..PresenceDiff::default()
    };
    let part = NodePresence { realm_id: RealmId(1), source, change: 2, diff };
    cluster.node("west").presence.handle_node_presence(&part, now_ms);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.shown("west", ANNA), Some(Seen::Gone(3)));
    cluster.wait(SILENCE);
    assert_eq!(cluster.shown("west", BELA), Some(Seen::Gone(3)));
}

#[test]
fn many_who_missed_the_same_ask_little_and_get_one_answer() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut cluster = Cluster::of(&["north"]);
    names.iter().for_each(|name| cluster.start(name));
    cluster.wait(3 * SECOND);
    cluster.loses = |from, to, _| from == "north" && to != "north";
    (0..500).for_each(|user| cluster.connect("north", UserId(user), SessionId(user.into()), Active));
    cluster.wait(SECOND);
    cluster.loses = |_, _, _| false;
    cluster.look();
    cluster.wait(SIGN_OF_LIFE + TWO_TICKS);
    assert_eq!(cluster.all_show(&names, UserId(499)), HERE_ACTIVE);
    let asks = cluster.published.iter().filter(|(_, frame)| matches!(frame, Frame::PresenceAsk(_))).count();
    assert!(asks <= 3, "{asks} asks");
    let (frames, bytes) = cluster.cost("north");
    assert!(frames <= 4 && bytes < 1_500, "{frames} frames of {bytes} bytes");
}

#[test]
fn an_answer_is_whole_however_large_and_its_parts_are_bounded() {
    const USERS: u32 = 10_000;
    let mut cluster = Cluster::of(&["north"]);
    (0..USERS).for_each(|user| cluster.connect("north", UserId(user), SessionId(user.into()), Active));
    cluster.wait(TWO_TICKS);
    cluster.look();
    cluster.start("west");
    // The second of its three parts is lost once.
    cluster.loses =
        |_, to, frame| to == "west" && matches!(frame, Frame::NodePresence(part) if part.diff.from == 4_096);
    cluster.wait(SECOND);
    assert!(cluster.nodes["west"].presence.counts().active < USERS as usize);
    let sizes = cluster.published.iter().map(|(_, frame)| frame.encode().len());
    assert!(sizes.max().unwrap() < 20 * 1024);
    cluster.loses = |_, _, _| false;
    cluster.wait(SIGN_OF_LIFE + TWO_TICKS);
    assert_eq!(cluster.nodes["west"].presence.counts().active, USERS as usize);
}

#[test]
fn a_node_whose_link_is_down_judges_nobody_and_says_nothing() {
    let mut cluster = with_anna_in_the_north();
    cluster.set_link("west", false);
    cluster.kill("north");
    cluster.wait(3 * SILENCE);
    assert_eq!(cluster.shown("west", ANNA), HERE_ACTIVE);
    assert_eq!(cluster.cost("west").0, 0);
    // From here on it can hear, and nobody is heard.
    cluster.set_link("west", true);
    cluster.wait(SILENCE - SECOND);
    assert_eq!(cluster.shown("west", ANNA), HERE_ACTIVE);
    cluster.wait(TWO_TICKS + SECOND);
    assert_eq!(cluster.shown("west", ANNA), Some(Seen::Gone(3)));
}

#[test]
fn a_node_that_gets_the_bus_back_says_and_hears_at_once_what_was_missed() {
    let mut cluster = with_anna_in_the_north();
    cluster.set_link("west", false);
    cluster.connect("west", BELA, PHONE, Idle);
    cluster.node("north").presence.handle_status(LAPTOP, Idle, START_MS);
    cluster.wait(10 * SECOND);
    cluster.set_link("west", true);
    // A tick for asking, twice; two for telling.
    cluster.wait(SECOND + TWO_TICKS);
    let all = ["east", "north", "west"];
    assert_eq!(cluster.all_show(&all, ANNA), HERE_IDLE);
    assert_eq!(cluster.all_show(&all, BELA), HERE_IDLE);
}

#[test]
fn a_node_without_the_bus_lives_by_its_leases_and_dies_by_them() {
    let mut cluster = with_anna_in_the_north();
    cluster.set_link("north", false);
    for _ in 0..30 {
        cluster.wait(SIGN_OF_LIFE);
        cluster.tell_leases("west", &["north", "west"]);
    }
    assert_eq!(cluster.shown("west", ANNA), HERE_ACTIVE);
    let last_s = (cluster.now_ms - START_MS) / SECOND;
    for _ in 0..9 {
        assert_eq!(cluster.shown("west", ANNA), HERE_ACTIVE);
        cluster.wait(SIGN_OF_LIFE);
        cluster.tell_leases("west", &["west"]);
    }
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.shown("west", ANNA), Some(Seen::Gone(last_s)));
}

#[test]
fn who_was_last_heard_by_the_writer_is_judged_by_a_writer_that_was_there_for_a_leases_time() {
    let mut cluster = with_anna_idle_in_the_north();
    cluster.set_link("north", false);
    cluster.wait(SIGN_OF_LIFE);
    cluster.tell_leases("west", &["north", "west"]);
    // No writer answers, neither the west nor the north.
    cluster.wait(3 * SILENCE);
    assert_eq!(cluster.shown("west", ANNA), HERE_IDLE);
    // One does, and the west is the first to ask.
    for _ in 0..5 {
        cluster.tell_leases("west", &["west"]);
        cluster.wait(SIGN_OF_LIFE);
        assert_eq!(cluster.shown("west", ANNA), HERE_IDLE);
    }
    cluster.tell_leases("west", &["west"]);
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.shown("west", ANNA), Some(Seen::Gone(10)));
}

#[test]
fn with_the_bus_away_for_all_a_node_that_dies_is_found_out_by_its_lease() {
    let mut cluster = with_anna_in_the_north();
    ["east", "north", "west"].iter().for_each(|name| cluster.set_link(name, false));
    cluster.wait(SIGN_OF_LIFE);
    cluster.tell_leases("west", &["east", "north", "west"]);
    cluster.kill("north");
    for _ in 0..12 {
        cluster.wait(SIGN_OF_LIFE);
        cluster.tell_leases("west", &["east", "west"]);
    }
    assert_eq!(cluster.shown("west", ANNA), Some(Seen::Gone(10)));
}

#[test]
fn a_node_needs_the_writer_while_its_link_is_down_or_somebody_is_quiet() {
    let mut cluster = with_anna_in_the_north();
    let needs = |cluster: &Cluster, name: &str| cluster.nodes[name].presence.needs_writer(cluster.now_ms);
    assert!(!needs(&cluster, "west"));
    cluster.set_link("north", false);
    assert!(needs(&cluster, "north"));
    cluster.wait(3 * SIGN_OF_LIFE);
    assert!(needs(&cluster, "west"));
    cluster.set_link("north", true);
    cluster.wait(SECOND);
    assert!(!needs(&cluster, "north") && !needs(&cluster, "west"));
}

#[test]
fn frames_that_may_be_lost_are_asked_after_at_once() {
    let mut cluster = with_anna_in_the_north();
    cluster.loses = |_, to, frame| to == "west" && matches!(frame, Frame::NodePresence(_));
    cluster.node("north").presence.handle_status(LAPTOP, Idle, START_MS);
    cluster.wait(SECOND);
    cluster.loses = |_, _, _| false;
    let now_ms = cluster.now_ms;
    cluster.node("west").presence.handle_gap(now_ms);
    cluster.wait(SECOND + TWO_TICKS);
    assert_eq!(cluster.shown("west", ANNA), HERE_IDLE);
}

#[test]
fn a_node_without_end_of_new_nodes_is_bounded() {
    let mut cluster = Cluster::of(&["west"]);
    let now_ms = cluster.now_ms;
    for node in 1..=2 * NODES_MAX as u64 {
        let diff = PresenceDiff {
            as_of_ms: now_ms,
            to: 1,
            active: vec![UserId(node as u32)],
            ..PresenceDiff::default()
        };
        let source = PresenceSource { node_id: NodeId(node), opening: 1 };
        let part = NodePresence { realm_id: RealmId(1), source, change: 1, diff };
        cluster.node("west").presence.handle_node_presence(&part, now_ms);
    }
    cluster.wait(TWO_TICKS);
    assert_eq!(cluster.nodes["west"].presence.counts().active, NODES_MAX);
    cluster.wait(SILENCE + TWO_TICKS);
    assert_eq!(cluster.nodes["west"].presence.counts().active, 0);
    assert_eq!(cluster.node("west").presence.company.as_ref().unwrap().elsewhere.len(), (0, 0));
}
