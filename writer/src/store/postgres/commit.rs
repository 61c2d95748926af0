//! A commit group's transaction: two round trips. With the first the realms' rows are locked and the facts are
//! read, with the second all is stored and committed.

use squall_protocol::RealmId;

use super::connection::{BEGIN_WRITING, COMMIT, Connection};
use super::failure::Failure;
use super::insert::insert;
use super::rows::{all, bigs, position, realm_id};
use super::{facts, insert};
use crate::decide::{Decision, Needs, Stamp, decide};
use crate::store::{Group, RealmCommit, RealmGroup};

/// Locks the realms' rows, in their order, against other commits; what reads after it reads what they left.
const LOCK: &str = "SELECT realm_id, epoch, head_sequence, head_mark FROM realms
     WHERE realm_id = ANY ($1) ORDER BY realm_id FOR NO KEY UPDATE";

/// Locks, reads, decides, stores, commits.
pub(super) async fn commit(c: &Connection, group: &Group) -> Result<Vec<RealmCommit>, Failure> {
    let Some(first) = group.realms.first() else { return Ok(Vec::new()) };
    c.prepare(&[LOCK]).await?;
    c.prepare(&facts::STATEMENTS).await?;
    c.prepare(&insert::STATEMENTS).await?;
    let realm_ids = bigs(group.realms.iter().map(|part| part.realm_id.0));
    let needs = Needs::of(&first.requests);
    let ((), heads, known) = tokio::try_join!(
        biased;
        c.batch(BEGIN_WRITING),
        c.query(LOCK, [&realm_ids]),
        facts::read(c, first.realm_id, &needs),
    )?;
    let heads: Vec<(RealmId, _)> = all(&heads, |row| Ok((realm_id(row, 0)?, position(row, 1)?)))?;
    let mut known = Some(known);
    let mut decisions = Vec::with_capacity(group.realms.len());
    for part in &group.realms {
        let known = match known.take() {
            Some(known) => known,
            None => facts::read(c, part.realm_id, &Needs::of(&part.requests)).await?,
        };
        let head = heads.iter().find(|(realm_id, _)| *realm_id == part.realm_id);
        let stamp = Stamp { now_s: group.now_s, mark: part.mark };
        decisions.push(head.map(|(_, head)| decide(known.with_head(*head), &part.requests, stamp)));
    }
    store(c, group, &decisions).await?;
    let committed = |(part, decision): (&RealmGroup, Option<Decision>)| match decision {
        Some(decision) => RealmCommit::new(part.realm_id, decision),
        None => RealmCommit::without_realm(part),
    };
    Ok(group.realms.iter().zip(decisions).map(committed).collect())
}

/// No row is without an event: what is stored is logged. The commit goes out with the last realm's rows.
async fn store(c: &Connection, group: &Group, decisions: &[Option<Decision>]) -> Result<(), Failure> {
    let mut stored: Vec<(RealmId, &Decision)> = Vec::new();
    for (part, decision) in group.realms.iter().zip(decisions) {
        if let Some(decision) = decision.as_ref().filter(|decision| !decision.rows.events.is_empty()) {
            stored.push((part.realm_id, decision));
        }
    }
    let last = stored.pop();
    for (realm_id, decision) in stored {
        insert(c, realm_id, decision, group.now_s).await?;
    }
    match last {
        // Some of it is stored in steps: the end must wait for the last of them.
        Some((realm_id, decision)) if !decision.rows.surface.is_empty() => {
            insert(c, realm_id, decision, group.now_s).await?;
            c.batch(COMMIT).await
        }
        Some((realm_id, decision)) => {
            let inserted = insert(c, realm_id, decision, group.now_s);
            tokio::try_join!(biased; inserted, c.batch(COMMIT)).map(drop)
        }
        None => c.batch(COMMIT).await,
    }
}
