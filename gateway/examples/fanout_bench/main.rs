//! What the gateway's work costs in CPU time and memory, beside a bare server that only writes.
//!
//! Both servers run at the same time, held on one core by CPU affinity, the clients on another; blocks of
//! load go to the two by turns, so that whatever else the machine does meets both. The gateway does its
//! whole work: identities, memberships, commits, sequences, fan-out, heartbeats, presence. The bare server
//! ([`floor`]) knows one frame of the same length and writes it to each socket.
//!
//! `fanout_bench [MODE] [--OPTION VALUE]…`, with these modes:
//!
//! | mode | what it shows |
//! |---|---|
//! | `rate` (default) | CPU per delivery at a fixed rate |
//! | `saturation` | the most deliveries a second when sends are pipelined, and what each costs |
//! | `sessions` | CPU per handshake, and memory per session: idle, after a burst, after they left |
//! | `latency` | send to acknowledged, and send to delivered, beside the disk's bare fsync |
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod floor;
mod frames;
mod gateway;
mod latency;
mod load;
mod opening;
mod options;
mod process;
mod rate;
mod saturation;
mod sessions;
mod stats;

use anyhow::Result;

use options::{Mode, Options};

/// The core of the servers, and that of the clients.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|mode| mode == floor::MODE) {
        return floor::serve(&floor::Options::parse(&arguments[1..])?);
    }
    let options = Options::parse(&arguments)?;
    process::stay_on(LOAD_CORE)?;
    match options.mode {
        Mode::Rate => rate::run(&options),
        Mode::Saturation => saturation::run(&options),
        Mode::Sessions => sessions::run(&options),
        Mode::Latency => latency::run(&options),
    }
}
