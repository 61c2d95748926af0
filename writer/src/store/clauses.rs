//! Conditions on a message `m` that every database writes alike; the viewer's place among the parameters is given.

/// That the viewer received the message: it was sent to the user, or to a stream while it was a member.
macro_rules! received {
    ($viewer:literal) => {
        concat!(
            "CASE WHEN m.stream_id IS NULL THEN EXISTS (SELECT 1 FROM conversation_users AS cu
             WHERE cu.user_id = ", $viewer, " AND cu.conversation_id = m.conversation_id) ELSE
             EXISTS (SELECT 1 FROM members AS i WHERE i.stream_id = m.stream_id AND i.user_id = ", $viewer,
            " AND i.from_sequence <= m.sequence AND (i.to_sequence IS NULL OR m.sequence < i.to_sequence)) END"
        )
    };
}

/// That the viewer may read the message: it received it, or the stream is open to it as a whole.
macro_rules! readable {
    ($viewer:literal) => {
        concat!(
            "(",
            $crate::store::clauses::received!($viewer),
            " OR EXISTS (SELECT 1 FROM streams AS rs
             JOIN users AS ru ON ru.user_id = ",
            $viewer,
            " AND ru.realm_id = rs.realm_id AND ru.role <> 'guest'
             WHERE rs.stream_id = m.stream_id AND NOT rs.invite_only))"
        )
    };
}

/// Where the message is, as read markers name it: a topic or a conversation.
macro_rules! place {
    () => {
        "CASE WHEN m.stream_id IS NULL THEN 'd' || CAST(m.conversation_id AS text)
         ELSE CAST(m.stream_id AS text) || ':' || m.topic_key END"
    };
}

/// That the message is read but for exceptions: it is the viewer's own, or at or below a mark.
macro_rules! below_marks {
    ($viewer:literal) => {
        concat!(
            "(m.sender_id = ", $viewer,
            " OR m.message_id <= (SELECT coalesce(max(rf.floor), 0) FROM read_floors AS rf WHERE rf.user_id = ",
            $viewer,
            ") OR m.message_id <= coalesce((SELECT rm.up_to FROM read_markers AS rm WHERE rm.user_id = ", $viewer,
            " AND rm.place = ", $crate::store::clauses::place!(), "), 0))"
        )
    };
}

/// That the viewer has read the message.
macro_rules! is_read {
    ($viewer:literal) => {
        concat!(
            "coalesce((SELECT NOT re.unread FROM read_exceptions AS re WHERE re.user_id = ",
            $viewer,
            " AND re.message_id = m.message_id), ",
            $crate::store::clauses::below_marks!($viewer),
            ")"
        )
    };
}

/// That the viewer wants to find the message again.
macro_rules! is_starred {
    ($viewer:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM stars AS st WHERE st.user_id = ",
            $viewer,
            " AND st.message_id = m.message_id)"
        )
    };
}

/// That the message mentions the viewer, by name or with everybody.
macro_rules! is_mentioned {
    ($viewer:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM mentions AS mn WHERE mn.message_id = m.message_id AND mn.user_id IN (0, ",
            $viewer,
            "))"
        )
    };
}

pub(super) use {below_marks, is_mentioned, is_read, is_starred, place, readable, received};
