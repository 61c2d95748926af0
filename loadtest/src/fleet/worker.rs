//! A worker process: an engine that is told what to do over standard input.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::message::{FromWorker, Gathered, Progress, ToWorker};
use super::pipe::{self, PipeError};
use crate::engine::Engine;
use crate::moment::{Moment, cpu_time};

/// Runs a worker until the coordinator is done with it, or gone.
pub fn run() -> Result<()> {
    if io::stdin().is_terminal() {
        bail!("`loadtest worker` is started by `loadtest` itself");
    }
    let mut input = io::stdin().lock();
    pipe::greet(&mut io::stdout().lock())?;
    pipe::be_greeted(&mut input)?;
    let memory_before_bytes = memory_bytes();
    let ToWorker::Plan { plan, report_every } = pipe::read(&mut input)? else {
        bail!("the plan comes first");
    };
    drop(input);
    let mut worker = Worker::start(Engine::new(*plan).context("can't start the engine")?, report_every);
    worker.say(&FromWorker::Ready { memory_bytes: memory_before_bytes });
    let outcome = worker.work();
    if let Err(error) = &outcome {
        worker.say(&FromWorker::Failed(format!("{error:#}")));
    }
    // What was said last is still on its way.
    let Worker { output, writer, .. } = worker;
    drop(output);
    let _ = writer.join();
    outcome
}

struct Worker {
    engine: Engine,
    input: Receiver<Result<ToWorker, PipeError>>,
    /// Written by a thread of its own: the engine never waits for whoever reads.
    output: Sender<Vec<u8>>,
    writer: JoinHandle<()>,
    report_every: Duration,
    /// The audit has more to look at.
    is_checking: bool,
    /// It shall end once its sockets are closed.
    is_finishing: bool,
}

impl Worker {
    fn start(engine: Engine, report_every: Duration) -> Self {
        let (told, input) = channel();
        let waker = engine.waker();
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let message = pipe::read(&mut stdin);
                let is_last = message.is_err();
                // Nobody listens any more: the worker has ended.
                if told.send(message).is_err() || waker.wake().is_err() || is_last {
                    return;
                }
            }
        });
        let (output, said) = channel::<Vec<u8>>();
        let writer = thread::spawn(move || {
            let mut stdout = io::stdout().lock();
            for message in said {
                if stdout.write_all(&message).and_then(|()| stdout.flush()).is_err() {
                    return;
                }
            }
        });
        Self { engine, input, output, writer, report_every, is_checking: false, is_finishing: false }
    }

    fn work(&mut self) -> Result<()> {
        let mut report_at = Moment::now() + self.report_every;
        loop {
            if !self.listen()? {
                return Ok(());
            }
            let now = Moment::now();
            if self.is_finishing && self.engine.is_closed() {
                let progress = self.progress(now);
                let findings = Box::new(self.engine.take_recorder().finish());
                self.say(&FromWorker::Finished(progress, findings));
                return Ok(());
            }
            if report_at <= now {
                let progress = self.progress(now);
                self.say(&FromWorker::Progress(progress));
                report_at = report_at.max(now - self.report_every) + self.report_every;
            }
            // Bit by bit, so that sockets are looked at meanwhile.
            self.is_checking = self.is_checking && self.engine.recorder().check(CHECK_WORK);
            self.engine.turn(if self.is_checking { now } else { report_at })?;
        }
    }

    /// Does what was said; false if the coordinator is gone.
    fn listen(&mut self) -> Result<bool> {
        loop {
            match self.input.try_recv() {
                Ok(Ok(message)) => self.obey(message)?,
                Ok(Err(PipeError::Ended)) | Err(TryRecvError::Disconnected) => return Ok(false),
                Ok(Err(error)) => return Err(error.into()),
                Err(TryRecvError::Empty) => return Ok(true),
            }
        }
    }

    fn obey(&mut self, message: ToWorker) -> Result<()> {
        match message {
            ToWorker::Plan { .. } => bail!("a second plan"),
            ToWorker::Open { start } => self.engine.open(start),
            ToWorker::Play { start, end } => self.engine.play(start, end),
            ToWorker::Quiet => self.engine.quiet(),
            ToWorker::Gather => self.gather(),
            ToWorker::Update(update) => {
                self.engine.recorder().take(&update);
                self.is_checking = true;
            }
            ToWorker::Close => {
                // What is told last is told of sessions that are still open.
                self.engine.close();
                self.gather();
            }
            ToWorker::Finish => self.is_finishing = true,
        }
        Ok(())
    }

    fn gather(&mut self) {
        let (told, there) = self.engine.rolls();
        let (tally, unanswered) = (self.engine.tally(), self.engine.unanswered());
        let recorder = self.engine.recorder();
        let outstanding = recorder.outstanding();
        let gathered = Gathered { facts: recorder.facts(), outstanding, unanswered, tally, told, there };
        self.say(&FromWorker::Gathered(Box::new(gathered)));
    }

    fn progress(&mut self, at: Moment) -> Box<Progress> {
        Box::new(Progress {
            tally: self.engine.tally(),
            measures: self.engine.take_measures(),
            at,
            cpu: cpu_time(),
            memory_bytes: memory_bytes(),
        })
    }

    fn say(&self, message: &FromWorker) {
        // A message that can't be said, or that nobody hears: the coordinator is gone, which `listen` finds.
        if let Ok(bytes) = pipe::encode(message) {
            let _ = self.output.send(bytes);
        }
    }
}

/// Events the audit looks at in a turn: about a millisecond.
const CHECK_WORK: usize = 20_000;

/// Memory of this process: its own and its part of what is shared; 0 where the kernel does not tell.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory() {
        assert!(memory_bytes() > 100_000);
    }
}
