//! Who has read which: floors, markers, exceptions.

use squall_protocol::{MessageId, RealmId, StreamId, UserId};
use tokio_postgres::Row;

use super::connection::{Connection, Parameter};
use super::failure::Failure;
use super::rows::{all, big, bigs, column, message_id, number, optional_number, user_id, wanted};
use crate::change::ReadScope;
use crate::store::clauses::{below_marks, is_mentioned, is_read, place, received};
use crate::store::columns::users_of_key;
use crate::store::{UnreadMessage, UnreadPlace};

/// Unread messages of user $2: those above the floor, and those below it that are exceptions.
macro_rules! unread_ids {
    ($within:literal) => {
        concat!(
            "SELECT m.message_id FROM messages AS m WHERE m.realm_id = $1
             AND m.message_id > (SELECT coalesce(max(floor), 0) FROM read_floors WHERE user_id = $2)
             AND ",
            $within,
            " AND ",
            received!("$2"),
            " AND NOT ",
            is_read!("$2"),
            " UNION SELECT m.message_id FROM read_exceptions AS e JOIN messages AS m USING (message_id)
             WHERE e.user_id = $2 AND e.unread AND ",
            $within
        )
    };
}

const OLDEST: &str = concat!(unread_ids!("true"), " ORDER BY message_id LIMIT $3");

const OLDEST_OF_STREAM: &str = concat!(unread_ids!("m.stream_id = $4"), " ORDER BY message_id LIMIT $3");

const OLDEST_OF_TOPIC: &str =
    concat!(unread_ids!("m.stream_id = $4 AND m.topic_key = $5"), " ORDER BY message_id LIMIT $3");

/// At most `limit` of the user's unread messages, the oldest first.
pub(super) async fn oldest(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    scope: &ReadScope,
    limit: usize,
) -> Result<Vec<MessageId>, Failure> {
    let (realm, viewer, limit) = (big(realm_id.0), big(viewer.0), big(limit as u64));
    let rows = match scope {
        ReadScope::All => c.query(OLDEST, [&realm, &viewer, &limit]).await?,
        ReadScope::Stream(stream_id) => {
            c.query(OLDEST_OF_STREAM, [&realm, &viewer, &limit, &big(stream_id.0)]).await?
        }
        ReadScope::Topic(stream_id, key) => {
            let parameters: [Parameter<'_>; 5] = [&realm, &viewer, &limit, &big(stream_id.0), &wanted(key)];
            c.query(OLDEST_OF_TOPIC, parameters).await?
        }
    };
    all(&rows, |row| message_id(row, 0))
}

const NEWEST: &str = concat!(
    "SELECT m.message_id, m.sender_id, m.stream_id, m.topic, c.users_key, ",
    is_mentioned!("$2"),
    " FROM messages AS m LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
     WHERE m.message_id IN (",
    unread_ids!("true"),
    " ORDER BY message_id DESC LIMIT $3) ORDER BY m.message_id DESC"
);

/// At most `limit` of the user's unread messages, the newest first, with where they are.
pub(super) async fn newest(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    limit: usize,
) -> Result<Vec<UnreadMessage>, Failure> {
    let rows = c.query(NEWEST, [&big(realm_id.0), &big(viewer.0), &big(limit as u64)]).await?;
    all(&rows, unread)
}

fn unread(row: &Row) -> Result<UnreadMessage, Failure> {
    let place = match optional_number(row, 2)? {
        Some(stream_id) => UnreadPlace::Topic(StreamId(stream_id), column(row, 3)?),
        None => {
            let key: &str = column(row, 4)?;
            let users = users_of_key(key).ok_or_else(|| Failure::Row(format!("no users: {key:?}")))?;
            UnreadPlace::Direct(users)
        }
    };
    let (message_id, sender_id, mentioned) = (message_id(row, 0)?, user_id(row, 1)?, column(row, 5)?);
    Ok(UnreadMessage { message_id, sender_id, place, mentioned })
}

const FLOOR: &str = "INSERT INTO read_floors (user_id, floor) VALUES ($1, $2)
     ON CONFLICT (user_id) DO UPDATE SET floor = greatest(read_floors.floor, excluded.floor)";

/// What the floor says of them already.
const BELOW_FLOOR: &str =
    "DELETE FROM read_exceptions WHERE user_id = $1 AND message_id <= $2 AND NOT unread";

/// All up to here is read, but for exceptions; a floor never goes down.
pub(super) async fn raise_floor(c: &Connection, user_id: UserId, floor: MessageId) -> Result<(), Failure> {
    let (user, floor) = (big(user_id.0), big(floor.0));
    c.execute(FLOOR, [&user, &floor]).await?;
    c.execute(BELOW_FLOOR, [&user, &floor]).await.map(drop)
}

const TOUCHED: &str = concat!(
    "SELECT p.place, max(p.message_id) FROM (SELECT m.message_id, ",
    place!(),
    " AS place FROM messages AS m WHERE m.message_id = ANY ($1)) AS p GROUP BY p.place"
);

/// An exception where the marks say otherwise; then the markers go up as far as all below them is read.
pub(super) async fn mark_read(
    c: &Connection,
    user_id: UserId,
    message_ids: &[MessageId],
) -> Result<(), Failure> {
    except(c, user_id, message_ids, false).await?;
    for row in &c.query(TOUCHED, [&bigs(message_ids.iter().map(|id| id.0))]).await? {
        raise_marker(c, user_id, column(row, 0)?, message_id(row, 1)?).await?;
    }
    Ok(())
}

pub(super) async fn mark_unread(
    c: &Connection,
    user_id: UserId,
    message_ids: &[MessageId],
) -> Result<(), Failure> {
    except(c, user_id, message_ids, true).await
}

const NO_EXCEPTIONS: &str = "DELETE FROM read_exceptions WHERE user_id = $1 AND message_id = ANY ($2)";

const EXCEPTIONS: &str = concat!(
    "INSERT INTO read_exceptions (user_id, message_id, unread)
     SELECT $2::bigint, m.message_id, $3::boolean FROM messages AS m WHERE m.message_id = ANY ($1)
     AND ($3 OR NOT ",
    below_marks!("$2"),
    ")"
);

/// Makes messages read or unread. What is unread is said even if the marks say so already: they may go up meanwhile.
async fn except(
    c: &Connection,
    user_id: UserId,
    message_ids: &[MessageId],
    unread: bool,
) -> Result<(), Failure> {
    let (user, ids) = (big(user_id.0), bigs(message_ids.iter().map(|id| id.0)));
    c.execute(NO_EXCEPTIONS, [&user, &ids]).await?;
    c.execute(EXCEPTIONS, [&ids, &user, &unread]).await.map(drop)
}

const MARKER: &str = "SELECT up_to FROM read_markers WHERE user_id = $1 AND place = $2";

const RAISE: &str = "INSERT INTO read_markers (user_id, place, up_to) VALUES ($1, $2, $3)
     ON CONFLICT (user_id, place) DO UPDATE SET up_to = excluded.up_to";

/// The statements of raising a marker, for messages of one place: that of message $1.
struct OfPlace {
    unread: &'static str,
    newest: &'static str,
    superfluous: &'static str,
}

macro_rules! of_place {
    ($of_place:expr) => {
        OfPlace {
            unread: concat!(
                "SELECT m.message_id FROM messages AS m WHERE ",
                $of_place,
                " AND m.message_id > $3 AND ",
                received!("$2"),
                " AND NOT ",
                is_read!("$2"),
                " ORDER BY m.message_id LIMIT 1"
            ),
            newest: concat!("SELECT max(m.message_id) FROM messages AS m WHERE ", $of_place),
            superfluous: concat!(
                "DELETE FROM read_exceptions AS x WHERE x.user_id = $2 AND NOT x.unread AND x.message_id <= $3
                 AND x.message_id IN (
                     SELECT m.message_id FROM read_exceptions AS e JOIN messages AS m USING (message_id)
                     WHERE e.user_id = $2 AND ",
                $of_place,
                ")"
            ),
        }
    };
}

const OF_TOPIC: OfPlace = of_place!(
    "m.stream_id = (SELECT o.stream_id FROM messages AS o WHERE o.message_id = $1)
     AND m.topic_key = (SELECT o.topic_key FROM messages AS o WHERE o.message_id = $1)"
);

const OF_CONVERSATION: OfPlace =
    of_place!("m.conversation_id = (SELECT o.conversation_id FROM messages AS o WHERE o.message_id = $1)");

/// Raises the marker of the place that `some_message` is in to just below its first unread message, or to its
/// newest; exceptions that it makes superfluous go.
async fn raise_marker(
    c: &Connection,
    user_id: UserId,
    place: &str,
    some_message: MessageId,
) -> Result<(), Failure> {
    let of_place = if place.starts_with('d') { OF_CONVERSATION } else { OF_TOPIC };
    let (user, message) = (big(user_id.0), big(some_message.0));
    let rows = c.query(MARKER, [&user, &place]).await?;
    let before = rows.first().map_or(Ok(0), |row| number(row, 0))?;
    let unread = c.query(of_place.unread, [&message, &user, &big(before)]).await?;
    let up_to = match unread.first() {
        Some(row) => number(row, 0)? - 1,
        None => {
            let rows = c.query(of_place.newest, [&message]).await?;
            rows.first().map_or(Ok(0), |row| number(row, 0))?
        }
    };
    if up_to <= before {
        return Ok(());
    }
    c.execute(RAISE, [&user, &place, &big(up_to)]).await?;
    c.execute(of_place.superfluous, [&message, &user, &big(up_to)]).await.map(drop)
}
