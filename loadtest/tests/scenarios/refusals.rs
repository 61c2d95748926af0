//! What is not begun, and how it is told.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::support::{Gateway, loadtest, tool};

#[test]
fn too_few_descriptors_are_told_before_anything_is_opened() {
    let gateway = Gateway::start();
    let line = format!(
        "ulimit -n 200; exec {} connect --sockets=300 --workers=1 --target http://{} --admin http://{}",
        env!("CARGO_BIN_EXE_loadtest"),
        gateway.address,
        gateway.admin
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{words}");
    for part in
        ["364 descriptors a process, and it may have 200", "--workers 3", "ulimit -Hn 364", "LimitNOFILE=364"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = loadtest(nobody, nobody, &["chat"]);
    assert_eq!(ran.code(), Some(3), "{}", ran.words());
    assert!(ran.words().contains(&format!("POST http://{nobody}/admin/realms")), "{}", ran.words());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.jsonl");
    std::fs::write(&file, r#"{"email": "a@x", "api_key": "k"}"#).unwrap();
    let ran = loadtest(nobody, nobody, &["chat", "--users-file", file.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(3), "{}", ran.words());
    assert!(ran.words().contains(&format!("can't connect to {nobody}")), "{}", ran.words());
}

#[test]
fn a_key_that_nobody_has_and_a_port_of_another_program_are_told() {
    let gateway = Gateway::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.jsonl");
    std::fs::write(&file, r#"{"email": "a@x", "api_key": "nobody's"}"#).unwrap();
    let arguments = ["chat", "--users-file", file.to_str().unwrap()];
    let ran = loadtest(gateway.address, gateway.admin, &arguments);
    assert_eq!(ran.code(), Some(3), "{}", ran.words());
    assert!(ran.words().contains("no target takes the key of a@x"), "{}", ran.words());
    assert!(ran.words().contains("no user has this token"), "{}", ran.words());
    let ran = loadtest(gateway.admin, gateway.admin, &arguments);
    assert!(ran.words().contains("is no Squall gateway: the upgrade was answered 404"), "{}", ran.words());
}

#[test]
fn a_command_line_that_makes_no_sense_has_an_exit_code_of_its_own() {
    for (arguments, words) in [
        (&["chatt"][..], "did you mean `chat`?"),
        (&["chat", "--expect", "p9<5ms"], "did you mean `p99`?"),
        (&["chat", "--sokets", "5"], "--sockets"),
        (&["chat", "--sockets", "0"], "clients.sockets: 0 is not between"),
        (&["run", "/nowhere/mine.toml"], "/nowhere/mine.toml: "),
    ] {
        let output = tool(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_worker_that_nobody_started_says_so() {
    let output = tool(&["worker"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("the other end is gone"), "{said}");
}
