//! What happens on the way: servers that die, drain, limit; several of them; users who are there already;
//! a user who wants an end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use squall_servers::until;
use tempfile::TempDir;

use super::support::{Gateway, Ran, loadtest, tool};

const SMALL: &[&str] = &[
    "chat",
    "--sockets=40",
    "--users-per-realm=20",
    "--streams-per-realm=4",
    "--streams-per-user=2",
    "--send-rate=30/s",
    "--churn=2/s",
    "--settle=40s",
];

/// A run that goes on while the test does something to it.
struct Going {
    child: Child,
    result: TempDir,
    /// The lines of its view, as they come.
    lines: Receiver<String>,
}

impl Going {
    fn start(gateway: &Gateway, arguments: &[&str]) -> Self {
        let result = TempDir::new().unwrap();
        let mut child = tool(&[SMALL, arguments].concat())
            .args(["--target", &format!("http://{}", gateway.address)])
            .args(["--admin", &format!("http://{}", gateway.admin)])
            .args(["--show", "lines", "--rate-limit", "0/min", "--result"])
            .arg(result.path().join("result.json"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Self { child, result, lines }
    }

    /// Waits for a line of the view with these words.
    fn until(&self, words: &str) {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(60)) {
            if line.contains(words) {
                return;
            }
            seen.push(line);
        }
        panic!("it did not say {words:?}: {seen:#?}");
    }

    fn end(self) -> Ran {
        let Self { child, result, lines } = self;
        let mut output = child.wait_with_output().unwrap();
        output.stderr = lines.iter().collect::<Vec<_>>().join("\n").into_bytes();
        let json = std::fs::read(result.path().join("result.json")).ok();
        let result = json.map(|json| serde_json::from_slice(&json).unwrap());
        Ran { output, result }
    }

    /// Its worker processes.
    fn workers(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn faults(ran: &Ran) -> &Value {
    &ran.result()["audit"]["faults"]
}

fn count(ran: &Ran, name: &str) -> u64 {
    ran.result()["counts"][name].as_u64().unwrap()
}

#[test]
fn a_server_killed_and_started_again_loses_nothing() {
    let mut gateway = Gateway::start();
    let going = Going::start(&gateway, &["--hold=8s"]);
    going.until("holding 2 of");
    gateway.kill_and_restart();
    let ran = going.end();
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    assert_eq!(faults(&ran), &json!({}));
    assert!(count(&ran, "resumes") >= 40, "all came back: {}", ran.words());
    assert_eq!(count(&ran, "sends_acknowledged"), count(&ran, "sends_due"), "and none was left unanswered");
}

#[test]
fn a_server_that_goes_in_good_order_is_obeyed() {
    let mut gateway = Gateway::start();
    let going = Going::start(&gateway, &["--hold=8s"]);
    going.until("holding 2 of");
    send("-TERM", gateway.id());
    gateway.restart_once_ended();
    let ran = going.end();
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    assert_eq!(faults(&ran), &json!({}));
    assert!(count(&ran, "goaways") >= 40 && count(&ran, "resumes") >= 40, "{}", ran.result()["counts"]);
}

#[test]
fn a_server_that_dies_for_good_is_a_fault_of_its_own() {
    let mut gateway = Gateway::start();
    let going = Going::start(&gateway, &["--hold=4s", "--settle=2s"]);
    going.until("holding 1 of");
    gateway.kill();
    let ran = going.end();
    assert_eq!(ran.code(), Some(1), "{}", ran.words());
    assert_eq!(faults(&ran)["away"], 40, "{}", ran.words());
    assert!(faults(&ran)["unanswered"].as_u64() > Some(0), "{}", ran.words());
    for fault in ["lost", "duplicated", "reordered", "leaked", "corrupted", "never_seen", "not_stored"] {
        assert_eq!(faults(&ran)[fault], Value::Null, "{}", ran.words());
    }
    let note = ran.result()["notes"][0].as_str();
    assert!(note.is_some_and(|note| note.contains("could not be read")), "{}", ran.words());
}

#[test]
fn a_rate_limit_is_waited_for_and_everything_arrives() {
    let gateway = Gateway::start_with(&["--rate-limit", "60"]);
    let arguments = [
        "chat",
        "--sockets=4",
        "--users-per-realm=4",
        "--realms-per-target=1",
        "--streams-per-realm=1",
        "--streams-per-user=1",
        "--send-rate=40/s",
        "--direct=0%",
        "--churn=0/s",
        // A minute's writes at once, then one a second: of 80 for each user, 12 have to wait.
        "--hold=8s",
        "--settle=120s",
    ];
    let ran = loadtest(gateway.address, gateway.admin, &arguments);
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    assert!(count(&ran, "refused_for_now") > 0, "{}", ran.result()["counts"]);
    assert_eq!(count(&ran, "sends_acknowledged"), count(&ran, "sends_due"));
    assert_eq!(faults(&ran), &json!({}));
}

#[test]
fn two_servers_and_two_addresses_of_one_are_used_alike() {
    let (one, other) = (Gateway::start(), Gateway::start());
    let addresses =
        |gateway: &Gateway| format!("http://{},http://localhost:{}", gateway.address, gateway.address.port());
    let admin = |gateway: &Gateway| format!("http://{}", gateway.admin);
    let result = TempDir::new().unwrap();
    let path = result.path().join("result.json");
    let output =
        tool(&[SMALL, &["--hold=4s", "--kill-rate=10/s", "--away=500ms", "--rate-limit=0/min"]].concat())
            .args(["--target", &addresses(&one), "--admin", &admin(&one)])
            .args(["--target", &addresses(&other), "--admin", &admin(&other)])
            .args(["--show", "nothing", "--result"])
            .arg(&path)
            .output()
            .unwrap();
    let result = std::fs::read(path).ok().map(|json| serde_json::from_slice(&json).unwrap());
    let ran = Ran { output, result };
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    assert_eq!(faults(&ran), &json!({}));
    assert_eq!((count(&ran, "opened"), count(&ran, "resumes")), (40, count(&ran, "cuts")));
}

#[test]
fn users_who_are_there_already_come_from_a_file() {
    let gateway = Gateway::start();
    let users = gateway.demo_users();
    let arguments = ["chat", "--sockets=10", "--hold=3s", "--send-rate=10/s", "--churn=2/s", "--users-file"];
    for _ in 0..2 {
        let arguments = [&arguments[..], &[users.to_str().unwrap()]].concat();
        let ran = loadtest(gateway.address, gateway.admin, &arguments);
        assert_eq!(ran.code(), Some(0), "{}", ran.words());
        assert_eq!(faults(&ran), &json!({}));
        assert_eq!(ran.result()["audit"]["clients"], 10);
        assert!(ran.result()["audit"]["judged"].as_u64() > Some(20), "{}", ran.words());
    }
}

#[test]
fn a_server_can_be_used_again_and_a_seed_deals_the_same() {
    let gateway = Gateway::start();
    let arguments = [SMALL, &["--hold=2s", "--seed=7", "--churn=0/s"]].concat();
    let run = || {
        let ran = loadtest(gateway.address, gateway.admin, &arguments);
        assert_eq!((ran.code(), faults(&ran)), (Some(0), &json!({})), "{}", ran.words());
        count(&ran, "sends_due")
    };
    assert_eq!(run(), run(), "as many sends are due");
}

#[test]
fn the_first_interruption_ends_a_run_with_its_report() {
    let gateway = Gateway::start();
    let going = Going::start(&gateway, &["--hold=10m"]);
    going.until("holding 1 of");
    send("-INT", going.child.id());
    let ran = going.end();
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    assert_eq!(ran.result()["ended"], "interrupted");
    assert_eq!(faults(&ran), &json!({}));
    assert!(ran.words().contains("ended early"), "{}", ran.words());
    assert!(ran.result()["audit"]["judged"].as_u64() > Some(0), "what was done until then is audited");
}

#[test]
fn a_worker_that_dies_is_an_error_of_the_run() {
    let gateway = Gateway::start();
    let going = Going::start(&gateway, &["--hold=10m", "--workers=2"]);
    going.until("holding 1 of");
    let workers = going.workers();
    assert_eq!(workers.len(), 2);
    send("-KILL", workers[1]);
    let ran = going.end();
    assert_eq!(ran.code(), Some(3), "{}", ran.words());
    assert!(ran.words().contains("worker 1 died (signal: 9"), "{}", ran.words());
    assert!(ran.result.is_none());
    let other = format!("/proc/{}", workers[0]);
    until("the other worker ends too", || (!Path::new(&other).exists()).then_some(()));
}

#[test]
fn a_coordinator_that_is_killed_leaves_no_worker_behind() {
    let gateway = Gateway::start();
    let mut going = Going::start(&gateway, &["--hold=10m", "--workers=2"]);
    going.until("holding 1 of");
    let workers = going.workers();
    going.child.kill().unwrap();
    going.child.wait().unwrap();
    for worker in workers {
        let process = format!("/proc/{worker}");
        until("the worker ends too", || (!Path::new(&process).exists()).then_some(()));
    }
}
