//! Text within a line: escaped, with its addresses as links.

use std::fmt::Write as _;

/// Appends `text` so that it shows as it stands.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

/// Whether a link may lead there: to the web, to mail, to a place on this server.
pub(super) fn is_safe(target: &str) -> bool {
    let lower = target.trim_start().to_ascii_lowercase();
    let scheme = ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme));
    scheme
        || (lower.starts_with('/') && !lower.starts_with("//") && !lower.starts_with("/\\"))
        || lower.starts_with('#')
}

/// Appends `text`, what looks like a web address in it as a link.
pub(super) fn write_with_links(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(start) = next_address(rest) {
        let (before, from) = rest.split_at(start);
        let address = address(from);
        escape(out, before);
        out.push_str("<a href=\"");
        escape(out, address);
        out.push_str("\">");
        escape(out, address);
        out.push_str("</a>");
        rest = &from[address.len()..];
    }
    escape(out, rest);
}

/// Where the next address begins: not within a word.
fn next_address(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let found = text[from..].find("http").map(|at| from + at)?;
        let begins = text[..found].chars().next_back().is_none_or(|before| !before.is_alphanumeric());
        let rest = &text[found..];
        let scheme = ["https://", "http://"].iter().find(|scheme| rest.starts_with(**scheme));
        if let (true, Some(scheme)) = (begins, scheme)
            && rest[scheme.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '[')
        {
            return Some(found);
        }
        from = found + "http".len();
    }
}

/// The address at the beginning of `text`, without the punctuation of the sentence around it.
fn address(text: &str) -> &str {
    let end = text.find(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"'));
    let mut address = &text[..end.unwrap_or(text.len())];
    while let Some(last) = address.chars().next_back() {
        let closes = last == ')' && address.matches('(').count() < address.matches(')').count();
        if !closes && !matches!(last, '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_') {
            break;
        }
        address = &address[..address.len() - last.len_utf8()];
    }
    address
}

/// Appends a part of Zulip's addresses within the page: percent-encoded, with `.` for `%`.
pub(super) fn write_hash_component(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, ".{other:02X}");
            }
        }
    }
}
