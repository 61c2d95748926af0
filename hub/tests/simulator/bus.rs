//! The bus: it delays, drops, doubles and reorders publications, and goes away.

use std::rc::Rc;

use squall_protocol::frame::Publication;

use crate::rng::Rng;

/// Publications on their way to nodes.
pub(crate) struct Bus {
    in_flight: Vec<Parcel>,
    /// For each node: whether its link is up.
    links: Vec<bool>,
    weather: Weather,
}

/// What happens to a publication, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
    /// Later by up to [`LATE_MS_MAX`], and so out of order.
    pub(crate) late: u64,
}

struct Parcel {
    due_ms: u64,
    node: usize,
    publication: Rc<Publication>,
}

const LATE_MS_MAX: u64 = 400;
const PROMPT_MS_MAX: u64 = 10;

impl Bus {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { in_flight: Vec::new(), links: vec![true; nodes], weather: Weather::default() }
    }

    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    pub(crate) fn publish(&mut self, publication: Publication, now_ms: u64, rng: &mut Rng) {
        let publication = Rc::new(publication);
        for node in 0..self.links.len() {
            if !self.links[node] || rng.per_mille(self.weather.dropped) {
                continue;
            }
            for _ in 0..=u64::from(rng.per_mille(self.weather.doubled)) {
                let late = rng.per_mille(self.weather.late);
                let after_ms = rng.within(0..=if late { LATE_MS_MAX } else { PROMPT_MS_MAX });
                let publication = publication.clone();
                self.in_flight.push(Parcel { due_ms: now_ms + after_ms, node, publication });
            }
        }
    }

    /// What reaches nodes by now.
    pub(crate) fn deliver(&mut self, now_ms: u64) -> Vec<(usize, Publication)> {
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|parcel| parcel.due_ms <= now_ms);
        self.in_flight = later;
        due.sort_by_key(|parcel| parcel.due_ms);
        due.into_iter().map(|parcel| (parcel.node, (*parcel.publication).clone())).collect()
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
}
