//! The seeds of the session's fuzz target, and scripts made up by chance.

use proptest::prelude::*;

#[path = "../../protocol/fuzz/properties/seeds.rs"]
mod seeds;
#[path = "../../protocol/fuzz/properties/session.rs"]
mod session;

#[test]
fn sessions_get_exactly_theirs_on_every_seed() {
    seeds::replay("session", session::check);
}

proptest! {
    #[test]
    fn sessions_get_exactly_theirs_whatever_happens(script in prop::collection::vec(any::<u8>(), 0..800)) {
        session::check(&script);
    }
}
