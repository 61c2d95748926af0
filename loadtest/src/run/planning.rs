//! Who plays which part: a scenario and its realms, dealt to workers. The same for the same seed.

use crate::engine::{ClientPlan, Load, Plan, RealmPlan, Tag, TargetPlan, UserPlan};
use crate::moment::Moment;
use crate::provision::{Realm, Sizes};
use crate::scenario::{Arrivals, Scenario, Share};

/// What makes a run this one.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) seed: u64,
    pub(crate) tag: Tag,
    pub(crate) began: Moment,
}

/// What is to be made in the targets.
pub(crate) fn sizes(scenario: &Scenario) -> Sizes {
    let realms = &scenario.realms;
    let part = |share: Share, whole: u32| share.of(whole.into()) as u32;
    Sizes {
        targets: scenario.targets.len() as u16,
        realms_per_target: realms.realms_per_target,
        users: realms.users_per_realm,
        guests: part(realms.guests, realms.users_per_realm),
        streams: realms.streams_per_realm,
        invite_only: part(realms.invite_only, realms.streams_per_realm),
        streams_per_user: realms.streams_per_user,
    }
}

/// A plan for each worker.
pub(crate) fn plans(
    scenario: &Scenario,
    realms: &[Realm],
    targets: &[TargetPlan],
    workers: u16,
    stamp: &Stamp,
) -> Vec<Plan> {
    let sockets = scenario.clients.sockets;
    let mut random = fastrand::Rng::with_seed(stamp.seed);
    let mut choose = |share| chosen(share, sockets, &mut random);
    let json = choose(scenario.clients.json);
    let senders = choose(scenario.traffic.senders);
    let slow = choose(scenario.disturbance.slow);
    let mut plans: Vec<Plan> =
        (0..workers).map(|worker| empty(scenario, realms, targets, worker, workers, stamp)).collect();
    let mut places = std::collections::HashMap::new();
    for number in 0..sockets {
        let realm = number as usize % realms.len();
        let users = &realms[realm].users;
        let user = number as usize / realms.len() % users.len();
        // All sockets of a user in one worker, all realms in each.
        let plan = &mut plans[(realm + user) % usize::from(workers)];
        let place = *places.entry((realm, user)).or_insert_with(|| {
            let user = &users[user];
            plan.users.push(UserPlan {
                realm: realm as u16,
                user_id: user.user_id,
                key: user.key.as_str().into(),
                is_guest: user.is_guest,
                streams: user.streams.clone(),
            });
            (plan.users.len() - 1) as u32
        });
        let is_chosen = |choice: &[bool]| choice[number as usize];
        plan.clients.push(ClientPlan {
            user: place,
            number,
            is_json: is_chosen(&json),
            sends: is_chosen(&senders),
            is_slow: is_chosen(&slow),
        });
    }
    let count = |choose: fn(&ClientPlan) -> bool, plan: &Plan| {
        plan.clients.iter().filter(|client| choose(client)).count() as f64
    };
    let all_senders = senders.iter().filter(|sends| **sends).count().max(1) as f64;
    for plan in &mut plans {
        let part = plan.clients.len() as f64 / f64::from(sockets.max(1));
        let senders_part = count(|client| client.sends, plan) / all_senders;
        plan.ramp_per_s = scenario.clients.ramp.hertz() * part;
        plan.load = load(scenario, part, senders_part);
    }
    plans
}

fn empty(
    scenario: &Scenario,
    realms: &[Realm],
    targets: &[TargetPlan],
    worker: u16,
    workers: u16,
    stamp: &Stamp,
) -> Plan {
    let realm = |realm: &Realm| RealmPlan {
        target: realm.target,
        realm_id: realm.realm_id,
        head: realm.head,
        users: realm.users.iter().map(|user| user.user_id).collect(),
        guests: realm.users.iter().filter(|user| user.is_guest).map(|user| user.user_id).collect(),
        streams: realm.streams.clone(),
    };
    Plan {
        worker,
        workers,
        seed: stamp.seed,
        tag: stamp.tag.clone(),
        began: stamp.began,
        targets: targets.to_vec(),
        realms: realms.iter().map(realm).collect(),
        users: Vec::new(),
        clients: Vec::new(),
        ramp_per_s: 0.0,
        scope: scenario.clients.scope.scope(),
        payload_bytes: scenario.traffic.payload.0 as usize,
        topics: scenario.realms.topics_per_stream,
        resume_window: scenario.server.resume_window.0,
        load: Load::default(),
    }
}

/// A worker's load: its part of all clients', and of what senders do.
fn load(scenario: &Scenario, part: f64, senders_part: f64) -> Load {
    let (traffic, disturbance, presence) = (&scenario.traffic, &scenario.disturbance, &scenario.presence);
    Load {
        sends_per_s: traffic.send_rate.hertz() * senders_part,
        is_even: traffic.arrivals == Arrivals::Even,
        direct: traffic.direct.fraction(),
        resend: traffic.resend.fraction(),
        churn_per_s: traffic.churn.hertz() * part,
        typing_per_s: traffic.typing.hertz() * part,
        kills_per_s: disturbance.kill_rate.hertz() * part,
        away: disturbance.away.0,
        forged: disturbance.forged.fraction(),
        herd_every: disturbance.herd_every.0,
        herd_size: disturbance.herd_size.fraction(),
        herd_within: disturbance.herd_within.0,
        stall: disturbance.stall.0,
        stall_every: disturbance.stall_every.0,
        statuses_per_s: presence.status_rate.hertz() * part,
        flaps_per_s: presence.flap_rate.hertz() * part,
        storm_every: presence.storm_every.0,
    }
}

/// Exactly this share of so many, by chance.
fn chosen(share: Share, of: u32, random: &mut fastrand::Rng) -> Vec<bool> {
    let count = share.of(of.into()) as usize;
    let mut chosen: Vec<bool> = (0..of as usize).map(|place| place < count).collect();
    random.shuffle(&mut chosen);
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use squall_protocol::{Epoch, Position, RealmId, UserId};

    use super::*;
    use crate::provision::User;
    use crate::scenario::{Kind, Rate};

    fn realm(index: u32, users: u32) -> Realm {
        let user = |user: u32| User {
            user_id: UserId(index * 1_000 + user),
            email: format!("u{user}@{index}"),
            key: format!("key {index}.{user}"),
            is_guest: false,
            streams: vec![0],
        };
        Realm {
            target: 0,
            realm_id: RealmId(index.into()),
            head: Position::start(Epoch(1)),
            streams: Vec::new(),
            users: (0..users).map(user).collect(),
        }
    }

    fn stamp(seed: u64) -> Stamp {
        Stamp { seed, tag: Tag::of(1), began: Moment(1) }
    }

    fn scenario(sockets: u32) -> Scenario {
        let mut scenario = Scenario::new("x", Kind::Chat);
        scenario.clients.sockets = sockets;
        scenario.traffic.send_rate = Rate::per_second(90.0);
        scenario.traffic.senders = Share::percent(10.0);
        scenario
    }

    fn plan(sockets: u32, workers: u16) -> Vec<Plan> {
        let realms = [realm(0, 20), realm(1, 20)];
        plans(&scenario(sockets), &realms, &[], workers, &stamp(7))
    }

    #[test]
    fn every_socket_has_one_worker_and_every_user_too() {
        let plans = plan(100, 3);
        let numbers: HashSet<_> =
            plans.iter().flat_map(|plan| &plan.clients).map(|client| client.number).collect();
        assert_eq!(numbers.len(), 100);
        let users: Vec<_> = plans.iter().flat_map(|plan| &plan.users).map(|user| user.user_id).collect();
        assert_eq!((users.len(), users.iter().collect::<HashSet<_>>().len()), (40, 40));
        for plan in &plans {
            assert!((30..=36).contains(&plan.clients.len()), "{}", plan.clients.len());
            let realms: HashSet<_> = plan.users.iter().map(|user| user.realm).collect();
            assert_eq!(realms.len(), 2, "each worker has all realms");
        }
    }

    #[test]
    fn shares_are_exact_and_rates_add_up() {
        let plans = plan(100, 3);
        let count = |choose: fn(&&ClientPlan) -> bool| {
            plans.iter().flat_map(|plan| &plan.clients).filter(choose).count()
        };
        assert_eq!(count(|client| client.sends), 10);
        assert_eq!(count(|client| client.is_json), 50);
        assert_eq!(count(|client| client.is_slow), 0);
        let sends: f64 = plans.iter().map(|plan| plan.load.sends_per_s).sum();
        let ramp: f64 = plans.iter().map(|plan| plan.ramp_per_s).sum();
        assert!((sends - 90.0).abs() < 1e-9 && (ramp - 200.0).abs() < 1e-9, "{sends} {ramp}");
        for plan in &plans {
            let senders = plan.clients.iter().filter(|client| client.sends).count() as f64;
            assert!((plan.load.sends_per_s - 9.0 * senders).abs() < 1e-9, "who sends, sends alike");
        }
    }

    #[test]
    fn the_same_seed_deals_the_same() {
        let deal = |seed| {
            let plans = plans(&scenario(100), &[realm(0, 20)], &[], 2, &stamp(seed));
            format!("{plans:?}")
        };
        assert_eq!(deal(1), deal(1));
        assert_ne!(deal(1), deal(2));
    }

    #[test]
    fn sizes_round_their_shares() {
        let mut scenario = scenario(1);
        scenario.realms.guests = Share::percent(4.0);
        let sizes = sizes(&scenario);
        assert_eq!((sizes.users, sizes.guests, sizes.streams, sizes.invite_only), (100, 4, 10, 2));
    }
}
