//! What is put under load, and from which addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::units::Form;

/// The most source addresses of one run.
pub const SOURCES_MAX: usize = 4_096;

/// One server, or one cluster behind several addresses: what shares one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where clients connect: each address of the cluster; sockets are dealt to them in turn.
    pub addresses: Vec<Address>,
    /// Where the operator's API is (`--admin-listen` of the gateway or of the writer); without it, users
    /// come from `users_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Address>,
}

/// `http://HOST:PORT`, or `ws://HOST:PORT`: the same place. The WebSocket's path is `/ws`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not of the form.
    #[error("`{0}` is no address: write \"http://HOST:PORT\", such as \"http://127.0.0.1:8470\"")]
    Form(String),
    /// It wants TLS.
    #[error("`{0}` wants TLS, which the load tester does not speak: name the plain address behind the proxy")]
    Tls(String),
}

impl Default for Target {
    /// Where `gateway` listens without any flags.
    fn default() -> Self {
        let local = |port| Address { host: "127.0.0.1".into(), port };
        Self { addresses: vec![local(8470)], admin: Some(local(8471)) }
    }
}

impl Address {
    /// The name or number of the host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is of this very machine, as far as its text tells.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.into());
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        match scheme {
            "http" | "ws" => {}
            "https" | "wss" => return Err(AddressError::Tls(text.into())),
            _ => return Err(form()),
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!(path, "" | "ws") {
            return Err(form());
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(form)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(form)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) => {
                host.parse::<std::net::Ipv6Addr>().map(|host| host.to_string()).map_err(|_| form())?
            }
            None => host.into(),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(named) || (bare.is_none() && host.contains(':')) {
            return Err(form());
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// The addresses sockets are opened from. One source address holds at most about 28,000 sockets to one
/// address of a server: that many local ports the kernel deals out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sources {
    /// As many loopback addresses as are needed for a server on loopback; else the kernel's choice.
    #[default]
    Auto,
    /// These, in turn.
    These(Vec<IpAddr>),
}

/// A text that is no list of source addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// A part of it is no address.
    #[error(
        "`{0}` is no source address: write \"auto\", or addresses and ranges such as \"127.0.0.2-127.0.0.9, 10.0.0.7\""
    )]
    Form(String),
    /// They are too many.
    #[error("{found} source addresses are more than {SOURCES_MAX}")]
    TooMany {
        /// How many were named.
        found: u64,
    },
}

impl FromStr for Sources {
    type Err = SourcesError;

    fn from_str(text: &str) -> Result<Self, SourcesError> {
        if text.trim() == "auto" {
            return Ok(Self::Auto);
        }
        let mut sources = Vec::new();
        for part in text.split(',').map(str::trim) {
            let form = || SourcesError::Form(part.into());
            let Some((first, last)) = part.split_once('-') else {
                sources.push(part.parse().map_err(|_| form())?);
                continue;
            };
            let bits = |end: &str| end.trim().parse().map(Ipv4Addr::to_bits).map_err(|_| form());
            let (first, last) = (bits(first)?, bits(last)?);
            if first > last {
                return Err(form());
            }
            let found = u64::from(last - first) + 1 + sources.len() as u64;
            if found > SOURCES_MAX as u64 {
                return Err(SourcesError::TooMany { found });
            }
            sources.extend((first..=last).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))));
        }
        match sources.len() {
            found if found > SOURCES_MAX => Err(SourcesError::TooMany { found: found as u64 }),
            _ => Ok(Self::These(sources)),
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::These(sources) => {
                let texts: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

impl TryFrom<String> for Sources {
    type Error = SourcesError;

    fn try_from(text: String) -> Result<Self, SourcesError> {
        text.parse()
    }
}

impl From<Sources> for String {
    fn from(sources: Sources) -> String {
        sources.to_string()
    }
}

impl Form for Sources {
    const FORM: &'static str = "ADDRESSES";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (text, shown) in [
            ("http://127.0.0.1:8470", "http://127.0.0.1:8470"),
            ("ws://chat.example.com:80/ws", "http://chat.example.com:80"),
            ("localhost:8470", "http://localhost:8470"),
            ("http://[::1]:8470/", "http://[::1]:8470"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
        assert!("http://[::1]:1".parse::<Address>().unwrap().is_loopback());
    }

    #[test]
    fn what_is_no_address_is_told_the_form() {
        for text in
            ["", "http://host", "http://:80", "ftp://h:1", "http://h:0", "http://h:1/path", "a b:1", "::1:80"]
        {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Form(text.into())), "{text}");
        }
        let tls = "wss://chat.example.com:443".parse::<Address>().unwrap_err().to_string();
        assert!(tls.contains("TLS"), "{tls}");
    }

    #[test]
    fn sources_are_lists_and_ranges() {
        let sources: Sources = "127.0.0.2-127.0.0.4, ::1".parse().unwrap();
        assert_eq!(sources.to_string(), "127.0.0.2, 127.0.0.3, 127.0.0.4, ::1");
        assert_eq!(sources.to_string().parse(), Ok(sources));
        assert_eq!("auto".parse(), Ok(Sources::Auto));
        for text in ["", "127.0.0.9-127.0.0.2", "here", "::1-::9"] {
            assert!(matches!(text.parse::<Sources>(), Err(SourcesError::Form(_))), "{text}");
        }
        let many = "10.0.0.0-10.255.255.255".parse::<Sources>().unwrap_err();
        assert_eq!(many.to_string(), "16777216 source addresses are more than 4096");
    }
}
