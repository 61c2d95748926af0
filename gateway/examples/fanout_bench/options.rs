//! What is measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Sizes of a run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Sockets that receive; the first one sends as well.
    pub(crate) sockets: usize,
    /// Users they belong to.
    pub(crate) users: usize,
    /// Events a second.
    pub(crate) rate: u32,
    /// How long events come.
    pub(crate) duration: Duration,
    /// Bytes of a message's content.
    pub(crate) payload_bytes: usize,
    /// Runs of each server.
    pub(crate) runs: usize,
    /// The gateway's binary.
    pub(crate) gateway: PathBuf,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            sockets: 1_000,
            users: 100,
            rate: 50,
            duration: Duration::from_secs(10),
            payload_bytes: 200,
            runs: 5,
            gateway: gateway_beside_us()?,
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { bail!("{} needs a value", pair[0]) };
            match name.as_str() {
                "--sockets" => options.sockets = value.parse()?,
                "--users" => options.users = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                "--seconds" => options.duration = Duration::from_secs(value.parse()?),
                "--runs" => options.runs = value.parse()?,
                "--gateway" => options.gateway = value.into(),
                other => bail!("no option {other}"),
            }
        }
        if options.sockets == 0 || options.users == 0 || options.rate == 0 || options.runs == 0 {
            bail!("sockets, users, rate and runs are at least 1");
        }
        Ok(options)
    }

    /// Events of one run.
    pub(crate) fn events(&self) -> usize {
        (self.duration.as_secs_f64() * f64::from(self.rate)) as usize
    }
}

/// Examples are built into a directory beside the binaries of the same profile.
fn gateway_beside_us() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(|examples| examples.parent()).context("no directory above us")?;
    Ok(profile.join("gateway"))
}
