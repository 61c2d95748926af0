//! That README.md says what the program does.

use crate::audit::{Fault, STILL_MAX_MS};
use crate::latency::{BUSY_LOOKS_SHARE_MAX, CPU_SHARE_MAX, LATE_MAX, TURN_MAX};
use crate::report::Exit;
use crate::scenario::SHIPPED;

const README: &str = include_str!("../README.md");

fn assert_said(words: &str) {
    assert!(README.contains(words), "README.md does not say: {words}");
}

#[test]
fn it_lists_every_fault_every_scenario_and_every_exit_code() {
    for fault in Fault::ALL {
        assert_said(&format!("| `{fault}` | "));
    }
    for shipped in SHIPPED {
        assert_said(&format!("| `{}` | ", shipped.kind));
    }
    for exit in [Exit::Good, Exit::Faulty, Exit::Usage, Exit::Failed] {
        assert_said(&format!("| {} | the ", exit.code()));
    }
}

#[test]
fn its_limits_are_those_of_the_program() {
    assert_said(&format!("above {:.0} % of its core in more than one look of twenty", CPU_SHARE_MAX * 100.0));
    assert_eq!(BUSY_LOOKS_SHARE_MAX, 1.0 / 20.0);
    assert_said(&format!("sends later than {} ms", LATE_MAX.as_millis()));
    assert_said(&format!("turns of its loop longer than {} ms", TURN_MAX.as_millis()));
    assert_said("stands still for half an hour");
    assert_eq!(STILL_MAX_MS, 30 * 60 * 1000);
}

#[test]
fn its_flags_are_those_of_the_command_line() {
    use clap::CommandFactory;

    let command = crate::cli::Line::command();
    let known = |flag: &str| command.get_arguments().any(|argument| argument.get_long() == Some(flag));
    let flags = README
        .split("--")
        .skip(1)
        .map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or_default());
    // Those of cargo and of the server.
    let flags: Vec<_> = flags.filter(|flag| !matches!(*flag, "" | "release")).collect();
    assert!(flags.len() > 8, "{flags:?}");
    flags.iter().for_each(|flag| assert!(known(flag) || flag.starts_with('-'), "README.md names --{flag}"));
}
