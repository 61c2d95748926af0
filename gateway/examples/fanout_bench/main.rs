//! What one delivery costs the server in CPU time, beside a bare server that only writes.
//!
//! Both are held on one core by CPU affinity, the sockets that receive on another; runs of the two take
//! turns. The gateway does its whole work: a send over a WebSocket, its commit, its fan-out to a thousand
//! sessions of a hundred users, `sent`, heartbeats, presence. The bare server ([`floor`]) knows one frame
//! of the same length and writes it to each socket.
//!
//! `fanout_bench [--sockets N] [--users N] [--rate EVENTS_PER_S] [--seconds N] [--runs N] [--gateway PATH]`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod floor;
mod frames;
mod gateway;
mod load;
mod options;
mod process;
mod report;

use anyhow::Result;

use load::Run;
use options::Options;
use process::Process;
use report::Report;

/// The core of the server, and that of the sockets which receive.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, frame_bytes] = arguments.as_slice()
        && mode == floor::MODE
    {
        return floor::serve(frame_bytes.parse()?);
    }
    let options = Options::parse(&arguments)?;
    process::stay_on(LOAD_CORE)?;
    let mut report = Report::new(&options);
    for _ in 0..options.runs {
        let gateway = gateway_run(&options)?;
        let floor = floor_run(&options, gateway.frame_bytes)?;
        report.add(gateway, floor);
    }
    report.verdict()?;
    println!("{report}");
    Ok(())
}

fn gateway_run(options: &Options) -> Result<Run> {
    let gateway = gateway::Gateway::start(options, SERVER_CORE)?;
    let hellos = gateway.hellos(options)?;
    let send = gateway.sends(options.payload_bytes);
    load::run(&gateway.process, gateway.address, &hellos, &send, options)
}

/// The floor writes a frame as long as the gateway's, for each byte it reads.
fn floor_run(options: &Options, frame_bytes: usize) -> Result<Run> {
    let program = std::env::current_exe()?;
    let process = Process::start(&program, &[floor::MODE, &frame_bytes.to_string()], SERVER_CORE)?;
    let address = process.address_after("listening on ")?;
    let hellos = vec![Vec::new(); options.sockets];
    load::run(&process, address, &hellos, &|_| vec![b'.'], options)
}
