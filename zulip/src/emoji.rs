//! Emojis by name, and as Zulip codes them.

/// The code of the Unicode emoji that people call so: its code points in hexadecimal, without the selector of its
/// variant. None if nothing is called so.
#[must_use]
pub fn code(name: &str) -> Option<String> {
    let emoji = emojis::get_by_shortcode(name).or_else(|| {
        // Zulip's names are Unicode's, mostly: `thumbs_up`.
        let words = name.replace('_', " ");
        emojis::iter().find(|emoji| emoji.name() == words)
    })?;
    let points = emoji.as_str().chars().filter(|point| *point != VARIANT);
    let points: Vec<String> = points.map(|point| format!("{:x}", u32::from(point))).collect();
    Some(points.join("-"))
}

/// Whether `code` is one of an emoji: hexadecimal numbers with `-` between.
#[must_use]
pub fn is_code(code: &str) -> bool {
    !code.is_empty() && code.split('-').all(|point| (2..=6).contains(&point.len()) && is_hexadecimal(point))
}

fn is_hexadecimal(point: &str) -> bool {
    point.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The selector of the colourful variant of a character.
const VARIANT: char = '\u{fe0f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emojis_are_known_by_both_of_their_names() {
        for (name, expected) in [
            ("octopus", Some("1f419")),
            ("+1", Some("1f44d")),
            ("thumbs_up", Some("1f44d")),
            ("heart", Some("2764")),
            ("no_such_thing", None),
        ] {
            assert_eq!(code(name).as_deref(), expected, "{name}");
        }
        assert!(is_code("1f1e6-1f1e7") && !is_code("") && !is_code("1F600") && !is_code("1f600-"));
    }
}
