//! Parts of the log for sessions that resume from before the ring.

use std::sync::Arc;

use squall_hub::catch_up::Block;
use squall_hub::keeper::{KeeperEffect, ReloadReason, StampError};
use squall_protocol::Sequence;
use squall_protocol::limits::LOG_RANGE_EVENTS_MAX;
use squall_protocol::link::LogRange;

use super::{Node, Phase};
use crate::shard::Tell;
use crate::writer_link::{Ask, Reading};

impl Node {
    /// Reads a block for a shard, or hands it the one there is.
    pub(super) fn need_block(&mut self, shard: usize, number: u64) {
        let Phase::Open(open) = &mut self.phase else { return };
        if let Some(block) = open.catch_up.block_after(Block::start(number)) {
            return self.shards[shard].tell(Tell::Block(number, Some(block)));
        }
        let asked = open.reading.entry(number).or_default();
        let first = asked.is_empty();
        asked.insert(shard);
        if first {
            self.read_block(number, Block::start(number));
        }
    }

    /// Reads what follows on `after` in a block.
    pub(super) fn read_block(&mut self, number: u64, after: Sequence) {
        let left = (Block::start(number + 1).0 - after.0) as usize;
        self.ask(Ask::Log(Reading::Block(number, after), after, left.min(LOG_RANGE_EVENTS_MAX)));
    }

    pub(super) fn handle_block(
        &mut self,
        number: u64,
        after: Sequence,
        range: Option<LogRange>,
        now_ms: u64,
    ) {
        let Phase::Open(open) = &mut self.phase else { return };
        let Some(range) = range else { return self.hand_out(number, None) };
        if range.floor > after && range.floor < Block::start(number + 1) {
            // The log begins within this block: what is kept of it is read from there.
            return self.read_block(number, range.floor);
        }
        match open.keeper.stamp(&range) {
            Ok(events) => {
                let mutation = self.options.mutation;
                let events = events.iter().map(|event| mutation.event(event, open.keeper.state())).collect();
                let block = Arc::new(Block::new(number, &range, events));
                open.catch_up.insert(&block);
                self.hand_out(number, Some(&block));
            }
            Err(StampError::UnknownKind) => self.hand_out(number, Some(&Arc::new(Block::unreadable(number)))),
            Err(StampError::Ahead) => {
                let effects = open.keeper.handle_head(Sequence::ZERO, range.head, now_ms);
                open.ahead.push((number, after, range));
                self.perform(effects, now_ms);
            }
            Err(StampError::Stale) => self.read_block(number, after),
            Err(StampError::Foreign) => self.perform(vec![KeeperEffect::Reload(ReloadReason::Epoch)], now_ms),
        }
    }

    fn hand_out(&mut self, number: u64, block: Option<&Arc<Block>>) {
        let Phase::Open(open) = &mut self.phase else { return };
        for shard in open.reading.remove(&number).unwrap_or_default() {
            self.shards[shard].tell(Tell::Block(number, block.cloned()));
        }
    }
}
