//! The words in which the tests of the started product are written: a server that can be killed, clients
//! that keep count of what they get, calls of the HTTP API.
//!
//! No test sleeps: each wait is for a condition and ends the test after [`WAIT_MAX`]. That something does
//! *not* arrive is shown by what was sent after it: the log is ordered, so when the later message is the
//! next one, the earlier did not come.

pub(crate) mod api;
pub(crate) mod bystanders;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod http;
pub(crate) mod line;
pub(crate) mod member;
pub(crate) mod operator;
pub(crate) mod presence_view;
pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod zuliprc;

use std::future::Future;
use std::time::Duration;

/// How long anything may take that a test waits for: far above what it takes on a busy machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

/// Waits for `future`, or ends the test with what was awaited.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_MAX, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {WAIT_MAX:?} in vain for {what}"),
    }
}
