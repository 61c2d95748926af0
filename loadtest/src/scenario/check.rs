//! Numbers of a scenario held against each other, before anything starts.

use squall_protocol::limits::CONTENT_CHARS_MAX;

use super::target::{Address, Sources};
use super::{Kind, Scenario};

/// The most sockets of one run.
pub const SOCKETS_MAX: u32 = 1_000_000;

/// The most worker processes of one run.
pub const WORKERS_MAX: u32 = 64;

/// The shortest content: the time of the scheduled send and a number have room in it.
pub const PAYLOAD_BYTES_MIN: u64 = 64;

/// Local ports that the kernel deals out for one source address and one address of a server.
const PORTS_EACH: u64 = 28_232;

/// Two numbers that do not go together, or one that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fields}: {words}")]
pub struct Conflict {
    /// The fields, the first one being the one to change.
    pub fields: &'static str,
    /// Both numbers, and what to do.
    pub words: String,
}

impl Scenario {
    /// All conflicts; none is a scenario that can run.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut found = Found(Vec::new());
        self.check_sizes(&mut found);
        if self.clients.sockets > 0 {
            self.check_rates(&mut found);
        }
        self.check_times(&mut found);
        self.check_targets(&mut found);
        self.check_kind(&mut found);
        found.0
    }

    fn check_sizes(&self, found: &mut Found) {
        let (realms, sockets) = (&self.realms, self.clients.sockets);
        for (fields, number, max) in [
            ("clients.sockets", sockets, SOCKETS_MAX),
            ("realms.realms_per_target", realms.realms_per_target, 10_000),
            ("realms.users_per_realm", realms.users_per_realm, 100_000),
            ("realms.streams_per_realm", realms.streams_per_realm, 10_000),
            ("realms.topics_per_stream", realms.topics_per_stream, 10_000),
        ] {
            found.unless((1..=max).contains(&number), fields, || {
                format!("{number} is not between 1 and {max}")
            });
        }
        let workers = self.clients.workers;
        found.unless(workers <= WORKERS_MAX, "clients.workers", || {
            format!("{workers} is more than {WORKERS_MAX}")
        });
        found.unless(workers <= sockets, "clients.workers, clients.sockets", || {
            format!("{workers} workers for {sockets} sockets: a worker needs one at least")
        });
        let (mine, all) = (realms.streams_per_user, realms.streams_per_realm);
        found.unless((1..=all).contains(&mine), "realms.streams_per_user, realms.streams_per_realm", || {
            format!("{mine} streams a user of {all} in the realm: take 1 to {all}")
        });
        let payload = self.traffic.payload;
        let range = PAYLOAD_BYTES_MIN..=CONTENT_CHARS_MAX as u64;
        found.unless(range.contains(&payload.0), "traffic.payload", || {
            format!("{payload} is not between {PAYLOAD_BYTES_MIN}B and {CONTENT_CHARS_MAX}B")
        });
        let (users, max) = (self.user_count(), u64::from(self.server.sessions_per_user_max));
        let each = u64::from(sockets).div_ceil(users.max(1));
        found.unless(each <= max, "realms.users_per_realm, clients.sockets, server.sessions_per_user_max", || {
            let needed = u64::from(sockets).div_ceil(max.max(1) * self.realm_count().max(1));
            format!(
                "{sockets} sockets over {users} users are {each} sessions a user, and the server takes {max}: \
                 make users_per_realm at least {needed}"
            )
        });
        let direct = self.traffic.direct;
        let users = realms.users_per_realm;
        found.unless(direct.is_none() || users >= 2, "traffic.direct, realms.users_per_realm", || {
            format!("{direct} direct messages among {users} user: take 2 users at least, or 0%")
        });
    }

    fn check_rates(&self, found: &mut Found) {
        let clients = &self.clients;
        found.unless(clients.ramp.hertz() > 0.0, "clients.ramp", || {
            format!("at {} no socket is ever opened", clients.ramp)
        });
        let (rate, senders) = (self.traffic.send_rate, self.sender_count());
        found.unless(rate.is_zero() || senders > 0, "traffic.senders, traffic.send_rate", || {
            format!(
                "{rate} messages of {} of {} sockets: nobody sends",
                self.traffic.senders, clients.sockets
            )
        });
        let most = self.server.rate_limit;
        let writers = senders.min(self.user_count()).max(1);
        // A resend is a write like the first.
        let writes = rate.hertz() * (1.0 + self.traffic.resend.fraction()) + self.traffic.churn.hertz();
        let each = writes / writers as f64 * 60.0;
        let fields = "traffic.send_rate, traffic.churn, server.rate_limit";
        found.unless(senders == 0 || self.targets.is_empty() || most.is_zero() || each <= most.hertz() * 60.0, fields, || {
            format!(
                "{writes:.1} writes a second of {writers} users are {each:.0} a minute and user, and the server \
                 takes {most}: let more users send, or start the server with another --rate-limit and say so here"
            )
        });
        let sockets = f64::from(clients.sockets);
        let away = self.disturbance.kill_rate.hertz() * self.disturbance.away.0.as_secs_f64() / 2.0;
        found.unless(away <= sockets / 2.0, "disturbance.kill_rate, disturbance.away", || {
            format!(
                "{} connections cut and away for up to {} are {away:.0} of {sockets} sockets away: more than half",
                self.disturbance.kill_rate, self.disturbance.away
            )
        });
    }

    fn check_times(&self, found: &mut Found) {
        let (hold, run, disturbance) = (self.clients.hold, &self.run, &self.disturbance);
        for (fields, span) in [("run.report_every", run.report_every), ("run.audit_every", run.audit_every)] {
            found.unless(span.0.as_millis() >= 100, fields, || format!("{span} is less than 100ms"));
        }
        let (away, window) = (disturbance.away, self.server.resume_window);
        found.unless(away < window, "disturbance.away, server.resume_window", || {
            format!("a client away for {away} can't resume within {window}")
        });
        let (every, within) = (disturbance.herd_every, disturbance.herd_within);
        found.unless(
            every.is_zero() || within < every,
            "disturbance.herd_within, disturbance.herd_every",
            || format!("a herd comes back over {within}, and the next is cut after {every}"),
        );
        found.unless(every <= hold, "disturbance.herd_every, clients.hold", || {
            format!("the first herd is cut after {every}, and the load is held for {hold}")
        });
        let (stall, every) = (disturbance.stall, disturbance.stall_every);
        found.unless(
            disturbance.slow.is_none() || (!stall.is_zero() && stall < every),
            "disturbance.stall, disturbance.stall_every",
            || format!("a stall of {stall} each {every}: it must be shorter than the time to the next"),
        );
        let storm = self.presence.storm_every;
        found.unless(storm <= hold, "presence.storm_every, clients.hold", || {
            format!("the first storm is after {storm}, and the load is held for {hold}")
        });
    }

    fn check_targets(&self, found: &mut Found) {
        found.unless(!self.targets.is_empty(), "targets", || "there is none".into());
        let mut seen = Vec::new();
        for target in &self.targets {
            found.unless(!target.addresses.is_empty(), "targets.addresses", || {
                "a target without an address".into()
            });
            let made = target.admin.is_some() || self.realms.users_file.path().is_some();
            found.unless(made, "targets.admin, realms.users_file", || {
                let place = target.addresses.first().map(Address::to_string).unwrap_or_default();
                format!("the target {place} has no admin address, and there is no users file: users come from one of them")
            });
            for address in &target.addresses {
                found.unless(!seen.contains(&address), "targets.addresses", || {
                    format!("{address} is named twice")
                });
                seen.push(address);
            }
        }
        let Sources::These(sources) = &self.clients.source_addresses else { return };
        let places = sources.len() as u64 * PORTS_EACH * seen.len() as u64;
        let sockets = u64::from(self.clients.sockets);
        found.unless(sockets <= places, "clients.source_addresses, clients.sockets", || {
            format!(
                "{sockets} sockets from {} source addresses to {} addresses, and there are ports for {places}: \
                 name more source addresses, or `auto`",
                sources.len(),
                seen.len()
            )
        });
    }

    /// Each kind has a field that may not be nothing.
    fn check_kind(&self, found: &mut Found) {
        let (traffic, disturbance, presence) = (&self.traffic, &self.disturbance, &self.presence);
        let (there, fields, words) = match self.kind {
            Kind::Connect => (true, "", ""),
            Kind::Fanout | Kind::Chat => (!traffic.send_rate.is_zero(), "traffic.send_rate", "sends"),
            Kind::Resume => (!disturbance.kill_rate.is_zero(), "disturbance.kill_rate", "cuts connections"),
            Kind::Herd => (!disturbance.herd_every.is_zero(), "disturbance.herd_every", "cuts a herd"),
            Kind::Slow => (!disturbance.slow.is_none(), "disturbance.slow", "has slow sockets"),
            Kind::Presence => (
                !(presence.status_rate.is_zero()
                    && presence.flap_rate.is_zero()
                    && presence.storm_every.is_zero()),
                "presence.status_rate, presence.flap_rate, presence.storm_every",
                "changes presence",
            ),
            Kind::Soak => (!traffic.churn.is_zero(), "traffic.churn", "changes memberships"),
        };
        found.unless(there, fields, || {
            format!("a scenario of the kind `{}` {words}: it can't be nothing", self.kind)
        });
    }
}

struct Found(Vec<Conflict>);

impl Found {
    fn unless(&mut self, holds: bool, fields: &'static str, words: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Conflict { fields, words: words() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Rate, Share, Size, Span, Target};

    /// The conflicts of the default chat, once it is spoilt.
    fn spoilt(spoil: impl FnOnce(&mut Scenario)) -> Vec<String> {
        let mut scenario = Scenario::new("x", Kind::Chat);
        spoil(&mut scenario);
        scenario.conflicts().iter().map(Conflict::to_string).collect()
    }

    #[test]
    fn the_defaults_go_together() {
        assert_eq!(spoilt(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_conflict_is_told_with_both_numbers() {
        type Spoil = fn(&mut Scenario);
        let cases: &[(Spoil, &str)] = &[
            (|s| s.clients.sockets = 0, "clients.sockets: 0 is not between 1 and 1000000"),
            (|s| s.clients.workers = 65, "clients.workers: 65 is more than 64"),
            (|s| s.clients.workers = 64, ""),
            (|s| (s.clients.sockets, s.clients.workers) = (5, 6), "6 workers for 5 sockets"),
            (|s| s.realms.streams_per_user = 11, "11 streams a user of 10 in the realm"),
            (|s| s.traffic.payload = Size(63), "63B is not between 64B and 10000B"),
            (
                |s| s.clients.sockets = 20_000,
                "20000 sockets over 100 users are 200 sessions a user, and the server takes 100: make users_per_realm at least 200",
            ),
            (
                |s| (s.realms.users_per_realm, s.traffic.send_rate) = (1, Rate::per_second(1.0)),
                "10% direct messages among 1 user",
            ),
            (|s| s.clients.ramp = Rate::ZERO, "at 0/s no socket is ever opened"),
            (|s| s.traffic.senders = Share::NONE, "10/s messages of 0% of 100 sockets"),
            (
                |s| s.traffic.send_rate = Rate::per_second(400.0),
                "400.0 writes a second of 100 users are 240 a minute and user, and the server takes 200/min",
            ),
            (
                |s| s.disturbance.kill_rate = Rate::per_second(60.0),
                "60/s connections cut and away for up to 2s are 60 of 100 sockets away",
            ),
            (|s| s.run.report_every = Span::ZERO, "run.report_every: 0s is less than 100ms"),
            (|s| s.disturbance.away = Span::from_secs(90_000), "away for 25h can't resume within 24h"),
            (
                |s| {
                    (s.disturbance.herd_every, s.disturbance.herd_within) =
                        (Span::from_secs(5), Span::from_secs(6))
                },
                "comes back over 6s, and the next is cut after 5s",
            ),
            (|s| s.disturbance.herd_every = Span::from_secs(60), "after 1m, and the load is held for 30s"),
            (
                |s| (s.disturbance.slow, s.disturbance.stall) = (Share::ALL, Span::from_secs(15)),
                "a stall of 15s each 15s",
            ),
            (|s| s.presence.storm_every = Span::from_secs(60), "the first storm is after 1m"),
            (|s| s.targets.clear(), "targets: there is none"),
            (|s| s.targets[0].admin = None, "the target http://127.0.0.1:8470 has no admin address"),
            (|s| s.targets[0].addresses.clear(), "a target without an address"),
            (|s| s.targets.push(Target::default()), "http://127.0.0.1:8470 is named twice"),
            (
                |s| {
                    (s.clients.sockets, s.realms.users_per_realm) = (30_000, 1_000);
                    s.clients.source_addresses = "127.0.0.2".parse().unwrap();
                },
                "30000 sockets from 1 source addresses to 1 addresses, and there are ports for 28232",
            ),
        ];
        for (spoil, words) in cases {
            let found = spoilt(spoil);
            assert!(found.len() <= 1, "{words}: {found:?}");
            let found = found.first().map_or("", String::as_str);
            assert!(found.contains(words) && found.is_empty() == words.is_empty(), "{words}: {found:?}");
        }
    }

    #[test]
    fn a_kind_without_what_it_is_about_is_refused() {
        for kind in Kind::ALL {
            let mut scenario = Scenario::new("x", kind);
            scenario.traffic.send_rate = Rate::ZERO;
            let found = scenario.conflicts();
            assert_eq!(found.len(), usize::from(kind != Kind::Connect), "{kind}: {found:?}");
        }
    }
}
