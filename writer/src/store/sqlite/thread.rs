//! Threads that own a connection each and take work from one bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Failure, FileError};
use crate::store::StoreError;

/// The most work that waits for a thread; beyond it work is refused at once.
const WAITING_MAX: usize = 4096;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// One or more threads behind one queue. Dropped, they finish what waits and end.
pub(super) struct Threads {
    queue: Mutex<Option<SyncSender<Work>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// One thread for each connection.
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> Result<Self, FileError> {
        let (queue, work) = sync_channel(WAITING_MAX);
        let work = Arc::new(Mutex::new(work));
        let start = |connection| {
            let work = Arc::clone(&work);
            let builder = std::thread::Builder::new().name(name.to_owned());
            builder.spawn(move || run_all(&work, connection)).map_err(FileError::Thread)
        };
        let threads = connections.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok(Self { queue: Mutex::new(Some(queue)), threads: Mutex::new(threads) })
    }

    /// Has `work` done by a thread that is free.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            // Nobody may wait for the answer any more; the work is done all the same.
            let _ = answer.send(work(connection));
        });
        self.push(work)?;
        match answered.await {
            Ok(result) => result.map_err(StoreError::from),
            // Its thread dropped it: it panicked.
            Err(_) => Err(StoreError::Unavailable("the work was given up".into())),
        }
    }

    fn push(&self, work: Work) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or_else(|| StoreError::Unavailable("closed".into()))?;
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Unavailable("too much to do".into()),
            TrySendError::Disconnected(_) => StoreError::Unavailable("closed".into()),
        })
    }

    /// Takes no more work, and waits until what waits is done.
    pub(super) async fn stop(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // Fails only if the runtime is going down, and then nobody is left to wait.
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn run_all(work: &Mutex<Receiver<Work>>, mut connection: Connection) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(next) = next else { return };
        // A panic costs its own work only: a transaction rolls back when it is dropped.
        if catch_unwind(AssertUnwindSafe(|| next(&mut connection))).is_err() {
            tracing::error!("database work panicked");
        }
    }
}
