//! The gateway with realms of its own for the measurement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use squall_protocol::client_message::{ClientMessage, Hello, Status};
use squall_protocol::{Codec, Destination, SendId, StreamId};
use tempfile::TempDir;

use crate::frames;
use crate::options::Options;
use crate::process::Process;

/// The stream of a realm where the messages go.
const EVERYBODY: &str = "everybody";
/// Neighbouring users with the same other streams, which makes them quick to make.
const NEIGHBOURS: usize = 32;
/// Streams of a realm, to those of a user.
const POOL: usize = 4;

/// A running gateway on a fresh data directory.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    /// One for each realm.
    streams: Vec<StreamId>,
    keys: Vec<String>,
    data: TempDir,
}

impl Gateway {
    /// Starts it on `cores`, and makes the realms, their streams and users.
    pub(crate) fn start(options: &Options, cores: &[usize]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let path = data.path().to_str().context("a temporary directory with a plain name")?;
        let shards = options.shards.to_string();
        let arguments = [
            ["--listen", "127.0.0.1:0"],
            ["--admin-listen", "127.0.0.1:0"],
            ["--data-dir", path],
            ["--shards", &shards],
            ["--rate-limit", "0"],
            ["--sessions-per-user-max", "100000"],
        ];
        let more = options.gateway_arguments.iter().map(String::as_str);
        let arguments: Vec<&str> = arguments.as_flattened().iter().copied().chain(more).collect();
        let process = Process::start(&options.gateway, &arguments, cores)?;
        let address = process.address_after("listening on http://")?;
        let admin = process.address_after("admin on http://")?;
        let mut gateway = Self { process, address, admin, streams: Vec::new(), keys: Vec::new(), data };
        gateway.furnish(options)?;
        Ok(gateway)
    }

    /// Where its database is.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    fn furnish(&mut self, options: &Options) -> Result<()> {
        let realm = |number: usize| format!("realm-{number}");
        let realms: Vec<Value> = (0..options.realms).map(|number| json!({ "name": realm(number) })).collect();
        post(self.admin, "/admin/realms", &realms)?;
        let others = options.streams - 1;
        let pool = others * POOL;
        let stream = |number: usize, name: String| json!({ "realm": realm(number), "name": name });
        let streams: Vec<Value> = (0..options.realms)
            .flat_map(|number| {
                let others = (0..pool).map(move |other| stream(number, format!("stream-{other}")));
                std::iter::once(stream(number, EVERYBODY.to_owned())).chain(others)
            })
            .collect();
        let made = post(self.admin, "/admin/streams", &streams)?;
        let ids = made.iter().step_by(pool + 1).map(|stream| stream["stream_id"].as_u64().map(StreamId));
        self.streams = ids.collect::<Option<_>>().context("stream ids")?;
        // A realm at a time: neighbouring lines of one realm are made together.
        let mut users = Vec::new();
        for number in 0..options.realms {
            for place in 0..options.users.div_ceil(options.realms) {
                let first = place / NEIGHBOURS * 7;
                let others = (0..others).map(|other| format!("stream-{}", (first + other) % pool));
                let streams: Vec<String> = std::iter::once(EVERYBODY.to_owned()).chain(others).collect();
                let email = format!("user{place}@realm{number}.example");
                let full_name = format!("User {place}");
                users.push(json!({
                    "realm": realm(number), "email": email, "full_name": full_name, "streams": streams
                }));
            }
        }
        for some in users.chunks(2_000) {
            for user in post(self.admin, "/admin/users", some)? {
                self.keys.push(user["api_key"].as_str().context("an API key")?.to_owned());
            }
        }
        Ok(())
    }

    /// A hello for each socket: socket `n` is in realm `n % realms`, and a realm's users take turns.
    pub(crate) fn hellos(&self, options: &Options) -> Vec<Vec<u8>> {
        let users = self.keys.len() / options.realms;
        let key = |socket: usize| {
            let (realm, turn) = (socket % options.realms, socket / options.realms);
            &self.keys[realm * users + turn % users]
        };
        let hello = |socket: usize| {
            let (token, position) = (key(socket).clone(), None);
            let hello = Hello { token, position, presence: Status::Active, scope: options.scope };
            frames::client(options.codec, &options.codec.encode_client(&ClientMessage::Hello(hello)))
        };
        (0..options.sockets).map(hello).collect()
    }

    /// Makes the frame of the send of a number, in a realm.
    pub(crate) fn sends(&self, options: &Options) -> Sends {
        Sends { streams: self.streams.clone(), codec: options.codec, payload_bytes: options.payload_bytes }
    }
}

/// Makes sends.
pub(crate) struct Sends {
    streams: Vec<StreamId>,
    codec: Codec,
    payload_bytes: usize,
}

impl Sends {
    pub(crate) fn frame(&self, realm: usize, number: usize) -> Result<Vec<u8>> {
        let width = self.payload_bytes;
        let message = ClientMessage::Send {
            send_id: SendId::parse(send_id(number))?,
            to: Destination::Stream { stream_id: self.streams[realm], topic: "fan-out".to_owned() },
            content: format!("{number:0>width$}"),
        };
        Ok(frames::client(self.codec, &self.codec.encode_client(&message)))
    }
}

/// The id of the send of a number: ten digits at its end.
fn send_id(number: usize) -> String {
    format!("bench-{number:010}")
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
