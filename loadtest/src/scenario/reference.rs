//! The reference of all fields, `loadtest/scenarios/README.md`: written from their declarations.

use super::Scenario;

/// The whole file.
fn reference() -> String {
    let mut text = String::from(HEAD);
    let mut section = "";
    for field in Scenario::fields() {
        if field.section != section {
            section = field.section;
            text.push_str(&format!("\n## `[{section}]`\n\n| field | default | |\n|---|---|---|\n"));
        }
        let words = field.words.split_whitespace().collect::<Vec<_>>().join(" ");
        let default = (field.default)();
        let (before, after) = words.split_once(" Default: ").unwrap_or((&words, ""));
        let rest = after.strip_prefix(default.as_str()).unwrap_or(after).trim_start_matches(['.', ' ']);
        let words = format!("{before} {rest}").trim().replace('|', "\\|");
        text.push_str(&format!("| `{}` | {default} | {words} |\n", field.name));
    }
    text
}

const HEAD: &str = "\
# The fields of a scenario

A scenario is a TOML file; the ones here come with the load tester. Every field has a flag of its name (`send_rate` is \
`--send-rate`), and what is left out is the default. Times are written `500ms`, `25s`, `1m 30s`, `2h`; sizes `200B`, \
`2KiB`; rates `50/s`, `200/min`; shares `10%`.

At the top of the file:

| field | default | |
|---|---|---|
| `name` | | its name in results and reports |
| `kind` | | what it is mainly about: `connect`, `fanout`, `chat`, `resume`, `herd`, `slow`, `presence`, `soak`. \
A run does what its fields say, whatever the kind; the kind says which of them may not be nothing |
| `about` | nothing | what it shows |
| `seed` | a new one each time | what all chance comes from, below 4294967296 |
| `[[targets]]` | a gateway on this machine | what is put under load, once for each server or cluster: \
`addresses = [\"http://HOST:PORT\", …]`, and `admin = \"http://HOST:PORT\"`, where realms and users are made \
(`--target` and `--admin`) |
";

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/README.md");

    #[test]
    fn the_reference_is_written_from_the_declarations() {
        if std::env::var_os("WRITE_REFERENCE").is_some() {
            std::fs::write(PATH, reference()).unwrap();
        }
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(
            written == reference(),
            "scenarios/README.md is out of date: WRITE_REFERENCE=1 cargo test -p squall-loadtest reference"
        );
    }

    #[test]
    fn every_field_is_in_it_with_its_default_once() {
        let text = reference();
        for field in Scenario::fields() {
            assert_eq!(text.matches(&format!("| `{}` |", field.name)).count(), 1, "{}", field.name);
        }
        assert!(!text.contains("Default: "), "{text}");
    }
}
