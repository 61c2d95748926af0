//! What the tests of the started binary share.
#![allow(dead_code, reason = "each test takes its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;

pub(crate) fn writer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_writer"))
}

/// Where a command works: the arguments that say so.
#[derive(Clone)]
pub(crate) struct Place([String; 2]);

impl Place {
    pub(crate) fn directory(dir: &Path) -> Self {
        Self(["--data-dir".into(), dir.to_str().unwrap().into()])
    }

    pub(crate) fn database(url: &str) -> Self {
        Self(["--database".into(), url.into()])
    }
}

pub(crate) fn run(place: &Place, arguments: &[&str]) -> Output {
    writer().args(arguments).args(&place.0).output().unwrap()
}

/// A realm with users `u0`… in stream `general`; their keys.
pub(crate) fn furnish(place: &Place, users: usize) -> Vec<String> {
    answer(&run(place, &["realm", "create", "Test"]));
    answer(&run(place, &["stream", "create", "general", "--realm", "Test"]));
    let create = |n| {
        let email = format!("u{n}@x");
        let arguments = ["user", "create", &email, "--name", "U", "--realm", "Test", "--stream", "general"];
        answer(&run(place, &arguments))["api_key"].as_str().unwrap().to_owned()
    };
    (0..users).map(create).collect()
}

pub(crate) fn answer(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) api: String,
    pub(crate) admin: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Self {
        let mut command = writer();
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--link-listen",
            "127.0.0.1:0",
            "--rate-limit",
            "0",
        ]);
        let mut child = command.args(&place.0).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |what: &str| {
            let line = lines.find(|line| line.as_ref().unwrap().contains(what)).unwrap().unwrap();
            let (_, address) = line.split_once("http://").unwrap();
            address.split('/').next().unwrap().to_owned()
        };
        let (api, admin) = (address("API on"), address("admin on"));
        thread::spawn(move || lines.for_each(drop));
        Self { child, api, admin }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of one connection that says what came of each request.
pub(crate) struct Client {
    socket: TcpStream,
    authorization: String,
}

impl Client {
    pub(crate) fn connect(address: &str, email: &str, key: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let authorization = format!("Basic {}", BASE64.encode(format!("{email}:{key}").as_bytes()));
        Self { socket, authorization }
    }

    /// The answer's body; `None` if the connection broke.
    pub(crate) fn request(&mut self, method: &str, path: &str, form: &str) -> Option<Value> {
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{form}",
            self.authorization,
            form.len()
        );
        self.socket.write_all(request.as_bytes()).ok()?;
        let mut reader = BufReader::new(&self.socket);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }

    pub(crate) fn send(&mut self, send_id: &str, content: &str) -> Option<Value> {
        let form = format!("type=stream&to=general&topic=t&content={content}&send_id={send_id}");
        self.request("POST", "messages", &form)
    }
}
