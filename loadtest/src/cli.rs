//! The command line: what is asked for, and all that can be wrong with it before anything starts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::expect::Expectation;
use crate::nearest::nearest;
use crate::report::{LiveMode, metrics};
use crate::scenario::{Conflict, FileError, FlagError, SHIPPED, Scenario, ScenarioFlags, Shipped};

/// The load tester of Squall: holds tens of thousands of client sockets, and proves what arrived.
///
/// `loadtest chat` runs the scenario that comes with it against a gateway on this machine; `loadtest
/// my.toml` runs your own. Flags replace what the file says.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "loadtest",
    version,
    after_help = EXIT_CODES,
    // Of a flag given twice the last counts: an alias may have the first.
    args_override_self = true,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
pub struct Line {
    /// Something other than a run, or a run by its long name.
    #[command(subcommand)]
    pub other: Option<Other>,
    /// A run.
    #[command(flatten)]
    pub run: RunLine,
}

/// A run, as it is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct RunLine {
    /// The name of a scenario that comes with the load tester (see `loadtest list`), or a TOML file.
    #[arg(required = true)]
    pub scenario: Option<String>,

    /// What the result must be, or the exit code is 1: `p99<50ms`, `lost=0`, `deliveries>1000` (see `loadtest
    /// figures`). Several times: all of them.
    #[arg(long = "expect", value_name = "EXPECTATION")]
    pub expectations: Vec<Expectation>,

    /// Where to write the result with everything in it, as JSON.
    #[arg(long, value_name = "FILE")]
    pub result: Option<PathBuf>,

    /// How to show the run while it goes on.
    #[arg(long, value_enum, default_value_t = Show::Auto)]
    pub show: Show,

    /// Over the scenario's file.
    #[command(flatten)]
    pub flags: ScenarioFlags,
}

/// What the program does besides runs.
#[derive(Debug, Clone, Subcommand)]
pub enum Other {
    /// Runs a scenario: the same as without the word.
    #[command(args_override_self = true)]
    Run(Box<RunLine>),
    /// Lists the scenarios that come with the load tester.
    List,
    /// Prints a scenario's file: a start for your own.
    Print {
        /// Its name.
        name: String,
    },
    /// Lists the figures that `--expect` can hold a run to.
    Figures,
    /// Plays a part of a run: started by the load tester itself.
    #[command(hide = true)]
    Worker,
}

/// How to show a run while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// Progress bars in a terminal, else lines.
    Auto,
    /// A line for each look.
    Lines,
    /// Nothing until the end.
    Nothing,
}

/// What is wrong with a command line: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// There is no such scenario, and no such file.
    #[error("there is no scenario and no file `{name}`{}", .meant.map_or(String::new(), |meant| format!(": did you mean `{meant}`?")))]
    UnknownScenario {
        /// What was written.
        name: String,
        /// What may have been meant.
        meant: Option<&'static str>,
    },
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Flags do not go together.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// Numbers do not go together.
    #[error("this scenario can't run:{}", list(.0))]
    Conflicts(Vec<Conflict>),
}

impl RunLine {
    /// The scenario that is asked for, checked.
    pub fn scenario(&self) -> Result<Scenario, UsageError> {
        let mut scenario = find(self.scenario.as_deref().unwrap_or_default())?;
        self.flags.clone().apply(&mut scenario)?;
        match scenario.conflicts() {
            conflicts if conflicts.is_empty() => Ok(scenario),
            conflicts => Err(UsageError::Conflicts(conflicts)),
        }
    }
}

impl Show {
    /// How to show it on an output that is a terminal, or is none.
    #[must_use]
    pub fn mode(self, is_terminal: bool) -> LiveMode {
        match self {
            Self::Auto if is_terminal => LiveMode::Terminal,
            Self::Auto | Self::Lines => LiveMode::Lines,
            Self::Nothing => LiveMode::Silent,
        }
    }
}

impl Other {
    /// What it prints; none for a run and a worker.
    pub fn text(&self) -> Result<Option<String>, UsageError> {
        match self {
            Self::List => list_scenarios().map(Some),
            Self::Print { name } => shipped(name).map(|shipped| Some(shipped.text.into())),
            Self::Figures => Ok(Some(list_figures())),
            Self::Run(_) | Self::Worker => Ok(None),
        }
    }
}

/// A name first, then a file: a file of a shipped one's name is `./chat`.
fn find(name: &str) -> Result<Scenario, UsageError> {
    if let Some(shipped) = Shipped::of(name) {
        return Ok(shipped.scenario()?);
    }
    let path = Path::new(name);
    if path.exists() || name.ends_with(".toml") || name.contains('/') {
        return Ok(Scenario::read(path)?);
    }
    shipped(name)?.scenario().map_err(UsageError::from)
}

fn shipped(name: &str) -> Result<&'static Shipped, UsageError> {
    Shipped::of(name).ok_or_else(|| UsageError::UnknownScenario {
        name: name.into(),
        meant: nearest(name, SHIPPED.iter().map(|shipped| shipped.kind.name())),
    })
}

fn list_scenarios() -> Result<String, UsageError> {
    let mut text = String::new();
    for shipped in SHIPPED {
        let Scenario { name, about, .. } = shipped.scenario()?;
        // Writing to a string can't fail.
        _ = writeln!(text, "{name:<10}{about}");
    }
    Ok(text)
}

fn list_figures() -> String {
    let metrics = metrics();
    let width = metrics.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
    let line = |metric: &crate::report::Metric| format!("{:<width$}  {}\n", metric.name, metric.words);
    metrics.iter().map(line).collect()
}

fn list(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(|conflict| format!("\n  {conflict}")).collect()
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the run was done, the audit found nothing, all expectations were met
  1  the audit found something, or an expectation was missed
  2  the command line, the scenario or an expectation makes no sense
  3  the run itself failed: no server, no descriptors, a worker that died";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::report::Exit;

    fn run(arguments: &[&str]) -> RunLine {
        Line::parse_from([&["loadtest"], arguments].concat()).run
    }

    #[test]
    fn the_command_line_is_sound_and_names_the_exit_codes() {
        Line::command().debug_assert();
        let help = Line::command().render_help().to_string();
        for exit in [Exit::Good, Exit::Faulty, Exit::Usage, Exit::Failed] {
            assert!(help.contains(&format!("\n  {}  ", exit.code())), "{help}");
        }
    }

    #[test]
    fn a_run_is_a_name_or_a_file_with_flags_over_it() {
        let line = run(&["chat", "--sockets", "500", "--expect", "p99<50ms", "--expect", "lost=0"]);
        assert_eq!(line.scenario().unwrap().clients.sockets, 500);
        assert_eq!(line.expectations.len(), 2);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/herd.toml");
        assert_eq!(run(&[file]).scenario().unwrap().name, "herd");
        let long = Line::parse_from(["loadtest", "run", file, "--sockets", "700"]).other;
        let Some(Other::Run(line)) = long else { panic!("{long:?} is no run") };
        assert_eq!(line.scenario().unwrap().clients.sockets, 700);
        let twice = run(&["chat", "--sockets", "500", "--sockets", "600"]);
        assert_eq!(twice.scenario().unwrap().clients.sockets, 600, "the last counts");
    }

    #[test]
    fn what_is_wrong_is_told_before_anything_starts() {
        let error = |arguments: &[&str]| run(arguments).scenario().unwrap_err().to_string();
        assert_eq!(error(&["chatt"]), "there is no scenario and no file `chatt`: did you mean `chat`?");
        assert!(error(&["mine.toml"]).starts_with("mine.toml: "));
        assert!(error(&["chat", "--admin", "http://h:1"]).contains("1 --admin for 0 --target"));
        let conflicts = error(&["chat", "--sockets", "0", "--payload", "1B"]);
        assert!(
            conflicts.starts_with("this scenario can't run:\n  clients.sockets: 0 is not"),
            "{conflicts}"
        );
        assert!(conflicts.contains("\n  traffic.payload: 1B is not"), "{conflicts}");
        let wrong = Line::try_parse_from(["loadtest", "chat", "--expect", "p9<5ms"]).unwrap_err();
        assert_eq!(wrong.exit_code(), i32::from(Exit::Usage.code()));
        assert!(wrong.to_string().contains("did you mean `p99`?"), "{wrong}");
        assert!(Line::try_parse_from(["loadtest"]).is_err());
    }

    #[test]
    fn the_others_print_what_there_is() {
        let text = |arguments: &[&str]| {
            let line = Line::parse_from([&["loadtest"], arguments].concat());
            line.other.unwrap().text()
        };
        let listed = text(&["list"]).unwrap().unwrap();
        assert_eq!(listed.lines().count(), SHIPPED.len());
        assert!(listed.contains("\nresume    Cuts 20 connections a second at random;"), "{listed}");
        assert_eq!(text(&["print", "soak"]).unwrap().unwrap(), Shipped::of("soak").unwrap().text);
        assert!(matches!(
            text(&["print", "sock"]),
            Err(UsageError::UnknownScenario { meant: Some("soak"), .. })
        ));
        let figures = text(&["figures"]).unwrap().unwrap();
        assert!(figures.lines().any(|line| line.starts_with("ack.p99 ")), "{figures}");
        assert_eq!(text(&["worker"]), Ok(None));
    }

    #[test]
    fn bars_are_for_terminals() {
        assert_eq!(Show::Auto.mode(true), LiveMode::Terminal);
        assert_eq!(Show::Auto.mode(false), LiveMode::Lines);
        assert_eq!(Show::Lines.mode(true), LiveMode::Lines);
        assert_eq!(Show::Nothing.mode(true), LiveMode::Silent);
    }
}
