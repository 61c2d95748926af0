//! What one connection should be subscribed to, and whether it is.

use std::collections::HashSet;

use squall_protocol::RealmId;

/// The channels of realms that a server holds for one connection, as far as we know.
///
/// The server tells only how many it holds. What it lets go of shows as a number too small; not by which channel
/// it became so, and a channel whose slot moved away is dropped by the server itself when it learns of it. So a
/// number that falls is a doubt about all, and all are asked for again, which changes nothing where they are
/// held: the number after that is certain.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    held: HashSet<RealmId>,
    /// Those whose slots moved away: the server may hold them still.
    moved: HashSet<RealmId>,
    /// How many the server counts beyond those that should be held.
    surplus: usize,
    /// A number was too small, or nobody knows what it should be.
    doubt: bool,
    /// All were asked for since the doubt arose, and not counted yet.
    confirming: bool,
}

/// What is to be asked of the server; then it has to be counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) subscribe: Vec<RealmId>,
    pub(super) unsubscribe: Vec<RealmId>,
}

/// What a count of the server means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is held.
    Kept,
    /// The server let go of something: the next change asks for all again.
    Doubt,
    /// The server does not hold all though it was just asked for all.
    Refused,
}

impl Subscriptions {
    /// What has to change so that exactly `wanted` is held, of which all lies on this server. It counts as done:
    /// what turns out not to be is named by [`handle_elsewhere`](Self::handle_elsewhere) or found by a count.
    pub(super) fn change(
        &mut self,
        wanted: &HashSet<RealmId>,
        lies_here: impl Fn(RealmId) -> bool,
    ) -> Change {
        let gone: Vec<_> = self.held.difference(wanted).copied().collect();
        let (mut unsubscribe, moved): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|realm| lies_here(*realm));
        let back: Vec<_> = self.moved.iter().copied().filter(|realm| lies_here(*realm)).collect();
        for realm in back {
            // Whether the server ever let go of it is not known.
            self.doubt = true;
            self.moved.remove(&realm);
            if !wanted.contains(&realm) {
                unsubscribe.push(realm);
            }
        }
        self.surplus += moved.len();
        self.moved.extend(moved);
        let known = if self.doubt { HashSet::new() } else { std::mem::take(&mut self.held) };
        let subscribe = wanted.difference(&known).copied().collect();
        self.held.clone_from(wanted);
        self.confirming = self.doubt;
        Change { subscribe, unsubscribe }
    }

    /// What is held, as far as we know.
    pub(super) fn held(&self) -> &HashSet<RealmId> {
        &self.held
    }

    /// The server said that the realm's channel lies elsewhere.
    pub(super) fn handle_elsewhere(&mut self, realm: RealmId) {
        self.held.remove(&realm);
    }

    /// The server counted the channels it holds, the canary's among them.
    pub(super) fn handle_count(&mut self, counted: usize) -> Verdict {
        let expected = self.held.len() + CANARY;
        if self.confirming {
            self.confirming = false;
            let Some(surplus) = counted.checked_sub(expected) else { return Verdict::Refused };
            self.doubt = false;
            self.surplus = surplus;
            if surplus == 0 {
                self.moved.clear();
            }
            return Verdict::Kept;
        }
        if self.doubt || counted < expected + self.surplus {
            self.doubt = true;
            return Verdict::Doubt;
        }
        Verdict::Kept
    }
}

/// Channels that are no realm's.
const CANARY: usize = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn realms(numbers: &[u64]) -> HashSet<RealmId> {
        numbers.iter().copied().map(RealmId).collect()
    }

    #[test]
    fn only_the_difference_is_asked() {
        let mut subscriptions = Subscriptions::default();
        let mut change = subscriptions.change(&realms(&[1, 2]), |_| true);
        change.subscribe.sort();
        assert_eq!(change, Change { subscribe: vec![RealmId(1), RealmId(2)], unsubscribe: vec![] });
        assert_eq!(subscriptions.handle_count(3), Verdict::Kept);
        let change = subscriptions.change(&realms(&[2, 3]), |_| true);
        assert_eq!(change, Change { subscribe: vec![RealmId(3)], unsubscribe: vec![RealmId(1)] });
        assert_eq!(subscriptions.change(&realms(&[2, 3]), |_| true), Change::default());
    }

    #[test]
    fn one_that_is_missing_makes_all_be_asked_for_again() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.change(&realms(&[1, 2]), |_| true);
        assert_eq!(subscriptions.handle_count(2), Verdict::Doubt);
        assert_eq!(subscriptions.handle_count(3), Verdict::Doubt, "it may have been away meanwhile");
        let change = subscriptions.change(&realms(&[1, 2]), |_| true);
        assert_eq!(change.subscribe.len(), 2);
        assert_eq!(subscriptions.handle_count(3), Verdict::Kept);
        assert_eq!(subscriptions.change(&realms(&[1, 2]), |_| true), Change::default());
    }

    #[test]
    fn one_that_is_missing_though_just_asked_for_is_refused() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.change(&realms(&[1, 2]), |_| true);
        assert_eq!(subscriptions.handle_count(1), Verdict::Doubt);
        subscriptions.change(&realms(&[1, 2]), |_| true);
        assert_eq!(subscriptions.handle_count(2), Verdict::Refused);
    }

    #[test]
    fn a_channel_that_moved_away_is_counted_until_the_server_knows() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.change(&realms(&[1, 2]), |_| true);
        let two_lies_here = |realm| realm == RealmId(2);
        let change = subscriptions.change(&realms(&[2]), two_lies_here);
        assert_eq!(change, Change::default(), "the server lets go of it by itself");
        assert_eq!(subscriptions.handle_count(3), Verdict::Kept);
        assert_eq!(subscriptions.handle_count(2), Verdict::Doubt, "it may have been the other");
        assert_eq!(subscriptions.change(&realms(&[2]), two_lies_here).subscribe, [RealmId(2)]);
        assert_eq!(subscriptions.handle_count(2), Verdict::Kept);
        assert_eq!(subscriptions.handle_count(1), Verdict::Doubt);
    }

    #[test]
    fn a_channel_that_lies_elsewhere_is_not_expected() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.change(&realms(&[1, 2]), |_| true);
        subscriptions.handle_elsewhere(RealmId(1));
        assert_eq!(subscriptions.handle_count(2), Verdict::Kept);
        assert_eq!(subscriptions.change(&realms(&[1, 2]), |_| true).subscribe, [RealmId(1)]);
    }

    proptest! {
        /// Against a server that holds what it was asked for, drops some by itself and moves slots away: what is
        /// wanted and lies here is held after a few counts without another loss.
        #[test]
        fn whatever_the_server_drops_comes_back(
            steps in proptest::collection::vec((any::<u8>(), proptest::collection::vec(0u64..12, 0..8)), 1..60)
        ) {
            let mut subscriptions = Subscriptions::default();
            let mut server: HashSet<RealmId> = HashSet::new();
            let mut here: HashSet<RealmId> = (0..12).map(RealmId).collect();
            let mut wanted: HashSet<RealmId> = HashSet::new();
            let ask = |subscriptions: &mut Subscriptions, server: &mut HashSet<RealmId>,
                       here: &HashSet<RealmId>, wanted: &HashSet<RealmId>| {
                let on_us = wanted.intersection(here).copied().collect();
                let change = subscriptions.change(&on_us, |realm| here.contains(&realm));
                server.extend(change.subscribe);
                for realm in change.unsubscribe {
                    server.remove(&realm);
                }
                subscriptions.handle_count(server.len() + CANARY)
            };
            for (kind, numbers) in steps {
                let named = realms(&numbers);
                match kind % 4 {
                    0 => wanted.extend(named),
                    1 => wanted.retain(|realm| !named.contains(realm)),
                    // A loss, or a slot that was away and is back.
                    2 => server.retain(|realm| !named.contains(realm)),
                    _ => {
                        here = (0..12).map(RealmId).filter(|realm| !named.contains(realm)).collect();
                        // The server may know it already, or not yet.
                        if kind % 8 < 4 {
                            server.retain(|realm| here.contains(realm));
                        }
                    }
                }
                let _ = ask(&mut subscriptions, &mut server, &here, &wanted);
            }
            // In the end every server knows its slots.
            server.retain(|realm| here.contains(realm));
            for _ in 0..2 {
                let _ = ask(&mut subscriptions, &mut server, &here, &wanted);
            }
            prop_assert_eq!(ask(&mut subscriptions, &mut server, &here, &wanted), Verdict::Kept);
            let on_us: HashSet<_> = wanted.intersection(&here).copied().collect();
            prop_assert_eq!(server, on_us);
        }
    }
}
