//! Where a page of realm state starts.

use squall_protocol::link::PageCursor;

/// Where a page goes on: after this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    Users(u32),
    Streams(u64),
    Members(u64, u32),
}

impl Cursor {
    /// Before the first row.
    pub(super) const START: Self = Self::Users(0);

    /// The place that a reader was given; or what is wrong with it.
    pub(super) fn parse(cursor: &PageCursor) -> Result<Self, String> {
        Self::of_text(&cursor.0).ok_or_else(|| format!("no page cursor: {:?}", cursor.0))
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let cursor = match parts.next()? {
            "users" => Self::Users(parts.next()?.parse().ok()?),
            "streams" => Self::Streams(parts.next()?.parse().ok()?),
            "members" => Self::Members(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?),
            _ => return None,
        };
        parts.next().is_none().then_some(cursor)
    }

    pub(super) fn page_cursor(self) -> PageCursor {
        PageCursor(match self {
            Self::Users(user_id) => format!("users:{user_id}"),
            Self::Streams(stream_id) => format!("streams:{stream_id}"),
            Self::Members(stream_id, user_id) => format!("members:{stream_id}:{user_id}"),
        })
    }
}
