use http_body_util::BodyExt;

use super::*;

const WRITERS: [&str; 2] = ["http://one:1", "http://two:2"];

fn health() -> Health {
    Health::new("redis://bus", &WRITERS.map(str::to_owned), 1_000)
}

/// All is reached from second 1 on.
fn whole() -> Health {
    let health = health();
    health.bus_is(Ok(()), 1_000);
    (0..2).for_each(|index| health.writer_is(index, Ok(Standing::default()), 1_000));
    health
}

fn gone() -> Result<Standing, String> {
    Err("connection refused".into())
}

async fn ask(health: &Health, asker: Asker, is_draining: bool, now_ms: u64) -> (u16, Value) {
    let response = health.readiness(asker, is_draining, now_ms);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn words(health: &Health, now_ms: u64) -> (u16, String) {
    let (status, body) = ask(health, Asker::Anyone, false, now_ms).await;
    (status, body["words"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_node_is_loading_until_it_reached_a_writer_once() {
    let health = health();
    health.bus_is(Ok(()), 1_000);
    let (status, said) = words(&health, 3_000).await;
    assert_eq!(status, 503);
    assert!(said.starts_with("loading: no writer was reached yet; writer 1 is down for 2 s"), "{said}");
    let away = Standing { database_fault: Some("away".into()), bus_fault: None };
    health.writer_is(0, Ok(away), 3_000);
    assert_eq!(words(&health, 3_000).await.0, 503, "a writer without its database is none");
    health.writer_is(0, Ok(Standing::default()), 4_000);
    assert_eq!(words(&health, 4_000).await.0, 200);
    health.bus_is(Err("gone".into()), 5_000);
    health.writer_is(1, Ok(Standing::default()), 5_000);
    health.writer_is(0, gone(), 5_000);
    assert_eq!(words(&health, 5_000).await.0, 200, "and is not loading again");
}

#[tokio::test]
async fn whatever_single_link_is_down_a_node_is_ready_and_says_which_and_since_when() {
    let health = whole();
    assert_eq!(words(&health, 9_000).await, (200, "ready".into()));

    health.bus_is(Err("gone".into()), 10_000);
    let said = "ready, but degraded; the bus is down for 12 s";
    assert_eq!(words(&health, 22_000).await, (200, said.into()));
    health.bus_is(Ok(()), 30_000);

    (0..2).for_each(|index| health.writer_is(index, gone(), 40_000));
    let said = "ready, but degraded; writer 1 is down for 5 s; writer 2 is down for 5 s";
    assert_eq!(words(&health, 45_000).await, (200, said.into()), "sockets stay, and hear of events");

    (0..2).for_each(|index| health.writer_is(index, Ok(Standing::default()), 50_000));
    let mute = Standing { database_fault: None, bus_fault: Some("not reached".into()) };
    health.writer_is(1, Ok(mute), 50_000);
    let said = "ready, but degraded; writer 2 does not reach the bus";
    assert_eq!(words(&health, 50_000).await, (200, said.into()));
    assert!(!health.is_bus_whole(), "what that one publishes does not come");
}

#[tokio::test]
async fn a_node_without_bus_and_writers_is_not_ready_from_the_loss_of_the_last_of_them() {
    let health = whole();
    health.writer_is(0, gone(), 10_000);
    health.bus_is(Err("gone".into()), 20_000);
    assert_eq!(health.cut_off_since_ms(), None);
    health.writer_is(1, gone(), 30_000);
    assert_eq!(health.cut_off_since_ms(), Some(30_000));
    health.writer_is(1, gone(), 31_000);
    assert_eq!(health.cut_off_since_ms(), Some(30_000), "still down is no later loss");
    let (status, said) = words(&health, 32_000).await;
    assert_eq!(status, 503);
    assert!(said.starts_with("cut off: neither the bus nor a writer can be reached; the bus"), "{said}");
    health.writer_is(0, Ok(Standing::default()), 33_000);
    assert_eq!((health.cut_off_since_ms(), words(&health, 33_000).await.0), (None, 200));
}

#[tokio::test]
async fn a_draining_node_is_not_ready_whatever_it_reaches() {
    let (status, body) = ask(&whole(), Asker::Operator, true, 2_000).await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert_eq!(body["words"], "draining: clients are being handed on");
}

#[tokio::test]
async fn only_operators_hear_names_and_causes() {
    let health = whole();
    health.writer_is(1, gone(), 3_000);
    let (_, told) = ask(&health, Asker::Operator, false, 5_000).await;
    let link = |name: &str, up: bool, fault: Value, since_ms: u64, for_s: u64| json!({ "name": name, "up": up, "fault": fault, "since_ms": since_ms, "for_s": for_s });
    assert_eq!(told["bus"], link("redis://bus", true, Value::Null, 1_000, 4));
    let mut second = link(WRITERS[1], false, "connection refused".into(), 3_000, 2);
    second["bus_fault"] = Value::Null;
    assert_eq!(told["writers"][1], second);
    assert!(
        told["words"].as_str().unwrap().contains("writer http://two:2 is down for 2 s (connection refused)")
    );
    let (_, told) = ask(&health, Asker::Anyone, false, 5_000).await;
    let text = told.to_string();
    assert!(!text.contains("http://") && !text.contains("redis") && !text.contains("refused"), "{text}");
}
