//! What the tests share.

use std::sync::Arc;

use squall_bus::MemoryBus;
use tempfile::TempDir;

use crate::{Config, Writer};

/// A writer on a directory of its own, with no rate limit.
pub(crate) async fn writer() -> (Writer, TempDir) {
    writer_with(|_| {}).await
}

/// The same, configured.
pub(crate) async fn writer_with(configure: impl FnOnce(&mut Config)) -> (Writer, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config =
        Config { data_dir: dir.path().to_owned(), rate_limit_per_minute: 0, ..Config::default() };
    configure(&mut config);
    let writer = Writer::open(config, Arc::new(MemoryBus::new())).await.unwrap();
    (writer, dir)
}
