//! Each rule of presence, as a sentence.

use squall_protocol::client_message::Status::{self, Active, Idle};
use squall_protocol::link::LastHeard;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{SessionId, UserId};

use super::{Counts, LAST_HEARD_ROWS_MAX, Presence, Times};

const ANNA: UserId = UserId(7);
const BELA: UserId = UserId(3);
const LAPTOP: SessionId = SessionId(1);
const PHONE: SessionId = SessionId(2);

const START_S: u64 = 1_763_818_000;
const SECOND: u64 = 1000;
const GRACE: u64 = 20 * SECOND;
const LEASE: u64 = 35 * SECOND;

/// A realm's presence with its own time.
struct Realm {
    presence: Presence,
    now_ms: u64,
}

/// The names in a diff or snapshot: active, idle, offline.
type Named = (Vec<UserId>, Vec<UserId>, Vec<(UserId, u64)>);

impl Realm {
    fn new() -> Self {
        Self::with_last_heard(&[])
    }

    fn with_last_heard(last_heard: &[(UserId, u64)]) -> Self {
        let now_ms = START_S * SECOND;
        Self { presence: Presence::new(Times::default(), last_heard.iter().copied(), now_ms), now_ms }
    }

    /// Anna is there, and everybody knows.
    fn with_anna(status: Status) -> Self {
        let mut realm = Self::new();
        realm.connect(ANNA, LAPTOP, status);
        realm.tick();
        realm
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    fn connect(&mut self, user: UserId, device: SessionId, status: Status) {
        self.presence.handle_connect(user, device, status, self.now_ms);
    }

    fn status(&mut self, device: SessionId, status: Status) {
        self.presence.handle_status(device, status, self.now_ms);
    }

    fn close(&mut self, device: SessionId) {
        self.presence.handle_disconnect(device, self.now_ms, self.now_ms);
    }

    fn hear(&mut self, device: SessionId) {
        self.presence.handle_heard(device, self.now_ms);
    }

    /// The connection is found dead; its last message came at `heard_ms`.
    fn time_out(&mut self, device: SessionId, heard_ms: u64) {
        self.presence.handle_disconnect(device, heard_ms, self.now_ms);
    }

    fn deactivate(&mut self, user: UserId) {
        self.presence.handle_user_gone(user, self.now_ms);
    }

    /// What is told at this moment.
    fn tick(&mut self) -> Option<Named> {
        self.presence.poll_tick(self.now_ms).map(|diff| (diff.active, diff.idle, diff.offline))
    }

    fn shown(&self) -> Named {
        let snapshot = self.presence.snapshot(self.now_ms);
        (snapshot.active, snapshot.idle, snapshot.offline)
    }

    /// The rows to store, as (user, seconds since the start).
    fn stored(&mut self) -> Vec<(UserId, u64)> {
        let rows = self.presence.poll_last_heard(self.now_ms);
        rows.into_iter()
            .map(|LastHeard { user_id, last_heard_s }| (user_id, last_heard_s - START_S))
            .collect()
    }
}

fn active(user: UserId) -> Named {
    (vec![user], vec![], vec![])
}

fn idle(user: UserId) -> Named {
    (vec![], vec![user], vec![])
}

/// `after_s` seconds after the start.
fn gone(user: UserId, after_s: u64) -> Named {
    (vec![], vec![], vec![(user, START_S + after_s)])
}

#[test]
fn who_connects_is_told_at_the_next_tick_and_only_once() {
    let mut realm = Realm::new();
    realm.connect(ANNA, LAPTOP, Active);
    assert_eq!(realm.shown(), Named::default());
    assert_eq!(realm.tick(), Some(active(ANNA)));
    assert_eq!(realm.wait(SECOND).tick(), None);
    assert_eq!(realm.shown(), active(ANNA));
}

#[test]
fn a_tick_without_changes_is_no_traffic() {
    let mut realm = Realm::with_last_heard(&[(ANNA, START_S - 60)]);
    assert_eq!(realm.tick(), None);
    assert_eq!(realm.presence.change(), 0);
}

#[test]
fn several_devices_show_the_best() {
    let mut realm = Realm::with_anna(Active);
    realm.connect(ANNA, PHONE, Idle);
    assert_eq!(realm.wait(SECOND).tick(), None);
    realm.status(LAPTOP, Idle);
    assert_eq!(realm.wait(SECOND).tick(), Some(idle(ANNA)));
    realm.status(PHONE, Active);
    assert_eq!(realm.wait(SECOND).tick(), Some(active(ANNA)));
}

#[test]
fn the_end_of_one_of_two_like_devices_changes_nothing() {
    let mut realm = Realm::with_anna(Idle);
    realm.connect(ANNA, PHONE, Idle);
    realm.close(LAPTOP);
    assert_eq!(realm.wait(GRACE).tick(), None);
    assert_eq!(realm.shown(), idle(ANNA));
}

#[test]
fn the_end_of_the_last_device_is_told_after_grace_and_not_before() {
    let mut realm = Realm::with_anna(Active);
    realm.close(LAPTOP);
    assert_eq!(realm.tick(), None);
    assert_eq!(realm.wait(GRACE - 1).tick(), None);
    assert_eq!(realm.shown(), active(ANNA));
    assert_eq!(realm.wait(1).tick(), Some(gone(ANNA, 0)));
    assert_eq!(realm.wait(GRACE).tick(), None);
}

#[test]
fn the_end_of_the_only_active_device_has_grace_too() {
    let mut realm = Realm::with_anna(Active);
    realm.connect(ANNA, PHONE, Idle);
    realm.close(LAPTOP);
    assert_eq!(realm.wait(GRACE - 1).tick(), None);
    assert_eq!(realm.wait(1).tick(), Some(idle(ANNA)));
}

#[test]
fn last_heard_is_the_last_sign_of_life_and_not_the_end_of_grace() {
    let mut realm = Realm::with_anna(Active);
    realm.wait(5 * SECOND).status(LAPTOP, Active);
    realm.wait(2 * SECOND).hear(LAPTOP);
    let heard_ms = realm.now_ms + SECOND;
    realm.wait(30 * SECOND).time_out(LAPTOP, heard_ms);
    assert_eq!(realm.wait(GRACE - 1).tick(), None);
    assert_eq!(realm.wait(1).tick(), Some(gone(ANNA, 8)));
}

#[test]
fn a_disconnect_that_names_an_older_or_future_sign_of_life_does_not_move_last_heard() {
    let mut realm = Realm::with_anna(Idle);
    realm.wait(5 * SECOND).hear(LAPTOP);
    realm.time_out(LAPTOP, (START_S + 2) * SECOND);
    assert_eq!(realm.wait(GRACE).tick(), Some(gone(ANNA, 5)));

    let mut realm = Realm::with_anna(Idle);
    realm.time_out(LAPTOP, (START_S + 60) * SECOND);
    assert_eq!(realm.wait(GRACE).tick(), Some(gone(ANNA, 0)));
}

#[test]
fn a_reconnect_within_grace_is_not_told() {
    let mut realm = Realm::with_anna(Active);
    realm.close(LAPTOP);
    assert_eq!(realm.wait(GRACE - 1).tick(), None);
    realm.connect(ANNA, PHONE, Active);
    assert_eq!(realm.wait(GRACE).tick(), None);
    assert_eq!(realm.presence.change(), 1);
}

#[test]
fn a_reconnect_within_grace_with_another_status_is_told() {
    let mut realm = Realm::with_anna(Active);
    realm.close(LAPTOP);
    realm.wait(SECOND).connect(ANNA, PHONE, Idle);
    assert_eq!(realm.tick(), Some(idle(ANNA)));
    assert_eq!(realm.wait(GRACE).tick(), None);
}

#[test]
fn a_link_that_breaks_again_and_again_causes_no_traffic() {
    let mut realm = Realm::with_anna(Active);
    let mut device = LAPTOP;
    for flap in 0..500 {
        realm.wait(700).close(device);
        assert_eq!(realm.tick(), None);
        device = SessionId(100 + flap);
        realm.wait(flap * 37 % GRACE).connect(ANNA, device, Active);
        assert_eq!(realm.tick(), None);
    }
    assert_eq!(realm.presence.change(), 1);
}

#[test]
fn a_link_that_breaks_again_and_again_leaves_nothing_behind() {
    let mut realm = Realm::with_anna(Active);
    for device in 1..1000 {
        realm.close(SessionId(device));
        realm.wait(1).connect(ANNA, SessionId(device + 1), Active);
    }
    let Presence { leases, graces, stores, .. } = &realm.presence;
    assert_eq!((leases.len(), graces.len(), stores.len()), (1, 0, 1));
}

#[test]
fn a_link_that_breaks_under_two_devices_causes_no_traffic() {
    let mut realm = Realm::with_anna(Active);
    realm.connect(ANNA, PHONE, Idle);
    realm.tick();
    realm.close(LAPTOP);
    realm.close(PHONE);
    realm.wait(SECOND).connect(ANNA, SessionId(11), Idle);
    assert_eq!(realm.wait(SECOND).tick(), None);
    realm.wait(SECOND).connect(ANNA, SessionId(12), Active);
    assert_eq!(realm.wait(GRACE).tick(), None);
}

#[test]
fn a_change_and_its_reverse_within_a_tick_cancel() {
    let mut realm = Realm::with_anna(Active);
    realm.status(LAPTOP, Idle);
    realm.status(LAPTOP, Active);
    assert_eq!(realm.wait(SECOND).tick(), None);
    assert_eq!(realm.presence.change(), 1);
}

#[test]
fn several_changes_of_a_user_within_a_tick_are_one() {
    let mut realm = Realm::new();
    realm.connect(ANNA, LAPTOP, Active);
    realm.status(LAPTOP, Idle);
    assert_eq!(realm.tick(), Some(idle(ANNA)));
    assert_eq!(realm.presence.change(), 1);
}

#[test]
fn a_visit_between_two_ticks_is_told_once_as_gone_after_grace() {
    let mut realm = Realm::with_last_heard(&[(ANNA, START_S - 600)]);
    realm.wait(3 * SECOND).connect(ANNA, LAPTOP, Active);
    realm.connect(BELA, PHONE, Active);
    realm.close(LAPTOP);
    realm.close(PHONE);
    assert_eq!(realm.tick(), None);
    assert_eq!(realm.shown(), (vec![], vec![], vec![(ANNA, START_S - 600)]));
    let told = (vec![], vec![], vec![(BELA, START_S + 3), (ANNA, START_S + 3)]);
    assert_eq!(realm.wait(GRACE).tick(), Some(told));
}

#[test]
fn active_is_a_lease_that_each_report_of_activity_renews() {
    let mut realm = Realm::with_anna(Active);
    realm.wait(LEASE - 1).status(LAPTOP, Active);
    assert_eq!(realm.wait(LEASE - 1).tick(), None);
    assert_eq!(realm.wait(1).tick(), Some(idle(ANNA)));
}

#[test]
fn other_messages_prove_life_and_do_not_renew_the_lease() {
    let mut realm = Realm::with_anna(Active);
    realm.wait(LEASE).hear(LAPTOP);
    assert_eq!(realm.tick(), Some(idle(ANNA)));
    realm.time_out(LAPTOP, 0);
    assert_eq!(realm.wait(GRACE).tick(), Some(gone(ANNA, LEASE / SECOND)));
}

#[test]
fn a_lease_that_ended_before_the_disconnect_is_not_held_as_active() {
    let mut realm = Realm::with_anna(Active);
    realm.connect(ANNA, PHONE, Idle);
    realm.wait(LEASE).time_out(LAPTOP, 0);
    assert_eq!(realm.tick(), Some(idle(ANNA)));
}

#[test]
fn a_diff_names_each_user_once_ascending_and_follows_on_the_last() {
    let mut realm = Realm::with_anna(Active);
    for id in [9, 4, 6, 5, 8] {
        let status = if id % 2 == 0 { Active } else { Idle };
        realm.connect(UserId(id), SessionId(u64::from(id) * 10), status);
    }
    let diff = realm.presence.poll_tick(realm.now_ms).unwrap();
    let expected = PresenceDiff {
        as_of_ms: START_S * SECOND,
        from: 1,
        to: 6,
        active: vec![UserId(4), UserId(6), UserId(8)],
        idle: vec![UserId(5), UserId(9)],
        offline: vec![],
    };
    assert_eq!(diff, expected);
}

#[test]
fn a_snapshot_holds_everybody_ever_heard_of() {
    let mut realm = Realm::with_last_heard(&[(UserId(4), START_S - 9), (ANNA, START_S - 3)]);
    realm.connect(ANNA, LAPTOP, Active);
    realm.connect(BELA, PHONE, Idle);
    realm.tick();
    let expected = PresenceSnapshot {
        as_of_ms: START_S * SECOND + 5,
        change: 2,
        active: vec![ANNA],
        idle: vec![BELA],
        offline: vec![(UserId(4), START_S - 9)],
    };
    assert_eq!(realm.presence.snapshot(START_S * SECOND + 5), expected);
    assert_eq!(realm.presence.counts(), Counts { active: 1, idle: 1, offline: 1 });
}

#[test]
fn a_slow_connection_is_told_what_changed_since_however_long_ago() {
    let mut realm = Realm::with_last_heard(&[(UserId(1), START_S), (UserId(2), START_S)]);
    realm.connect(ANNA, LAPTOP, Active);
    realm.connect(BELA, PHONE, Active);
    realm.tick();
    for status in [Idle, Active].repeat(5_000) {
        realm.status(LAPTOP, status);
        realm.tick();
    }
    realm.status(LAPTOP, Idle);
    realm.tick();
    let diff = realm.presence.changes_since(2, realm.now_ms).unwrap();
    assert_eq!((diff.from, diff.to), (2, 10_003));
    assert_eq!((diff.active, diff.idle, diff.offline), idle(ANNA));
}

#[test]
fn who_missed_nothing_gets_an_empty_diff() {
    let realm = Realm::with_anna(Active);
    let as_of_ms = realm.now_ms;
    let empty = PresenceDiff { as_of_ms, from: 1, to: 1, ..PresenceDiff::default() };
    assert_eq!(realm.presence.changes_since(1, as_of_ms), Some(empty));
}

#[test]
fn a_change_that_never_was_or_a_diff_of_everybody_needs_a_snapshot() {
    let mut realm = Realm::with_anna(Active);
    assert_eq!(realm.presence.changes_since(2, realm.now_ms), None);
    assert_eq!(realm.presence.changes_since(0, realm.now_ms), None);
    realm.connect(BELA, PHONE, Active);
    realm.tick();
    assert!(realm.presence.changes_since(1, realm.now_ms).is_some());
}

#[test]
fn a_deactivated_user_is_told_as_gone_without_grace_and_its_sessions_are_ignored() {
    let mut realm = Realm::with_anna(Active);
    realm.connect(ANNA, PHONE, Active);
    realm.close(PHONE);
    realm.wait(2 * SECOND).deactivate(ANNA);
    assert_eq!(realm.wait(SECOND).tick(), Some(gone(ANNA, 0)));
    realm.status(LAPTOP, Active);
    realm.hear(LAPTOP);
    realm.close(LAPTOP);
    assert_eq!(realm.wait(LEASE + GRACE).tick(), None);
    assert_eq!(realm.shown(), gone(ANNA, 0));
}

#[test]
fn a_deactivated_user_who_was_never_here_stays_as_it_was() {
    let mut realm = Realm::with_last_heard(&[(ANNA, START_S - 9)]);
    realm.deactivate(ANNA);
    realm.deactivate(BELA);
    assert_eq!(realm.tick(), None);
}

#[test]
fn reports_of_unknown_sessions_are_ignored() {
    let mut realm = Realm::new();
    realm.status(LAPTOP, Active);
    realm.hear(LAPTOP);
    realm.close(LAPTOP);
    assert_eq!(realm.wait(GRACE).tick(), None);
    assert!(realm.presence.is_empty());
}

#[test]
fn a_session_id_in_use_moves_to_the_user_who_connects_with_it() {
    let mut realm = Realm::with_anna(Active);
    realm.connect(BELA, LAPTOP, Active);
    assert_eq!(realm.tick(), Some(active(BELA)));
    realm.status(LAPTOP, Active);
    assert_eq!(realm.wait(GRACE).tick(), Some(gone(ANNA, 0)));
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut realm = Realm::with_anna(Active);
    let early = realm.now_ms - 3600 * SECOND;
    realm.presence.handle_disconnect(LAPTOP, early, early);
    assert_eq!(realm.presence.snapshot(early).as_of_ms, realm.now_ms);
    assert_eq!(realm.presence.poll_tick(early), None);
    assert_eq!(realm.wait(GRACE).tick(), Some(gone(ANNA, 0)));
}

#[test]
fn a_stored_time_to_come_counts_as_now() {
    let realm = Realm::with_last_heard(&[(ANNA, START_S + 3600)]);
    assert_eq!(realm.shown(), gone(ANNA, 0));
}

#[test]
fn who_is_here_is_stored_each_minute_with_the_newest_time() {
    let mut realm = Realm::with_anna(Active);
    realm.wait(59 * SECOND).status(LAPTOP, Idle);
    assert_eq!(realm.stored(), []);
    assert_eq!(realm.wait(SECOND).stored(), [(ANNA, 59)]);
    assert_eq!(realm.wait(59 * SECOND).stored(), []);
    assert_eq!(realm.wait(SECOND).stored(), [(ANNA, 59)]);
}

#[test]
fn who_left_is_stored_when_it_is_told_and_then_forgotten() {
    let mut realm = Realm::with_anna(Active);
    realm.wait(4 * SECOND).close(LAPTOP);
    realm.wait(GRACE).tick();
    assert!(!realm.presence.is_empty());
    assert_eq!(realm.stored(), [(ANNA, 4)]);
    assert!(realm.presence.is_empty());
    assert_eq!(realm.wait(3600 * SECOND).stored(), []);
    assert_eq!(realm.shown(), gone(ANNA, 4));
}

#[test]
fn a_link_that_breaks_again_and_again_is_stored_once_a_minute() {
    let mut realm = Realm::new();
    let mut rows = 0;
    for flap in 0..600 {
        realm.connect(ANNA, SessionId(flap), Active);
        realm.wait(SECOND).close(SessionId(flap));
        realm.tick();
        rows += realm.stored().len();
    }
    assert_eq!(rows, 10);
}

#[test]
fn a_deactivation_between_store_and_tick_loses_nothing() {
    let mut realm = Realm::with_anna(Active);
    realm.wait(60 * SECOND).deactivate(ANNA);
    assert_eq!(realm.stored(), [(ANNA, 0)]);
    assert!(!realm.presence.is_empty());
    assert_eq!(realm.tick(), Some(gone(ANNA, 0)));
    assert_eq!(realm.stored(), [(ANNA, 0)]);
    assert!(realm.presence.is_empty());
}

#[test]
fn ten_thousand_users_leave_reconnect_and_are_stored_in_bounded_batches() {
    const USERS: u32 = 10_000;
    let mut realm = Realm::new();
    for user in 0..USERS {
        realm.connect(UserId(user), SessionId(u64::from(user)), Active);
    }
    assert_eq!(realm.tick().map(|told| told.0.len()), Some(USERS as usize));
    for user in 0..USERS {
        realm.close(SessionId(u64::from(user)));
    }
    realm.wait(10 * SECOND).tick();
    for user in 0..USERS {
        realm.connect(UserId(user), SessionId(u64::from(USERS + user)), Active);
    }
    assert_eq!(realm.tick(), None);
    realm.wait(50 * SECOND);
    let batches: Vec<usize> = std::iter::repeat_with(|| realm.stored().len()).take(21).collect();
    assert_eq!(batches[..20], [LAST_HEARD_ROWS_MAX; 20]);
    assert_eq!(batches[20], 0);
}
