//! A client as SPEC.md asks for it.

use std::collections::BTreeMap;

use squall_protocol::UserId;
use squall_protocol::client_message::Status;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};

/// What it was told of everybody, and up to which change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) change: u64,
    pub(crate) shown: BTreeMap<UserId, Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Here(Status),
    Gone(u64),
}

impl Told {
    pub(crate) fn status(self) -> Option<Status> {
        match self {
            Self::Here(status) => Some(status),
            Self::Gone(_) => None,
        }
    }
}

impl Client {
    pub(crate) fn new(snapshot: &PresenceSnapshot) -> Self {
        let shown = named(&snapshot.active, &snapshot.idle, &snapshot.offline).collect();
        Self { change: snapshot.change, shown }
    }

    pub(crate) fn apply(&mut self, diff: &PresenceDiff) -> Result<(), String> {
        if diff.from != self.change {
            return Err(format!("a diff follows on {}, the client is at {}", diff.from, self.change));
        }
        self.shown.extend(named(&diff.active, &diff.idle, &diff.offline));
        self.change = diff.to;
        Ok(())
    }

    pub(crate) fn status(&self, user: UserId) -> Option<Status> {
        self.shown.get(&user).copied().and_then(Told::status)
    }
}

fn named<'a>(
    active: &'a [UserId],
    idle: &'a [UserId],
    offline: &'a [(UserId, u64)],
) -> impl Iterator<Item = (UserId, Told)> + 'a {
    let active = active.iter().map(|user| (*user, Told::Here(Status::Active)));
    let idle = idle.iter().map(|user| (*user, Told::Here(Status::Idle)));
    let offline = offline.iter().map(|(user, heard_s)| (*user, Told::Gone(*heard_s)));
    active.chain(idle).chain(offline)
}
