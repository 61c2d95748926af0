//! docs/refusals.md against the enums, and against the tests that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use squall_protocol::CloseCode;
use squall_protocol::close::Reconnect;
use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::{ErrorCode, ResetReason};

const REFUSALS: &str = include_str!("../../../docs/refusals.md");

#[test]
fn the_close_codes_are_the_protocols() {
    let documented: Vec<(String, String)> =
        rows("## Close codes").into_iter().map(|row| (row[0].clone(), row[2].clone())).collect();
    let reconnect = |code: CloseCode| match code.reconnect() {
        Reconnect::Resume => "resume",
        Reconnect::Delay => "after a delay",
        Reconnect::Resync => "expect a reset",
        Reconnect::Never => "no",
    };
    let known: Vec<(String, String)> =
        CloseCode::ALL.iter().map(|code| (code.number().to_string(), reconnect(*code).to_owned())).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_codes_in_messages_are_the_protocols() {
    let no_code = "\"?\"";
    assert_eq!(codes("## Codes of `refused`"), names(serde_json::from_str::<RefusalCode>(no_code).err()));
    assert_eq!(codes("## Codes of `error`"), names(serde_json::from_str::<ErrorCode>(no_code).err()));
    assert_eq!(codes("## Reasons of `reset`"), names(serde_json::from_str::<ResetReason>(no_code).err()));
}

#[test]
fn each_refusal_names_tests_that_are_there() {
    let mut sources = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for part in ["gateway/src", "gateway/tests", "writer/src", "hub/src"] {
        read_all(&root.join(part), &mut sources);
    }
    let tables = REFUSALS.split("\n## ").skip(1);
    let named = tables.flat_map(|part| rows(part.lines().next().unwrap_or_default()));
    let mut count = 0;
    for row in named {
        let tests: Vec<&str> = quoted(row.last().expect("a cell")).collect();
        assert!(!tests.is_empty(), "{row:?} names no test");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}()")), "{row:?} names {test}, which is not there");
        }
        count += 1;
    }
    println!("refusals: {count} documented, each with its test");
    assert!(count > 40, "{count}");
}

/// The cells of the table below a heading, without its head.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, below) = REFUSALS.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}"));
    let lines = below.lines().skip(1).take_while(|line| !line.starts_with("## "));
    let table = lines.filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    table.map(cells).collect()
}

/// The codes in a table's first column.
fn codes(heading: &str) -> BTreeSet<String> {
    rows(heading).iter().flat_map(|row| quoted(&row[0]).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// All names of a code, as its decoder lists them when it knows none of that name.
fn names(error: Option<serde_json::Error>) -> BTreeSet<String> {
    let error = error.expect("there is no such code").to_string();
    let (_, list) = error.split_once("expected one of ").expect("the list of names");
    quoted(list.split(" at line").next().unwrap_or(list)).map(str::to_owned).collect()
}

fn read_all(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("node_modules") {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}
