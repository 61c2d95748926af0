//! Devices: where each is connected, how it gets away, and when it is back.

use squall_protocol::client_message::Status;
use squall_protocol::{SessionId, UserId};

use crate::judge::NOTICE_MS;
use crate::node::Input;
use crate::world::World;

/// How often a device that is there says what its user does.
const BEAT_MS: u64 = 25_000;

pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) is_active: bool,
    pub(crate) line: Line,
}

pub(crate) enum Line {
    /// On a node, by its place; its connection's place in the record.
    On {
        place: usize,
        connection: usize,
        beat_ms: u64,
    },
    Off {
        back_ms: u64,
    },
}

/// A connection whose device is gone, and whose node has yet to notice.
pub(crate) struct Dead {
    pub(crate) place: usize,
    pub(crate) connection: usize,
    pub(crate) heard_ms: u64,
}

impl Device {
    pub(crate) fn status(&self) -> Status {
        if self.is_active { Status::Active } else { Status::Idle }
    }
}

impl World {
    /// What devices do by themselves: come back, say that they live; and what nodes notice of those that don't.
    pub(crate) fn run_devices(&mut self, may_come: bool) {
        for index in 0..self.devices.len() {
            match self.devices[index].line {
                Line::Off { back_ms } if may_come && back_ms <= self.now_ms => self.connect(index),
                Line::On { beat_ms, .. } if beat_ms + BEAT_MS <= self.now_ms => self.beat(index),
                Line::On { .. } | Line::Off { .. } => {}
            }
        }
        let now_ms = self.now_ms;
        let (noticed, dead): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.dead).into_iter().partition(|dead| dead.heard_ms + NOTICE_MS <= now_ms);
        self.dead = dead;
        for Dead { place, connection, heard_ms } in noticed {
            self.disconnect(place, connection, heard_ms);
        }
    }

    fn connect(&mut self, index: usize) {
        let user = self.devices[index].user;
        let open: Vec<_> = (0..self.nodes.len())
            .filter(|place| {
                self.nodes[*place]
                    .as_ref()
                    .is_some_and(|node| node.is_open() && !node.is_stalled(self.now_ms))
            })
            .collect();
        let (Some(place), false) = (self.rng.pick(&open).copied(), self.record.is_deactivated(user)) else {
            return;
        };
        self.sessions += 1;
        let (device, status) = (SessionId(self.sessions), self.devices[index].status());
        let Some(node) = &mut self.nodes[place] else { return };
        node.tell(Input::Connect(user, device, status));
        let connection = self.record.connect(user, device, node.source(), status, self.now_ms);
        self.devices[index].line = Line::On { place, connection, beat_ms: self.now_ms };
        self.tally.connects += 1;
        self.note(user, || format!("connects to node {place} as {status:?}"));
    }

    /// It says what its user does.
    pub(crate) fn beat(&mut self, index: usize) {
        let status = self.devices[index].status();
        let Line::On { place, connection, ref mut beat_ms } = self.devices[index].line else { return };
        *beat_ms = self.now_ms;
        let connection = &mut self.record.connections[connection];
        connection.reports.push((self.now_ms, status));
        let device = connection.device;
        if let Some(node) = &mut self.nodes[place] {
            node.tell(Input::Report(device, status));
        }
    }

    /// It turns to something else, or back.
    pub(crate) fn turn(&mut self, index: usize) {
        self.devices[index].is_active = !self.devices[index].is_active;
        self.beat(index);
        let (user, status) = (self.devices[index].user, self.devices[index].status());
        self.note(user, || format!("says it is {status:?}"));
    }

    /// It goes, with a goodbye or without, and will be back after `away_ms`.
    pub(crate) fn go(&mut self, index: usize, away_ms: u64, says_goodbye: bool) {
        let Line::On { place, connection, beat_ms } = self.devices[index].line else { return };
        let user = self.devices[index].user;
        self.devices[index].line = Line::Off { back_ms: self.now_ms + away_ms };
        self.record.connections[connection].end_ms = Some(self.now_ms);
        if says_goodbye {
            self.disconnect(place, connection, self.now_ms);
        } else {
            self.dead.push(Dead { place, connection, heard_ms: beat_ms });
        }
        self.note(user, || {
            let how = if says_goodbye { "leaves" } else { "vanishes from" };
            format!("{how} node {place}, to be back in {away_ms} ms")
        });
    }

    fn disconnect(&mut self, place: usize, connection: usize, heard_ms: u64) {
        let connection = &mut self.record.connections[connection];
        connection.noticed_ms = Some(self.now_ms);
        let (device, user) = (connection.device, connection.user);
        if let Some(node) = &mut self.nodes[place] {
            node.tell(Input::Disconnect(device, heard_ms));
        }
        self.note(user, || format!("is found gone by node {place}"));
    }
}
