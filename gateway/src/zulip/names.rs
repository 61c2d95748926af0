//! Who is called what, by realm state.

use squall_hub::RealmState;
use squall_protocol::event::{Stream, User};
use squall_protocol::{StreamId, UserId};
use squall_zulip::Names;
use squall_zulip::names::{Realm, only};

/// Realm state as Zulip's shapes ask it.
pub(crate) struct RealmNames<'a>(pub(crate) &'a RealmState);

impl Names for RealmNames<'_> {
    fn user(&self, user_id: UserId) -> Option<&User> {
        self.0.directory().user(user_id)
    }

    fn stream(&self, stream_id: StreamId) -> Option<&Stream> {
        self.0.directory().stream(stream_id)
    }

    fn user_called(&self, full_name: &str) -> Option<&User> {
        only(self.0.directory().users_called(full_name).filter(|user| user.is_active))
    }

    fn stream_called(&self, name: &str) -> Option<&Stream> {
        // Who writes a name may not know that there is such a stream.
        self.0.directory().stream_called(name).filter(|stream| !stream.invite_only)
    }
}

impl Realm for RealmNames<'_> {
    fn members(&self, stream_id: StreamId) -> Vec<UserId> {
        self.0.members(stream_id).map(|members| members.iter().collect()).unwrap_or_default()
    }
}
