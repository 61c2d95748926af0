//! Flags over the file: each has the name of the field it replaces.

use super::Scenario;
use super::sections::{
    ClientsFlags, DisturbanceFlags, PresenceFlags, RealmsFlags, RunFlags, ServerFlags, TrafficFlags,
};
use super::target::{Address, Target};

/// What the command line says in place of the file. `--send-rate 50/s` replaces `send_rate` of `[traffic]`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ScenarioFlags {
    /// What all chance of the run comes from: the same seed, the same schedule. Default: a new one.
    #[arg(long, value_name = "NUMBER", help_heading = "scenario")]
    pub seed: Option<u32>,

    /// A server, or the addresses of one cluster, with commas: `http://127.0.0.1:8470`. Several times: several
    /// servers that share nothing. In place of all `[[targets]]` of the file.
    #[arg(long = "target", value_name = "URLS", help_heading = "scenario")]
    pub targets: Vec<Addresses>,

    /// The operator's API of the target at the same place on the command line: `http://127.0.0.1:8471`.
    #[arg(long = "admin", value_name = "URL", help_heading = "scenario")]
    pub admins: Vec<Address>,

    /// Over `[realms]`.
    #[command(flatten)]
    pub realms: RealmsFlags,
    /// Over `[clients]`.
    #[command(flatten)]
    pub clients: ClientsFlags,
    /// Over `[traffic]`.
    #[command(flatten)]
    pub traffic: TrafficFlags,
    /// Over `[disturbance]`.
    #[command(flatten)]
    pub disturbance: DisturbanceFlags,
    /// Over `[presence]`.
    #[command(flatten)]
    pub presence: PresenceFlags,
    /// Over `[server]`.
    #[command(flatten)]
    pub server: ServerFlags,
    /// Over `[run]`.
    #[command(flatten)]
    pub run: RunFlags,
}

/// The addresses of one cluster, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

/// Flags that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Each `--admin` belongs to a `--target`.
    #[error("{admins} --admin for {targets} --target: give one for each target, or none (and a users file)")]
    Unpaired {
        /// How many `--target`.
        targets: usize,
        /// How many `--admin`.
        admins: usize,
    },
}

impl std::str::FromStr for Addresses {
    type Err = super::target::AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl ScenarioFlags {
    /// Puts what was given in place of what the file says.
    pub fn apply(self, scenario: &mut Scenario) -> Result<(), FlagError> {
        let Self { seed, targets, admins, realms, clients, traffic, disturbance, presence, server, run } =
            self;
        scenario.seed = seed.or(scenario.seed);
        if !admins.is_empty() && admins.len() != targets.len() {
            return Err(FlagError::Unpaired { targets: targets.len(), admins: admins.len() });
        }
        if !targets.is_empty() {
            let mut admins = admins.into_iter();
            let target = |Addresses(addresses)| Target { addresses, admin: admins.next() };
            scenario.targets = targets.into_iter().map(target).collect();
        }
        realms.apply(&mut scenario.realms);
        clients.apply(&mut scenario.clients);
        traffic.apply(&mut scenario.traffic);
        disturbance.apply(&mut scenario.disturbance);
        presence.apply(&mut scenario.presence);
        server.apply(&mut scenario.server);
        run.apply(&mut scenario.run);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::scenario::{Kind, Rate, Span};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: ScenarioFlags,
    }

    fn apply(arguments: &[&str]) -> Result<Scenario, FlagError> {
        let line = Line::parse_from([&["loadtest"], arguments].concat());
        let mut scenario = Scenario::new("x", Kind::Chat);
        line.flags.apply(&mut scenario).map(|()| scenario)
    }

    #[test]
    fn each_field_has_the_flag_of_its_name_and_the_same_words() {
        let command = Line::command();
        command.clone().debug_assert();
        let mut names = HashSet::new();
        for field in Scenario::fields() {
            let flag = field.name.replace('_', "-");
            assert!(names.insert(flag.clone()), "two fields are called {flag}");
            let argument = command.get_arguments().find(|argument| argument.get_long() == Some(&flag));
            let argument = argument.unwrap_or_else(|| panic!("no flag --{flag}"));
            assert_eq!(argument.get_help_heading(), Some(field.section));
            let help = argument.get_long_help().or(argument.get_help()).unwrap().to_string();
            assert!(help.starts_with(&field.words.trim()[..20]), "{flag}: {help}");
        }
        let flags =
            command.get_arguments().filter(|argument| argument.get_long().is_some_and(|long| long != "help"));
        assert_eq!(flags.count(), names.len() + ["seed", "target", "admin"].len());
    }

    #[test]
    fn the_words_of_each_field_say_its_default() {
        for field in Scenario::fields() {
            let words = field.words.replace("\n ", " ");
            let default = (field.default)();
            let said =
                words.split("Default: ").nth(1).unwrap_or_else(|| panic!("{}: no default", field.name));
            assert!(said.starts_with(&default), "{}: {default} is not {said}", field.name);
        }
    }

    #[test]
    fn flags_replace_what_the_file_says_and_leave_the_rest() {
        let scenario =
            apply(&["--sockets", "5000", "--send-rate", "600/min", "--hold", "2m", "--seed", "7"]).unwrap();
        assert_eq!(scenario.clients.sockets, 5000);
        assert_eq!(scenario.traffic.send_rate.hertz(), 10.0);
        assert_eq!(scenario.clients.hold, Span::from_secs(120));
        assert_eq!(scenario.clients.ramp, Rate::per_second(200.0));
        assert_eq!(scenario.seed, Some(7));
        assert_eq!(apply(&[]).unwrap(), Scenario::new("x", Kind::Chat));
    }

    #[test]
    fn targets_come_with_their_admin_addresses() {
        let scenario = apply(&[
            "--target",
            "http://127.0.0.1:1,http://127.0.0.1:2",
            "--admin",
            "http://127.0.0.1:3",
            "--target",
            "http://127.0.0.1:4",
            "--admin",
            "http://127.0.0.1:5",
        ])
        .unwrap();
        let ports: Vec<_> = scenario
            .targets
            .iter()
            .map(|target| {
                let ports: Vec<_> = target.addresses.iter().map(Address::port).collect();
                (ports, target.admin.as_ref().map(Address::port))
            })
            .collect();
        assert_eq!(ports, [(vec![1, 2], Some(3)), (vec![4], Some(5))]);
        let unpaired = apply(&["--target", "http://h:1", "--target", "http://h:2", "--admin", "http://h:3"]);
        assert_eq!(unpaired, Err(FlagError::Unpaired { targets: 2, admins: 1 }));
        let unpaired = apply(&["--admin", "http://h:3"]);
        assert_eq!(unpaired, Err(FlagError::Unpaired { targets: 0, admins: 1 }));
    }

    #[test]
    fn a_flag_of_the_wrong_form_is_told_the_right_one() {
        let error = Line::try_parse_from(["loadtest", "--hold", "25"]).unwrap_err().to_string();
        assert!(error.contains("such as \"25s\""), "{error}");
        let error = Line::try_parse_from(["loadtest", "--sokets", "25"]).unwrap_err().to_string();
        assert!(error.contains("--sockets"), "{error}");
    }
}
