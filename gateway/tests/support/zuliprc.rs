//! The credentials file that the server writes for each demo user.

use std::path::Path;

/// One user's credentials, as the official clients read them.
#[derive(Debug, Clone)]
pub(crate) struct Zuliprc {
    /// The HTTP user name.
    pub(crate) email: String,
    /// The API key: HTTP password and WebSocket token.
    pub(crate) key: String,
    /// The server's address.
    pub(crate) site: String,
}

impl Zuliprc {
    /// Reads the section `[api]` of the file at `path`.
    pub(crate) fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.lines().any(|line| line.trim() == "[api]"), "{} lacks [api]", path.display());
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_else(|| panic!("{} lacks {name}", path.display()))
        };
        Self { email: value("email"), key: value("key"), site: value("site") }
    }
}
