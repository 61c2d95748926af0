//! A node that reaches neither the bus nor a writer for long hands its clients on.

use squall_protocol::CloseCode;

use crate::support::cluster::{Cluster, Plan};
use crate::support::http;
use crate::support::line::Line;
use crate::support::within;

#[tokio::test]
async fn a_node_cut_off_for_long_sends_its_clients_away_and_takes_some_in_again_afterwards() {
    let plan = Plan::default().with_gateway_options(&["--cut-off-max", "2s", "--drain", "500ms"]);
    let mut cluster = Cluster::start(&plan).await;
    let (mut goes, mut stays) = (cluster.client(0, 0).await, cluster.client(0, 1).await);
    cluster.writer_mut(0).kill_9();
    goes.expect_goaway().await;
    let position = goes.disconnect();
    stays.expect_goaway().await;
    stays.assert_closed(CloseCode::GoingAway).await;
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", "squall.v1.json"),
    ];
    let refused = http::request(cluster.gateway(0).address(), "GET", "/ws", &upgrade, b"").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    cluster.writer_mut(0).restart().await;
    let address = cluster.gateway(0).address();
    within("upgrades to be taken again", async {
        while Line::try_open(address, None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    cluster.resume(0, 0, position).await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_for_a_shorter_time_keeps_its_clients() {
    let plan = Plan::default().with_gateway_options(&["--cut-off-max", "20s"]);
    let mut cluster = Cluster::start(&plan).await;
    let mut ada = cluster.client(0, 0).await;
    cluster.writer_mut(0).kill_9();
    cluster.gateway(0).until_it_says("the node to be cut off", |status, _| status == 503).await;
    cluster.writer_mut(0).restart().await;
    cluster.until_all_ready().await;
    ada.say_in(&cluster.topic("lunch"), "still here").await;
    ada.expect_message("still here").await;
}
