//! The scenarios that come with the load tester: one of each kind, in `loadtest/scenarios/`.

use super::{FileError, Kind, Scenario};

/// A scenario that comes with the load tester, runnable by its name from anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What it is about; also its name.
    pub kind: Kind,
    /// Its file, as it is in `loadtest/scenarios/`.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($Kind:ident $file:literal),* $(,)?) => {
        /// All of them.
        pub const SHIPPED: &[Shipped] = &[
            $(Shipped { kind: Kind::$Kind, text: include_str!(concat!("../../scenarios/", $file)) },)*
        ];
    };
}

shipped! {
    Connect "connect.toml",
    Fanout "fanout.toml",
    Chat "chat.toml",
    Resume "resume.toml",
    Herd "herd.toml",
    Slow "slow.toml",
    Presence "presence.toml",
    Soak "soak.toml",
}

impl Shipped {
    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.kind.name() == name)
    }

    /// The scenario it says.
    pub fn scenario(&self) -> Result<Scenario, FileError> {
        Scenario::parse(&format!("{}.toml", self.kind), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_each_kind_and_each_can_run() {
        assert!(SHIPPED.iter().map(|shipped| shipped.kind).eq(Kind::ALL));
        for shipped in SHIPPED {
            let scenario = shipped.scenario().unwrap();
            assert_eq!(scenario.kind, shipped.kind);
            assert_eq!(scenario.name, shipped.kind.name());
            assert!(!scenario.about.is_empty());
            assert_eq!(scenario.conflicts(), [], "{}", shipped.kind);
            assert_eq!(Shipped::of(&scenario.name).unwrap().kind, shipped.kind);
        }
        assert!(Shipped::of("chatt").is_none());
    }
}
