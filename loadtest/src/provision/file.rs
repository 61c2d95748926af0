//! Users who are there already, from a file: JSON lines as the operator's API answers them, or a directory
//! of Zulip's `zuliprc` files.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use squall_protocol::{RealmId, StreamId, UserId};

use super::ground::{Realm, User};
use super::http::{Credentials, Http};
use super::making::{Apis, head, number};
use crate::engine::{StreamPlan, probe};

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct FileUser {
    pub(crate) email: String,
    /// Its API key.
    #[serde(alias = "key", alias = "token")]
    pub(crate) api_key: String,
    /// Its realm's id, if the file tells it: users of one realm are then asked for it only once.
    #[serde(default)]
    pub(crate) realm_id: Option<u64>,
}

/// Reads the users of a file, or of all `*zuliprc` files of a directory.
pub(crate) fn read_users_file(path: &Path) -> Result<Vec<FileUser>> {
    let users = if path.is_dir() { read_directory(path)? } else { read_lines(path)? };
    ensure!(!users.is_empty(), "{} names no user", path.display());
    Ok(users)
}

fn read_lines(path: &Path) -> Result<Vec<FileUser>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    if text.trim_start().starts_with("[api]") {
        return Ok(vec![zuliprc(&text).with_context(|| path.display().to_string())?]);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(index, line)| {
        serde_json::from_str(line).with_context(|| {
            let form = r#"{"email": "…", "api_key": "…", "realm_id": …}"#;
            format!("{}:{}: a user is written {form}", path.display(), index + 1)
        })
    };
    lines.map(read).collect()
}

fn read_directory(path: &Path) -> Result<Vec<FileUser>> {
    let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.to_string_lossy().ends_with("zuliprc"));
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let words = || file.display().to_string();
        zuliprc(&fs::read_to_string(file).with_context(words)?).with_context(words)
    };
    files.iter().map(read).collect()
}

/// `email` and `key` of the section `[api]`.
fn zuliprc(text: &str) -> Result<FileUser> {
    let fields = text.lines().filter_map(|line| line.split_once('='));
    let fields: BTreeMap<_, _> = fields.map(|(name, value)| (name.trim(), value.trim())).collect();
    let field =
        |name| fields.get(name).with_context(|| format!("no `{name}` in [api]")).map(ToString::to_string);
    Ok(FileUser { email: field("email")?, api_key: field("key")?, realm_id: None })
}

/// A target: its addresses and its APIs.
type TargetPlace = (Vec<SocketAddr>, Apis);

/// Finds out whose the keys are, and what the users are members of.
pub(crate) fn stand_on(users: Vec<FileUser>, targets: &[TargetPlace]) -> Result<Vec<Realm>> {
    let mut realms: BTreeMap<(u16, u64), Vec<FileUser>> = BTreeMap::new();
    let mut known: BTreeMap<u64, u16> = BTreeMap::new();
    for user in users {
        let place = match user.realm_id.and_then(|realm_id| Some((*known.get(&realm_id)?, realm_id))) {
            Some(place) => place,
            None => find(&user, targets)?,
        };
        known.insert(place.1, place.0);
        realms.entry(place).or_default().push(user);
    }
    let http = Http::new();
    let realms = realms.into_iter().map(|((target, realm_id), users)| {
        let apis = &targets[usize::from(target)].1;
        let realm = survey(&http, apis, target, RealmId(realm_id), &users);
        realm.with_context(|| format!("the users of realm {realm_id}"))
    });
    realms.collect()
}

/// The target that knows the user, and the user's realm there.
fn find(user: &FileUser, targets: &[TargetPlace]) -> Result<(u16, u64)> {
    let mut words = Vec::new();
    for ((addresses, _), index) in targets.iter().zip(0..) {
        let Some(address) = addresses.first() else { continue };
        match probe(*address, &user.api_key) {
            Ok(welcome) => return Ok((index, welcome.realm_id.0)),
            Err(error) => words.push(error.to_string()),
        }
    }
    bail!("no target takes the key of {}: {}", user.email, words.join("; "))
}

/// Reads users and memberships, until all are of one position.
fn survey(http: &Http, apis: &Apis, target: u16, realm_id: RealmId, users: &[FileUser]) -> Result<Realm> {
    for _ in 0..SURVEYS_MAX {
        let mut realm = read_realm(http, apis, target, realm_id, users)?;
        let first = realm.users.first().context("a realm without users")?;
        if head(http, apis, first)?.sequence == realm.head.sequence {
            realm.list_members();
            return Ok(realm);
        }
    }
    bail!("somebody else writes to it: take a realm that nobody else uses")
}

fn read_realm(http: &Http, apis: &Apis, target: u16, realm_id: RealmId, users: &[FileUser]) -> Result<Realm> {
    let (mut streams, mut places) = (Vec::new(), BTreeMap::new());
    let (mut found, mut head) = (Vec::new(), None);
    for user in users {
        let who = Credentials { email: &user.email, key: &user.api_key };
        let own = http.get(&format!("{}/api/v1/users/me", apis.users), who)?;
        head.get_or_insert(serde_json::from_value(own.get("as_of").cloned().unwrap_or_default())?);
        let answer = http.get(&format!("{}/api/v1/users/me/subscriptions", apis.users), who)?;
        let subscriptions = answer.get("subscriptions").and_then(Value::as_array);
        let mut of_user = Vec::new();
        for stream in subscriptions.context("no `subscriptions`")? {
            let stream_id = StreamId(number(stream, "stream_id")?);
            let place = *places.entry(stream_id).or_insert_with(|| {
                let invite_only = stream.get("invite_only").and_then(Value::as_bool).unwrap_or(false);
                streams.push(StreamPlan { stream_id, invite_only, members: Vec::new() });
                (streams.len() - 1) as u16
            });
            of_user.push(place);
        }
        of_user.sort_unstable();
        found.push(User {
            user_id: UserId(u32::try_from(number(&own, "user_id")?)?),
            email: user.email.clone(),
            key: user.api_key.clone(),
            is_guest: own.get("is_guest").and_then(Value::as_bool).unwrap_or(false),
            streams: of_user,
        });
    }
    Ok(Realm { target, realm_id, head: head.context("no users")?, streams, users: found })
}

/// Readings of a realm before it is given up as written to by others.
const SURVEYS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Vec<FileUser>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, text).unwrap();
        read_users_file(&path)
    }

    #[test]
    fn the_lines_that_the_operators_api_answers_are_read() {
        let users = file(
            "{\"realm_id\": 3, \"user_id\": 5, \"email\": \"a@x\", \"api_key\": \"k\"}\n\n{\"email\":\"b@x\",\"key\":\"l\"}\n",
        )
        .unwrap();
        let user = |email: &str, key: &str, realm_id| FileUser {
            email: email.into(),
            api_key: key.into(),
            realm_id,
        };
        assert_eq!(users, [user("a@x", "k", Some(3)), user("b@x", "l", None)]);
    }

    #[test]
    fn zuliprc_files_are_read_alone_or_from_a_directory() {
        let text = "[api]\nemail=a@x\nkey = k=\nsite=http://127.0.0.1:8470\n";
        let user = FileUser { email: "a@x".into(), api_key: "k=".into(), realm_id: None };
        assert_eq!(file(text).unwrap(), std::slice::from_ref(&user));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ada.zuliprc"), text).unwrap();
        fs::write(dir.path().join("other.txt"), "nothing").unwrap();
        assert_eq!(read_users_file(dir.path()).unwrap(), [user]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let words = |text: &str| format!("{:#}", file(text).unwrap_err());
        assert!(
            words("{\"email\":\"a@x\",\"key\":\"k\"}\n{\"email\":1}\n").contains(":2: a user is written"),
            "line"
        );
        assert!(words("\n").ends_with("names no user"));
        assert!(words("[api]\nemail=a@x\n").ends_with("no `key` in [api]"));
        assert!(format!("{:#}", read_users_file(Path::new("/nowhere")).unwrap_err()).starts_with("/nowhere"));
    }
}
