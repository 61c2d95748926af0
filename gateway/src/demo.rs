//! The demo realm's users: their credentials in the data directory, and on the page for whoever sits at
//! this machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Request, Response, StatusCode};

use crate::config::Config;
use crate::http::{Body, full, text};

/// A user as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) full_name: String,
    pub(crate) email: String,
    pub(crate) key: String,
}

impl Credentials {
    /// Writes `demo/NAME.zuliprc` below `data_dir`, for its owner's eyes only.
    pub(crate) fn write(&self, data_dir: &Path, site: &str) -> io::Result<()> {
        let dir = data_dir.join("demo");
        fs::create_dir_all(&dir)?;
        let (path, scratch) =
            (dir.join(format!("{}.zuliprc", self.name)), dir.join(format!(".{}.new", self.name)));
        let _ = fs::remove_file(&scratch);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch)?;
        let Self { full_name, email, key, .. } = self;
        write!(file, "# {full_name}\n[api]\nemail={email}\nkey={key}\nsite={site}\n")?;
        file.sync_all()?;
        fs::rename(scratch, path)
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let value = |name: &str| {
            let line =
                text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == name));
            line.map(|(_, value)| value.trim().to_owned())
        };
        let name = path.file_stem()?.to_str()?.to_owned();
        let full_name = text.lines().next()?.trim_start_matches('#').trim().to_owned();
        Some(Self { name, full_name, email: value("email")?, key: value("key")? })
    }
}

/// The users whose files are below `data_dir`, by name.
pub(crate) fn read(data_dir: &Path) -> Vec<Credentials> {
    let Ok(files) = fs::read_dir(data_dir.join("demo")) else { return Vec::new() };
    let paths = files.flatten().map(|file| file.path());
    let zuliprcs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "zuliprc"));
    let mut users: Vec<_> = zuliprcs.filter_map(|path| Credentials::read(&path)).collect();
    users.sort_by(|one, other| one.name.cmp(&other.name));
    users
}

/// The demo users with their keys, for the page at this machine.
pub(crate) fn users(config: &Config, request: &Request<Incoming>, address: IpAddr) -> Response<Body> {
    if !is_at_this_machine(config, request.headers(), address) {
        return text(StatusCode::NOT_FOUND, "the demo users are shown on this machine only");
    }
    let users: Vec<_> = (read(&config.data_dir).into_iter())
        .map(|user| {
            serde_json::json!({
                "name": user.name, "full_name": user.full_name, "email": user.email, "key": user.key,
            })
        })
        .collect();
    if users.is_empty() {
        return text(StatusCode::NOT_FOUND, "there are no demo users");
    }
    let mut response = Response::new(full(serde_json::Value::from(users).to_string().into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether whoever asks sits at this machine: the connection, the host it asked for and the page it comes from
/// must all be local, or whoever reaches the port could be any of the demo users. A server that is told its
/// public address has a proxy in front, through which everybody looks local.
fn is_at_this_machine(config: &Config, headers: &HeaderMap, address: IpAddr) -> bool {
    let is_local = |name| headers.get(name).is_none_or(|value| value.to_str().is_ok_and(is_local_host));
    let is_forwarded = headers.keys().any(|name| name.as_str().contains("forwarded"));
    let is_direct = config.public_url.is_none() && !is_forwarded;
    let is_loopback = config.listen.ip().is_loopback() && address.is_loopback();
    is_direct && is_loopback && is_local(HOST) && is_local(ORIGIN)
}

/// Whether `host` (with or without scheme and port) names this machine: a name that merely resolves to it
/// does not count.
fn is_local_host(host: &str) -> bool {
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;

    fn shown(options: &[&str], headers: &[(&'static str, &'static str)], address: [u8; 4]) -> bool {
        let config = Config::parse_from([&["gateway"], options].concat());
        let headers = headers.iter().map(|(name, value)| {
            (hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        is_at_this_machine(&config, &headers.collect(), address.into())
    }

    #[test]
    fn keys_are_shown_to_whoever_sits_here_and_to_nobody_else() {
        const HERE: [u8; 4] = [127, 0, 0, 1];
        let own = [("host", "127.0.0.1:8470"), ("origin", "http://127.0.0.1:8470")];
        assert!(shown(&[], &own, HERE));
        assert!(!shown(&[], &own, [10, 0, 0, 7]), "from another machine");
        assert!(!shown(&["--listen", "0.0.0.0:8470"], &own, HERE), "open to other machines");
        assert!(!shown(&["--public-url", "https://chat.example.com"], &own, HERE), "behind a proxy");
        assert!(!shown(&[], &[("x-forwarded-for", "10.0.0.7")], HERE), "through a proxy");
        assert!(!shown(&[], &[("host", "rebound.example:8470")], HERE), "by a name that leads here");
        assert!(!shown(&[], &[own[0], ("origin", "https://evil.example")], HERE), "from another's page");
    }

    #[test]
    fn credentials_come_back_from_a_file_that_only_its_owner_reads() {
        let dir = std::env::temp_dir().join(format!("squall-demo-{}", std::process::id()));
        let user = Credentials {
            name: "ada".into(),
            full_name: "Ada L".into(),
            email: "ada@demo.example".into(),
            key: "k".into(),
        };
        user.write(&dir, "http://127.0.0.1:1").unwrap();
        user.write(&dir, "http://127.0.0.1:2").unwrap();
        let mode = fs::metadata(dir.join("demo/ada.zuliprc")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            fs::read_to_string(dir.join("demo/ada.zuliprc")).unwrap().contains("site=http://127.0.0.1:2")
        );
        assert_eq!(read(&dir), [user]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost:8470", "127.0.0.1:8470", "[::1]:8470", "http://localhost:1", "127.0.0.1"] {
            assert!(is_local_host(local), "{local}");
        }
        for other in ["evil.example:8470", "http://10.0.0.1", "localhost.evil.example", "", "null"] {
            assert!(!is_local_host(other), "{other}");
        }
    }
}
