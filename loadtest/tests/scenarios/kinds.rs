//! Each kind of scenario, as it is shipped but smaller: nothing is found, and what it is about has happened.

use serde_json::{Value, json};

use super::support::{Gateway, Ran, loadtest};

/// Few users, so that each sees much; all of a scenario's habits in few seconds.
const SMALL: &[&str] = &[
    "--sockets=60",
    "--users-per-realm=30",
    "--streams-per-realm=4",
    "--streams-per-user=2",
    "--hold=5s",
    "--settle=20s",
];

fn run(kind: &str, arguments: &[&str]) -> Ran {
    let gateway = Gateway::start();
    loadtest(gateway.address, gateway.admin, &[&[kind], SMALL, arguments].concat())
}

/// Nothing is found, all were held and came back, and all that was acknowledged is in the history.
fn assert_clean(ran: &Ran) -> &Value {
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    let result = ran.result();
    let audit = &result["audit"];
    assert_eq!(audit["faults"], json!({}), "{}", ran.words());
    assert_eq!((&audit["clients"], &audit["clients_away"]), (&json!(60), &json!(0)));
    assert_eq!(audit["in_history"], audit["acknowledged"]);
    assert_eq!(count(result, "sends_acknowledged"), count(result, "sends_due"), "{}", ran.words());
    assert!(audit["judged"].as_u64() > Some(0));
    result
}

fn count(result: &Value, name: &str) -> u64 {
    result["counts"][name].as_u64().unwrap_or_else(|| panic!("no count {name}"))
}

#[test]
fn connect_opens_and_holds() {
    let ran = run("connect", &["--ramp=200/s", "--send-rate=5/s"]);
    let result = assert_clean(&ran);
    assert_eq!(result["sockets"], json!({ "wanted": 60, "opened": 60, "most": 60, "held": 60 }));
    assert_eq!(result["latency"]["welcomed"]["count"], 60);
    assert_eq!(result["endings"], json!({}), "none was lost on the way");
}

#[test]
fn fanout_delivers_each_message_to_every_socket() {
    let ran = run("fanout", &["--streams-per-realm=1", "--streams-per-user=1", "--arrivals=even"]);
    let result = assert_clean(&ran);
    let sends = count(result, "sends_due");
    assert!((95..=101).contains(&sends), "20 a second for 5 s are {sends}");
    assert_eq!(count(result, "message_deliveries"), sends * 60);
}

#[test]
fn chat_has_streams_direct_messages_changes_of_members_and_copies() {
    let ran =
        run("chat", &["--send-rate=60/s", "--churn=10/s", "--direct=30%", "--resend=10%", "--guests=10%"]);
    let result = assert_clean(&ran);
    assert!(count(result, "changes_done") > 10 && count(result, "sends_copied") > 5, "{}", result["counts"]);
    assert_eq!(count(result, "changes_done"), count(result, "changes_asked"));
    assert!(count(result, "typing_read") > 0);
    assert_eq!(result["refusals"], json!({}));
}

#[test]
fn resume_cuts_connections_that_come_back_with_what_they_missed() {
    let ran = run("resume", &["--kill-rate=20/s", "--away=1s", "--forged=20%", "--send-rate=40/s"]);
    let result = assert_clean(&ran);
    assert!(count(result, "cuts") > 40, "{}", result["counts"]);
    assert_eq!(count(result, "resumes"), count(result, "cuts"));
    assert!(count(result, "forged") > 3);
    assert_eq!(count(result, "forged_found"), count(result, "forged"));
    assert!(result["latency"]["caught_up"]["count"].as_u64() > Some(0), "some missed something");
}

#[test]
fn herd_cuts_all_at_once_and_all_come_back() {
    let ran = run("herd", &["--herd-every=2s", "--herd-within=500ms"]);
    let result = assert_clean(&ran);
    let (cuts, resumes) = (count(result, "cuts"), count(result, "resumes"));
    assert!(cuts >= 100, "two herds of about 60: {cuts}");
    assert_eq!(resumes, cuts);
}

#[test]
fn slow_readers_stall_and_miss_nothing() {
    let ran = run("slow", &["--slow=30%", "--stall=1s", "--stall-every=2s"]);
    let result = assert_clean(&ran);
    assert!(count(result, "stalls") > 10, "{}", result["counts"]);
    assert!(result["latency"]["caught_up"]["count"].as_u64() > Some(0), "what came while they stalled");
}

#[test]
fn presence_changes_flaps_and_storms_and_everybody_is_told_right() {
    let ran = run("presence", &["--status-rate=20/s", "--flap-rate=10/s", "--storm-every=2s"]);
    let result = assert_clean(&ran);
    assert!(count(result, "statuses_written") > 150, "two storms of 60: {}", result["counts"]);
    assert!(count(result, "presence_diffs") > 0 && count(result, "presence_snapshots") >= 60);
    assert_eq!(count(result, "presence_breaks"), 0);
}

#[test]
fn soak_does_everything_a_little() {
    let ran = run(
        "soak",
        &["--realms-per-target=2", "--kill-rate=3/s", "--away=1s", "--herd-every=3s", "--herd-within=1s"],
    );
    let result = assert_clean(&ran);
    assert!(count(result, "cuts") > 30 && count(result, "resumes") == count(result, "cuts"));
    assert!(result["series"].as_array().is_some_and(|points| !points.is_empty()));
}
