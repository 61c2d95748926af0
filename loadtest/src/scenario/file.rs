//! Reading a scenario file; what is wrong in it is named by line, column, field, and the nearest name.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Scenario;
use crate::nearest::nearest;

/// What is wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Something in it is wrong.
    #[error("{place}")]
    Wrong {
        /// Where, and what.
        place: Box<Place>,
    },
}

/// What is wrong, and where. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name, or what stands for it.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The line's text.
    pub text: String,
    /// The field, with its section; empty where none is to blame.
    pub field: String,
    /// What is wrong, in words.
    pub message: String,
    /// What may have been meant.
    pub hint: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, text, field, message, hint } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        match field.as_str() {
            "" => write!(f, "{message} in line {line}")?,
            field => write!(f, "{field}: {message} in line {line}")?,
        }
        if let Some(hint) = hint {
            write!(f, ": {hint}")?;
        }
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {}^", " ".repeat(column - 1))
    }
}

impl Scenario {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| FileError::Unreadable { path: path.into(), why: error.to_string() })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a file that is called `file` in errors. Its numbers are not yet held against each
    /// other: flags may still change them.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        toml::from_str(text).map_err(|error| FileError::Wrong { place: Box::new(place(file, text, &error)) })
    }

    /// The scenario as a file.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

fn place(file: &str, text: &str, error: &toml::de::Error) -> Place {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let message = error.message().trim();
    let (message, hint) = in_plain_words(message);
    Place {
        file: file.into(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        text: text[line_start..].lines().next().unwrap_or_default().into(),
        field: field_at(text, start),
        message,
        hint,
    }
}

/// Says what the reader found in words that need no Rust.
fn in_plain_words(message: &str) -> (String, Option<String>) {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(String::from).collect::<Vec<_>>();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let names = quoted(rest);
        let (found, known) =
            names.split_first().map_or(("", &[][..]), |(found, known)| (found.as_str(), known));
        return (format!("unknown field `{found}`"), meant(found, known));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let names = quoted(rest);
        let (found, known) =
            names.split_first().map_or(("", &[][..]), |(found, known)| (found.as_str(), known));
        let hint =
            nearest(found, known.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
        return (format!("`{found}` is none of {}", known.join(", ")), hint);
    }
    let whole = "a whole number from 0 to 4294967295";
    let message = message
        .replace("expected u32", &format!("expected {whole}"))
        .replace("expected struct ", "expected the section ")
        .replace("invalid type: ", "found ")
        .replace("invalid value: ", "found ");
    (message, None)
}

/// The field that an unknown one was meant to be: of this section, or of another.
fn meant(found: &str, known: &[String]) -> Option<String> {
    let elsewhere = Scenario::fields().find(|field| field.name == found);
    if let Some(field) = elsewhere.filter(|_| !known.iter().any(|name| name == found)) {
        return Some(format!("it belongs in the section [{}]", field.section));
    }
    let near = nearest(found, known.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
    near.or_else(|| {
        let name = nearest(found, Scenario::fields().map(|field| field.name))?;
        let field = Scenario::fields().find(|field| field.name == name)?;
        Some(format!("did you mean `{name}` of the section [{}]?", field.section))
    })
}

/// The name, with its sections, of the innermost field whose key or value holds the byte at `offset`.
fn field_at(text: &str, offset: usize) -> String {
    let document = DeTable::parse(text).ok().map(|document| DeValue::Table(document.into_inner()));
    document.and_then(|document| field_in(&document, offset)).unwrap_or_default()
}

fn field_in(value: &DeValue<'_>, offset: usize) -> Option<String> {
    if let DeValue::Array(items) = value {
        return items.iter().find_map(|item| field_in(item.get_ref(), offset));
    }
    let DeValue::Table(table) = value else { return None };
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        let here = key.span().contains(&offset) || value.span().contains(&offset);
        match field_in(value.get_ref(), offset) {
            Some(inner) => Some(format!("{name}.{inner}")),
            None => here.then(|| name.to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Kind;

    fn wrong(text: &str) -> Place {
        match Scenario::parse("my.toml", text) {
            Err(FileError::Wrong { place }) => *place,
            other => panic!("{text}: {other:?}"),
        }
    }

    const HEAD: &str = "name = \"x\"\nkind = \"chat\"\n";

    #[test]
    fn an_unknown_field_is_told_with_its_line_and_the_nearest_name() {
        let error = Scenario::parse("my.toml", &format!("{HEAD}[clients]\nsokets = 5\n")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "my.toml:4:1: clients.sokets: unknown field `sokets` in line 4: did you mean `sockets`?\n  |\n4 | sokets = 5\n  | ^"
        );
    }

    #[test]
    fn a_field_in_another_section_is_sent_where_it_belongs() {
        let place = wrong(&format!("{HEAD}[traffic]\nramp = \"5/s\"\n"));
        assert_eq!(place.hint.as_deref(), Some("it belongs in the section [clients]"));
        let place = wrong(&format!("{HEAD}sokets = 5\n"));
        assert_eq!(place.hint.as_deref(), Some("did you mean `sockets` of the section [clients]?"));
        let place = wrong(&format!("{HEAD}[client]\n"));
        assert_eq!((place.line, place.hint.as_deref()), (3, Some("did you mean `clients`?")));
    }

    #[test]
    fn a_wrong_value_is_told_with_the_expected_form() {
        for (lines, line, field, message) in [
            (
                "[clients]\nhold = 25",
                4,
                "clients.hold",
                "found integer `25`, expected a duration: a number and a unit, such as \"25s\"",
            ),
            ("[clients]\nhold = \"25\"", 4, "clients.hold", "`25` is no duration: write a number and a unit"),
            (
                "[traffic]\n\nsend_rate = \"50\"",
                5,
                "traffic.send_rate",
                "`50` is no rate: write a number and what it is per",
            ),
            ("[traffic]\npayload = \"2k\"", 4, "traffic.payload", "`2k` is no size"),
            (
                "[clients]\njson = 0.5",
                4,
                "clients.json",
                "found floating point `0.5`, expected a share: \"0%\" to \"100%\"",
            ),
            ("[clients]\nsockets = -1", 4, "clients.sockets", "expected a whole number from 0 to 4294967295"),
            ("[clients]\nsockets = \"many\"", 4, "clients.sockets", "expected a whole number"),
            ("[clients]\nscope = \"relm\"", 4, "clients.scope", "`relm` is none of realm, none"),
            ("[[targets]]\naddresses = [\"https://a:1\"]", 4, "targets.addresses", "TLS"),
            (
                "[clients]\nsource_addresses = \"here\"",
                4,
                "clients.source_addresses",
                "`here` is no source address",
            ),
            ("[clients\n", 3, "", "table"),
        ] {
            let place = wrong(&format!("{HEAD}{lines}\n"));
            assert_eq!((place.line, place.field.as_str()), (line, field), "{lines}: {place}");
            assert!(place.message.contains(message), "{lines}: {place}");
        }
    }

    #[test]
    fn an_unknown_kind_and_a_missing_one_are_told() {
        let place = wrong("name = \"x\"\nkind = \"chatt\"\n");
        assert_eq!((place.line, place.column, place.hint.as_deref()), (2, 8, Some("did you mean `chat`?")));
        assert!(wrong("name = \"x\"\n").message.contains("missing field `kind`"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Scenario::read(Path::new("/nowhere/my.toml")).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/my.toml: "), "{error}");
    }

    #[test]
    fn a_scenario_written_as_a_file_is_read_back() {
        let mut scenario = Scenario::new("round", Kind::Soak);
        scenario.seed = Some(7);
        scenario.clients.source_addresses = "127.0.0.2-127.0.0.3".parse().unwrap();
        scenario.realms.users_file = "users.jsonl".parse().unwrap();
        assert_eq!(Scenario::parse("round", &scenario.to_toml().unwrap()), Ok(scenario));
    }
}
