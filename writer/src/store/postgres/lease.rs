//! The nodes' signs of life.

use squall_protocol::NodeId;
use squall_protocol::link::NodeLease;

use super::connection::{BEGIN_WRITING, COMMIT, Connection};
use super::failure::Failure;
use super::rows::{all, big, number};
use crate::limits::LEASE_KEPT;

const UPSERT: &str = "INSERT INTO node_leases AS l (node_id, as_of_ms) VALUES ($1, $2)
     ON CONFLICT (node_id) DO UPDATE SET as_of_ms = greatest(l.as_of_ms, excluded.as_of_ms)";

/// Those that somebody else is about to forget are left to it.
const FORGET: &str = "DELETE FROM node_leases WHERE node_id IN
     (SELECT node_id FROM node_leases WHERE as_of_ms < $1 FOR UPDATE SKIP LOCKED)";

const TOLD: &str = "SELECT node_id, as_of_ms FROM node_leases WHERE as_of_ms >= $1 ORDER BY node_id";

/// One round trip.
pub(super) async fn renew(
    c: &Connection,
    lease: NodeLease,
    since_ms: u64,
) -> Result<Vec<NodeLease>, Failure> {
    c.prepare(&[UPSERT, FORGET, TOLD]).await?;
    let long_dead = big(since_ms.saturating_sub(LEASE_KEPT.as_millis() as u64));
    let (node, as_of, since) = (big(lease.node_id.0), big(lease.as_of_ms), big(since_ms));
    let ((), _, _, told, ()) = tokio::try_join!(
        biased;
        c.batch(BEGIN_WRITING),
        c.execute(UPSERT, [&node, &as_of]),
        c.execute(FORGET, [&long_dead]),
        c.query(TOLD, [&since]),
        c.batch(COMMIT),
    )?;
    all(&told, |row| Ok(NodeLease { node_id: NodeId(number(row, 0)?), as_of_ms: number(row, 1)? }))
}
