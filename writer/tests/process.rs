//! The binary as its operator knows it: commands, a server, signals, and a kill in the middle of everything.
#![allow(clippy::unwrap_used, reason = "a test ends where it meets what it did not expect")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use support::{Client, Place, Server, answer, refusal, writer};
use tempfile::TempDir;

fn run(dir: &Path, arguments: &[&str]) -> Output {
    support::run(&Place::directory(dir), arguments)
}

fn furnish(dir: &Path, users: usize) -> Vec<String> {
    support::furnish(&Place::directory(dir), users)
}

fn start(dir: &Path) -> Server {
    Server::start(&Place::directory(dir))
}

#[test]
fn commands_work_on_a_directory_that_no_server_uses() {
    let dir = TempDir::new().unwrap();
    let key = furnish(dir.path(), 1).remove(0);
    assert_eq!(key.len(), 32);
    let place = ["--realm", "1"];
    let with_place = |arguments: &[&'static str]| [arguments, &place].concat();
    assert_eq!(answer(&run(dir.path(), &with_place(&["user", "role", "u0@x", "admin"])))["sequence"], 4);
    assert_eq!(answer(&run(dir.path(), &with_place(&["user", "deactivate", "u0@x"])))["sequence"], 5);
    assert_eq!(answer(&run(dir.path(), &with_place(&["user", "reactivate", "u0@x"])))["sequence"], 6);
    let new = answer(&run(dir.path(), &with_place(&["user", "key", "u0@x"])))["api_key"].clone();
    assert_ne!(new, key);
    let again = run(dir.path(), &["realm", "create", "Test"]);
    assert!(refusal(&again).contains("is there already"));
    assert!(refusal(&run(dir.path(), &with_place(&["user", "key", "nobody@x"]))).contains("no user"));
    assert_eq!(run(dir.path(), &with_place(&["user", "role", "u0@x", "king"])).status.code(), Some(2));
}

#[test]
fn while_a_server_runs_commands_go_through_its_admin_address() {
    let dir = TempDir::new().unwrap();
    furnish(dir.path(), 1);
    let server = start(dir.path());
    let arguments = ["user", "key", "u0@x", "--realm", "1"];
    assert!(refusal(&run(dir.path(), &arguments)).contains("--admin"));
    let second = run(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refusal(&second).contains("in use by another process"));
    let through = |url: &str| writer().args(arguments).args(["--admin", url]).output().unwrap();
    let key = answer(&through(&format!("http://{}", server.admin)))["api_key"].as_str().unwrap().to_owned();
    let mut client = Client::connect(&server.api, "u0@x", &key);
    assert_eq!(client.request("GET", "users/me", "").unwrap()["user_id"], 1);
    assert!(
        refusal(&through(&format!("http://{}", server.api))).contains("404"),
        "the API is no admin address"
    );
    assert!(refusal(&through("127.0.0.1:1")).contains("not of the form"));
    assert!(refusal(&through("http://127.0.0.1:1")).contains("127.0.0.1:1"));
}

#[test]
fn a_demo_realm_is_made_once_with_credentials_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let seed = || run(dir.path(), &["seed-demo", "--site", "http://127.0.0.1:8470"]);
    assert_eq!(answer(&seed())["users"].as_array().unwrap().len(), 5);
    let path = dir.path().join("demo/ada.zuliprc");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ada = std::fs::read_to_string(path).unwrap();
    assert!(ada.ends_with("site=http://127.0.0.1:8470\n"), "{ada}");
    let key = ada.lines().find_map(|line| line.strip_prefix("key=")).unwrap();
    let server = start(dir.path());
    let mut client = Client::connect(&server.api, "ada@demo.example", key);
    assert_eq!(client.request("GET", "users/me", "").unwrap()["full_name"], "Ada Lindqvist");
    drop(server);
    assert!(refusal(&seed()).contains("there is a realm already"));
}

#[test]
fn a_link_that_others_can_reach_needs_a_secret() {
    let dir = TempDir::new().unwrap();
    let serve = |more: &[&str]| run(dir.path(), &[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    let open = serve(&["--link-listen", "0.0.0.0:0"]);
    assert!(refusal(&open).contains("not on loopback: give --link-secret-file"));
    let missing = dir.path().join("secret");
    let file = missing.to_str().unwrap();
    let with_file = || serve(&["--link-listen", "0.0.0.0:0", "--link-secret-file", file]);
    assert!(refusal(&with_file()).contains("can't read"));
    std::fs::write(&missing, "short\n").unwrap();
    assert!(refusal(&with_file()).contains("16 to 512 characters"));
    let mut command = writer();
    let command = command.args(["serve", "--listen", "127.0.0.1:0"]).env("SQUALL_LINK_SECRET", "");
    assert!(refusal(&command.output().unwrap()).contains("SQUALL_LINK_SECRET: a link secret is"));
}

#[test]
fn sigterm_finishes_and_exits_well() {
    let dir = TempDir::new().unwrap();
    let key = furnish(dir.path(), 1).remove(0);
    let mut server = start(dir.path());
    let mut client = Client::connect(&server.api, "u0@x", &key);
    let sent = client.send("a", "x").unwrap();
    drop(client);
    server.signal("-TERM");
    assert!(server.child.wait().unwrap().success());
    assert!(!dir.path().join("squall.sqlite-wal").exists(), "the file was brought in order");
    let server = start(dir.path());
    assert_eq!(Client::connect(&server.api, "u0@x", &key).send("a", "x").unwrap(), sent);
}

/// What a client knows of its sends when the server dies.
#[derive(Default)]
struct Account {
    acknowledged: BTreeMap<String, u64>,
    unanswered: Option<String>,
}

fn send_until_it_breaks(mut client: Client, user: usize, life: usize) -> Account {
    let mut account = Account::default();
    for number in 0.. {
        let send_id = format!("{user}-{life}-{number}");
        let Some(body) = client.send(&send_id, &send_id) else {
            account.unanswered = Some(send_id);
            return account;
        };
        let id = body["id"].as_u64().unwrap_or_else(|| panic!("{body}"));
        account.acknowledged.insert(send_id, id);
    }
    account
}

#[test]
fn killed_in_the_middle_what_was_acknowledged_is_stored_once() {
    const USERS: usize = 8;
    let dir = TempDir::new().unwrap();
    let keys = furnish(dir.path(), USERS);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for life in 0..3 {
        let server = start(dir.path());
        let (done, accounts) = mpsc::channel();
        for (user, key) in keys.iter().enumerate() {
            let client = Client::connect(&server.api, &format!("u{user}@x"), key);
            let done = done.clone();
            thread::spawn(move || done.send((user, send_until_it_breaks(client, user, life))));
        }
        drop(done);
        thread::sleep(Duration::from_millis(300));
        server.signal("-KILL");
        drop(server);
        let server = start(dir.path());
        for (user, account) in accounts {
            assert!(account.acknowledged.len() > 1, "user {user} came to send");
            let mut client = Client::connect(&server.api, &format!("u{user}@x"), &keys[user]);
            // The last one is sent again with its id: stored or not, it is there once afterwards.
            let last = account.unanswered.unwrap();
            expected.insert(last.clone(), client.send(&last, &last).unwrap()["id"].as_u64().unwrap());
            expected.extend(account.acknowledged);
        }
    }
    let server = start(dir.path());
    let mut client = Client::connect(&server.api, "u0@x", &keys[0]);
    let mut stored = BTreeMap::new();
    let mut anchor = 0;
    let mut sequence = 0;
    loop {
        let path = format!(
            "messages?anchor={anchor}&num_before=0&num_after=1000&apply_markdown=false&include_anchor=false\
             &narrow=%5B%5B%22stream%22,%22general%22%5D%5D"
        );
        let page = client.request("GET", &path, "").unwrap();
        for message in page["messages"].as_array().unwrap_or_else(|| panic!("{page}")) {
            let id = message["id"].as_u64().unwrap();
            assert!(
                id > anchor && message["sequence"].as_u64().unwrap() > sequence,
                "ids grow with sequences"
            );
            (anchor, sequence) = (id, message["sequence"].as_u64().unwrap());
            let content = message["content"].as_str().unwrap().to_owned();
            assert_eq!(message["send_id"], content.as_str());
            assert!(stored.insert(content, id).is_none(), "once");
        }
        if page["found_newest"] == true {
            break;
        }
    }
    assert_eq!(stored, expected);
}
