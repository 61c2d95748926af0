use std::sync::Mutex;

use squall_bus::BoxFuture;
use squall_protocol::{Epoch, Position, RealmId, UserId};
use tokio::sync::Semaphore;

use super::*;
use crate::testing::SilentLink;

/// A writer that knows the tokens `1`, `2`, … and answers when it is let to.
struct Bench {
    identities: Identities,
    calls: Arc<Mutex<Vec<Vec<String>>>>,
    answers: Arc<Semaphore>,
}

struct SlowLink {
    calls: Arc<Mutex<Vec<Vec<String>>>>,
    answers: Arc<Semaphore>,
    short: bool,
}

impl SilentLink for SlowLink {
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        self.calls.lock().unwrap().push(tokens.clone());
        let (answers, short) = (self.answers.clone(), self.short);
        Box::pin(async move {
            answers.acquire().await.unwrap().forget();
            if tokens.iter().any(|token| token == "away") {
                return Err(LinkError::Unavailable("away".into()));
            }
            let mut identities: Vec<_> = tokens.iter().map(|token| identity(token)).collect();
            identities.truncate(if short { 1 } else { usize::MAX });
            Ok(identities)
        })
    }
}

fn identity(token: &str) -> Option<Identity> {
    let user_id = UserId(token.parse().ok()?);
    Some(Identity { realm_id: RealmId(1), user_id, as_of: Position::start(Epoch(1)) })
}

impl Bench {
    fn new(short: bool) -> Self {
        let (calls, answers) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let link = SlowLink { calls: Arc::clone(&calls), answers: answers.clone(), short };
        Self { identities: Identities::start(Arc::new(link), &Handle::current()), calls, answers }
    }

    fn ask(&self, token: impl ToString) -> tokio::task::JoinHandle<Answer> {
        let (identities, token) = (self.identities.clone(), token.to_string());
        tokio::spawn(async move { identities.identify(token).await })
    }

    async fn until_called(&self, times: usize) {
        while self.calls.lock().unwrap().len() < times {
            tokio::task::yield_now().await;
        }
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().iter().map(Vec::len).collect()
    }
}

#[tokio::test]
async fn what_comes_in_while_one_call_is_under_way_shares_the_next() {
    let bench = Bench::new(false);
    let first = bench.ask(0);
    bench.until_called(1).await;
    let others: Vec<_> = (1..=2_500).map(|number| bench.ask(number)).collect();
    tokio::task::yield_now().await;
    bench.answers.add_permits(100);
    assert_eq!(first.await.unwrap(), Ok(identity("0")));
    for (number, asked) in (1..).zip(others) {
        assert_eq!(asked.await.unwrap(), Ok(identity(&number.to_string())), "each gets its own");
    }
    assert_eq!(bench.calls(), [1, 1_000, 1_000, 500]);
}

#[tokio::test]
async fn one_token_of_many_clients_is_asked_for_once() {
    let bench = Bench::new(false);
    bench.answers.add_permits(100);
    let asked: Vec<_> = (0..100).map(|number| bench.ask(number % 3)).collect();
    for (number, asked) in (0..).zip(asked) {
        assert_eq!(asked.await.unwrap(), Ok(identity(&(number % 3).to_string())));
    }
    assert_eq!(bench.calls().iter().max(), Some(&3));
}

#[tokio::test]
async fn a_failed_call_fails_those_in_it_and_no_later_ones() {
    let bench = Bench::new(false);
    bench.answers.add_permits(100);
    let failed = Err(LinkError::Unavailable("away".into()));
    assert_eq!(bench.ask("away").await.unwrap(), failed);
    assert_eq!(bench.ask(7).await.unwrap(), Ok(identity("7")));
    assert_eq!(bench.ask("nobody").await.unwrap(), Ok(None));
}

#[tokio::test]
async fn a_short_answer_is_none_for_those_it_leaves_out() {
    let bench = Bench::new(true);
    let (first, second) = (bench.ask(1), bench.ask(2));
    tokio::task::yield_now().await;
    bench.answers.add_permits(100);
    assert_eq!(first.await.unwrap(), Ok(identity("1")));
    assert!(second.await.unwrap().is_err());
}

#[tokio::test]
async fn a_token_longer_than_any_is_nobodys_and_is_not_asked_for() {
    let bench = Bench::new(false);
    assert_eq!(bench.ask("1".repeat(TOKEN_BYTES_MAX + 1)).await.unwrap(), Ok(None));
    assert!(bench.calls().is_empty());
}
