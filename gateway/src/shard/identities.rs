//! Tokens whose users a shard asks the writer for.

use std::sync::Arc;

use squall_hub::roster::SessionKey;
use squall_protocol::link::{Identity, LinkError};

use super::input::{ShardHandle, ShardInput};
use crate::writer_link::WriterLink;

/// What came together is asked together, and what comes while enough is being asked waits: in a herd each call
/// is for many.
pub(super) struct Identities {
    link: Arc<dyn WriterLink>,
    shard: ShardHandle,
    waiting: Vec<(SessionKey, String)>,
    in_flight: usize,
}

/// What a token turned out to be.
pub(crate) type Answer = Result<Option<Identity>, LinkError>;

/// The most tokens in one call.
const BATCH_MAX: usize = 256;

/// Calls under way; more than one, so that a slow one does not hold up everybody.
const IN_FLIGHT_MAX: usize = 4;

impl Identities {
    pub(super) fn new(link: Arc<dyn WriterLink>, shard: ShardHandle) -> Self {
        Self { link, shard, waiting: Vec::new(), in_flight: 0 }
    }

    /// Takes one more; bounded by the shard's connections.
    pub(super) fn push(&mut self, key: SessionKey, token: String) {
        self.waiting.push((key, token));
    }

    /// Asks for what waits.
    pub(super) fn dispatch(&mut self) {
        while !self.waiting.is_empty() && self.in_flight < IN_FLIGHT_MAX {
            let batch = self.waiting.drain(..self.waiting.len().min(BATCH_MAX));
            let (keys, tokens): (Vec<_>, Vec<_>) = batch.unzip();
            self.in_flight += 1;
            // On a task of its own: a call that panics has no answer, and the next ones leave all the same.
            let (asked, shard) = (tokio::spawn(self.link.identify(tokens)), self.shard.clone());
            tokio::task::spawn_local(async move {
                let answers = asked.await.unwrap_or_else(|_| Err(no_answer()));
                shard.tell(ShardInput::Identified(pair(keys, answers)));
            });
        }
    }

    /// One call came back.
    pub(super) fn handle_identified(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// Each session with its answer; a call that answers short has not answered.
fn pair(
    keys: Vec<SessionKey>,
    answers: Result<Vec<Option<Identity>>, LinkError>,
) -> Vec<(SessionKey, Answer)> {
    match answers {
        Ok(answers) => {
            let answers = answers.into_iter().map(Ok).chain(std::iter::repeat_with(|| Err(no_answer())));
            keys.into_iter().zip(answers).collect()
        }
        Err(error) => keys.into_iter().map(|key| (key, Err(error.clone()))).collect(),
    }
}

fn no_answer() -> LinkError {
    LinkError::Unavailable("the writer gave no answer".into())
}

#[cfg(test)]
mod tests {
    use squall_protocol::{Epoch, Position, RealmId, UserId};

    use super::*;

    #[test]
    fn each_session_has_an_answer_whatever_the_writer_says() {
        let keys = || (0..2).map(|slot| SessionKey { slot, generation: 1 }).collect();
        let ada = Identity { realm_id: RealmId(1), user_id: UserId(1), as_of: Position::start(Epoch(1)) };
        let whole = pair(keys(), Ok(vec![None, Some(ada.clone())]));
        assert_eq!(whole[0].1, Ok(None));
        assert_eq!(whole[1].1, Ok(Some(ada)));
        let short = pair(keys(), Ok(vec![None]));
        assert_eq!((&short[0].1, &short[1].1), (&Ok(None), &Err(no_answer())));
        let failed = pair(keys(), Err(LinkError::Unavailable("x".into())));
        assert!(failed.len() == 2 && failed.iter().all(|(_, answer)| answer.is_err()));
    }
}
