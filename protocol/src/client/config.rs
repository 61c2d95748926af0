//! What a client is started with.

use std::fmt;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::client_message::{Scope, Status};
use crate::codec::Codec;
use crate::limits::SENDS_IN_FLIGHT_MAX;
use crate::position::Position;

use super::error::ConfigError;

/// Where to connect, as whom, and from where to go on.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The gateway's WebSocket: `ws://host:port/ws`.
    pub url: String,
    /// The user's API key.
    pub token: String,
    /// What the user does at the start; `active` by default.
    pub presence: Status,
    /// Whose presence to be told; the realm's by default.
    pub scope: Scope,
    /// The last position that was dealt with, from an earlier life of this program: what came after it is
    /// told. By default none: the client begins at the log's head.
    pub position: Option<Position>,
    /// How messages are written on the wire; JSON by default.
    pub codec: Codec,
    /// Sends and membership changes that may wait for their answers; 1,024 by default, of at most 64 KiB
    /// each. One more fails with [`SendError::Full`](super::SendError::Full).
    pub unanswered_max: usize,
    /// Updates that may wait to be taken; 1,024 by default, of at most 64 KiB each as a rule (a presence
    /// snapshot grows with the realm). When there are more, the client leaves out what comes next and, once
    /// all were taken, fetches it again by a resume: nothing is lost, and sends are answered meanwhile.
    pub updates_max: usize,
}

impl Config {
    /// The defaults, for this gateway and user.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            presence: Status::default(),
            scope: Scope::default(),
            position: None,
            codec: Codec::default(),
            unanswered_max: 4 * SENDS_IN_FLIGHT_MAX,
            updates_max: 1_024,
        }
    }

    /// The defaults, for the server and user that a credentials file in the format of Zulip's clients
    /// names: `key` and `site` of its section `[api]`.
    ///
    /// # Errors
    /// [`ConfigError::Credentials`] if one is not there.
    pub fn from_zuliprc(text: &str) -> Result<Self, ConfigError> {
        let value = |name: &'static str| {
            let mut fields = text.lines().filter_map(|line| line.split_once('='));
            let field = fields.find(|(key, _)| key.trim() == name);
            field.map(|(_, value)| value.trim()).ok_or(ConfigError::Credentials(name))
        };
        let (site, key) = (value("site")?, value("key")?);
        let host = site.split_once("://").map_or(site, |(_, host)| host).trim_end_matches('/');
        let scheme = if site.starts_with("https://") { "wss" } else { "ws" };
        Ok(Self::new(format!("{scheme}://{host}/ws"), key))
    }
}

/// Without the token: it is a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("presence", &self.presence)
            .field("scope", &self.scope)
            .field("position", &self.position)
            .field("codec", &self.codec)
            .field("unanswered_max", &self.unanswered_max)
            .field("updates_max", &self.updates_max)
            .finish_non_exhaustive()
    }
}

/// A gateway's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) uri: Uri,
    /// A name or an address, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let no_url = || ConfigError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| no_url())?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(ConfigError::Tls),
            Some(_) | None => return Err(no_url()),
        }
        let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned());
        let host = host.filter(|host| !host.is_empty()).ok_or_else(no_url)?;
        let port = uri.port_u16().unwrap_or(HTTP_PORT);
        Ok(Self { uri, host, port })
    }
}

const HTTP_PORT: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let parsed = |url| Endpoint::parse(url).map(|endpoint| (endpoint.host, endpoint.port));
        assert_eq!(parsed("ws://chat.example:8470/ws"), Ok(("chat.example".into(), 8470)));
        assert_eq!(parsed("ws://chat.example/ws"), Ok(("chat.example".into(), 80)));
        assert_eq!(parsed("ws://[::1]:8470/ws"), Ok(("::1".into(), 8470)));
    }

    #[test]
    fn what_is_no_address_of_a_gateway_is_refused() {
        assert_eq!(Endpoint::parse("wss://chat.example/ws"), Err(ConfigError::Tls));
        for url in ["", "chat.example", "http://chat.example/ws", "ws://", "ws:///ws", "ws://a b/ws", "/ws"] {
            assert_eq!(Endpoint::parse(url), Err(ConfigError::Url(url.into())), "{url}");
        }
    }

    #[test]
    fn a_credentials_file_names_server_and_user() {
        let config = |site: &str| {
            Config::from_zuliprc(&format!("[api]\nemail=ada@demo\nkey=s3cret=\nsite = {site}\n")).unwrap()
        };
        assert_eq!(config("http://127.0.0.1:8470"), Config::new("ws://127.0.0.1:8470/ws", "s3cret="));
        assert_eq!(config("https://chat.example/").url, "wss://chat.example/ws");
        assert_eq!(config("chat.example").url, "ws://chat.example/ws");
        let lacking = |text| Config::from_zuliprc(text).unwrap_err();
        assert_eq!(lacking("[api]\nkey=x"), ConfigError::Credentials("site"));
        assert_eq!(lacking("[api]\nsite=x"), ConfigError::Credentials("key"));
    }

    #[test]
    fn a_config_is_printed_without_its_token() {
        let printed = format!("{:?}", Config::new("ws://chat.example/ws", "s3cret"));
        assert!(printed.contains("chat.example") && !printed.contains("s3cret"), "{printed}");
    }
}
