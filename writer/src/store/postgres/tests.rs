use std::sync::Arc;

use squall_servers::Postgres;

use super::*;
use crate::store::conformance::conformance;

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
