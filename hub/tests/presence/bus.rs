//! The bus: it delays, drops, doubles and reorders frames, falls silent between two nodes, and goes away.

use bytes::Bytes;

use crate::rng::Rng;

/// Frames on their way to nodes; a node is known by its place.
pub(crate) struct Bus {
    in_flight: Vec<Parcel>,
    /// For each node: whether its link is up.
    links: Vec<bool>,
    /// Pairs between which nothing passes, unnoticed, until then.
    silent: Vec<(usize, usize, u64)>,
    weather: Weather,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// What happens to a frame, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
    /// Later by up to [`LATE_MS_MAX`], and so out of order.
    pub(crate) late: u64,
}

struct Parcel {
    due_ms: u64,
    node: usize,
    frame: Bytes,
}

const LATE_MS_MAX: u64 = 900;
const PROMPT_MS_MAX: u64 = 10;

impl Bus {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            in_flight: Vec::new(),
            links: vec![true; nodes],
            silent: Vec::new(),
            weather: Weather::default(),
            frames: 0,
            bytes: 0,
        }
    }

    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Whether everything arrives, promptly.
    pub(crate) fn is_good(&self, now_ms: u64) -> bool {
        self.weather == Weather::default()
            && self.links.iter().all(|up| *up)
            && self.silent.iter().all(|(.., until_ms)| *until_ms <= now_ms)
    }

    /// The publisher hears itself, as it would on any bus.
    pub(crate) fn publish(&mut self, from: usize, frame: Bytes, now_ms: u64, rng: &mut Rng) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        if !self.links[from] {
            return;
        }
        for node in 0..self.links.len() {
            let is_silent = |(one, other, until_ms): &(usize, usize, u64)| {
                [(*one, *other), (*other, *one)].contains(&(from, node)) && *until_ms > now_ms
            };
            if !self.links[node] || rng.per_mille(self.weather.dropped) || self.silent.iter().any(is_silent) {
                continue;
            }
            for _ in 0..=u64::from(rng.per_mille(self.weather.doubled)) {
                let late = rng.per_mille(self.weather.late);
                let after_ms = rng.within(0..=if late { LATE_MS_MAX } else { PROMPT_MS_MAX });
                self.in_flight.push(Parcel { due_ms: now_ms + after_ms, node, frame: frame.clone() });
            }
        }
    }

    /// What reaches nodes by now.
    pub(crate) fn deliver(&mut self, now_ms: u64) -> Vec<(usize, Bytes)> {
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|parcel| parcel.due_ms <= now_ms);
        self.in_flight = later;
        // Frames of one moment stay in their order.
        due.sort_by_key(|parcel| if self.weather == Weather::default() { 0 } else { parcel.due_ms });
        due.into_iter().map(|parcel| (parcel.node, parcel.frame)).collect()
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.links[node]
    }

    /// The node's link breaks, with what was on it, or is mended.
    pub(crate) fn set_link(&mut self, node: usize, up: bool) {
        self.links[node] = up;
        if !up {
            self.in_flight.retain(|parcel| parcel.node != node);
        }
    }

    /// Nothing passes between two nodes, and neither is told.
    pub(crate) fn silence(&mut self, one: usize, other: usize, until_ms: u64) {
        self.silent.push((one, other, until_ms));
    }

    pub(crate) fn end_silence(&mut self) {
        self.silent.clear();
    }
}
