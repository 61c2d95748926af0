//! The known name that a mistyped one was meant to be.

/// How alike two names must be (1 is equal) to be offered.
const LIKENESS_MIN: f64 = 0.7;

/// The name among `known` that is most like `typed`, if one is.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["sockets", "send_rate", "settle"];
        assert_eq!(nearest("sokets", known), Some("sockets"));
        assert_eq!(nearest("sendrate", known), Some("send_rate"));
        assert_eq!(nearest("xyzzy", known), None);
    }
}
