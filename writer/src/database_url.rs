//! Where a PostgreSQL database is, and as whom.

use std::fmt;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// A PostgreSQL URL, such as `postgres://squall@db.example.com:5432/squall`; what follows a `?` is as PostgreSQL's
/// own programs take it. Its password is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Config);

/// A text that is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Another scheme, or no URL at all.
    #[error("not of the form postgres://USER@HOST:PORT/DATABASE")]
    Form,
    /// A part that can't be read.
    #[error("{0}; an @ of a password is written as %40, a % as %25")]
    Part(String),
    /// A part that is needed.
    #[error("names no {0}")]
    Missing(&'static str),
    /// Encryption is asked for, and there is none.
    #[error(
        "sslmode asks for TLS, which this program does not speak to PostgreSQL: \
         use a private network, or a proxy beside it that does"
    )]
    Tls,
}

impl DatabaseUrl {
    /// Takes `text` if it is a PostgreSQL URL.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DatabaseUrlError::Form);
        }
        let config: Config = text.parse().map_err(|error| wrong_part(&error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(DatabaseUrlError::Missing("host"));
        }
        // What stands behind the first @ of a password would be shown as the host.
        let is_odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if config.get_hosts().iter().any(is_odd) {
            return Err(DatabaseUrlError::Part("can't be read".into()));
        }
        if config.get_user().is_none() {
            return Err(DatabaseUrlError::Missing("user"));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(DatabaseUrlError::Tls);
        }
        Ok(Self(config))
    }

    /// The same with another password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.0.password(password);
        self
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0
    }
}

/// What can't be read, if it is an option: its name. Anything else may be a piece of the password.
fn wrong_part(error: &tokio_postgres::Error) -> DatabaseUrlError {
    let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let option = words.split('`').nth(1);
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match option.filter(is_name) {
        // Its other values, such as verify-full, ask for still more.
        Some("sslmode") => DatabaseUrlError::Tls,
        Some(option) if words.starts_with("unknown") => {
            DatabaseUrlError::Part(format!("unknown option {option}"))
        }
        Some(option) => DatabaseUrlError::Part(format!("no value for {option}")),
        None => DatabaseUrlError::Part("can't be read".into()),
    }
}

/// Without the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.0.get_user().unwrap_or_default())?;
        let ports = self.0.get_ports();
        for (index, host) in self.0.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = ports.get(index).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.0.get_dbname().or(self.0.get_user()).unwrap_or_default())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url = "postgres://me:s3cret@a:5433,b/db?target_session_attrs=read-write";
        let url = DatabaseUrl::parse(url).unwrap();
        assert_eq!(url.to_string(), "postgres://me@a:5433,b:5432/db");
        assert!(!format!("{url:?}").contains("s3cret"));
        let other = url.with_password("t0psecret");
        assert_eq!(other.config().get_password(), Some(&b"t0psecret"[..]));
        assert!(!format!("{other:?} {other}").contains("t0psecret"));
    }

    #[test]
    fn what_is_no_url_says_why_and_not_the_password() {
        for (url, words) in [
            ("mysql://me@host/db", "not of the form"),
            ("host=a user=b", "not of the form"),
            ("postgres://me:s3cret@/db", "names no host"),
            ("postgres://host/db", "names no user"),
            ("postgres://me:s3cret@host:port/db", "no value for port"),
            ("postgres://me:s3@cr:et@host/db", "no value for port"),
            ("postgres://me:cr@s3et@host/db", "an @ of a password is written as %40"),
            ("postgres://me:s3cret@host/db?sslrootcert=x", "unknown option sslrootcert"),
            ("postgres://me:s3cret@host/db?sslmode=require", "asks for TLS"),
            ("postgres://me:s3cret@host/db?sslmode=verify-full", "asks for TLS"),
        ] {
            let error = DatabaseUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
            assert!(!error.contains("s3"), "{error}");
        }
    }
}
