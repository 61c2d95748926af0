//! History and topics.

use rusqlite::types::Value;
use rusqlite::{Row, Transaction, params, params_from_iter};
use squall_protocol::event::Message;
use squall_protocol::{Destination, MessageId, RealmId, SendId, Sequence, StreamId, UserId};
use squall_zulip::names::KnownNames;

use super::rows::{STREAM, USER, head, json, stream, user};
use super::streams::access;
use super::{Failure, extras};
use crate::store::access::Access;
use crate::store::clauses::{is_mentioned, is_read, is_starred, readable, received};
use crate::store::columns::{users_key, users_of_key};
use crate::store::{Anchor, HistoryPage, HistoryQuery, NameQuery, Narrow, Stamped, StoredMessage, Topic};
use crate::text;

/// That user ?2 was a member of the stream of message `m` when it was sent.
const WHILE_MEMBER: &str =
    "EXISTS (SELECT 1 FROM members AS i WHERE i.stream_id = m.stream_id AND i.user_id = ?2
     AND i.from_sequence <= m.sequence AND (i.to_sequence IS NULL OR m.sequence < i.to_sequence))";

/// A message's columns, in the order that [`message`] reads; `c` is its conversation.
pub(super) const MESSAGE: &str =
    "m.message_id, m.sequence, m.sender_id, m.send_id, m.stream_id, m.topic, m.conversation_id,
     m.created_s, m.content, c.users_key";

pub(super) fn history(tx: &Transaction<'_>, query: &HistoryQuery) -> Result<Stamped<HistoryPage>, Failure> {
    let as_of = head(tx, query.realm_id)?;
    let filter = Filter::new(tx, query)?;
    let mut page = HistoryPage::default();
    let anchor = match query.anchor {
        Anchor::FirstUnread => {
            let first = filter.select(tx, UNREAD_FROM, "ASC", MessageId(0), 1)?;
            page.anchor = first.first().map(|stored| stored.message.message_id);
            page.anchor.map_or(Anchor::Newest, Anchor::At)
        }
        named => named,
    };
    let before = match anchor {
        Anchor::Oldest | Anchor::FirstUnread => Vec::new(),
        Anchor::At(anchor) => filter.select(tx, "m.message_id < ?3", "DESC", anchor, query.num_before)?,
        Anchor::Newest => filter.select(tx, "m.message_id > ?3", "DESC", MessageId(0), query.num_before)?,
    };
    let at = match anchor {
        Anchor::At(anchor) if query.include_anchor => {
            filter.select(tx, "m.message_id = ?3", "ASC", anchor, 1)?
        }
        Anchor::At(_) | Anchor::Oldest | Anchor::Newest | Anchor::FirstUnread => Vec::new(),
    };
    let after = match anchor {
        Anchor::Oldest => filter.select(tx, "m.message_id > ?3", "ASC", MessageId(0), query.num_after)?,
        Anchor::At(anchor) => filter.select(tx, "m.message_id > ?3", "ASC", anchor, query.num_after)?,
        Anchor::Newest | Anchor::FirstUnread => Vec::new(),
    };
    page.found_anchor = !at.is_empty();
    page.found_oldest = anchor == Anchor::Oldest || before.len() < query.num_before;
    page.found_newest = anchor == Anchor::Newest || after.len() < query.num_after;
    page.messages = before.into_iter().rev().chain(at).chain(after).collect();
    complete(tx, query.realm_id, query.viewer, &mut page)?;
    Ok(Stamped { as_of, value: page })
}

/// One message, if the viewer may read it.
pub(super) fn one(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    message_id: MessageId,
) -> Result<Stamped<HistoryPage>, Failure> {
    let as_of = head(tx, realm_id)?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT {MESSAGE} FROM messages AS m
         LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
         WHERE m.message_id = ?1 AND m.realm_id = ?3 AND {}",
        readable!("?2")
    ))?;
    let mut rows = select.query(params![message_id.0, viewer.0, realm_id.0])?;
    let mut page = HistoryPage::default();
    if let Some(row) = rows.next()? {
        page.messages.push(message(row)?);
    }
    complete(tx, realm_id, viewer, &mut page)?;
    Ok(Stamped { as_of, value: page })
}

/// What it takes to show the page's messages.
fn complete(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    page: &mut HistoryPage,
) -> Result<(), Failure> {
    page.names = names(tx, realm_id, &NameQuery::of(&page.messages))?;
    page.extras = extras::of(tx, viewer, &page.messages)?;
    Ok(())
}

/// The unread ones from a message on: above the floor, or below it and marked so.
const UNREAD_FROM: &str = concat!(
    "(m.message_id > (SELECT coalesce(max(f.floor), 0) FROM read_floors AS f WHERE f.user_id = ?2)
     OR m.message_id IN (SELECT e.message_id FROM read_exceptions AS e WHERE e.user_id = ?2 AND e.unread))
     AND m.message_id > ?3 AND NOT ",
    is_read!("?2")
);

/// Who may see what of which: the condition on messages, with its parameters.
struct Filter {
    condition: String,
    parameters: Vec<Value>,
}

impl Filter {
    fn new(tx: &Transaction<'_>, query: &HistoryQuery) -> Result<Self, Failure> {
        let HistoryQuery { realm_id, viewer, narrow, .. } = query;
        let Narrow { stream_id, topic, sender_id, direct, is_direct, message_id, words, .. } = narrow;
        // ?3 is the anchor, ?4 the limit.
        let parameters = vec![integer(realm_id.0)?, integer(viewer.0)?, Value::Null, Value::Null];
        let mut filter = Self { condition: "m.realm_id = ?1".into(), parameters };
        filter.see(tx, *realm_id, *viewer, *stream_id)?;
        if let Some(topic) = topic {
            filter.and("m.topic_key =", Value::Text(text::key(topic.trim())));
        }
        if let Some(sender_id) = sender_id {
            filter.and("m.sender_id =", integer(sender_id.0)?);
        }
        if let Some(direct) = direct {
            let own = direct.contains(viewer);
            let key = if own { users_key(direct) } else { String::new() };
            let of = "m.conversation_id = (SELECT c.conversation_id FROM conversations AS c
                      WHERE c.realm_id = ?1 AND c.users_key =";
            filter.and(of, Value::Text(key));
            filter.condition.push(')');
        }
        if *is_direct {
            filter.condition.push_str(" AND m.conversation_id IS NOT NULL");
        }
        for (is_wanted, clause) in [
            (narrow.is_starred, is_starred!("?2")),
            (narrow.is_mentioned, is_mentioned!("?2")),
            (narrow.is_unread, concat!("NOT ", is_read!("?2"))),
        ] {
            if is_wanted {
                filter.condition.push_str(" AND ");
                filter.condition.push_str(clause);
            }
        }
        if let Some(message_id) = message_id {
            filter.and("m.message_id =", integer(message_id.0)?);
        }
        if !words.is_empty() {
            let of = "m.message_id IN (SELECT rowid FROM message_search WHERE message_search MATCH";
            filter.and(of, Value::Text(phrases(words)));
            filter.condition.push(')');
        }
        Ok(filter)
    }

    fn see(
        &mut self,
        tx: &Transaction<'_>,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: Option<StreamId>,
    ) -> Result<(), Failure> {
        let Some(stream_id) = stream_id else {
            self.condition.push_str(concat!(" AND ", received!("?2")));
            return Ok(());
        };
        self.and("m.stream_id =", integer(stream_id.0)?);
        if access(tx, realm_id, viewer, stream_id)? != Access::Whole {
            self.condition.push_str(&format!(" AND {WHILE_MEMBER}"));
        }
        Ok(())
    }

    fn and(&mut self, compared: &str, value: Value) {
        self.parameters.push(value);
        self.condition.push_str(&format!(" AND {compared} ?{}", self.parameters.len()));
    }

    fn select(
        &self,
        tx: &Transaction<'_>,
        around: &str,
        order: &str,
        anchor: MessageId,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, Failure> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {MESSAGE} FROM messages AS m LEFT JOIN conversations AS c ON c.conversation_id = m.conversation_id
             WHERE {around} AND {} ORDER BY m.message_id {order} LIMIT ?4",
            self.condition
        );
        let mut parameters = self.parameters.clone();
        parameters[2] = integer(anchor.0)?;
        parameters[3] = integer(limit as u64)?;
        let mut select = tx.prepare_cached(&sql)?;
        let mut rows = select.query(params_from_iter(parameters))?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next()? {
            messages.push(message(row)?);
        }
        Ok(messages)
    }
}

pub(super) fn message(row: &Row<'_>) -> Result<StoredMessage, Failure> {
    let send_id: String = row.get(3)?;
    let stream_id: Option<u64> = row.get(4)?;
    let to = match stream_id {
        Some(stream_id) => Destination::Stream { stream_id: StreamId(stream_id), topic: row.get(5)? },
        None => Destination::Direct { user_ids: users(row.get(9)?)? },
    };
    let message = Message {
        message_id: MessageId(row.get(0)?),
        sender_id: UserId(row.get(2)?),
        timestamp: row.get(7)?,
        to,
        content: row.get(8)?,
        send_id: SendId::parse(send_id).map_err(|error| Failure::Row(error.to_string()))?,
    };
    Ok(StoredMessage { message, sequence: Sequence(row.get(1)?) })
}

fn users(key: String) -> Result<Vec<UserId>, Failure> {
    users_of_key(&key).ok_or_else(|| Failure::Row(format!("no users: {key:?}")))
}

/// The words as a full-text query: each stands for itself, whatever it looks like, and all must be there.
fn phrases(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    quoted.join(" ")
}

/// The names asked for that there are.
pub(super) fn names(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    query: &NameQuery,
) -> Result<KnownNames, Failure> {
    let NameQuery { user_ids, full_names, stream_ids, stream_names } = query;
    let mut names = KnownNames::default();
    let mut select = tx.prepare_cached(&format!(
        "SELECT {USER} FROM json_each(?2) AS asked CROSS JOIN users AS u ON u.user_id = asked.value
         WHERE u.realm_id = ?1
         UNION SELECT {USER} FROM json_each(?3) AS asked
         CROSS JOIN users AS u ON u.realm_id = ?1 AND u.full_name = asked.value"
    ))?;
    for user in select.query_map(params![realm_id.0, json(user_ids)?, json(full_names)?], user)? {
        let user = user?;
        names.users.insert(user.user_id, user);
    }
    let mut select = tx.prepare_cached(&format!(
        "SELECT {STREAM} FROM json_each(?2) AS asked CROSS JOIN streams AS s ON s.stream_id = asked.value
         WHERE s.realm_id = ?1
         UNION SELECT {STREAM} FROM json_each(?3) AS asked
         CROSS JOIN streams AS s ON s.realm_id = ?1 AND s.name_key = asked.value AND NOT s.invite_only"
    ))?;
    for stream in select.query_map(params![realm_id.0, json(stream_ids)?, json(stream_names)?], stream)? {
        let stream = stream?;
        names.streams.insert(stream.stream_id, stream);
    }
    Ok(names)
}

/// Walks from topic to topic in the index, and in each to its newest message that may be seen: what it costs
/// grows with the topics, not the messages.
pub(super) fn topics(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    stream_id: StreamId,
) -> Result<Stamped<Option<Vec<Topic>>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let seen = match access(tx, realm_id, viewer, stream_id)? {
        Access::Unknown => return Ok(Stamped { as_of, value: None }),
        Access::Whole => "1",
        Access::Intervals => WHILE_MEMBER,
    };
    let mut select = tx.prepare_cached(&format!(
        "WITH RECURSIVE topic (topic_key) AS (
             SELECT min(topic_key) FROM messages WHERE stream_id = ?1
             UNION ALL
             SELECT (SELECT min(n.topic_key) FROM messages AS n
                     WHERE n.stream_id = ?1 AND n.topic_key > topic.topic_key)
             FROM topic WHERE topic.topic_key IS NOT NULL),
         newest (message_id) AS (
             SELECT (SELECT m.message_id FROM messages AS m
                     WHERE m.stream_id = ?1 AND m.topic_key = topic.topic_key AND ?2 = ?2 AND {seen}
                     ORDER BY m.message_id DESC LIMIT 1)
             FROM topic WHERE topic.topic_key IS NOT NULL)
         SELECT m.topic, m.message_id FROM newest JOIN messages AS m USING (message_id)
         ORDER BY m.message_id DESC"
    ))?;
    let topic = |row: &Row<'_>| Ok(Topic { name: row.get(0)?, max_id: MessageId(row.get(1)?) });
    let topics = select.query_map(params![stream_id.0, viewer.0], topic)?.collect::<Result<_, _>>()?;
    Ok(Stamped { as_of, value: Some(topics) })
}

fn integer(id: impl Into<u64>) -> Result<Value, Failure> {
    let id: u64 = id.into();
    i64::try_from(id).map(Value::Integer).map_err(|_| Failure::Row(format!("no id: {id}")))
}
