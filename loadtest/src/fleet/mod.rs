//! Several worker processes under one command: this program started again, told what to do over pipes.

mod limits;
mod message;
mod pipe;
mod worker;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use pipe::PipeError;

pub(crate) use limits::{Limits, Need};
pub(crate) use message::{FromWorker, Gathered, Progress, ToWorker};
pub use worker::run as run_worker;

/// The workers; they are gone when it is dropped.
pub(crate) struct Fleet {
    workers: Vec<Worker>,
    heard: Receiver<(usize, Result<FromWorker, PipeError>)>,
}

struct Worker {
    child: Child,
    input: ChildStdin,
    /// It said its last message.
    is_done: bool,
}

impl Fleet {
    /// Starts `count` workers of the program at `program`.
    pub(crate) fn start(program: &Path, count: u64) -> Result<Self> {
        let (told, heard) = channel();
        let workers = (0..count as usize).map(|index| Worker::start(program, index, told.clone()));
        Ok(Self { workers: workers.collect::<Result<_>>()?, heard })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Tells one of them.
    pub(crate) fn tell(&mut self, worker: usize, message: &ToWorker) -> Result<()> {
        let Some(worker_process) = self.workers.get_mut(worker) else { return Ok(()) };
        match pipe::write(&mut worker_process.input, message) {
            Ok(()) => Ok(()),
            Err(PipeError::Ended) => Err(self.death(worker)),
            Err(error) => Err(anyhow!("worker {worker}: {error}")),
        }
    }

    /// Tells all of them.
    pub(crate) fn tell_all(&mut self, message: &ToWorker) -> Result<()> {
        let bytes = pipe::encode(message)?;
        for worker in 0..self.workers.len() {
            let written = std::io::Write::write_all(&mut self.workers[worker].input, &bytes);
            written.map_err(|_| self.death(worker))?;
        }
        Ok(())
    }

    /// The next message of any of them, if one comes within `wait`. A worker that dies is an error.
    pub(crate) fn hear(&mut self, wait: Duration) -> Result<Option<(usize, FromWorker)>> {
        let deadline = Instant::now() + wait;
        loop {
            match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((worker, Ok(FromWorker::Failed(words)))) => {
                    return Err(anyhow!("worker {worker} failed: {words}"));
                }
                Ok((worker, Ok(message))) => {
                    self.workers[worker].is_done |= matches!(message, FromWorker::Finished(..));
                    return Ok(Some((worker, message)));
                }
                // Its pipe ends with it.
                Ok((worker, Err(PipeError::Ended))) if self.workers[worker].is_done => {}
                Ok((worker, Err(PipeError::Ended))) => return Err(self.death(worker)),
                Ok((worker, Err(error))) => return Err(anyhow!("worker {worker}: {error}")),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    fn death(&mut self, worker: usize) -> anyhow::Error {
        // Its pipe is gone, so it ends, if it has not yet.
        let how =
            self.workers[worker].child.wait().map_or_else(|error| error.to_string(), |how| how.to_string());
        anyhow!("worker {worker} died ({how}): what it knew is lost, and with it the run's result")
    }
}

impl Worker {
    fn start(
        program: &Path,
        index: usize,
        told: Sender<(usize, Result<FromWorker, PipeError>)>,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .arg(WORKER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the coordinator alone, which then ends its workers in good order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {} as a worker", program.display()))?;
        let (Some(mut input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(anyhow!("a worker without pipes"));
        };
        let told_it = pipe::greet(&mut input);
        // A program that left before it was greeted may have said what it is: that tells more than its end.
        let greeted = match told_it {
            Ok(()) | Err(PipeError::Ended) => pipe::be_greeted(&mut output).and(told_it),
            Err(_) => told_it,
        };
        if let Err(error) = greeted {
            // Whatever it is, it is not wanted.
            let _ = child.kill();
            let _ = child.wait();
            return Err(error).with_context(|| format!("{} {WORKER}", program.display()));
        }
        thread::spawn(move || {
            loop {
                let message = pipe::read(&mut output);
                let is_last = message.is_err();
                // Nobody listens any more: the fleet is gone.
                if told.send((index, message)).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self { child, input, is_done: false })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.is_done {
            // It ends by itself; should it not, it is ended.
            let start = Instant::now();
            while start.elapsed() < END_MAX {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The hidden subcommand.
pub const WORKER: &str = "worker";
/// For a worker that is done.
const END_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_worker_is_refused() {
        let error = Fleet::start(Path::new("/bin/echo"), 1).err().unwrap();
        assert!(format!("{error:#}").contains("no worker of this very program"), "{error:#}");
        let error = Fleet::start(Path::new("/bin/false"), 1).err().unwrap();
        assert!(format!("{error:#}").contains("is gone"), "{error:#}");
        let error = Fleet::start(Path::new("/nowhere/loadtest"), 1).err().unwrap();
        assert!(format!("{error:#}").starts_with("can't start /nowhere/loadtest"), "{error:#}");
    }
}
