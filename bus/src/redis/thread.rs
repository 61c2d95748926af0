//! The thread on which all connections of a bus live.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime of its own, so that connections do not depend on how busy, or how long there, the
/// runtimes of those are who publish and receive. Dropped, it ends with all its tasks.
#[derive(Debug)]
pub(super) struct Thread {
    runtime: Handle,
    /// Its end is the thread's.
    _stop: oneshot::Sender<()>,
}

impl Thread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name("redis".into()).spawn(move || {
            // Never sent, only dropped.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, _stop: stop })
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
