//! The binary: reads the command line, runs, reports.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use squall_loadtest::cli::{Line, Other, RunLine};
use squall_loadtest::engine::Tag;
use squall_loadtest::fleet::run_worker;
use squall_loadtest::report::{Exit, Live, Summary, reproduce};
use squall_loadtest::run::{self, Options};

fn main() -> ExitCode {
    // A mistyped command line ends here, with the usage and its own exit code.
    let line = Line::parse();
    let done = match line.other {
        None => run_scenario(line.run),
        Some(Other::Run(line)) => run_scenario(*line),
        Some(Other::Worker) => run_worker().map(|()| Exit::Good),
        Some(other) => print(&other),
    };
    let exit = done.unwrap_or_else(|error| {
        // Where standard error is gone too, the exit code still tells.
        let _ = writeln!(io::stderr(), "loadtest: {error:#}");
        Exit::Failed
    });
    ExitCode::from(exit.code())
}

fn print(other: &Other) -> Result<Exit> {
    match other.text() {
        Ok(text) => {
            write!(io::stdout(), "{}", text.unwrap_or_default())?;
            Ok(Exit::Good)
        }
        Err(error) => usage(&error),
    }
}

fn run_scenario(line: RunLine) -> Result<Exit> {
    let scenario = match line.scenario() {
        Ok(scenario) => scenario,
        Err(error) => return usage(&error),
    };
    let interrupted = interruption()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let unique = now.as_nanos() as u64 ^ u64::from(std::process::id()) << 40;
    let seed = scenario.seed.unwrap_or(now.subsec_nanos());
    let arguments: Vec<String> = std::env::args().collect();
    let command = reproduce(&arguments, seed);
    let program = std::env::current_exe().context("where this program is")?;
    let options = Options { program: &program, seed, tag: Tag::of(unique), command, interrupted };

    let mode = line.show.mode(io::stderr().is_terminal());
    let mut live = Live::new(io::stderr(), mode, &format!("{}, seed {seed}", scenario.name))?;
    let ran = run::run(&scenario, &options, &mut |progress| {
        // A view that can't be shown is no reason to end the run.
        let _ = live.show(progress);
    });
    live.finish()?;
    let mut result = ran?;
    result.expectations = line.expectations.iter().map(|expectation| expectation.judge(&result)).collect();
    if let Some(path) = &line.result {
        std::fs::write(path, result.to_json()?).with_context(|| path.display().to_string())?;
    }
    write!(io::stdout(), "{}", Summary(&result))?;
    Ok(result.exit())
}

/// Set by the first Ctrl-C, which ends the run with its report; the second ends the program.
fn interruption() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let exit = i32::from(Exit::Failed.code());
        flag::register_conditional_shutdown(signal, exit, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

fn usage(error: &dyn std::error::Error) -> Result<Exit> {
    writeln!(io::stderr(), "loadtest: {error}")?;
    Ok(Exit::Usage)
}
