//! The plain model: it keeps every event with its whole audience, and everything that every client was told,
//! and judges it all at the end.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::event::Role;
use squall_protocol::{Destination, Event, Mark, StreamId, UserId};

use crate::audit::{Fault, RealmSetup};

/// A realm's whole log, with who was entitled to each event.
pub(super) struct PlainRealm {
    pub(super) setup: RealmSetup,
    roles: BTreeMap<UserId, Role>,
    streams: BTreeMap<StreamId, BTreeSet<UserId>>,
    /// The first one follows on the head.
    pub(super) log: Vec<PlainEvent>,
}

pub(super) struct PlainEvent {
    pub(super) mark: Mark,
    pub(super) event: Event,
    pub(super) audience: BTreeSet<UserId>,
    /// No client is ever told.
    pub(super) is_swallowed: bool,
}

/// What a client was told, and what else happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// From here on it is owed all it may see.
    Begin(u64),
    Saw(u64),
    Passed(u64),
    /// The answer to a send of its user named this place; whether it named the right message.
    Answered(u64, bool),
    /// It stays away from here on.
    Gone,
}

/// One client's whole story.
pub(super) struct PlainClient {
    pub(super) realm: usize,
    pub(super) user: UserId,
    pub(super) is_here: bool,
    pub(super) told: Vec<Told>,
}

/// A fault, the client (none: of all), the realm, the sequence.
pub(super) type Finding = (Fault, Option<usize>, usize, u64);

impl PlainRealm {
    pub(super) fn new(setup: RealmSetup) -> Self {
        let roles = setup.users.iter().copied().collect();
        let streams = setup.streams.iter().map(|(stream, users)| (*stream, users.iter().copied().collect()));
        Self { roles, streams: streams.collect(), log: Vec::new(), setup }
    }

    pub(super) fn head(&self) -> u64 {
        self.setup.head.sequence.0 + self.log.len() as u64
    }

    pub(super) fn at(&self, sequence: u64) -> Option<&PlainEvent> {
        let index = sequence.checked_sub(self.setup.head.sequence.0 + 1)?;
        self.log.get(usize::try_from(index).ok()?)
    }

    pub(super) fn members(&self, stream: StreamId) -> Vec<UserId> {
        self.streams.get(&stream).map(|members| members.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn role(&self, user: UserId) -> Option<Role> {
        self.roles.get(&user).copied()
    }

    /// SPEC.md's table, word for word.
    pub(super) fn append(&mut self, mark: Mark, event: Event, is_swallowed: bool) -> u64 {
        let audience = match &event {
            Event::Message(message) => match &message.to {
                Destination::Stream { stream_id, .. } => {
                    self.streams.get(stream_id).cloned().unwrap_or_default()
                }
                Destination::Direct { user_ids } => user_ids.iter().copied().collect(),
            },
            Event::StreamCreated { stream } => {
                self.streams.entry(stream.stream_id).or_default();
                let regulars = self.roles.iter().filter(|(_, role)| **role != Role::Guest);
                if stream.invite_only { BTreeSet::new() } else { regulars.map(|(user, _)| *user).collect() }
            }
            Event::MembersAdded { stream, user_ids, .. } => {
                let members = self.streams.entry(stream.stream_id).or_default();
                members.extend(user_ids.iter().copied());
                members.clone()
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                let members = self.streams.entry(*stream_id).or_default();
                let before = members.clone();
                user_ids.iter().for_each(|user| _ = members.remove(user));
                before
            }
            Event::UserAdded { user } | Event::UserUpdated { user, .. } => {
                self.roles.insert(user.user_id, user.role);
                self.roles.keys().copied().collect()
            }
            Event::CredentialChanged { user_id } => BTreeSet::from([*user_id]),
        };
        self.log.push(PlainEvent { mark, event, audience, is_swallowed });
        self.head()
    }
}

/// All faults, judged from the whole stories; and whether some client's memberships were
/// doubtful, so that what seems wrong with it proves nothing.
pub(super) fn judge(realms: &[PlainRealm], clients: &[PlainClient]) -> (Vec<Finding>, bool) {
    let known: Vec<BTreeSet<u64>> = (0..realms.len())
        .map(|realm| {
            let stories = clients.iter().filter(|client| client.realm == realm);
            let seen = stories.flat_map(|client| &client.told).filter_map(|told| match told {
                Told::Saw(sequence) => Some(*sequence),
                Told::Begin(_) | Told::Passed(_) | Told::Answered(..) | Told::Gone => None,
            });
            seen.collect()
        })
        .collect();
    let mut findings = Vec::new();
    let mut doubtful = false;
    for (index, client) in clients.iter().enumerate() {
        let realm = &realms[client.realm];
        doubtful |= Story::new(index, client, realm, &known[client.realm]).judge(&mut findings);
    }
    findings.sort_unstable();
    (findings, doubtful)
}

struct Story<'a> {
    index: usize,
    client: &'a PlainClient,
    realm: &'a PlainRealm,
    known: &'a BTreeSet<u64>,
    start: Option<u64>,
    position: u64,
    /// In this span.
    seen: BTreeSet<u64>,
    answers: Vec<(u64, bool)>,
    is_unsure: bool,
}

impl<'a> Story<'a> {
    fn new(index: usize, client: &'a PlainClient, realm: &'a PlainRealm, known: &'a BTreeSet<u64>) -> Self {
        Self {
            index,
            client,
            realm,
            known,
            start: None,
            position: realm.setup.head.sequence.0,
            seen: BTreeSet::new(),
            answers: Vec::new(),
            is_unsure: false,
        }
    }

    fn judge(mut self, findings: &mut Vec<Finding>) -> bool {
        let mut is_gone = false;
        for told in &self.client.told {
            match *told {
                Told::Begin(from) => {
                    self.end_span(self.position, findings);
                    self.is_unsure |=
                        (self.position + 1..=from).any(|sequence| !self.known.contains(&sequence));
                    (self.start, self.position) = (Some(from), from);
                    self.seen.clear();
                }
                Told::Saw(sequence) if sequence > self.position => {
                    self.seen.insert(sequence);
                    self.position = sequence;
                }
                Told::Saw(sequence) if self.seen.insert(sequence) => {
                    findings.push((Fault::Reordered, Some(self.index), self.client.realm, sequence));
                }
                Told::Saw(sequence) => {
                    findings.push((Fault::Duplicated, Some(self.index), self.client.realm, sequence));
                }
                Told::Passed(sequence) => self.position = self.position.max(sequence),
                Told::Answered(sequence, is_right) => {
                    let is_bound = self.start.is_some_and(|start| start < sequence);
                    if !is_right && self.known.contains(&sequence) {
                        findings.push((Fault::Inconsistent, None, self.client.realm, sequence));
                    } else if is_bound {
                        self.answers.push((sequence, is_right));
                    }
                }
                Told::Gone => is_gone = true,
            }
        }
        let end = if self.client.is_here && !is_gone { u64::MAX } else { self.position };
        self.end_span(end, findings);
        self.is_unsure
    }

    fn end_span(&mut self, passed: u64, findings: &mut Vec<Finding>) {
        let Some(start) = self.start else { return };
        let realm = self.client.realm;
        for (sequence, _) in std::mem::take(&mut self.answers) {
            if sequence <= passed && !self.known.contains(&sequence) {
                findings.push((Fault::NeverSeen, None, realm, sequence));
            }
        }
        for sequence in start + 1..=passed.min(self.realm.head()) {
            let Some(event) = self.realm.at(sequence) else { continue };
            let is_entitled = event.audience.contains(&self.client.user);
            let fault = match (is_entitled, self.seen.contains(&sequence)) {
                (true, false) if self.known.contains(&sequence) => Fault::Lost,
                (false, true) => Fault::Leaked,
                (true | false, _) => continue,
            };
            if !self.is_unsure {
                findings.push((fault, Some(self.index), realm, sequence));
            }
        }
    }
}
