//! The binary on a database: commands, a server, and where the password is.

use std::process::Output;

use squall_servers::Postgres;

use crate::support::{Client, Place, Server, answer, furnish, refusal, run, writer};

#[test]
fn commands_work_on_a_database_beside_a_running_server() {
    let postgres = Postgres::shared();
    let place = Place::database(&postgres.create_database());
    let key = furnish(&place, 1).remove(0);
    let server = Server::start(&place);
    let mut client = Client::connect(&server.api, "u0@x", &key);
    let sent = client.send("a", "hello").unwrap();
    assert_eq!(sent["result"], "success", "{sent}");
    let new = answer(&run(&place, &["user", "key", "u0@x", "--realm", "Test"]))["api_key"].clone();
    assert_eq!(client.send("b", "late").unwrap()["code"], "INVALID_API_KEY", "the server goes by it at once");
    let second = Server::start(&place);
    let mut client = Client::connect(&second.api, "u0@x", new.as_str().unwrap());
    assert_eq!(client.send("a", "hello").unwrap(), sent, "another server gives the first answer");
    let again = run(&place, &["realm", "create", "test"]);
    assert!(refusal(&again).contains("is there already"));
}

#[test]
fn a_password_is_taken_from_file_or_environment_and_said_nowhere() {
    let postgres = Postgres::shared();
    let url = postgres.create_database();
    let bare = url.replace(":squall-password", "");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "squall-password\nand a second line\n").unwrap();
    let create = |name: &str| {
        let mut command = writer();
        command.args(["realm", "create", name]);
        command
    };
    let said = |output: &Output| {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("squall-password"), "{said}");
        said
    };
    let by_file = create("File")
        .args(["--database", &bare, "--database-password-file", file.to_str().unwrap()])
        .output()
        .unwrap();
    said(&by_file);
    assert_eq!(answer(&by_file)["realm_id"], 1);
    let by_environment = create("Environment").env("SQUALL_DATABASE_URL", &url).output().unwrap();
    said(&by_environment);
    assert_eq!(answer(&by_environment)["realm_id"], 2);
    let wrong_url = url.replace("postgres://", "mysql://");
    let wrong_port = url.replace("127.0.0.1:", "127.0.0.1:x");
    let secret_file = dir.path().join("nowhere");
    for (arguments, words) in [
        (vec!["--database", &bare], "password"),
        (vec!["--database", &wrong_url], "not of the form"),
        (vec!["--database", &wrong_port], "no value for port"),
        (vec!["--database", &bare, "--database-password-file", secret_file.to_str().unwrap()], "nowhere"),
        (vec!["--database-password-file", file.to_str().unwrap()], "no --database"),
    ] {
        let output = create("No").args(&arguments).output().unwrap();
        let said = said(&output);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
    let help = writer().args(["serve", "--help"]).env("SQUALL_DATABASE_URL", &url).output().unwrap();
    assert!(said(&help).contains("--database"));
}
