//! History and topics.

use squall_protocol::event::Message;
use squall_protocol::{Destination, MessageId, RealmId, SendId, StreamId, UserId};
use squall_zulip::names::KnownNames;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::{BEGIN_SNAPSHOT, COMMIT, Connection, Parameter};
use super::extras;
use super::failure::Failure;
use super::rows::{
    HEAD, all, big, bigs, column, head, message_id, number, optional_number, sequence, stream,
    stream_columns, user, user_columns, user_id, wanted,
};
use super::streams::{ACCESS, access};
use crate::store::access::Access;
use crate::store::clauses::{is_mentioned, is_read, is_starred, readable, received};
use crate::store::columns::{users_key, users_of_key};
use crate::store::{Anchor, HistoryPage, HistoryQuery, NameQuery, Narrow, Stamped, StoredMessage, Topic};
use crate::text;

/// That user $2 was a member of the stream of message `m` when it was sent.
macro_rules! while_member {
    () => {
        "EXISTS (SELECT 1 FROM members AS i WHERE i.stream_id = m.stream_id AND i.user_id = $2
         AND i.from_sequence <= m.sequence AND (i.to_sequence IS NULL OR m.sequence < i.to_sequence))"
    };
}

/// A message's columns, in the order that [`message_from`] reads; `c` is its conversation.
macro_rules! message_columns {
    () => {
        "m.message_id, m.sequence, m.sender_id, m.send_id, m.stream_id, m.topic, m.conversation_id,
         m.created_s, m.content, c.users_key"
    };
}
pub(super) use message_columns;

const USERS: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users AS u WHERE u.realm_id = $1 AND u.user_id = ANY ($2)
     UNION SELECT ",
    user_columns!(),
    " FROM users AS u WHERE u.realm_id = $1 AND u.full_name = ANY ($3)"
);

const STREAMS: &str = concat!(
    "SELECT ",
    stream_columns!(),
    " FROM streams AS s WHERE s.realm_id = $1 AND s.stream_id = ANY ($2)
     UNION SELECT ",
    stream_columns!(),
    " FROM streams AS s WHERE s.realm_id = $1 AND s.name_key = ANY ($3) AND NOT s.invite_only"
);

/// Three round trips: what may be seen, what is, and who and what it names.
pub(super) async fn history(c: &Connection, query: &HistoryQuery) -> Result<Stamped<HistoryPage>, Failure> {
    c.prepare(&[HEAD, ACCESS, USERS, STREAMS, extras::FLAGS, extras::REACTIONS]).await?;
    let (realm, viewer) = (big(query.realm_id.0), big(query.viewer.0));
    let stream = big(query.narrow.stream_id.map_or(0, |stream_id| stream_id.0));
    let ((), heads, found) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(ACCESS, [&realm, &viewer, &stream]),
    )?;
    let as_of = head(&heads, query.realm_id)?;
    let mut page = read(c, query, &Filter::new(query, access(&found)?)).await?;
    complete(c, query.realm_id, query.viewer, &mut page).await?;
    Ok(Stamped { as_of, value: page })
}

const ONE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages AS m LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
     WHERE m.message_id = $1 AND m.realm_id = $3 AND ",
    readable!("$2")
);

/// One message, if the viewer may read it.
pub(super) async fn one(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    message_id: MessageId,
) -> Result<Stamped<HistoryPage>, Failure> {
    c.prepare(&[HEAD, ONE]).await?;
    let (realm, user, message) = (big(realm_id.0), big(viewer.0), big(message_id.0));
    let ((), heads, found) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(ONE, [&message, &user, &realm]),
    )?;
    let as_of = head(&heads, realm_id)?;
    let mut page = HistoryPage { messages: all(&found, message_from)?, ..HistoryPage::default() };
    complete(c, realm_id, viewer, &mut page).await?;
    Ok(Stamped { as_of, value: page })
}

/// The unread ones from a message on: above the floor, or below it and marked so.
const UNREAD_FROM: &str = concat!(
    "(m.message_id > (SELECT coalesce(max(f.floor), 0) FROM read_floors AS f WHERE f.user_id = $2)
     OR m.message_id IN (SELECT e.message_id FROM read_exceptions AS e WHERE e.user_id = $2 AND e.unread))
     AND m.message_id > $3 AND NOT ",
    is_read!("$2")
);

async fn read(c: &Connection, query: &HistoryQuery, filter: &Filter) -> Result<HistoryPage, Failure> {
    let HistoryQuery { num_before, num_after, include_anchor, .. } = *query;
    let mut unread = None;
    let wanted = match query.anchor {
        Anchor::FirstUnread => {
            let first = filter.select(c, UNREAD_FROM, "ASC", Some(0), 1).await?;
            unread = first.first().map(|stored| stored.message.message_id);
            unread.map_or(Anchor::Newest, Anchor::At)
        }
        named => named,
    };
    let anchor = match wanted {
        Anchor::At(anchor) => Some(big(anchor.0)),
        Anchor::Oldest | Anchor::Newest | Anchor::FirstUnread => None,
    };
    // Where there is no anchor, there is one before all ids, or after them.
    let before = (wanted != Anchor::Oldest).then(|| anchor.unwrap_or(i64::MAX));
    let after = (wanted != Anchor::Newest).then(|| anchor.unwrap_or(0));
    let at = anchor.filter(|_| include_anchor);
    let (before, at, after) = tokio::try_join!(
        filter.select(c, "m.message_id < $3", "DESC", before, num_before),
        filter.select(c, "m.message_id = $3", "ASC", at, 1),
        filter.select(c, "m.message_id > $3", "ASC", after, num_after),
    )?;
    Ok(HistoryPage {
        found_anchor: !at.is_empty(),
        found_oldest: wanted == Anchor::Oldest || before.len() < num_before,
        found_newest: wanted == Anchor::Newest || after.len() < num_after,
        anchor: unread,
        messages: before.into_iter().rev().chain(at).chain(after).collect(),
        ..HistoryPage::default()
    })
}

/// Who may see what of which: the condition on messages, with its parameters.
struct Filter {
    condition: String,
    /// From $5 on: before them are realm, viewer, anchor and limit.
    more: Vec<Box<dyn ToSql + Sync + Send>>,
    realm: i64,
    viewer: i64,
}

impl Filter {
    fn new(query: &HistoryQuery, access: Access) -> Self {
        let HistoryQuery { realm_id, viewer, narrow, .. } = query;
        let Narrow { stream_id, topic, sender_id, direct, is_direct, message_id, words, .. } = narrow;
        // Each parameter has its type, even where nothing asks for it.
        let condition = "m.realm_id = $1 AND $2::bigint IS NOT NULL".into();
        let mut filter = Self { condition, more: Vec::new(), realm: big(realm_id.0), viewer: big(viewer.0) };
        filter.see(*stream_id, access);
        if let Some(topic) = topic {
            filter.and("m.topic_key =", wanted(&text::key(topic.trim())));
        }
        if let Some(sender_id) = sender_id {
            filter.and("m.sender_id =", big(sender_id.0));
        }
        if let Some(direct) = direct {
            let own = direct.contains(viewer);
            let key = if own { users_key(direct) } else { String::new() };
            let of = "m.conversation_id = (SELECT k.conversation_id FROM conversations AS k
                      WHERE k.realm_id = $1 AND k.users_key =";
            filter.and(of, key);
            filter.condition.push(')');
        }
        if *is_direct {
            filter.condition.push_str(" AND m.conversation_id IS NOT NULL");
        }
        for (is_wanted, clause) in [
            (narrow.is_starred, is_starred!("$2")),
            (narrow.is_mentioned, is_mentioned!("$2")),
            (narrow.is_unread, concat!("NOT ", is_read!("$2"))),
        ] {
            if is_wanted {
                filter.condition.push_str(" AND ");
                filter.condition.push_str(clause);
            }
        }
        if let Some(message_id) = message_id {
            filter.and("m.message_id =", big(message_id.0));
        }
        for words in words {
            filter.and("m.search @@ phraseto_tsquery('simple',", wanted(words));
            filter.condition.push(')');
        }
        filter
    }

    fn see(&mut self, stream_id: Option<StreamId>, access: Access) {
        let Some(stream_id) = stream_id else {
            self.condition.push_str(concat!(" AND ", received!("$2")));
            return;
        };
        self.and("m.stream_id =", big(stream_id.0));
        if access != Access::Whole {
            self.condition.push_str(concat!(" AND ", while_member!()));
        }
    }

    fn and(&mut self, compared: &str, value: impl ToSql + Sync + Send + 'static) {
        self.more.push(Box::new(value));
        self.condition.push_str(&format!(" AND {compared} ${}", 4 + self.more.len()));
    }

    /// The first `limit` messages that are `around` the anchor; none without an anchor.
    async fn select(
        &self,
        c: &Connection,
        around: &str,
        order: &str,
        anchor: Option<i64>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, Failure> {
        let Some(anchor) = anchor.filter(|_| limit > 0) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {} FROM messages AS m LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
             WHERE {around} AND {} ORDER BY m.message_id {order} LIMIT $4",
            message_columns!(),
            self.condition
        );
        let limit = big(limit as u64);
        let mut parameters: Vec<Parameter<'_>> = vec![&self.realm, &self.viewer, &anchor, &limit];
        parameters.extend(self.more.iter().map(|value| &**value as Parameter<'_>));
        all(&c.query_with(&sql, &parameters).await?, message_from)
    }
}

pub(super) fn message_from(row: &Row) -> Result<StoredMessage, Failure> {
    let send_id: String = column(row, 3)?;
    let to = match optional_number(row, 4)? {
        Some(stream_id) => Destination::Stream { stream_id: StreamId(stream_id), topic: column(row, 5)? },
        None => Destination::Direct { user_ids: users(column(row, 9)?)? },
    };
    let message = Message {
        message_id: message_id(row, 0)?,
        sender_id: user_id(row, 2)?,
        timestamp: number(row, 7)?,
        to,
        content: column(row, 8)?,
        send_id: SendId::parse(send_id).map_err(|error| Failure::Row(error.to_string()))?,
    };
    Ok(StoredMessage { message, sequence: sequence(row, 1)? })
}

fn users(key: &str) -> Result<Vec<UserId>, Failure> {
    users_of_key(key).ok_or_else(|| Failure::Row(format!("no users: {key:?}")))
}

/// What it takes to show the page's messages; the snapshot's end.
async fn complete(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    page: &mut HistoryPage,
) -> Result<(), Failure> {
    let query = NameQuery::of(&page.messages);
    let ids = bigs(page.messages.iter().map(|stored| stored.message.message_id.0));
    let viewer = big(viewer.0);
    c.prepare(&[USERS, STREAMS, extras::FLAGS, extras::REACTIONS]).await?;
    let (names, flags, reactions, ()) = tokio::try_join!(
        biased;
        names(c, realm_id, &query),
        c.query(extras::FLAGS, [&ids, &viewer]),
        c.query(extras::REACTIONS, [&ids]),
        c.batch(COMMIT),
    )?;
    page.names = names;
    page.extras = extras::extras(&flags, &reactions)?;
    Ok(())
}

/// The names asked for that there are: both statements in one round trip.
pub(super) async fn names(
    c: &Connection,
    realm_id: RealmId,
    query: &NameQuery,
) -> Result<KnownNames, Failure> {
    let NameQuery { user_ids, full_names, stream_ids, stream_names } = query;
    let realm = big(realm_id.0);
    let users = bigs(user_ids.iter().map(|user_id| user_id.0));
    let full_names: Vec<String> = full_names.iter().map(|name| wanted(name)).collect();
    let streams = bigs(stream_ids.iter().map(|stream_id| stream_id.0));
    let stream_names: Vec<String> = stream_names.iter().map(|name| wanted(name)).collect();
    let (users, streams) = tokio::try_join!(
        biased;
        c.query(USERS, [&realm, &users, &full_names]),
        c.query(STREAMS, [&realm, &streams, &stream_names]),
    )?;
    Ok(KnownNames {
        users: all(&users, |row| user(row).map(|user| (user.user_id, user)))?,
        streams: all(&streams, |row| stream(row).map(|stream| (stream.stream_id, stream)))?,
    })
}

/// Topics of stream $1 with their newest message that user $2 may see. Walks from topic to topic in the index, and
/// in each to that message: what it costs grows with the topics, not the messages.
macro_rules! topics {
    ($seen:expr) => {
        concat!(
            "WITH RECURSIVE topic (topic_key) AS (
                 SELECT min(topic_key) FROM messages WHERE stream_id = $1
                 UNION ALL
                 SELECT (SELECT min(n.topic_key) FROM messages AS n
                         WHERE n.stream_id = $1 AND n.topic_key > topic.topic_key)
                 FROM topic WHERE topic.topic_key IS NOT NULL),
             newest (message_id) AS (
                 SELECT (SELECT m.message_id FROM messages AS m
                         WHERE m.stream_id = $1 AND m.topic_key = topic.topic_key
                         AND $2::bigint IS NOT NULL AND ",
            $seen,
            " ORDER BY m.message_id DESC LIMIT 1)
                 FROM topic WHERE topic.topic_key IS NOT NULL)
             SELECT m.topic, m.message_id FROM newest JOIN messages AS m USING (message_id)
             ORDER BY m.message_id DESC"
        )
    };
}

const TOPICS: &str = topics!("true");
const TOPICS_WHILE_MEMBER: &str = topics!(while_member!());

pub(super) async fn topics(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    stream_id: StreamId,
) -> Result<Stamped<Option<Vec<Topic>>>, Failure> {
    c.prepare(&[HEAD, ACCESS]).await?;
    let (realm, user, stream) = (big(realm_id.0), big(viewer.0), big(stream_id.0));
    let ((), heads, found) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(ACCESS, [&realm, &user, &stream]),
    )?;
    let as_of = head(&heads, realm_id)?;
    let value = match access(&found)? {
        Access::Unknown => None,
        Access::Whole => Some(c.query(TOPICS, [&stream, &user]).await?),
        Access::Intervals => Some(c.query(TOPICS_WHILE_MEMBER, [&stream, &user]).await?),
    };
    c.batch(COMMIT).await?;
    let topic = |row: &Row| Ok(Topic { name: column(row, 0)?, max_id: message_id(row, 1)? });
    Ok(Stamped { as_of, value: value.map(|rows| all(&rows, topic)).transpose()? })
}
