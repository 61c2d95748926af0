//! A server's process.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A child process with a directory of its own, whose output is in the directory's file `log`. Both are gone
/// when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    dir: TempDir,
}

impl Process {
    /// An empty directory for a server to come.
    #[must_use]
    pub fn dir(name: &str) -> TempDir {
        tempfile::Builder::new().prefix(&format!("squall-{name}-")).tempdir().expect("a temporary directory")
    }

    /// Starts `command` for the server in `dir`.
    #[must_use]
    pub fn start(command: Command, dir: TempDir) -> Self {
        let child = spawn(command, dir.path());
        Self { child, dir }
    }

    /// Starts the server anew in its directory, after it ended.
    pub fn restart(&mut self, command: Command) {
        assert!(self.has_ended(), "a server is started anew only after it ended");
        self.child = spawn(command, self.dir.path());
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.dir.path().join(LOG))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into())
    }

    /// Ends it as a power cut would; its directory stays.
    pub fn kill_9(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Freezes it: its sockets stay, and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server can be signalled");
    }

    /// Whether it runs no more.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the server can be waited for").is_some()
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the server can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
    }
}

const LOG: &str = "log";

fn spawn(mut command: Command, dir: &Path) -> Child {
    let log = File::options().create(true).append(true).open(dir.join(LOG)).expect("a log file");
    let both = log.try_clone().expect("a second handle of the log file");
    command.stdin(Stdio::null()).stdout(log).stderr(both);
    command.spawn().unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()))
}

/// The program of this name on the path or in one of `dirs`.
///
/// # Panics
/// If it is nowhere, with the instruction that installs it.
#[must_use]
pub fn installed(program: &str, dirs: &[&str], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(dirs.iter().map(PathBuf::from))
        .map(|dir| dir.join(OsStr::new(program)))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is missing: run `make setup`, or as root `apt-get install {package}`")
    })
}

/// A port on the loopback that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits until `look` finds something.
///
/// # Panics
/// With `what`, if there is nothing within 30 s.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WAIT_MAX, "{what}: not within {} s", WAIT_MAX.as_secs());
        sleep(Duration::from_millis(10));
    }
}

const WAIT_MAX: Duration = Duration::from_secs(30);
