//! Whether this machine lets a run hold its sockets, asked before any is opened.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the machine gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Descriptors that one process may have, once it has raised its own limit.
    pub(crate) descriptors: u64,
    /// Descriptors that all processes may still open.
    pub(crate) files_left: u64,
    /// Local ports for one source address towards one address of a server.
    pub(crate) ports: u64,
    /// Cores to run on.
    pub(crate) cores: u64,
}

/// What a run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) sockets: u64,
    /// Processes, if it is said how many.
    pub(crate) workers: Option<u64>,
    /// The most sockets from one source address to one address of a server.
    pub(crate) per_pair: u64,
    /// Whether the servers are on this machine too, and need a descriptor for each socket.
    pub(crate) is_local: bool,
}

/// What there is too little of, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLittle {
    #[error(
        "{sockets} sockets in {workers} processes are {each} descriptors a process, and it may have {descriptors}.\n\
         Take more processes (`--workers {enough}`), or raise the limit: `ulimit -Hn {each}` as root in this \
         shell; `LimitNOFILE={each}` in a systemd unit; `* hard nofile {each}` in /etc/security/limits.conf"
    )]
    Descriptors { sockets: u64, workers: u64, each: u64, descriptors: u64, enough: u64 },
    #[error(
        "{needed} descriptors are needed on this machine, and all its processes together may open {left} more.\n\
         Raise the limit: `sysctl fs.file-max={max}`"
    )]
    Files { needed: u64, left: u64, max: u64 },
    #[error(
        "{each} sockets from one source address to one address of a server, and there are {ports} local ports.\n\
         Give the kernel more: `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`, name more source addresses \
         (`--source-addresses`), or more addresses of the server"
    )]
    Ports { each: u64, ports: u64 },
}

impl Limits {
    /// Raises this process's limit of descriptors as far as it may, and reads what there is. Workers inherit it.
    pub(crate) fn raise_and_read() -> Self {
        // Where a limit can't be read, opening a socket fails by itself when there are no more.
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, hard)| {
            if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
        });
        let numbers = |path: &str| -> Vec<u64> {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
        };
        let files_left = match numbers("/proc/sys/fs/file-nr")[..] {
            [used, _, max] => max.saturating_sub(used),
            _ => u64::MAX,
        };
        let ports = match numbers("/proc/sys/net/ipv4/ip_local_port_range")[..] {
            [first, last] => last.saturating_sub(first) + 1,
            _ => u64::MAX,
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Self { descriptors, files_left, ports, cores }
    }

    /// How many processes to start, if all is there.
    pub(crate) fn workers(&self, need: &Need) -> Result<u64, TooLittle> {
        let Need { sockets, per_pair, is_local, .. } = *need;
        let per_process = self.descriptors.saturating_sub(DESCRIPTORS_KEPT).max(1);
        let enough = sockets.div_ceil(per_process).max(1);
        let workers =
            need.workers.unwrap_or_else(|| enough.max(self.cores.min(sockets.div_ceil(SOCKETS_MIN))));
        let workers = workers.clamp(1, sockets.max(1));
        if workers < enough {
            let each = sockets.div_ceil(workers) + DESCRIPTORS_KEPT;
            let descriptors = self.descriptors;
            return Err(TooLittle::Descriptors { sockets, workers, each, descriptors, enough });
        }
        let needed = (sockets + workers * DESCRIPTORS_KEPT) * if is_local { 2 } else { 1 };
        if needed > self.files_left {
            let max = needed.saturating_mul(2).max(1 << 20);
            return Err(TooLittle::Files { needed, left: self.files_left, max });
        }
        if per_pair > self.ports {
            return Err(TooLittle::Ports { each: per_pair, ports: self.ports });
        }
        Ok(workers)
    }
}

/// What a worker needs beside its sockets.
const DESCRIPTORS_KEPT: u64 = 64;
/// Fewer are not worth a process of their own.
const SOCKETS_MIN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { descriptors: 20_000, files_left: 2_000_000, ports: 28_232, cores: 2 };
    const NEED: Need = Need { sockets: 50_000, workers: None, per_pair: 3_000, is_local: true };

    #[test]
    fn there_are_as_many_workers_as_descriptors_demand_and_one_for_each_core() {
        assert_eq!(LIMITS.workers(&NEED), Ok(3));
        assert_eq!(LIMITS.workers(&Need { sockets: 1_000, ..NEED }), Ok(2));
        assert_eq!(LIMITS.workers(&Need { sockets: 40, ..NEED }), Ok(1));
        assert_eq!(LIMITS.workers(&Need { sockets: 1, workers: Some(4), ..NEED }), Ok(1));
        assert_eq!(LIMITS.workers(&Need { workers: Some(5), ..NEED }), Ok(5));
    }

    #[test]
    fn too_few_descriptors_are_told_with_what_to_do() {
        let error = LIMITS.workers(&Need { workers: Some(2), ..NEED }).unwrap_err();
        let (sockets, workers, each, descriptors, enough) = (50_000, 2, 25_064, 20_000, 3);
        assert_eq!(error, TooLittle::Descriptors { sockets, workers, each, descriptors, enough });
        let words = error.to_string();
        for part in ["--workers 3", "ulimit -Hn 25064", "LimitNOFILE=25064", "nofile 25064"] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }

    #[test]
    fn too_few_files_on_the_machine_are_told() {
        let limits = Limits { files_left: 60_000, ..LIMITS };
        let error = limits.workers(&NEED).unwrap_err();
        assert_eq!(error, TooLittle::Files { needed: 100_384, left: 60_000, max: 1 << 20 });
        assert!(error.to_string().contains("sysctl fs.file-max"));
        assert_eq!(limits.workers(&Need { is_local: false, ..NEED }), Ok(3), "the server's are elsewhere");
    }

    #[test]
    fn too_few_ports_are_told() {
        let error = LIMITS.workers(&Need { per_pair: 30_000, ..NEED }).unwrap_err();
        assert_eq!(error, TooLittle::Ports { each: 30_000, ports: 28_232 });
        assert!(error.to_string().contains("ip_local_port_range"));
    }

    #[test]
    fn this_machine_has_limits() {
        let limits = Limits::raise_and_read();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, limits.descriptors), (hard, hard), "raised to the hard one");
        assert!(limits.ports > 1_000 && limits.files_left > 0 && limits.cores > 0);
    }
}
