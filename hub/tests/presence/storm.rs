//! What happens in a world: people come, move and go; nodes die; the bus has its weather.

use squall_protocol::NodeId;

use crate::bus::Weather;
use crate::devices::{Dead, Line};
use crate::judge::GRACE_MS;
use crate::node::{Input, Node};
use crate::world::World;

/// What may happen now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Storm {
    pub(crate) moves: bool,
    pub(crate) crashes: bool,
    links: bool,
    silences: bool,
    writer: bool,
    stalls: bool,
}

impl World {
    /// Everything moves, and half of the kinds of faults happen.
    pub(crate) fn begin_storm(&mut self) {
        let rng = &mut self.rng;
        let of_weather = rng.per_mille(600);
        let mut maybe = |max| if of_weather && rng.per_mille(500) { rng.within(0..=max) } else { 0 };
        self.bus.set_weather(Weather { dropped: maybe(150), doubled: maybe(200), late: maybe(300) });
        self.writer.set_slow(maybe(300));
        let mut maybe = || self.rng.per_mille(500);
        self.storm = Storm {
            moves: true,
            crashes: maybe(),
            links: maybe(),
            silences: maybe(),
            writer: maybe(),
            stalls: maybe(),
        };
        let storm = self.storm;
        self.note_all(|| format!("a storm: {storm:?}"));
        // Out of a clear sky, so that it is known what everybody knew.
        if storm.links {
            let place = self.rng.index(self.nodes.len());
            self.set_link(place, false);
        }
    }

    /// The bus is good; people go on, and nodes die.
    pub(crate) fn begin_good_times(&mut self) {
        self.storm = Storm { moves: true, crashes: true, ..Storm::default() };
        self.bus.set_weather(Weather::default());
        self.bus.end_silence();
        self.writer.set_slow(0);
        self.writer.set_down(false);
        for place in 0..self.nodes.len() {
            self.set_link(place, true);
            if let Some(node) = &mut self.nodes[place] {
                node.stalled_until_ms = 0;
            }
        }
        self.note_all(|| "good times".into());
    }

    /// Nobody moves any more.
    pub(crate) fn begin_calm(&mut self) {
        self.storm = Storm::default();
        self.note_all(|| "calm".into());
    }

    /// What happens in one step.
    pub(crate) fn act(&mut self) {
        for index in 0..self.devices.len() {
            match self.rng.within(0..=99_999) {
                _ if !self.storm.moves => {}
                0..=149 => self.turn(index),
                150..=349 => self.leave(index),
                350..=352 => self.deactivate(index),
                _ => {}
            }
        }
        for place in 0..self.nodes.len() {
            match self.rng.within(0..=99_999) {
                0..=14 if self.storm.crashes => self.crash(place),
                15..=29 if self.storm.crashes => self.reopen(place),
                30..=89 if self.storm.links => self.set_link(place, !self.bus.is_up(place)),
                90..=119 if self.storm.silences => self.silence(place),
                120..=149 if self.storm.stalls => self.stall(place),
                150..=159 if self.storm.writer => self.writer.set_down(!self.writer.is_down()),
                160..=161 if self.storm.links => {
                    let up = !self.bus.is_up(place);
                    (0..self.nodes.len()).for_each(|place| self.set_link(place, up));
                }
                _ => {}
            }
        }
    }

    /// For a while: often within grace, and then often to its last moment.
    fn leave(&mut self, index: usize) {
        let away_ms = match self.rng.within(0..=9) {
            0..=2 => self.rng.within(0..=GRACE_MS - 1),
            3..=6 => self.rng.within(GRACE_MS - 200..=GRACE_MS - 60),
            _ => self.rng.within(GRACE_MS..=90_000),
        };
        let says_goodbye = self.rng.per_mille(750);
        self.go(index, away_ms, says_goodbye);
    }

    /// Some user, once in a while.
    fn deactivate(&mut self, index: usize) {
        let user = self.devices[index].user;
        if self.record.deactivated.len() * 4 >= self.devices.len() || self.record.is_deactivated(user) {
            return;
        }
        let of_user: Vec<_> = (0..self.devices.len()).filter(|it| self.devices[*it].user == user).collect();
        of_user.into_iter().for_each(|it| self.go(it, 0, true));
        self.record.deactivated.push(user);
        self.nodes.iter_mut().flatten().for_each(|node| node.tell(Input::UserGone(user)));
        self.note(user, || "is deactivated".into());
    }

    fn crash(&mut self, place: usize) {
        let Some(node) = self.nodes[place].take() else { return };
        let counted = self.record.end_node(node.source(), self.now_ms);
        self.record.end_reopened(node.id, self.now_ms);
        for connection in counted {
            let connection = &mut self.record.connections[connection];
            connection.end_ms = connection.end_ms.or(Some(self.now_ms));
        }
        self.dead.retain(|dead| dead.place != place);
        for index in 0..self.devices.len() {
            if matches!(self.devices[index].line, Line::On { place: at, .. } if at == place) {
                let back_ms = if self.rng.per_mille(900) { 30_000 } else { 120_000 };
                self.devices[index].line = Line::Off { back_ms: self.now_ms + self.rng.within(50..=back_ms) };
            }
        }
        self.starts_ms[place] = self.now_ms + self.rng.within(0..=40_000);
        self.tally.crashes += 1;
        self.note_all(|| format!("node {place} dies"));
    }

    /// The node loads its realm anew, and is told again of the devices that it counts.
    fn reopen(&mut self, place: usize) {
        let last_heard = self.writer.last_heard();
        let now_ms = self.now_ms;
        let Some(node) = self.nodes[place].as_mut().filter(|node| node.is_open() && !node.is_stalled(now_ms))
        else {
            return;
        };
        let old_source = node.source();
        let counted = self.record.end_node(old_source, now_ms);
        node.open_realm(last_heard, now_ms);
        self.tally.reopenings += 1;
        for connection in &mut self.record.connections {
            connection.is_reopened |=
                connection.node_end_ms == Some(now_ms) && connection.source == old_source;
        }
        for old in counted {
            let connection = &self.record.connections[old];
            if self.record.is_deactivated(connection.user) {
                continue;
            }
            let (user, device, end_ms) = (connection.user, connection.device, connection.end_ms);
            let Some((_, status)) = connection.reports.last().copied() else { continue };
            node.tell(Input::Connect(user, device, status));
            let new = self.record.connect(user, device, node.source(), status, now_ms);
            self.record.connections[new].end_ms = end_ms;
            for held in &mut self.devices {
                if let Line::On { connection, .. } = &mut held.line
                    && *connection == old
                {
                    *connection = new;
                }
            }
            self.dead.iter_mut().filter(|dead| dead.connection == old).for_each(|dead| dead.connection = new);
        }
        self.note_all(|| format!("node {place} loads its realm anew"));
    }

    pub(crate) fn set_link(&mut self, place: usize, up: bool) {
        if self.bus.is_up(place) == up {
            return;
        }
        self.bus.set_link(place, up);
        if let Some(node) = &mut self.nodes[place] {
            node.tell(Input::Link(up));
        }
        self.note_all(|| format!("node {place} {} the bus", if up { "reaches" } else { "has lost" }));
    }

    fn silence(&mut self, place: usize) {
        let other = self.rng.index(self.nodes.len());
        let for_ms = self.rng.within(500..=15_000);
        if other != place {
            self.bus.silence(place, other, self.now_ms + for_ms);
            self.note_all(|| format!("nothing passes between nodes {place} and {other} for {for_ms} ms"));
        }
    }

    fn stall(&mut self, place: usize) {
        let for_ms = self.rng.within(100..=3_000);
        if let Some(node) = &mut self.nodes[place] {
            node.stalled_until_ms = self.now_ms + for_ms;
            self.note_all(|| format!("node {place} stalls for {for_ms} ms"));
        }
    }

    /// Starts the nodes whose time has come, and opens the realm on those that know what time it is.
    pub(crate) fn start_nodes(&mut self) {
        for place in 0..self.nodes.len() {
            if self.nodes[place].is_none() && self.starts_ms[place] <= self.now_ms {
                self.lives += 1;
                let skew_ms = self.rng.within(0..=840_000) as i64 - 420_000;
                let drift_ppm = self.rng.within(0..=200) as i64 - 100;
                let phase_ms = self.rng.within(0..=19) * 50;
                let node = Node::start(
                    NodeId(self.lives),
                    (skew_ms, drift_ppm),
                    phase_ms,
                    self.bus.is_up(place),
                    self.mutation,
                    self.now_ms,
                );
                self.nodes[place] = Some(node);
                self.note_all(|| format!("node {place} starts, its clock {skew_ms} ms ahead"));
            }
            let last_heard = self.writer.last_heard();
            let now_ms = self.now_ms;
            if let Some(node) =
                self.nodes[place].as_mut().filter(|node| !node.is_open() && node.is_measured())
            {
                node.open_realm(last_heard, now_ms);
                self.note_all(|| format!("node {place} opens the realm"));
            }
        }
    }

    /// The dead that a node has yet to notice, if it still counts them.
    pub(crate) fn forget_dead_of_users_gone(&mut self) {
        let Self { dead, record, .. } = self;
        dead.retain(|Dead { connection, .. }| !record.is_deactivated(record.connections[*connection].user));
    }
}
