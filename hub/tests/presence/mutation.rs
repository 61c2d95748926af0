//! Nodes that break a law. The hub itself is as it is: a broken node feeds or drives it wrongly.

use std::time::Duration;

use squall_hub::presence::TimesConfig;
use squall_protocol::frame::Frame;

use crate::judge::{SILENCE_MS, TICK_MS};

/// What a node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Nothing.
    None,
    /// A part that does not follow on the copy is taken as if it did.
    SkipGapCheck,
    /// Nobody is asked for what is missing.
    NeverAsk,
    /// A node that has nothing to say says nothing.
    NoSignsOfLife,
    /// A node that is silent lives for ever.
    EndlessLease,
    /// The users of a node that is silent for a moment are gone.
    NoGraceAcrossNodes,
    /// That somebody left is told at once; that somebody came is published at a tick.
    TellBadNewsAtOnce,
    /// Nodes that can't be heard because the own link is down are silent; and no writer tells better.
    JudgeWithoutLink,
    /// No node tells a writer that it lives.
    NoLeases,
    /// The own clock is bus time.
    OwnClock,
    /// A realm that is loaded anew goes on under the name of the earlier opening.
    SameOpening,
}

impl Mutation {
    /// The times a node lives by.
    pub(crate) fn times(self, times: TimesConfig) -> TimesConfig {
        if self == Self::TellBadNewsAtOnce {
            return TimesConfig { tick: Duration::from_millis(1), ..times };
        }
        times
    }

    /// How often a node publishes.
    pub(crate) fn publish_ms(self, publish_ms: u64) -> u64 {
        if self == Self::TellBadNewsAtOnce { TICK_MS } else { publish_ms }
    }

    /// Whether a node tells a writer that it lives.
    pub(crate) fn tells_writer(self) -> bool {
        !matches!(self, Self::NoLeases | Self::JudgeWithoutLink)
    }

    /// Whether a node publishes the frame.
    pub(crate) fn publishes(self, frame: &Frame) -> bool {
        let is_sign_of_life = matches!(frame, Frame::NodePresence(part) if part.diff.from == part.diff.to);
        match self {
            Self::NeverAsk => !matches!(frame, Frame::PresenceAsk(_)),
            Self::NoSignsOfLife => !is_sign_of_life,
            Self::None
            | Self::SkipGapCheck
            | Self::EndlessLease
            | Self::NoGraceAcrossNodes
            | Self::TellBadNewsAtOnce
            | Self::JudgeWithoutLink
            | Self::NoLeases
            | Self::OwnClock
            | Self::SameOpening => true,
        }
    }

    /// What a node hears of a frame at `bus_ms`.
    pub(crate) fn hears(self, mut frame: Frame, bus_ms: u64) -> Frame {
        if let Frame::NodePresence(part) = &mut frame {
            match self {
                Self::SkipGapCheck => {
                    part.diff.from = 0;
                    part.change = part.diff.to;
                }
                Self::NoGraceAcrossNodes => {
                    part.diff.as_of_ms = part.diff.as_of_ms.min(bus_ms) - (SILENCE_MS - 3_000);
                }
                Self::None
                | Self::NeverAsk
                | Self::NoSignsOfLife
                | Self::EndlessLease
                | Self::TellBadNewsAtOnce
                | Self::JudgeWithoutLink
                | Self::NoLeases
                | Self::OwnClock
                | Self::SameOpening => {}
            }
        }
        frame
    }
}
