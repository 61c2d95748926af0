//! What the first start makes and the second keeps.

use std::os::unix::fs::PermissionsExt;

use crate::support::http;
use crate::support::server::Server;

const DEMO_USERS: [&str; 5] = ["ada", "bruno", "chidi", "dalia", "emre"];

#[tokio::test]
async fn each_demo_user_has_credentials_that_only_the_owner_can_read() {
    let server = Server::start().await;
    for name in DEMO_USERS {
        let mode = std::fs::metadata(server.zuliprc_path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        assert_eq!(server.zuliprc(name).site, format!("http://{}", server.address()));
        assert_eq!(server.client(name).await.user_id(), server.api(name).own_id().await);
    }
}

#[tokio::test]
async fn a_second_start_keeps_credentials_streams_and_messages() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (key, ada) = (server.zuliprc("ada").key, server.user("ada").await);
    server.client("ada").await.say_in(&lunch, "Soup?").await;
    server.sigterm();
    assert!(server.exit().await.success());

    server.restart().await;
    assert_eq!((server.zuliprc("ada").key, server.user("ada").await), (key, ada));
    assert_eq!(server.topic("general", "lunch").await, lunch);
    let contents = server.api("bruno").contents(&serde_json::json!([["topic", "lunch"]])).await;
    assert_eq!(contents.last().unwrap(), "Soup?");
}

#[tokio::test]
async fn the_page_is_at_the_root() {
    let server = Server::start().await;
    let page = http::request(server.address(), "GET", "/", &[], b"").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(String::from_utf8(page.body).unwrap().contains("</html>"));
}

#[tokio::test]
async fn a_path_that_is_not_there_is_answered_404() {
    let server = Server::start().await;
    let answer = http::request(server.address(), "GET", "/nowhere", &[], b"").await;
    assert_eq!(answer.status, 404);
}
