//! Two destinations that name one conversation, made equal.

use crate::event::Destination;
use crate::ids::UserId;

/// `to` with every user of a direct conversation named once, ascending, `also` among them.
pub(crate) fn whole(to: Destination, also: impl IntoIterator<Item = UserId>) -> Destination {
    match to {
        Destination::Stream { .. } => to,
        Destination::Direct { mut user_ids } => {
            user_ids.extend(also);
            user_ids.sort_unstable();
            user_ids.dedup();
            Destination::Direct { user_ids }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;

    #[test]
    fn a_direct_conversation_is_the_set_of_its_users() {
        let direct =
            |ids: &[u32]| Destination::Direct { user_ids: ids.iter().map(|&id| UserId(id)).collect() };
        assert_eq!(whole(direct(&[5, 3]), [UserId(4), UserId(3)]), direct(&[3, 4, 5]));
        let lunch = Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() };
        assert_eq!(whole(lunch.clone(), [UserId(4)]), lunch);
    }
}
