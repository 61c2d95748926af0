//! The gateway with a realm of its own for the measurement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::{Destination, SendId, StreamId, json as codec};
use tempfile::TempDir;

use crate::frames;
use crate::options::Options;
use crate::process::Process;

const REALM: &str = "fan-out";
const STREAM: &str = "everybody";

/// A running gateway on a fresh data directory.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    stream_id: StreamId,
    _data: TempDir,
}

impl Gateway {
    /// Starts it with one shard on `core`, and makes the realm and its stream.
    pub(crate) fn start(options: &Options, core: usize) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let path = data.path().to_str().context("a temporary directory with a plain name")?;
        let arguments = [
            ["--listen", "127.0.0.1:0"],
            ["--admin-listen", "127.0.0.1:0"],
            ["--data-dir", path],
            ["--shards", "1"],
            ["--rate-limit", "0"],
        ];
        let process = Process::start(&options.gateway, arguments.as_flattened(), core)?;
        // Either may be told first.
        let line = "on http://";
        let (one, other) = (process.address_after(line)?, process.address_after(line)?);
        let (address, admin) = if is_admin(other)? { (one, other) } else { (other, one) };
        post(admin, "/admin/realms", &[json!({ "name": REALM })])?;
        let made = post(admin, "/admin/streams", &[json!({ "realm": REALM, "name": STREAM })])?;
        let stream_id = StreamId(made[0]["stream_id"].as_u64().context("a stream id")?);
        Ok(Self { process, address, admin, stream_id, _data: data })
    }

    /// Makes the users; a hello for each socket, users taking turns.
    pub(crate) fn hellos(&self, options: &Options) -> Result<Vec<Vec<u8>>> {
        let user = |number: usize| {
            let email = format!("user{number}@fan-out.example");
            json!({ "realm": REALM, "email": email, "full_name": format!("User {number}"), "streams": [STREAM] })
        };
        let users: Vec<Value> = (0..options.users).map(user).collect();
        let made = post(self.admin, "/admin/users", &users)?;
        let keys: Vec<&str> =
            made.iter().map(|user| user["api_key"].as_str().context("an API key")).collect::<Result<_>>()?;
        Ok((0..options.sockets).map(|socket| hello(keys[socket % keys.len()])).collect())
    }

    /// Makes the frame of the send of a number.
    pub(crate) fn sends(&self, payload_bytes: usize) -> impl Fn(usize) -> Vec<u8> + use<> {
        let to = Destination::Stream { stream_id: self.stream_id, topic: "fan-out".to_owned() };
        move |number| {
            let content = format!("{number:0>payload_bytes$}");
            // Visible ASCII and short: always a send id.
            #[expect(clippy::expect_used, reason = "see above")]
            let send_id = SendId::parse(format!("bench-{number:010}")).expect("a send id");
            let message = ClientMessage::Send { send_id, to: to.clone(), content };
            frames::client(&codec::encode_client(&message))
        }
    }
}

fn hello(key: &str) -> Vec<u8> {
    let (token, position) = (key.to_owned(), None);
    let hello = Hello { token, position, presence: Status::Active, scope: Scope::Realm };
    frames::client(&codec::encode_client(&ClientMessage::Hello(hello)))
}

/// Whether the operator's paths are at this address: only there a realm can be made.
fn is_admin(address: SocketAddr) -> Result<bool> {
    Ok(request(address, "/admin/realms", "")?.starts_with("HTTP/1.1 200"))
}

/// Posts JSON lines and reads as many back.
fn post(address: SocketAddr, path: &str, lines: &[Value]) -> Result<Vec<Value>> {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = request(address, path, &body)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a body")?;
    let answers: Vec<Value> = body.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(answers.len() == lines.len(), "{path}: {answer}");
    for answer in &answers {
        ensure!(answer.get("error").is_none(), "{path}: {answer}");
    }
    Ok(answers)
}

fn request(address: SocketAddr, path: &str, body: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}
