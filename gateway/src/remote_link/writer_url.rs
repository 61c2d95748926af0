//! Where a writer is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `http://HOST:PORT` of a writer's `--link-listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriterUrl {
    authority: String,
}

/// A text that names no writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriterUrlError;

impl WriterUrl {
    /// `HOST:PORT`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it is on this machine, so that nobody else can listen to what is said.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for WriterUrl {
    type Err = WriterUrlError;

    fn from_str(text: &str) -> Result<Self, WriterUrlError> {
        let authority = text.strip_prefix("http://").ok_or(WriterUrlError)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or(WriterUrlError)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_host = !host.is_empty() && (is_bracketed || !host.contains(':'));
        let is_plain = authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte));
        match port.parse::<u16>() {
            Ok(1..) if is_host && is_plain => Ok(Self { authority: authority.to_owned() }),
            Ok(_) | Err(_) => Err(WriterUrlError),
        }
    }
}

impl fmt::Display for WriterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl fmt::Display for WriterUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a writer is named as http://HOST:PORT, the address of its --link-listen")
    }
}

impl std::error::Error for WriterUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_named_by_scheme_host_and_port() {
        for (text, authority) in [
            ("http://127.0.0.1:9082", "127.0.0.1:9082"),
            ("http://writer-1.internal:9082/", "writer-1.internal:9082"),
            ("http://[::1]:9082", "[::1]:9082"),
        ] {
            assert_eq!(text.parse::<WriterUrl>().unwrap().authority(), authority);
        }
        for text in [
            "",
            "127.0.0.1:9082",
            "https://x:1",
            "http://x",
            "http://:1",
            "http://x:0",
            "http://x:99999",
            "http://::1:9082",
            "http://x:1/path",
            "http://user@x:1",
            "http://x y:1",
        ] {
            assert!(text.parse::<WriterUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is_loopback = |text: &str| text.parse::<WriterUrl>().unwrap().is_loopback();
        for local in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
            assert!(is_loopback(local), "{local}");
        }
        for other in ["http://10.0.0.1:1", "http://localhost.example:1", "http://[fd00::1]:1"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
