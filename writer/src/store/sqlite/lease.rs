//! The nodes' signs of life.

use rusqlite::{Row, Transaction, params};
use squall_protocol::NodeId;
use squall_protocol::link::NodeLease;

use super::Failure;
use crate::limits::LEASE_KEPT;

pub(super) fn renew(
    tx: &Transaction<'_>,
    lease: NodeLease,
    since_ms: u64,
) -> Result<Vec<NodeLease>, Failure> {
    let mut upsert = tx.prepare_cached(
        "INSERT INTO node_leases (node_id, as_of_ms) VALUES (?1, ?2)
         ON CONFLICT (node_id) DO UPDATE SET as_of_ms = max(as_of_ms, excluded.as_of_ms)",
    )?;
    upsert.execute(params![lease.node_id.0, lease.as_of_ms])?;
    let long_dead = since_ms.saturating_sub(LEASE_KEPT.as_millis() as u64);
    tx.prepare_cached("DELETE FROM node_leases WHERE as_of_ms < ?1")?.execute([long_dead])?;
    let mut select =
        tx.prepare_cached("SELECT node_id, as_of_ms FROM node_leases WHERE as_of_ms >= ?1 ORDER BY node_id")?;
    let lease = |row: &Row<'_>| Ok(NodeLease { node_id: NodeId(row.get(0)?), as_of_ms: row.get(1)? });
    select.query_map([since_ms], lease)?.map(|lease| Ok(lease?)).collect()
}
