//! The command that runs the same again.

/// The command line of a run with its seed in it, ready for a shell. A seed that was given is kept.
#[must_use]
pub fn reproduce(arguments: &[String], seed: u32) -> String {
    let has_seed = arguments.iter().any(|argument| argument == "--seed" || argument.starts_with("--seed="));
    let seed = (!has_seed).then(|| format!("--seed {seed}"));
    arguments.iter().map(|argument| quoted(argument)).chain(seed).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%@+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.into()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(arguments: &[&str]) -> String {
        reproduce(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>(), 7)
    }

    #[test]
    fn the_command_has_the_seed_and_survives_a_shell() {
        assert_eq!(command(&["loadtest", "chat", "--hold", "25s"]), "loadtest chat --hold 25s --seed 7");
        assert_eq!(command(&["loadtest", "chat", "--seed", "9"]), "loadtest chat --seed 9");
        assert_eq!(command(&["loadtest", "chat", "--seed=9"]), "loadtest chat --seed=9");
        assert_eq!(
            command(&["l", "--expect", "p99<50ms", "it's"]),
            r"l --expect 'p99<50ms' 'it'\''s' --seed 7"
        );
    }
}
