//! What is measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use squall_protocol::Codec;
use squall_protocol::client_message::Scope;

/// Which measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Rate,
    Saturation,
    Sessions,
    Latency,
}

/// Sizes of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Sockets, over all realms.
    pub(crate) sockets: usize,
    /// Users they belong to, over all realms.
    pub(crate) users: usize,
    pub(crate) realms: usize,
    /// Memberships of each user; everybody of a realm is in its first stream, where the messages go.
    pub(crate) streams: usize,
    /// Messages a second in each realm.
    pub(crate) rate: f64,
    /// How long each server has load.
    pub(crate) duration: Duration,
    /// How long before it is the other's turn.
    pub(crate) block: Duration,
    /// Bytes of a message's content.
    pub(crate) payload_bytes: usize,
    /// Sends under way at once, over all senders of a realm, at saturation.
    pub(crate) in_flight: usize,
    /// Connections being opened at once.
    pub(crate) opening: usize,
    /// Messages in each realm after the sessions were opened, to see what stays of them.
    pub(crate) burst: usize,
    pub(crate) codec: Codec,
    pub(crate) scope: Scope,
    pub(crate) shards: usize,
    /// The gateway's binary, and more of its arguments.
    pub(crate) gateway: PathBuf,
    pub(crate) gateway_arguments: Vec<String>,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let (mode, pairs) = match arguments.split_first() {
            Some((mode, pairs)) if !mode.starts_with("--") => (mode.as_str(), pairs),
            _ => ("rate", arguments),
        };
        let mode = match mode {
            "rate" => Mode::Rate,
            "saturation" => Mode::Saturation,
            "sessions" => Mode::Sessions,
            "latency" => Mode::Latency,
            other => bail!("no mode {other}"),
        };
        let mut options = Self {
            mode,
            sockets: 1_000,
            users: 1_000,
            realms: if mode == Mode::Latency { 50 } else { 1 },
            streams: 30,
            rate: if mode == Mode::Latency { 100.0 } else { 50.0 },
            duration: Duration::from_secs(20),
            block: Duration::from_secs(2),
            payload_bytes: 200,
            in_flight: 256,
            opening: 64,
            burst: 20,
            codec: Codec::Json,
            scope: Scope::Realm,
            shards: 1,
            gateway: gateway_beside_us()?,
            gateway_arguments: Vec::new(),
        };
        for pair in pairs.chunks(2) {
            let [name, value] = pair else { bail!("{} needs a value", pair[0]) };
            match name.as_str() {
                "--sockets" => options.sockets = value.parse()?,
                "--users" => options.users = value.parse()?,
                "--realms" => options.realms = value.parse()?,
                "--streams" => options.streams = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                "--seconds" => options.duration = Duration::from_secs_f64(value.parse()?),
                "--block-seconds" => options.block = Duration::from_secs_f64(value.parse()?),
                "--payload" => options.payload_bytes = value.parse()?,
                "--in-flight" => options.in_flight = value.parse()?,
                "--opening" => options.opening = value.parse()?,
                "--burst" => options.burst = value.parse()?,
                "--codec" => options.codec = codec(value)?,
                "--scope" => options.scope = scope(value)?,
                "--shards" => options.shards = value.parse()?,
                "--gateway" => options.gateway = value.into(),
                "--gateway-argument" => options.gateway_arguments.push(value.clone()),
                other => bail!("no option {other}"),
            }
        }
        let counts = [
            options.sockets,
            options.users,
            options.realms,
            options.streams,
            options.in_flight,
            options.opening,
        ];
        if counts.contains(&0) || options.rate <= 0.0 {
            bail!("all counts are at least 1");
        }
        if options.sockets < options.realms || options.users < options.realms {
            bail!("each realm needs a socket and a user");
        }
        Ok(options)
    }

    /// How many turns each server has.
    pub(crate) fn blocks(&self) -> usize {
        (self.duration.as_secs_f64() / self.block.as_secs_f64()).round().max(1.0) as usize
    }
}

fn codec(name: &str) -> Result<Codec> {
    match name {
        "json" => Ok(Codec::Json),
        "bincode" => Ok(Codec::Bincode),
        other => bail!("no codec {other}"),
    }
}

fn scope(name: &str) -> Result<Scope> {
    match name {
        "realm" => Ok(Scope::Realm),
        "none" => Ok(Scope::None),
        other => bail!("no scope {other}"),
    }
}

/// Examples are built into a directory beside the binaries of the same profile.
fn gateway_beside_us() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(|examples| examples.parent()).context("no directory above us")?;
    Ok(profile.join("gateway"))
}
