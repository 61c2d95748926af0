use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::store::conformance::conformance;
use crate::store::conformance::zulip::zulip_conformance;

fn store_in(dir: &Path, read_threads: usize) -> Result<SqliteStore, FileError> {
    SqliteStore::open(dir, read_threads, Arc::default())
}

fn open() -> (Arc<dyn Store>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Arc::new(store_in(dir.path(), 2).unwrap()), dir)
}

conformance!(open());
zulip_conformance!(open());

#[tokio::test]
async fn a_directory_has_one_holder_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("below/data");
    let store = store_in(&path, 1).unwrap();
    assert!(matches!(store_in(&path, 1), Err(FileError::InUse { .. })));
    store.create_realm("R".into(), Epoch(1)).await.unwrap();
    store.close().await;
    let again = store_in(&path, 1).unwrap();
    assert_eq!(again.realms().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(store_in(dir.path(), 1).unwrap());
    let connection = Connection::open(dir.path().join("squall.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    assert!(matches!(store_in(dir.path(), 1), Err(FileError::Newer { found: 1000, .. })));
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection::open(dir.path().join("squall.sqlite")).unwrap();
    connection.execute_batch(include_str!("schema.sql")).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection.execute_batch("INSERT INTO realms VALUES (1, 'Old', 'old', 7, 0, 0, 1)").unwrap();
    drop(connection);
    let store = store_in(dir.path(), 1).unwrap();
    assert_eq!(store.realms().await.unwrap()[0].name, "Old");
    let lease = NodeLease { node_id: squall_protocol::NodeId(1), as_of_ms: 1 };
    assert_eq!(store.renew_lease(lease, 0).await.unwrap(), [lease]);
}

#[test]
fn what_is_no_directory_is_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(store_in(&file, 1), Err(FileError::Io { .. })));
    std::fs::write(dir.path().join("squall.sqlite"), "not a database, though it is long enough").unwrap();
    assert!(matches!(store_in(dir.path(), 1), Err(FileError::Sqlite { .. })));
}

#[tokio::test]
async fn a_panic_costs_its_own_work_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 1).unwrap();
    let work = |tx: &Transaction<'_>| -> Result<(), Failure> {
        tx.execute("INSERT INTO realms (name, name_key, epoch, created_s) VALUES ('R', 'r', 1, 1)", [])?;
        panic!("on purpose")
    };
    assert!(matches!(store.write(work).await, Err(StoreError::Unavailable(_))));
    assert!(store.realms().await.unwrap().is_empty(), "rolled back");
    assert!(store.create_realm("R".into(), Epoch(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reading_connection_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 1).unwrap();
    let result = store.read(|tx| Ok(tx.execute("DELETE FROM realms", [])?)).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path(), 1).unwrap();
    let endless = |tx: &Transaction<'_>| -> Result<i64, Failure> {
        let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n";
        Ok(tx.query_row(sql, [], |row| row.get(0))?)
    };
    let result = store.read_within(Duration::from_millis(50), endless).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))));
    assert!(store.realms().await.unwrap().is_empty(), "the next one has its own time");
}
