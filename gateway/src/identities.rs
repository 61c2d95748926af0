//! Whose tokens the clients brought: what comes in while one call is under way shares the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use squall_protocol::link::{Identity, LinkError};
use squall_protocol::wire::{TOKEN_BYTES_MAX, TOKENS_MAX};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::writer_link::WriterLink;

/// Asks the writer for all shards of a node. Ten thousand clients that come at once are a dozen calls.
#[derive(Debug, Clone)]
pub(crate) struct Identities(UnboundedSender<Question>);

/// Bounded by the sockets there are: each asks once.
#[derive(Debug)]
struct Question {
    token: String,
    answer: oneshot::Sender<Answer>,
}

/// Between two calls while many come at once; who comes alone does not wait.
const HERD_PAUSE: Duration = Duration::from_millis(10);

type Answer = Result<Option<Identity>, LinkError>;

impl Identities {
    /// Asks by `link`, on `runtime`, until all its handles are gone.
    pub(crate) fn start(link: Arc<dyn WriterLink>, runtime: &Handle) -> Self {
        let (questions, asked) = unbounded_channel();
        runtime.spawn(ask(link, asked));
        Self(questions)
    }

    /// Whose token it is. The writer is asked after this was called, never before.
    pub(crate) async fn identify(&self, token: String) -> Answer {
        if token.len() > TOKEN_BYTES_MAX {
            return Ok(None);
        }
        let gone = || LinkError::Unavailable("the node is going down".into());
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { token, answer }).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn ask(link: Arc<dyn WriterLink>, mut asked: UnboundedReceiver<Question>) {
    let mut questions = Vec::with_capacity(TOKENS_MAX);
    while asked.recv_many(&mut questions, TOKENS_MAX).await > 0 {
        // One token brought by many is one question.
        let mut tokens = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let waiting: Vec<(usize, oneshot::Sender<Answer>)> = questions
            .drain(..)
            .map(|Question { token, answer }| {
                let place = *places.entry(token).or_insert_with_key(|token| {
                    tokens.push(token.clone());
                    tokens.len() - 1
                });
                (place, answer)
            })
            .collect();
        let is_herd = waiting.len() > 1;
        let answers = link.identify(tokens).await;
        for (place, answer) in waiting {
            // Whoever asked may be gone.
            let _ = answer.send(match &answers {
                Ok(identities) => match identities.get(place) {
                    Some(identity) => Ok(identity.clone()),
                    None => Err(LinkError::Unavailable("the writer answered short".into())),
                },
                Err(error) => Err(error.clone()),
            });
        }
        if is_herd {
            // A writer that answers quickly would be asked for a few at a time.
            sleep(HERD_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests;
