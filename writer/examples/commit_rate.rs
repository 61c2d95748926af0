//! Messages committed in a second, by so many senders at once, each waiting for its answer before it sends again;
//! beside it the disk's bare fsync, which is the floor of one sender.
//!
//! `cargo run --release -p squall-writer --example commit_rate -- [DIR]` on SQLite; DIR decides which disk.
//! With `--postgres` instead, on a PostgreSQL started for it with fsync on, on the disk of temporary files; with
//! `--database URL` on that database, in which it leaves its realms.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use squall_bus::MemoryBus;
use squall_protocol::event::Role;
use squall_protocol::link::{Operation, WriteOutcome, WriteRequest};
use squall_protocol::{Destination, RealmId, SendId, SessionId, StreamId, UserId};
use squall_servers::Postgres;
use squall_writer::{Config, DatabaseUrl, NewUser, Writer};

/// How long each round is measured.
const TIME: Duration = Duration::from_secs(5);
const USERS: u32 = 256;
const CONTENT: &str =
    "A message of the usual length: a sentence or two about lunch, and whether it will rain.";

/// Senders, and in how many realms they are.
const ROUNDS: [(usize, usize); 5] = [(1, 1), (64, 1), (256, 1), (256, 2), (256, 8)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let postgres = (first.as_deref() == Some("--postgres")).then(Postgres::start_durable);
    let url = match first.as_deref() {
        Some("--database") => Some(arguments.next().ok_or("--database needs a URL")?),
        _ => postgres.as_ref().map(Postgres::url),
    };
    let dir = first.filter(|_| url.is_none()).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("commit_rate-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let database = url.as_deref().map(DatabaseUrl::parse).transpose()?;
    let config = Config { data_dir: dir.clone(), database, rate_limit_per_minute: 0, ..Config::default() };
    let writer = Writer::open(config, Arc::new(MemoryBus::new())).await?;
    let mut realms = Vec::new();
    for number in 0..8 {
        realms.push(furnish(&writer, &format!("{}-{number}", std::process::id())).await?);
    }
    println!("fsync of 4 KiB: {} µs (median)", fsync_us(&dir)?);
    println!("{:>8} {:>7} {:>10} {:>9} {:>9}", "senders", "realms", "messages/s", "p50 ms", "p99 ms");
    for (senders, count) in ROUNDS {
        let (rate, mut latencies) = measure(&writer, senders, &realms[..count]).await?;
        latencies.sort_unstable();
        let at = |part: usize| latencies[latencies.len() * part / 1000].as_secs_f64() * 1000.0;
        println!("{senders:>8} {count:>7} {rate:>10.0} {:>9.2} {:>9.2}", at(500), at(990));
    }
    writer.close().await;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// A realm with all users in one stream.
async fn furnish(writer: &Writer, name: &str) -> Result<(RealmId, StreamId, Vec<UserId>), Box<dyn Error>> {
    let realm = writer.create_realm(name).await?;
    let stream =
        squall_writer::NewStream { name: "s".into(), description: String::new(), invite_only: false };
    let stream = writer.create_stream(realm, stream, Vec::new()).await?;
    let user = |n: u32| NewUser {
        email: format!("u{n}@bench.example"),
        full_name: format!("User {n}"),
        role: Role::Member,
        is_bot: false,
        streams: vec!["s".into()],
    };
    let created = writer.create_users(realm, (0..USERS).map(user).collect()).await;
    let user_ids = created.into_iter().map(|user| user.map(|user| user.user_id)).collect::<Result<_, _>>()?;
    Ok((realm, stream.stream_id, user_ids))
}

async fn measure(
    writer: &Writer,
    senders: usize,
    realms: &[(RealmId, StreamId, Vec<UserId>)],
) -> Result<(f64, Vec<Duration>), Box<dyn Error>> {
    let count = realms.len();
    let start = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..senders {
        let (realm_id, stream_id, users) = &realms[number % realms.len()];
        let user_id = users[number / realms.len() % users.len()];
        let (writer, realm_id, stream_id) = (writer.clone(), *realm_id, *stream_id);
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < TIME {
                let request = WriteRequest {
                    realm_id,
                    user_id,
                    session_id: SessionId(number as u64),
                    send_id: SendId::parse(format!("{senders}-{count}-{number}-{}", latencies.len()))?,
                    operation: Operation::Send {
                        to: Destination::Stream { stream_id, topic: "lunch".into() },
                        content: CONTENT.into(),
                    },
                };
                let sent = Instant::now();
                let outcome = writer.write(vec![request]).await.pop();
                if !matches!(outcome, Some(WriteOutcome::Sent { .. })) {
                    return Err(format!("not sent: {outcome:?}").into());
                }
                latencies.push(sent.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await?.map_err(|error| error.to_string())?);
    }
    Ok((latencies.len() as f64 / start.elapsed().as_secs_f64(), latencies))
}

fn fsync_us(dir: &std::path::Path) -> Result<u128, Box<dyn Error>> {
    let mut file = std::fs::File::create(dir.join("fsync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[7; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
