//! The log: ranges, heads, its old end.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use squall_protocol::event::EventKind;
use squall_protocol::link::{EventRecord, LogRange};
use squall_protocol::{Mark, Position, RealmId, Sequence};

use super::Failure;
use super::rows::{head, json, position};
use crate::secret::random_epoch;
use crate::store::contradicts;

const EVENT: &str = "sequence, mark, kind, changes_state, audience, body";

pub(super) fn read(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    after: Sequence,
    limit: usize,
) -> Result<LogRange, Failure> {
    let head = head(tx, realm_id)?;
    let floor = floor(tx, realm_id, head)?;
    let after_mark = mark_at(tx, realm_id, head, after)?;
    if after < floor || after >= head.sequence {
        return Ok(LogRange { head, floor, after_mark, records: Vec::new(), changes: Vec::new() });
    }
    let mut select = tx.prepare_cached(&format!(
        "SELECT {EVENT} FROM events WHERE realm_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
    ))?;
    let records = records(select.query(params![realm_id.0, after.0, limit])?)?;
    let last = records.last().map_or(after, |record| record.sequence);
    let mut select = tx.prepare_cached(&format!(
        "SELECT {EVENT} FROM events WHERE realm_id = ?1 AND changes_state = 1 AND sequence > ?2
         ORDER BY sequence"
    ))?;
    let changes = self::records(select.query(params![realm_id.0, last.0])?)?;
    Ok(LogRange { head, floor, after_mark, records, changes })
}

pub(super) fn heads(
    tx: &Transaction<'_>,
    realm_ids: &[RealmId],
) -> Result<Vec<(RealmId, Position)>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT realm_id, epoch, head_sequence, head_mark FROM realms
         WHERE realm_id IN (SELECT value FROM json_each(?1)) ORDER BY realm_id",
    )?;
    let heads = select
        .query_map([json(realm_ids)?], |row: &Row<'_>| Ok((RealmId(row.get(0)?), position(row, 1)?)))?;
    heads.map(|head| Ok(head?)).collect()
}

/// In the transaction that holds the file's lock: of many who ask at once the first finds the epoch as it was.
pub(super) fn renew_epoch(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    seen: Position,
) -> Result<Position, Failure> {
    let head = head(tx, realm_id)?;
    let mark = mark_at(tx, realm_id, head, seen.sequence)?;
    if !contradicts(head, mark, seen) {
        return Ok(head);
    }
    let epoch = random_epoch();
    let mut update = tx.prepare_cached("UPDATE realms SET epoch = ?2 WHERE realm_id = ?1")?;
    update.execute(params![realm_id.0, epoch.0])?;
    Ok(Position { epoch, ..head })
}

/// Takes a prefix of each realm's log, never a hole out of it: an event that looks old because the clock went
/// back stays until those before it go. Memberships and heads stay whatever goes here.
pub(super) fn prune(tx: &Transaction<'_>, before_s: u64, limit: usize) -> Result<usize, Failure> {
    let realms: Vec<u64> = tx
        .prepare_cached("SELECT realm_id FROM realms")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut taken = 0;
    for realm_id in realms {
        if taken < limit {
            taken += prune_realm(tx, RealmId(realm_id), before_s, limit - taken)?;
        }
    }
    Ok(taken)
}

fn prune_realm(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    before_s: u64,
    limit: usize,
) -> Result<usize, Failure> {
    let mut oldest = tx.prepare_cached(
        "SELECT sequence, created_s FROM events WHERE realm_id = ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let mut rows = oldest.query(params![realm_id.0, limit])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if row.get::<_, u64>(1)? >= before_s {
            break;
        }
        last = Some(row.get::<_, u64>(0)?);
    }
    let Some(last) = last else { return Ok(0) };
    let mut delete = tx.prepare_cached("DELETE FROM events WHERE realm_id = ?1 AND sequence <= ?2")?;
    Ok(delete.execute(params![realm_id.0, last])?)
}

/// The sequence before the oldest event that is kept; the head if none is.
fn floor(tx: &Transaction<'_>, realm_id: RealmId, head: Position) -> Result<Sequence, Failure> {
    let mut oldest = tx.prepare_cached("SELECT min(sequence) FROM events WHERE realm_id = ?1")?;
    let oldest: Option<u64> = oldest.query_row([realm_id.0], |row| row.get(0))?;
    Ok(oldest.map_or(head.sequence, |oldest| Sequence(oldest - 1)))
}

fn mark_at(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    head: Position,
    sequence: Sequence,
) -> Result<Option<Mark>, Failure> {
    if sequence == Sequence::ZERO {
        return Ok(Some(Mark(0)));
    }
    // The realm's row keeps the head's mark even when its event is gone.
    if sequence == head.sequence {
        return Ok(Some(head.mark));
    }
    let mut select = tx.prepare_cached("SELECT mark FROM events WHERE realm_id = ?1 AND sequence = ?2")?;
    let mark = select.query_row(params![realm_id.0, sequence.0], |row| row.get(0)).optional()?;
    Ok(mark.map(Mark))
}

fn records(mut rows: rusqlite::Rows<'_>) -> Result<Vec<EventRecord>, Failure> {
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let audience = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
        let body: String = row.get(5)?;
        records.push(EventRecord {
            sequence: Sequence(row.get(0)?),
            mark: Mark(row.get(1)?),
            kind: EventKind(row.get(2)?),
            changes_state: row.get(3)?,
            // An audience of a newer version is nobody, not an error that stops the log.
            audience: serde_json::from_str(audience).unwrap_or_default(),
            body: body.into(),
        });
    }
    Ok(records)
}
