//! What this process has done since it started, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The writer's counts.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Shared with the store, which counts.
    pub(crate) database: Arc<DatabaseStats>,
    pub(crate) link: LinkStats,
}

/// What was asked of the database.
#[derive(Debug, Default)]
pub(crate) struct DatabaseStats {
    /// Transactions of commit groups.
    pub(crate) commits: Counter,
    /// Requests in these: by `commits` it is the mean size of a group.
    pub(crate) committed_requests: Counter,
    /// Reads, each of one snapshot.
    pub(crate) reads: Counter,
    /// Transactions that write without being commit groups.
    pub(crate) writes: Counter,
    /// Any of the above that failed.
    pub(crate) failures: Counter,
    /// Statements sent, and connections made: counted on PostgreSQL alone.
    pub(crate) statements: Counter,
    pub(crate) connects: Counter,
}

/// What gateways asked of this writer, by kind.
#[derive(Debug, Default)]
pub(crate) struct LinkStats {
    pub(crate) identify: Counter,
    /// Batches of writes, and the writes in them.
    pub(crate) write_batches: Counter,
    pub(crate) writes: Counter,
    pub(crate) realm_page: Counter,
    pub(crate) read_log: Counter,
    pub(crate) heads: Counter,
    pub(crate) renew_epoch: Counter,
    pub(crate) store_last_heard: Counter,
}

impl Stats {
    /// All of it, for `GET /admin/stats`.
    pub(crate) fn to_json(&self) -> Value {
        let DatabaseStats { commits, committed_requests, reads, writes, failures, statements, connects } =
            &*self.database;
        let database = json!({
            "commits": commits.count(),
            "committed_requests": committed_requests.count(),
            "reads": reads.count(),
            "writes": writes.count(),
            "failures": failures.count(),
            "statements": statements.count(),
            "connects": connects.count(),
        });
        let LinkStats { identify, write_batches, writes, realm_page, read_log, heads, renew_epoch, .. } =
            &self.link;
        let link = json!({
            "identify": identify.count(),
            "write_batches": write_batches.count(),
            "writes": writes.count(),
            "realm_page": realm_page.count(),
            "read_log": read_log.count(),
            "heads": heads.count(),
            "renew_epoch": renew_epoch.count(),
            "store_last_heard": self.link.store_last_heard.count(),
        });
        json!({ "database": database, "link": link })
    }
}
