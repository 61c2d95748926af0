//! A server that is killed in the midst of a conversation, and one that goes in good order.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;
use squall_protocol::client::{Config, SendHandle, State, Update};
use squall_protocol::{Codec, MessageId, Sequence};

use crate::listener::{Listener, Told, config};
use crate::support::server::Server;
use crate::support::within;

const MESSAGES_EACH: usize = 300;
const KILLS: usize = 4;
/// Few of a round: the kill comes while the rest is under way.
const ANSWERED_EACH_ROUND: usize = 20;

/// What became of each send, by content.
type Answers = BTreeMap<String, (MessageId, Sequence)>;

/// Nothing is lost, doubled or out of order, and every send under way is answered as it was stored.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_midst_of_sends_loses_and_doubles_nothing() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = Listener::start(&server, "ada").await;
    let mut bruno = Listener::start_with(Config { codec: Codec::Bincode, ..config(&server, "bruno") }).await;

    let (mut handles, mut answers, mut under_way) = (VecDeque::new(), BTreeMap::new(), 0);
    for round in 0..KILLS {
        for number in round * MESSAGES_EACH / KILLS..(round + 1) * MESSAGES_EACH / KILLS {
            for (name, listener) in [("ada", &ada), ("bruno", &bruno)] {
                let content = format!("{name} {number}");
                handles.push_back((listener.client.send(lunch.clone(), content.clone()), content));
            }
        }
        // Answered one by one up to here: the others are stored, in the writer, on the wire, or not said.
        answers.extend(answers_to(handles.drain(..ANSWERED_EACH_ROUND)).await);
        server.kill_9();
        under_way += ada.client.unanswered() + bruno.client.unanswered();
        server.restart().await;
    }
    assert!(under_way > 0, "the server was killed between sends, not in their midst");
    answers.extend(answers_to(handles.drain(..)).await);
    check(&ada.all_messages().await, &answers);
    check(&bruno.all_messages().await, &answers);
    let history = server.api("ada").contents(&json!([["topic", "lunch"]])).await;
    let stored: Vec<_> = history.iter().filter(|content| answers.contains_key(*content)).collect();
    assert_eq!(stored.len(), answers.len());
}

#[tokio::test]
async fn a_server_that_goes_in_good_order_is_left_and_found_again() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = Listener::start(&server, "ada").await;
    let before = ada.client.welcome().unwrap();
    server.sigterm();
    assert!(server.exit().await.success());
    ada.until("the loss", |update| matches!(update, Update::State(State::Waiting { .. })).then_some(()))
        .await;
    let handle = ada.client.send(lunch, "Soup?");
    server.restart().await;
    within("the answer", handle).await.unwrap();
    assert_eq!(ada.message().await.content, "Soup?");
    assert_eq!(ada.client.welcome().unwrap().user_id, before.user_id);
}

/// Waits for the answers to sends, by content.
async fn answers_to(handles: impl Iterator<Item = (SendHandle, String)>) -> Answers {
    let mut answers = BTreeMap::new();
    for (handle, content) in handles {
        let sent = within("the answer to a send", handle).await.expect("stored");
        answers.insert(content, (sent.message_id, sent.sequence));
    }
    answers
}

impl Listener {
    async fn all_messages(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while told.len() < 2 * MESSAGES_EACH {
            told.push(self.message().await);
        }
        told
    }
}

/// Each message was told once, as it was answered, and those of one sender in the order of sending.
fn check(told: &[Told], answers: &Answers) {
    let mut next = BTreeMap::new();
    for Told { content, message_id, sequence, .. } in told {
        assert_eq!(answers.get(content), Some(&(*message_id, *sequence)));
        let (name, number) = content.split_once(' ').expect("name and number");
        let expected = next.entry(name).or_insert(0);
        assert_eq!(number.parse(), Ok(*expected), "of {name}, in order and once");
        *expected += 1;
    }
    assert!(next.values().all(|&count| count == MESSAGES_EACH));
    assert!(told.is_sorted_by(|one, next| one.sequence < next.sequence));
}
