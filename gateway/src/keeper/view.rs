//! A realm as its keeper shows it to the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};
use squall_hub::{RealmState, Ring};
use squall_protocol::RealmId;

/// The newest ring and state of a realm, replaced whole by its keeper and read without a lock.
pub(crate) struct RealmView {
    realm: RealmId,
    current: ArcSwap<Snapshot>,
    /// For each shard: whether it was told of something newer and has not looked yet.
    woken: Box<[AtomicBool]>,
}

/// One state of a realm. To be held for a turn of a loop, no longer: it holds the whole ring.
pub(crate) struct Snapshot {
    pub(crate) ring: Ring,
    pub(crate) state: RealmState,
}

impl RealmView {
    pub(crate) fn new(realm: RealmId, snapshot: Snapshot, shards: usize) -> Self {
        let woken = (0..shards).map(|_| AtomicBool::new(false)).collect();
        Self { realm, current: ArcSwap::from_pointee(snapshot), woken }
    }

    pub(crate) fn realm(&self) -> RealmId {
        self.realm
    }

    /// The newest snapshot.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The newest snapshot, held for longer than an expression.
    pub(crate) fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Shows a newer snapshot.
    pub(crate) fn store(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Marks `shard` as told; true if it was not, and so must be.
    pub(crate) fn wake(&self, shard: usize) -> bool {
        self.woken.get(shard).is_some_and(|woken| !woken.swap(true, Ordering::AcqRel))
    }

    /// `shard` is about to look.
    pub(crate) fn looked(&self, shard: usize) {
        if let Some(woken) = self.woken.get(shard) {
            // A swap, not a store: what was shown before the `wake` that it undoes is then seen by the look,
            // or the next `wake` tells again.
            woken.swap(false, Ordering::AcqRel);
        }
    }
}
