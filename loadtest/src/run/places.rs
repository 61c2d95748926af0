//! Where a run connects to, and from where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result};

use crate::engine::TargetPlan;
use crate::fleet::Need;
use crate::provision::Apis;
use crate::scenario::{Address, Scenario, Sources, Target};

/// A target's addresses, looked up.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) plan: TargetPlan,
    pub(crate) apis: Apis,
}

/// Looks up all targets of a scenario.
pub(crate) fn places(scenario: &Scenario) -> Result<Vec<Place>> {
    scenario.targets.iter().map(|target| Place::find(target, scenario)).collect()
}

/// What the machine must give for the run.
pub(crate) fn need(scenario: &Scenario, places: &[Place]) -> Need {
    let sockets = u64::from(scenario.clients.sockets);
    let of_target = sockets.div_ceil(places.len().max(1) as u64);
    // Whoever comes back comes to any address of its target.
    let sources = places.iter().map(|place| place.plan.sources.len().max(1) as u64).min();
    let is_local =
        places.iter().flat_map(|place| &place.plan.addresses).any(|address| address.ip().is_loopback());
    let workers = Some(u64::from(scenario.clients.workers)).filter(|workers| *workers > 0);
    Need { sockets, workers, per_pair: of_target.div_ceil(sources.unwrap_or(1)), is_local }
}

impl Place {
    fn find(target: &Target, scenario: &Scenario) -> Result<Self> {
        let addresses = target.addresses.iter().map(look_up).collect::<Result<Vec<_>>>()?;
        let of_target = scenario.clients.sockets as usize / scenario.targets.len().max(1);
        let sources = sources(&scenario.clients.source_addresses, &addresses, of_target);
        let users = target.addresses.first().context("a target without an address")?.to_string();
        let operators = target.admin.as_ref().map(Address::to_string);
        Ok(Self { plan: TargetPlan { addresses, sources }, apis: Apis { users, operators } })
    }
}

fn look_up(address: &Address) -> Result<SocketAddr> {
    let found = (address.host(), address.port()).to_socket_addrs();
    let found: Vec<_> = found.with_context(|| format!("can't look up {address}"))?.collect();
    // `localhost` is both; servers listen on the older one by default.
    let preferred = found.iter().find(|address| address.is_ipv4()).or(found.first());
    preferred.copied().with_context(|| format!("{address} has no address"))
}

fn sources(wanted: &Sources, to: &[SocketAddr], sockets: usize) -> Vec<IpAddr> {
    let is_v4 = to.first().is_some_and(SocketAddr::is_ipv4);
    match wanted {
        Sources::These(sources) => {
            sources.iter().filter(|source| source.is_ipv4() == is_v4).copied().collect()
        }
        Sources::Auto if is_v4 && to.iter().all(|address| address.ip().is_loopback()) => {
            let count = sockets.div_ceil(SOCKETS_EACH).max(SOURCES_MIN);
            (0..count as u32).map(|index| IpAddr::V4(Ipv4Addr::from_bits(FIRST_SOURCE + index))).collect()
        }
        Sources::Auto => Vec::new(),
    }
}

/// 127.9.0.1: unlikely to be somebody's address for anything.
const FIRST_SOURCE: u32 = 0x7F09_0001;
/// Sockets from one source address: few enough that ports of connections just closed are not missed.
const SOCKETS_EACH: usize = 2_000;
const SOURCES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Kind;

    fn scenario(targets: &[&str]) -> Scenario {
        let mut scenario = Scenario::new("x", Kind::Chat);
        let target = |address: &&str| Target { addresses: vec![address.parse().unwrap()], admin: None };
        scenario.targets = targets.iter().map(target).collect();
        scenario
    }

    #[test]
    fn towards_a_loopback_server_sockets_come_from_many_addresses() {
        let mut scenario = scenario(&["http://127.0.0.1:8470", "http://localhost:8480"]);
        scenario.clients.sockets = 50_000;
        let places = places(&scenario).unwrap();
        for place in &places {
            assert_eq!(place.plan.sources.len(), 13);
            assert_eq!(place.plan.sources[12], IpAddr::from([127, 9, 0, 13]));
        }
        assert_eq!(places[1].plan.addresses, ["127.0.0.1:8480".parse().unwrap()]);
        assert_eq!(places[1].apis.users, "http://localhost:8480");
        let need = need(&scenario, &places);
        assert_eq!(need, Need { sockets: 50_000, workers: None, per_pair: 1_924, is_local: true });
    }

    #[test]
    fn towards_others_the_kernel_chooses_unless_it_is_told() {
        let mut scenario = scenario(&["http://192.0.2.1:80", "http://[2001:db8::1]:80"]);
        scenario.clients.workers = 2;
        let found = places(&scenario).unwrap();
        assert!(found.iter().all(|place| place.plan.sources.is_empty()));
        assert_eq!(
            need(&scenario, &found),
            Need { sockets: 100, workers: Some(2), per_pair: 50, is_local: false }
        );
        scenario.clients.source_addresses = "192.0.2.7, 2001:db8::7".parse().unwrap();
        let sources = places(&scenario).unwrap().into_iter().map(|place| place.plan.sources);
        let expected: [Vec<IpAddr>; 2] =
            [vec!["192.0.2.7".parse().unwrap()], vec!["2001:db8::7".parse().unwrap()]];
        assert_eq!(sources.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_name_that_is_nowhere_is_told() {
        let error = places(&scenario(&["http://no-such-host.invalid:80"])).unwrap_err();
        assert!(
            format!("{error:#}").starts_with("can't look up http://no-such-host.invalid:80"),
            "{error:#}"
        );
    }
}
