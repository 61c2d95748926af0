//! Who is told that somebody types.

use squall_protocol::Destination;
use squall_protocol::client_message::{ClientMessage, TypingOp};

use crate::support::client::{Client, Typing};
use crate::support::server::Server;

#[tokio::test]
async fn typing_reaches_the_others_who_may_read_there() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    for op in [TypingOp::Start, TypingOp::Stop] {
        types(&mut ada, op, &lunch).await;
        let notice = Typing { op, sender_id: ada.user_id(), to: lunch.clone() };
        assert_eq!(bruno.next_typing().await, notice);
    }
}

#[tokio::test]
async fn typing_in_an_invite_only_stream_reaches_no_outsider() {
    let server = Server::start().await;
    let (plan, lunch) = (server.topic("leads", "plan").await, server.topic("general", "lunch").await);
    let (mut ada, mut bruno, mut emre) =
        (server.client("ada").await, server.client("bruno").await, server.client("emre").await);
    types(&mut ada, TypingOp::Start, &plan).await;
    assert_eq!(bruno.next_typing().await.to, plan);
    types(&mut ada, TypingOp::Start, &lunch).await;
    assert_eq!(emre.next_typing().await.to, lunch);
}

#[tokio::test]
async fn typing_to_a_user_reaches_that_user_only() {
    let server = Server::start().await;
    let (pair, lunch) = (server.direct(&["ada", "bruno"]).await, server.topic("general", "lunch").await);
    let (mut ada, mut bruno, mut chidi) =
        (server.client("ada").await, server.client("bruno").await, server.client("chidi").await);
    types(&mut ada, TypingOp::Start, &pair).await;
    assert_eq!(bruno.next_typing().await.sender_id, ada.user_id());
    types(&mut ada, TypingOp::Start, &lunch).await;
    assert_eq!(chidi.next_typing().await.to, lunch);
}

#[tokio::test]
async fn typing_where_one_may_not_write_reaches_nobody() {
    let server = Server::start().await;
    let (plan, lunch) = (server.topic("leads", "plan").await, server.topic("general", "lunch").await);
    let (mut ada, mut emre) = (server.client("ada").await, server.client("emre").await);
    types(&mut emre, TypingOp::Start, &plan).await;
    types(&mut emre, TypingOp::Start, &lunch).await;
    assert_eq!(ada.next_typing().await.to, lunch);
}

async fn types(client: &mut Client, op: TypingOp, to: &Destination) {
    client.say(&ClientMessage::Typing { op, to: to.clone() }).await;
}
