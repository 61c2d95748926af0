//! What a user may see of a stream.

/// How much of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It may not know that the stream is there.
    Unknown,
    /// What was sent while it was a member.
    Intervals,
    /// All of it.
    Whole,
}

impl Access {
    /// To a stream that is there. A former member of an invite-only stream knows it no more, though its messages
    /// of that time stay its own.
    pub(super) fn of(invite_only: bool, is_member: bool, is_guest: bool) -> Self {
        match (invite_only, is_member) {
            (false, _) if !is_guest => Self::Whole,
            (_, true) => Self::Intervals,
            (_, false) => Self::Unknown,
        }
    }
}
