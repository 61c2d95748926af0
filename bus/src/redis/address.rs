//! Where Redis is, as an operator writes it.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

/// A Redis, read from a URL:
///
/// ```text
/// redis://[[user:]password@]host[:6379][?prefix=NAME]
/// redis-sentinel://[[user:]password@]host[:26379]?sentinelServiceName=NAME[&node=host:port]…
///                  [&sentinelUsername=NAME][&sentinelPassword=WORD][&prefix=NAME]
/// redis-cluster://[[user:]password@]host[:6379][?node=host:port]…[&prefix=NAME]
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) deployment: Deployment,
    /// What every channel and key begins with.
    pub(super) prefix: String,
    pub(super) credentials: Credentials,
}

/// How Redis is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deployment {
    /// One server.
    Single(Server),
    /// A master that these Sentinels know by this name.
    Sentinel { sentinels: Vec<Server>, name: String, credentials: Credentials },
    /// Masters with a share of the slots each; some of them.
    Cluster(Vec<Server>),
}

/// A Redis server's or Sentinel's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What a server asks for first.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// Why a URL names no Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No URL at all.
    #[error("not a URL: {0}")]
    Url(String),
    /// Another scheme.
    #[error("{0}:// is none of redis://, redis-sentinel://, redis-cluster://")]
    Scheme(String),
    /// Encryption is asked for.
    #[error(
        "{0}:// asks for TLS, which this program does not speak to Redis: put a tunnel (stunnel) beside it"
    )]
    Tls(String),
    /// A part is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A parameter that means nothing here.
    #[error("no parameter {name:?} here; there are {known}")]
    Parameter {
        /// As it was written.
        name: String,
        /// Those that would mean something.
        known: String,
    },
    /// A value that can't be.
    #[error("{what} {value:?}: {expected}")]
    Value {
        /// Of what.
        what: &'static str,
        /// As it was written.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
}

/// What channels and keys begin with unless the URL says otherwise.
const PREFIX: &str = "squall";

/// The longest prefix: it is part of every channel and key.
const PREFIX_CHARS_MAX: usize = 32;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Address {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|error| AddressError::Url(error.to_string()))?;
        let scheme = url.scheme();
        let known: &[&str] = match scheme {
            "redis" => &["prefix"],
            "redis-sentinel" => {
                &["sentinelServiceName", "node", "sentinelUsername", "sentinelPassword", "prefix"]
            }
            "redis-cluster" => &["node", "prefix"],
            "rediss" | "rediss-sentinel" | "rediss-cluster" => return Err(AddressError::Tls(scheme.into())),
            other => return Err(AddressError::Scheme(other.into())),
        };
        let parameters = Parameters::read(&url, known)?;
        let port = if scheme == "redis-sentinel" { SENTINEL_PORT } else { REDIS_PORT };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::Missing("a host"))?;
        let first = Server { host: bare(host), port: url.port().unwrap_or(port) };
        let mut servers = vec![first.clone()];
        for node in parameters.all("node") {
            servers.push(Server::parse(node)?);
        }
        let deployment = match scheme {
            "redis" => {
                check_database(&url)?;
                Deployment::Single(first)
            }
            "redis-cluster" => Deployment::Cluster(servers),
            _ => {
                let name = parameters.one("sentinelServiceName");
                let name = name.ok_or(AddressError::Missing("sentinelServiceName"))?;
                let credentials = Credentials {
                    username: parameters.one("sentinelUsername"),
                    password: parameters.one("sentinelPassword"),
                };
                Deployment::Sentinel { sentinels: servers, name, credentials }
            }
        };
        let prefix = prefix(parameters.one("prefix"))?;
        Ok(Self { deployment, prefix, credentials: Credentials::of(&url)? })
    }

    /// Whether slots are spread over several servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.deployment, Deployment::Cluster(_))
    }
}

impl Server {
    /// `host:port`.
    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong =
            || AddressError::Value { what: "node", value: text.into(), expected: "host:port is expected" };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: bare(host), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

impl Credentials {
    fn of(url: &Url) -> Result<Self, AddressError> {
        let part = |what, text: &str| {
            let expected = "UTF-8, percent-encoded, is expected";
            let wrong = |_| AddressError::Value { what, value: "(hidden)".into(), expected };
            let decoded = percent_decode_str(text).decode_utf8().map_err(wrong)?;
            Ok(Some(decoded.into_owned()).filter(|decoded| !decoded.is_empty()))
        };
        let user = part("user", url.username())?;
        match url.password() {
            Some(password) => Ok(Self { username: user, password: part("password", password)? }),
            // Redis's own tools take a lone word for the password.
            None => Ok(Self { username: None, password: user }),
        }
    }
}

/// The parameters that a URL may have.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(url: &Url, known: &[&str]) -> Result<Self, AddressError> {
        let pairs: Vec<_> = url.query_pairs().map(|(name, value)| (name.into(), value.into())).collect();
        let unknown = pairs.iter().find(|(name, _): &&(String, String)| !known.contains(&name.as_str()));
        match unknown {
            Some((name, _)) => Err(AddressError::Parameter { name: name.clone(), known: known.join(", ") }),
            None => Ok(Self(pairs)),
        }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Option<String> {
        self.all(name).next().filter(|value| !value.is_empty()).map(str::to_owned)
    }
}

fn prefix(given: Option<String>) -> Result<String, AddressError> {
    let prefix = given.unwrap_or_else(|| PREFIX.into());
    // Braces would decide over slots, a colon over where the prefix ends.
    let plain = prefix.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char));
    if plain && prefix.len() <= PREFIX_CHARS_MAX {
        return Ok(prefix);
    }
    let expected = "at most 32 of a-z A-Z 0-9 - _ . are expected";
    Err(AddressError::Value { what: "prefix", value: prefix, expected })
}

/// Channels are the same in all databases: a number would promise a separation that there is not.
fn check_database(url: &Url) -> Result<(), AddressError> {
    match url.path() {
        "" | "/" | "/0" => Ok(()),
        other => Err(AddressError::Value {
            what: "database",
            value: other.trim_start_matches('/').into(),
            expected: "channels know no databases; tell two Squalls of one Redis apart by ?prefix=NAME",
        }),
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.password.is_some() { "(credentials)" } else { "(no credentials)" })
    }
}

/// Without the credentials.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |servers: &[Server]| {
            let servers: Vec<_> = servers.iter().map(Server::to_string).collect();
            servers.join(", ")
        };
        match &self.deployment {
            Deployment::Single(server) => write!(out, "Redis at {server}"),
            Deployment::Sentinel { sentinels, name, .. } => {
                write!(out, "Redis {name} by Sentinels at {}", list(sentinels))
            }
            Deployment::Cluster(servers) => write!(out, "Redis Cluster at {}", list(servers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port }
    }

    fn error(url: &str) -> String {
        Address::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_single_server_with_its_defaults() {
        let address = Address::parse("redis://redis.example.com").unwrap();
        assert_eq!(address.deployment, Deployment::Single(server("redis.example.com", 6379)));
        assert_eq!(address.prefix, "squall");
        assert_eq!(address.credentials, Credentials::default());
        let address = Address::parse("redis://[::1]:7000/0?prefix=a-b_c.d").unwrap();
        assert_eq!(address.deployment, Deployment::Single(server("::1", 7000)));
        assert_eq!(address.prefix, "a-b_c.d");
        assert_eq!(address.to_string(), "Redis at [::1]:7000");
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let address = Address::parse("redis://me:p%40ss%3A@h").unwrap();
        let Credentials { username, password } = &address.credentials;
        assert_eq!((username.as_deref(), password.as_deref()), (Some("me"), Some("p@ss:")));
        assert!(!format!("{address:?} {address} {:?}", address.credentials).contains("p@ss"));
        let address = Address::parse("redis://:word@h").unwrap();
        assert_eq!((address.credentials.username, address.credentials.password), (None, Some("word".into())));
        let address = Address::parse("redis://word@h").unwrap();
        assert_eq!((address.credentials.username, address.credentials.password), (None, Some("word".into())));
        assert!(!error("redis://me:%ff@h").contains("%ff"));
    }

    #[test]
    fn sentinels_and_clusters_name_their_nodes() {
        let url = "redis-sentinel://:pw@a?sentinelServiceName=main&node=b:1&node=[::1]:2&sentinelPassword=s";
        let Deployment::Sentinel { sentinels, name, credentials } = Address::parse(url).unwrap().deployment
        else {
            panic!("no Sentinels");
        };
        assert_eq!(sentinels, [server("a", 26379), server("b", 1), server("::1", 2)]);
        assert_eq!((name.as_str(), credentials.password.as_deref()), ("main", Some("s")));
        let address = Address::parse("redis-cluster://a:1?node=b:2").unwrap();
        assert_eq!(address.deployment, Deployment::Cluster(vec![server("a", 1), server("b", 2)]));
        assert!(address.is_cluster());
        assert_eq!(address.to_string(), "Redis Cluster at a:1, b:2");
    }

    #[test]
    fn what_names_no_redis_is_refused_with_the_reason() {
        for (url, words) in [
            ("nonsense", "not a URL"),
            ("http://a", "redis-sentinel"),
            ("rediss://a", "TLS"),
            ("rediss-cluster://a", "stunnel"),
            ("redis-sentinel://a", "sentinelServiceName is missing"),
            ("redis://a?node=b:1", "there are prefix"),
            ("redis-cluster://a?prefix=ok&nodes=b:1", "\"nodes\""),
            ("redis-cluster://a?node=b", "host:port"),
            ("redis-cluster://a?node=b:0", "host:port"),
            ("redis-cluster://a?node=:1", "host:port"),
            ("redis://a/1", "prefix=NAME"),
            ("redis://a?prefix={x}", "a-z"),
            ("redis://", "a host is missing"),
        ] {
            assert!(error(url).contains(words), "{url}: {}", error(url));
        }
    }
}
