//! PostgreSQL.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Process, free_port, installed, until};

/// A PostgreSQL server with a database of its own and a role that owns it and is no superuser. It stops, with
/// all its processes, when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    durable: bool,
    databases: AtomicU32,
}

/// The data of a server at a time when it was stopped.
#[derive(Debug)]
pub struct PostgresCopy(TempDir);

/// The role that owns the databases, and its password.
const ROLE: &str = "squall";
const PASSWORD: &str = "squall-password";

/// The role that may do all.
const SUPERUSER: &str = "postgres";

/// Who runs the server if the tests run as root, whom PostgreSQL refuses.
const SYSTEM_USER: &str = "postgres";

/// The data directory, below the server's own.
const DATA: &str = "data";

/// Where Debian puts the programs, newest first.
const PROGRAMS: [&str; 4] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
];

impl Postgres {
    /// A server that leaves it to the operating system when its files reach the disk: quick, and it forgets
    /// nothing unless the machine itself goes down.
    #[must_use]
    pub fn start() -> Self {
        Self::start_as(false)
    }

    /// A server whose commits are on the disk, as in production.
    #[must_use]
    pub fn start_durable() -> Self {
        Self::start_as(true)
    }

    /// The server that the tests of this process share: it is there as long as one of them holds it. For those
    /// who need a database and do nothing to its server.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    fn start_as(durable: bool) -> Self {
        let dir = Process::dir("postgres");
        copy(&template(), &dir.path().join(DATA));
        own(dir.path());
        let port = free_port();
        let process = Process::start(server(dir.path(), port, durable), dir);
        let server = Self { process, port, durable, databases: AtomicU32::new(0) };
        server.wait_until_ready();
        server
    }

    /// How its first database is reached, with name and password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(ROLE)
    }

    /// Makes another, empty database; how it is reached.
    #[must_use]
    pub fn create_database(&self) -> String {
        let name = format!("squall_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name} OWNER {ROLE}"));
        self.url_of(&name)
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{ROLE}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs SQL in the first database as the superuser; its rows, a line each, columns parted by `|`.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, or what the server said.
    ///
    /// # Errors
    /// If the server refuses it, or can't be reached.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(program("psql"));
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", SUPERUSER, "-d", ROLE, "-c", sql]);
        psql.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
        let output = psql.output().expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Stops it in order: sessions end, what was committed is in its files.
    pub fn stop(&mut self) {
        self.process.signal(Signal::INT);
        self.process.wait();
    }

    /// Ends it and all its processes as a power cut would; its files stay.
    pub fn kill_9(&mut self) {
        // Frozen first, so that no process of it is born meanwhile and none ends in order.
        let all = self.freeze_all();
        self.process.kill_9();
        for pid in &all {
            // Gone already, or about to be.
            let _ = kill_process(*pid, Signal::KILL);
        }
        until("the end of PostgreSQL's processes", || all.iter().all(|pid| !is_running(*pid)).then_some(()));
    }

    /// Starts it anew, after it was stopped or killed, at the same address; returns when it takes connections.
    pub fn restart(&mut self) {
        // A server killed in this way left it behind; the next one would take it for a running server's.
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let command = server(self.process.path(), self.port, self.durable);
        self.process.restart(command);
        self.wait_until_ready();
    }

    /// Freezes it with all its processes: its sockets stay, and nothing answers.
    pub fn freeze(&self) {
        self.freeze_all();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        for pid in self.all() {
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// A copy of its data; it must be stopped.
    #[must_use]
    pub fn copy_data(&mut self) -> PostgresCopy {
        assert!(self.process.has_ended(), "the data is copied of a stopped server");
        let dir = Process::dir("postgres-copy");
        copy(&self.data(), &dir.path().join(DATA));
        PostgresCopy(dir)
    }

    /// Sets its data back to a copy of it; it must be stopped.
    pub fn put_back(&mut self, copied: &PostgresCopy) {
        assert!(self.process.has_ended(), "the data is put back into a stopped server");
        fs::remove_dir_all(self.data()).expect("the data can be removed");
        copy(&copied.0.path().join(DATA), &self.data());
        own(self.process.path());
    }

    fn data(&self) -> PathBuf {
        self.process.path().join(DATA)
    }

    fn wait_until_ready(&self) {
        let ready = || match self.try_sql("SELECT 1") {
            Ok(_) => Some(()),
            Err(error) => {
                assert!(is_running(self.pid()), "PostgreSQL ended: {error}\n{}", self.log());
                None
            }
        };
        until("PostgreSQL", ready);
    }

    fn pid(&self) -> Pid {
        pid(self.process.id()).expect("the server has a process id")
    }

    /// The first of its processes, and the others: each is a child of the first, in a group of its own.
    fn all(&self) -> Vec<Pid> {
        std::iter::once(self.pid()).chain(children(self.process.id())).collect()
    }

    fn freeze_all(&self) -> Vec<Pid> {
        // The first starts the others: once it stands still, they are all there are.
        let _ = kill_process(self.pid(), Signal::STOP);
        let all = self.all();
        for pid in &all {
            let _ = kill_process(*pid, Signal::STOP);
        }
        all
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !self.process.has_ended() {
            self.kill_9();
        }
    }
}

/// The command that runs the server.
fn server(dir: &Path, port: u16, durable: bool) -> Command {
    let on_off = if durable { "on" } else { "off" };
    let mut command = as_system_user(program("postgres"));
    command.arg("-D").arg(dir.join(DATA)).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    for setting in [
        // No socket file: several servers of one machine would meet there.
        "unix_socket_directories=",
        &format!("fsync={on_off}"),
        &format!("full_page_writes={on_off}"),
        "max_connections=200",
        "shared_buffers=32MB",
    ] {
        command.arg("-c").arg(setting);
    }
    command.process_group(0);
    command
}

/// A fresh data directory to copy: making one takes seconds, copying it a fraction of one. It is kept in the
/// build's directory, by the version of PostgreSQL.
fn template() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let version = Command::new(program("postgres")).arg("--version").output().expect("postgres --version");
    let version: String = String::from_utf8_lossy(&version.stdout)
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '-' })
        .collect();
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let kept = target.join(format!("template-{}-{TEMPLATE_VERSION}", version.trim_matches('-')));
    if kept.join(DATA).join("PG_VERSION").exists() {
        return kept.join(DATA);
    }
    let making = Process::dir("postgres-template");
    initialise(making.path());
    fs::create_dir_all(&target).expect("the build's directory");
    let fresh = tempfile::Builder::new().tempdir_in(&target).expect("a directory of the build's");
    copy(&making.path().join(DATA), &fresh.path().join(DATA));
    // Another process of the build may have been quicker; then its is as good.
    if fs::rename(fresh.path(), &kept).is_ok() {
        let _ = fresh.keep();
    }
    kept.join(DATA)
}

/// Grows when [`initialise`] changes.
const TEMPLATE_VERSION: u32 = 1;

fn initialise(dir: &Path) {
    let password = dir.join("password");
    fs::write(&password, PASSWORD).expect("a password file");
    own(dir);
    let mut initdb = as_system_user(program("initdb"));
    initdb.arg("-D").arg(dir.join(DATA)).arg("--pwfile").arg(&password);
    initdb.args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"]);
    // Small files of its journal: every copy has some.
    initdb.args(["--locale", "C.UTF-8", "--no-sync", "--wal-segsize", "1"]);
    run(initdb);
    for sql in [
        format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE DATABASE {ROLE} OWNER {ROLE}"),
    ] {
        let mut single = as_system_user(program("postgres"));
        single.args(["--single", "-j", "-D"]).arg(dir.join(DATA)).args(["-c", "fsync=off", "postgres"]);
        let file = dir.join("sql");
        fs::write(&file, format!("{sql}\n")).expect("a file of SQL");
        single.stdin(fs::File::open(file).expect("the file of SQL"));
        run(single);
    }
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    // A server alone with its standard input ends well whatever it was told.
    let well = output.status.success() && !said.contains("ERROR") && !said.contains("FATAL");
    assert!(well, "{command:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
}

fn program(name: &str) -> PathBuf {
    installed(name, &PROGRAMS, "postgresql")
}

/// Runs a program as somebody whom PostgreSQL does not refuse.
fn as_system_user(program: impl AsRef<OsStr>) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new(installed("setpriv", &[], "util-linux"));
    command.args(["--reuid", SYSTEM_USER, "--regid", SYSTEM_USER, "--clear-groups"]).arg(program);
    command
}

/// Hands a directory to whoever runs the server.
fn own(dir: &Path) {
    if rustix::process::getuid().is_root() {
        let mut chown = Command::new("chown");
        chown.arg("-R").arg(format!("{SYSTEM_USER}:")).arg(dir);
        run(chown);
    }
}

fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.args(["-r", "--preserve=mode"]).arg(from).arg(to);
    run(cp);
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| stat(*id).is_some_and(|(_, its_parent)| its_parent == parent)).filter_map(pid).collect()
}

/// Whether it runs, or stands still; one that ended and was not waited for does neither.
fn is_running(pid: Pid) -> bool {
    let id = pid.as_raw_nonzero().get().unsigned_abs();
    stat(id).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// A process's state and parent.
fn stat(id: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in parentheses and may have any in itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_committed_survives_a_kill_and_a_stop() {
        let mut server = Postgres::start();
        server.sql("CREATE TABLE t (n int)");
        server.sql("INSERT INTO t VALUES (1)");
        server.kill_9();
        assert!(server.try_sql("SELECT 1").is_err());
        server.restart();
        server.sql("INSERT INTO t VALUES (2)");
        server.stop();
        server.restart();
        assert_eq!(server.sql("SELECT n FROM t ORDER BY n"), "1\n2");
    }

    #[test]
    fn its_data_can_be_set_back() {
        let mut server = Postgres::start();
        server.sql("CREATE TABLE t (n int)");
        server.stop();
        let copied = server.copy_data();
        server.restart();
        server.sql("INSERT INTO t VALUES (1)");
        server.stop();
        server.put_back(&copied);
        server.restart();
        assert_eq!(server.sql("SELECT count(*) FROM t"), "0");
    }

    #[test]
    fn frozen_it_answers_nothing_and_thawed_all() {
        let server = Postgres::start();
        server.freeze();
        let began = Instant::now();
        assert!(server.try_sql("SELECT 1").is_err());
        assert!(began.elapsed() > Duration::from_secs(2), "it was waited for");
        server.thaw();
        assert_eq!(server.sql("SELECT 1"), "1");
    }

    #[test]
    fn a_shared_server_has_databases_for_all_and_ends_with_its_last_holder() {
        let server = Postgres::shared();
        let (one, other) = (server.create_database(), Postgres::shared().create_database());
        assert_ne!(one, other);
        let pid = server.pid();
        drop(server);
        until("its end", || (!is_running(pid)).then_some(()));
    }
}
