use std::sync::Arc;

use squall_servers::Postgres;

use super::*;
use crate::store::conformance::conformance;
use crate::store::conformance::zulip::zulip_conformance;

fn options(url: &str) -> PostgresOptions {
    let url = DatabaseUrl::parse(url).unwrap();
    PostgresOptions { url, commits_max: 4, reads_max: 2, wait: Duration::ZERO }
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(options(url), Arc::default()).await.unwrap()
}

/// A store in an empty database of the server that these tests share.
async fn shared() -> (Arc<dyn Store>, Arc<Postgres>) {
    let server = Postgres::shared();
    let store = open(&server.create_database()).await;
    (Arc::new(store), server)
}

conformance!(shared().await);
zulip_conformance!(shared().await);

/// Rows of one statement on a connection of our own.
async fn rows(url: &str, sql: &str) -> Vec<tokio_postgres::Row> {
    let config = connection::prepare_config(DatabaseUrl::parse(url).unwrap().config());
    let session = Session { statement_max: MIGRATION_MAX };
    let connection = Connection::open(&config, session, &Handle::current(), &Arc::default()).await.unwrap();
    connection.query(sql, []).await.unwrap()
}

async fn versions(url: &str) -> Vec<i64> {
    let rows = rows(url, "SELECT version FROM schema_versions ORDER BY version").await;
    rows.iter().map(|row| row.get(0)).collect()
}

async fn open_knowing(url: &str, migrations: &[&str]) -> Result<PostgresStore, PostgresError> {
    PostgresStore::open_with(options(url), Arc::default(), migrations).await
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let server = Postgres::shared();
    let url = server.create_database();
    let old = open_knowing(&url, &MIGRATIONS[..1]).await.unwrap();
    old.create_realm("Old".into(), Epoch(7)).await.unwrap();
    assert_eq!(versions(&url).await, [1]);
    let store = open(&url).await;
    assert_eq!(versions(&url).await, (1..=MIGRATIONS.len() as i64).collect::<Vec<_>>());
    assert_eq!(store.realms().await.unwrap()[0].name, "Old");
    let lease = NodeLease { node_id: squall_protocol::NodeId(1), as_of_ms: 1 };
    assert_eq!(store.renew_lease(lease, 0).await.unwrap(), [lease]);
    old.create_realm("Beside".into(), Epoch(8)).await.unwrap();
    assert_eq!(store.realms().await.unwrap().len(), 2, "writers of both versions serve on");
}

#[tokio::test]
async fn writers_that_start_at_once_migrate_once() {
    let server = Postgres::shared();
    let url = server.create_database();
    // The slower the migration, the surer the others come while it is at it.
    let slow = [MIGRATIONS[0], "SELECT pg_sleep(0.3); CREATE TABLE second (n bigint)"];
    let open = |_| open_knowing(&url, &slow);
    let (a, b, c) = tokio::join!(open(1), open(2), open(3));
    for store in [a, b, c] {
        assert!(store.unwrap().realms().await.unwrap().is_empty());
    }
    assert_eq!(versions(&url).await, [1, 2]);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_version_before() {
    let server = Postgres::shared();
    let url = server.create_database();
    let error = open_knowing(&url, &[MIGRATIONS[0], "CREATE TABLE t (n bigint); SELECT 1 / 0"]).await;
    assert!(error.err().unwrap().to_string().contains("division by zero"));
    assert_eq!(versions(&url).await, [1]);
    open_knowing(&url, &[MIGRATIONS[0], "CREATE TABLE t (n bigint)"]).await.unwrap();
    assert_eq!(versions(&url).await, [1, 2]);
}

#[tokio::test]
async fn the_next_versions_schema_is_served_and_a_later_one_refused() {
    let server = Postgres::shared();
    let url = server.create_database();
    let later = [MIGRATIONS, &["CREATE TABLE third (n bigint)", "CREATE TABLE fourth (n bigint)"]].concat();
    open_knowing(&url, &later[..MIGRATIONS.len() + 1]).await.unwrap();
    let store = open(&url).await;
    assert!(store.create_realm("R".into(), Epoch(1)).await.unwrap().is_some());
    open_knowing(&url, &later).await.unwrap();
    let error = PostgresStore::open(options(&url), Arc::default()).await.err().unwrap().to_string();
    let (found, known) = (later.len(), MIGRATIONS.len());
    assert!(error.contains(&format!("newer version (schema {found}, this program knows {known}")), "{error}");
}

#[tokio::test]
async fn what_is_no_database_of_ours_says_why_and_not_the_password() {
    let server = Postgres::shared();
    let url = server.create_database();
    server.sql("CREATE DATABASE latin OWNER squall ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    let (host, name) = url.rsplit_once('/').unwrap();
    let nobody = squall_servers::free_port();
    for (url, words) in [
        (url.replace("squall-password", "s3cret"), "password authentication failed"),
        (format!("{host}/nowhere"), "does not exist"),
        (format!("{host}/latin"), "SQL_ASCII"),
        (format!("postgres://squall:s3cret@127.0.0.1:{nobody}/{name}"), "refused"),
    ] {
        let error = PostgresStore::open(options(&url), Arc::default()).await.err().unwrap().to_string();
        assert!(error.contains(words), "{url}: {error}");
        assert!(!error.contains("s3cret") && !error.contains("squall-password"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_still_starting_is_waited_for() {
    let mut server = Postgres::start();
    let url = server.url();
    server.stop();
    let waiting = PostgresOptions { wait: Duration::from_secs(30), ..options(&url) };
    let opening = tokio::spawn(PostgresStore::open(waiting, Arc::default()));
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let server = server.await.unwrap();
    assert!(opening.await.unwrap().unwrap().realms().await.unwrap().is_empty());
    drop(server);
}

#[tokio::test]
async fn a_session_is_as_the_guarantees_need_it() {
    let server = Postgres::shared();
    let url = server.create_database();
    let name = url.rsplit('/').next().unwrap();
    server.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let setting = async |name: &str| {
        let rows = rows(&url, &format!("SHOW {name}")).await;
        rows[0].get::<_, String>(0)
    };
    assert_eq!(setting("synchronous_commit").await, "on");
    assert_eq!(setting("lock_timeout").await, "2s");
    assert_eq!(setting("idle_in_transaction_session_timeout").await, "2s");
    server.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = remote_apply"));
    assert_eq!(setting("synchronous_commit").await, "remote_apply", "more than is needed stays");
}

#[test]
fn the_operators_page_says_what_is_so() {
    let page = include_str!("../../../../docs/postgresql.md");
    let (lock, statement) = (LOCK_MAX.as_secs(), WRITE_STATEMENT_MAX.as_secs());
    assert_eq!(READ_STATEMENT_MAX, WRITE_STATEMENT_MAX);
    let connections = crate::Config::default().database_connections;
    for words in [
        format!("| `lock_timeout` | {lock} s |"),
        format!(
            "| `idle_in_transaction_session_timeout` | {} s |",
            connection::IDLE_IN_TRANSACTION_MAX.as_secs()
        ),
        format!("| `statement_timeout` | {statement} s |"),
        format!("no answer after {} s", TRANSACTION_MAX.as_secs()),
        format!("`--database-connections` (default {connections}, at least 3)"),
        format!("waits {} s for a server", crate::Config::default().database_wait.as_secs()),
        format!("up to {} messages of a realm", squall_protocol::limits::GROUP_EVENTS_MAX),
    ] {
        assert!(page.contains(&words), "{words}");
    }
    let all_reads = (3..30).map(|n| PostgresOptions::new(options("postgres://a@b/c").url, n, Duration::ZERO));
    for (connections, options) in (3..30).zip(all_reads) {
        assert_eq!(options.commits_max + 1 + options.reads_max, connections);
    }
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_broken_off_and_the_next_has_its_own_time() {
    let server = Postgres::shared();
    let store = open(&server.create_database()).await;
    let began = Instant::now();
    let slow = store.read(|c| Box::pin(async { c.query("SELECT pg_sleep(60)", []).await.map(drop) }));
    assert!(matches!(slow.await, Err(StoreError::Away(_))));
    assert!(began.elapsed() < TRANSACTION_MAX);
    assert!(store.realms().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_fails_in_the_middle_leaves_its_connection_in_order() {
    let server = Postgres::shared();
    let store = open(&server.create_database()).await;
    let connects = store.inner.stats.connects.count();
    for _ in 0..10 {
        let wrong = store.write(|c| {
            Box::pin(async {
                c.batch(connection::BEGIN_WRITING).await?;
                c.execute(
                    "INSERT INTO realms (name, name_key, epoch, created_s) VALUES ('a', 'a', 1, 1)",
                    [],
                )
                .await?;
                c.query("SELECT 1 / 0", []).await.map(drop)
            })
        });
        assert!(matches!(wrong.await, Err(StoreError::Unavailable(words)) if words.contains("22012")));
    }
    assert!(store.realms().await.unwrap().is_empty(), "rolled back");
    assert_eq!(store.inner.stats.connects.count() - connects, 2, "one that writes, one that reads");
}

#[tokio::test]
async fn whoever_gives_up_waiting_costs_no_connection() {
    let server = Postgres::shared();
    let store = open(&server.create_database()).await;
    store.realms().await.unwrap();
    let connects = store.inner.stats.connects.count();
    for _ in 0..20 {
        let read = store.read(|c| Box::pin(async { c.query("SELECT pg_sleep(0.05)", []).await.map(drop) }));
        timeout(Duration::from_millis(5), read).await.unwrap_err();
    }
    store.realms().await.unwrap();
    assert!(store.inner.stats.connects.count() - connects <= 1, "no more than the pool has");
}
