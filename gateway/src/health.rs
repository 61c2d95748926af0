//! What this node reaches, and what it says of itself to balancers and operators.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use squall_protocol::wire::Standing;

use crate::http::{Body, full};

/// The node's links as those who use them find them. Told seldom, read seldom: never on the data path.
#[derive(Debug)]
pub(crate) struct Health {
    links: Mutex<Links>,
}

#[derive(Debug)]
struct Links {
    bus: Link,
    writers: Vec<WriterState>,
    /// A writer answered once: what the node needs to begin.
    is_loaded: bool,
}

#[derive(Debug)]
struct WriterState {
    link: Link,
    /// Why it can't publish, by its own word.
    bus_fault: Option<String>,
}

/// Something at the other end of a connection.
#[derive(Debug)]
struct Link {
    name: String,
    /// Why it can't be used; none if it can.
    fault: Option<String>,
    /// When that last changed.
    since_ms: u64,
}

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Whoever reaches the public address: hears what is the matter, no names and no causes.
    Anyone,
    /// Whoever reaches the operators' address.
    Operator,
}

/// How the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Degraded,
    CutOff,
    Loading,
    Draining,
}

impl Health {
    /// Nothing is reached yet.
    pub(crate) fn new(bus: &str, writers: &[String], now_ms: u64) -> Self {
        let link = |name: &str| Link {
            name: name.to_owned(),
            fault: Some("not reached yet".into()),
            since_ms: now_ms,
        };
        let writer = |url: &String| WriterState { link: link(url), bus_fault: None };
        let writers = writers.iter().map(writer).collect();
        Self { links: Mutex::new(Links { bus: link(bus), writers, is_loaded: false }) }
    }

    /// The bus can be reached, or why it can't.
    pub(crate) fn bus_is(&self, found: Result<(), String>, now_ms: u64) {
        self.links().bus.is(found, now_ms);
    }

    /// What a writer said of itself, or why it said nothing.
    pub(crate) fn writer_is(&self, index: usize, found: Result<Standing, String>, now_ms: u64) {
        let mut links = self.links();
        let Some(writer) = links.writers.get_mut(index) else { return };
        let Standing { database_fault, bus_fault } = match found {
            Ok(standing) => standing,
            Err(fault) => Standing { database_fault: Some(fault), bus_fault: None },
        };
        writer.bus_fault = bus_fault;
        writer.link.is(database_fault.map_or(Ok(()), Err), now_ms);
        links.is_loaded |= links.has_writer();
    }

    /// Whether this node reaches the bus.
    pub(crate) fn has_bus(&self) -> bool {
        self.links().bus.is_up()
    }

    /// Whether whatever a writer publishes reaches this node at once: it does, and so do the writers.
    pub(crate) fn is_bus_whole(&self) -> bool {
        let links = self.links();
        let is_mute = |writer: &WriterState| writer.link.is_up() && writer.bus_fault.is_some();
        links.bus.is_up() && !links.writers.iter().any(is_mute)
    }

    /// Since when the node has neither the bus nor a writer; none if it has one of them.
    pub(crate) fn cut_off_since_ms(&self) -> Option<u64> {
        self.links().cut_off_since_ms()
    }

    /// The answer to `/readyz`.
    pub(crate) fn readiness(&self, asker: Asker, is_draining: bool, now_ms: u64) -> Response<Body> {
        let links = self.links();
        let standing = links.standing(is_draining);
        let ready = matches!(standing, State::Ready | State::Degraded);
        let mut body = json!({
            "ready": ready,
            "degraded": standing != State::Ready,
            "words": links.words(standing, asker, now_ms),
        });
        if asker == Asker::Operator {
            body["bus"] = links.bus.json(now_ms);
            body["writers"] = links.writers.iter().map(|writer| writer.json(now_ms)).collect();
        }
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        respond(status, &body)
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    fn has_writer(&self) -> bool {
        self.writers.iter().any(|writer| writer.link.is_up())
    }

    fn cut_off_since_ms(&self) -> Option<u64> {
        if self.bus.is_up() || self.has_writer() {
            return None;
        }
        let writer = self.writers.iter().map(|writer| writer.link.since_ms).max()?;
        Some(self.bus.since_ms.max(writer))
    }

    fn standing(&self, is_draining: bool) -> State {
        if is_draining {
            return State::Draining;
        }
        if !self.is_loaded {
            return State::Loading;
        }
        if self.cut_off_since_ms().is_some() {
            return State::CutOff;
        }
        let is_whole = |writer: &WriterState| writer.link.is_up() && writer.bus_fault.is_none();
        let all = self.bus.is_up() && self.writers.iter().all(is_whole);
        if all { State::Ready } else { State::Degraded }
    }

    fn words(&self, standing: State, asker: Asker, now_ms: u64) -> String {
        let mut words = String::from(match standing {
            State::Ready => "ready",
            State::Degraded => "ready, but degraded",
            State::CutOff => "cut off: neither the bus nor a writer can be reached",
            State::Loading => "loading: no writer was reached yet",
            State::Draining => "draining: clients are being handed on",
        });
        if standing == State::Ready || standing == State::Draining {
            return words;
        }
        let mut tell = |link: &Link, name: &str| {
            if let Some(fault) = &link.fault {
                let seconds = now_ms.saturating_sub(link.since_ms) / 1_000;
                let _ = write!(words, "; {name} is down for {seconds} s");
                if asker == Asker::Operator {
                    let _ = write!(words, " ({fault})");
                }
            }
        };
        tell(&self.bus, "the bus");
        for (number, writer) in (1..).zip(&self.writers) {
            match asker {
                Asker::Operator => tell(&writer.link, &format!("writer {}", writer.link.name)),
                Asker::Anyone => tell(&writer.link, &format!("writer {number}")),
            }
        }
        for (number, writer) in (1..).zip(&self.writers) {
            if writer.link.is_up() && writer.bus_fault.is_some() {
                let _ = write!(words, "; writer {number} does not reach the bus");
            }
        }
        words
    }
}

impl WriterState {
    fn json(&self, now_ms: u64) -> Value {
        let mut value = self.link.json(now_ms);
        value["bus_fault"] = json!(self.bus_fault);
        value
    }
}

impl Link {
    fn is_up(&self) -> bool {
        self.fault.is_none()
    }

    fn is(&mut self, found: Result<(), String>, now_ms: u64) {
        let fault = found.err();
        if fault.is_none() != self.is_up() {
            self.since_ms = now_ms;
            match &fault {
                None => tracing::info!(link = %self.name, "reached"),
                Some(fault) => tracing::warn!(link = %self.name, %fault, "lost"),
            }
        }
        self.fault = fault;
    }

    fn json(&self, now_ms: u64) -> Value {
        json!({
            "name": self.name,
            "up": self.is_up(),
            "fault": self.fault,
            "since_ms": self.since_ms,
            "for_s": now_ms.saturating_sub(self.since_ms) / 1_000,
        })
    }
}

/// An answer in JSON that is true only now.
pub(crate) fn respond(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(format!("{body}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
