//! The log: ranges, heads, epochs, its old end.

use squall_protocol::link::LogRange;
use squall_protocol::{Mark, Position, RealmId, Sequence};
use tokio_postgres::Row;

use super::connection::{BEGIN_SNAPSHOT, BEGIN_WRITING, COMMIT, Connection};
use super::failure::Failure;
use super::rows::{HEAD, all, big, bigs, event, head, mark, optional_number, position, realm_id};
use crate::secret::random_epoch;
use crate::store::contradicts;

const FLOOR: &str = "SELECT min(sequence) FROM events WHERE realm_id = $1";

const MARK: &str = "SELECT mark FROM events WHERE realm_id = $1 AND sequence = $2";

const RECORDS: &str = "SELECT sequence, mark, kind, changes_state, audience, body FROM events
     WHERE realm_id = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence";

const CHANGES: &str = "SELECT sequence, mark, kind, changes_state, audience, body FROM events
     WHERE realm_id = $1 AND sequence > $2 AND changes_state ORDER BY sequence";

/// One round trip: the log is dense, so that where a range ends is known before it is read.
pub(super) async fn read(
    c: &Connection,
    realm: RealmId,
    after: Sequence,
    limit: usize,
) -> Result<LogRange, Failure> {
    c.prepare(&[HEAD, FLOOR, MARK, RECORDS, CHANGES]).await?;
    let (id, from) = (big(realm.0), big(after.0));
    let last = from.saturating_add(big(limit as u64));
    let ((), heads, floor, marks, records, changes, ()) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&id]),
        c.query(FLOOR, [&id]),
        c.query(MARK, [&id, &from]),
        c.query(RECORDS, [&id, &from, &last]),
        c.query(CHANGES, [&id, &last]),
        c.batch(COMMIT),
    )?;
    let head = head(&heads, realm)?;
    let floor = floor_of(&floor, head)?;
    let after_mark = mark_at(head, after, &marks)?;
    if after < floor || after >= head.sequence {
        return Ok(LogRange { head, floor, after_mark, records: Vec::new(), changes: Vec::new() });
    }
    Ok(LogRange { head, floor, after_mark, records: all(&records, event)?, changes: all(&changes, event)? })
}

/// The sequence before the oldest event that is kept; the head if none is.
fn floor_of(rows: &[Row], head: Position) -> Result<Sequence, Failure> {
    let oldest = rows.first().map(|row| optional_number(row, 0)).transpose()?.flatten();
    Ok(oldest.map_or(head.sequence, |oldest| Sequence(oldest.saturating_sub(1))))
}

/// The mark at `sequence`; `rows` are what [`MARK`] brought for it.
fn mark_at(head: Position, sequence: Sequence, rows: &[Row]) -> Result<Option<Mark>, Failure> {
    if sequence == Sequence::ZERO {
        return Ok(Some(Mark(0)));
    }
    // The realm's row keeps the head's mark even when its event is gone.
    if sequence == head.sequence {
        return Ok(Some(head.mark));
    }
    rows.first().map(|row| mark(row, 0)).transpose()
}

const HEADS: &str = "SELECT realm_id, epoch, head_sequence, head_mark FROM realms WHERE realm_id = ANY ($1)
     ORDER BY realm_id";

pub(super) async fn heads(
    c: &Connection,
    realm_ids: &[RealmId],
) -> Result<Vec<(RealmId, Position)>, Failure> {
    let ids = bigs(realm_ids.iter().map(|realm_id| realm_id.0));
    let rows = c.query(HEADS, [&ids]).await?;
    all(&rows, |row| Ok((realm_id(row, 0)?, position(row, 1)?)))
}

const LOCK: &str = "SELECT epoch, head_sequence, head_mark FROM realms WHERE realm_id = $1 FOR NO KEY UPDATE";

const RENEW_EPOCH: &str = "UPDATE realms SET epoch = $2 WHERE realm_id = $1";

/// With the realm's row locked: of many who ask at once the first finds the epoch as it was.
pub(super) async fn renew_epoch(c: &Connection, realm: RealmId, seen: Position) -> Result<Position, Failure> {
    c.prepare(&[LOCK, MARK]).await?;
    let (id, sequence) = (big(realm.0), big(seen.sequence.0));
    let ((), heads, marks) = tokio::try_join!(
        biased;
        c.batch(BEGIN_WRITING),
        c.query(LOCK, [&id]),
        c.query(MARK, [&id, &sequence]),
    )?;
    let head = head(&heads, realm)?;
    let mark = mark_at(head, seen.sequence, &marks)?;
    if !contradicts(head, mark, seen) {
        c.batch(COMMIT).await?;
        return Ok(head);
    }
    let epoch = random_epoch();
    c.execute(RENEW_EPOCH, [&id, &big(epoch.0)]).await?;
    c.batch(COMMIT).await?;
    Ok(Position { epoch, ..head })
}

/// One who prunes is enough: others find nothing to do.
const PRUNING: &str = "SELECT pg_try_advisory_xact_lock(hashtext('squall'), hashtext('prune log'))";

/// The realms whose oldest event is old enough.
const REALMS_TO_PRUNE: &str = "SELECT r.realm_id FROM realms AS r CROSS JOIN LATERAL
     (SELECT created_s FROM events AS e WHERE e.realm_id = r.realm_id ORDER BY sequence LIMIT 1) AS oldest
     WHERE oldest.created_s < $1 ORDER BY r.realm_id";

/// Of the realm's `$3` oldest events those before the first that is young.
const PRUNE: &str = "DELETE FROM events WHERE realm_id = $1 AND sequence <= (
     SELECT coalesce(min(sequence) FILTER (WHERE created_s >= $2) - 1, max(sequence)) FROM
     (SELECT sequence, created_s FROM events WHERE realm_id = $1 ORDER BY sequence LIMIT $3) AS oldest)";

/// Takes a prefix of each realm's log, never a hole out of it: an event that looks old because a clock went back
/// stays until those before it go. Memberships and heads stay whatever goes here.
pub(super) async fn prune(c: &Connection, before_s: u64, limit: usize) -> Result<usize, Failure> {
    c.batch(BEGIN_WRITING).await?;
    let alone = c.query(PRUNING, []).await?;
    let mut taken = 0;
    if alone.first().is_some_and(|row| row.get(0)) {
        let before = big(before_s);
        for row in c.query(REALMS_TO_PRUNE, [&before]).await? {
            if taken < limit {
                let left = big((limit - taken) as u64);
                taken += c.execute(PRUNE, [&big(realm_id(&row, 0)?.0), &before, &left]).await? as usize;
            }
        }
    }
    c.batch(COMMIT).await?;
    Ok(taken)
}
