//! Messages committed in a second, by so many writers at once, each waiting for its answer before it sends
//! again; beside it the disk's bare fsync, which is the floor of one writer.
//!
//! `cargo run --release -p squall-writer --example commit_rate -- [DIR]`; DIR decides which disk.
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
use squall_writer::{Config, NewUser, Writer};

/// How long each count of writers is measured.
const TIME: Duration = Duration::from_secs(5);
const USERS: u32 = 256;
const CONTENT: &str =
    "A message of the usual length: a sentence or two about lunch, and whether it will rain.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("commit_rate-{}", std::process::id()));
    let config = Config { data_dir: dir.clone(), rate_limit_per_minute: 0, ..Config::default() };
    let writer = Writer::open(config, Arc::new(MemoryBus::new())).await?;
    let realms = [furnish(&writer, "one").await?, furnish(&writer, "two").await?];
    println!("fsync of 4 KiB: {} µs (median)", fsync_us(&dir)?);
    println!("{:>8} {:>7} {:>10} {:>9} {:>9}", "writers", "realms", "messages/s", "p50 ms", "p99 ms");
    for (writers, realms) in [(1, &realms[..1]), (64, &realms[..1]), (256, &realms[..1]), (256, &realms[..])]
    {
        let (rate, mut latencies) = measure(&writer, writers, realms).await?;
        latencies.sort_unstable();
        let at = |part: usize| latencies[latencies.len() * part / 1000].as_secs_f64() * 1000.0;
        println!("{writers:>8} {:>7} {rate:>10.0} {:>9.2} {:>9.2}", realms.len(), at(500), at(990));
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
    writers: usize,
    realms: &[(RealmId, StreamId, Vec<UserId>)],
) -> Result<(f64, Vec<Duration>), Box<dyn Error>> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..writers {
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
                    send_id: SendId::parse(format!("{writers}-{number}-{}", latencies.len()))?,
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
