//! What a decision needs, one statement a kind, all in one round trip.

use std::collections::{HashMap, HashSet};

use squall_protocol::event::{Stream, User};
use squall_protocol::{Position, RealmId, SendId, StreamId, UserId};
use tokio_postgres::Row;

use super::connection::{Connection, Parameter};
use super::failure::Failure;
use super::rows::{
    all, big, bigs, column, message_id, number, sequence, stream, stream_columns, stream_id, user,
    user_columns, user_id, wanted,
};
use super::surface;
use crate::decide::{Facts, Ids, Needs, RecentSend, StoredSend, SurfaceFacts};
use crate::limits::RESEND_LOOKUP_MAX;
use crate::secret::MessageDigest;

/// Statements to have ready: they must go out together, behind the one that locks.
pub(super) const STATEMENTS: [&str; 11] = [
    USERS,
    STREAMS,
    NAMED_STREAMS,
    MEMBERS,
    NAMED_MEMBERS,
    EMAILS,
    SENDS,
    RECENT,
    MESSAGE_IDS,
    USER_IDS,
    STREAM_IDS,
];

const USERS: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users AS u
     WHERE u.user_id = ANY ($2) AND u.realm_id = $1"
);

const STREAMS: &str = concat!(
    "SELECT ",
    stream_columns!(),
    " FROM streams AS s
     WHERE s.stream_id = ANY ($2) AND s.realm_id = $1"
);

const NAMED_STREAMS: &str = concat!(
    "SELECT ",
    stream_columns!(),
    " FROM streams AS s
     WHERE s.realm_id = $1 AND s.name_key = ANY ($2)"
);

const MEMBERS: &str = "SELECT m.stream_id, m.user_id
     FROM unnest($2::bigint[], $3::bigint[]) AS asked (stream_id, user_id)
     JOIN members AS m ON m.realm_id = $1 AND m.stream_id = asked.stream_id AND m.user_id = asked.user_id
     AND m.to_sequence IS NULL";

const NAMED_MEMBERS: &str = "SELECT m.stream_id, m.user_id
     FROM unnest($2::text[], $3::bigint[]) AS asked (name_key, user_id)
     JOIN streams AS s ON s.realm_id = $1 AND s.name_key = asked.name_key
     JOIN members AS m ON m.realm_id = $1 AND m.stream_id = s.stream_id AND m.user_id = asked.user_id
     AND m.to_sequence IS NULL";

const EMAILS: &str = "SELECT email_key FROM users WHERE realm_id = $1 AND email_key = ANY ($2)";

const SENDS: &str = "SELECT m.sender_id, m.send_id, m.message_id, m.sequence, m.digest
     FROM unnest($1::bigint[], $2::text[]) AS asked (sender_id, send_id)
     JOIN messages AS m ON m.sender_id = asked.sender_id AND m.send_id = asked.send_id";

/// The newest message of each of these among its sender's newest $3.
const RECENT: &str = "SELECT asked.sender_id, asked.digest, m.message_id, m.sequence, m.created_s
     FROM unnest($1::bigint[], $2::bytea[]) AS asked (sender_id, digest)
     CROSS JOIN LATERAL (SELECT * FROM (
         SELECT message_id, sequence, created_s, digest FROM messages WHERE sender_id = asked.sender_id
         ORDER BY message_id DESC LIMIT $3) AS newest
         WHERE newest.digest = asked.digest ORDER BY message_id DESC LIMIT 1) AS m";

const MESSAGE_IDS: &str = "SELECT nextval('message_ids') FROM generate_series(1, $1::bigint)";
const USER_IDS: &str = "SELECT nextval('user_ids') FROM generate_series(1, $1::bigint)";
const STREAM_IDS: &str = "SELECT nextval('stream_ids') FROM generate_series(1, $1::bigint)";

/// What is known of a realm but for its head.
pub(super) struct Known {
    users: HashMap<UserId, User>,
    streams: HashMap<StreamId, Stream>,
    members: HashSet<(StreamId, UserId)>,
    emails: HashSet<String>,
    sends: HashMap<(UserId, SendId), StoredSend>,
    recent: HashMap<(UserId, MessageDigest), RecentSend>,
    surface: SurfaceFacts,
    ids: Ids,
}

impl Known {
    /// The facts, with the head that the locking statement brought.
    pub(super) fn with_head(self, head: Position) -> Facts {
        let Self { users, streams, members, emails, sends, recent, surface, ids } = self;
        Facts { head, users, streams, members, emails, sends, recent, surface, ids }
    }
}

/// Reads it. Polled right behind the statement that locks, all goes out with that one; each statement begins when
/// the lock is had, and sees all that was committed by then.
pub(super) async fn read(c: &Connection, realm_id: RealmId, needs: &Needs) -> Result<Known, Failure> {
    let realm = big(realm_id.0);
    let users = bigs(needs.users.iter().map(|user| user.0));
    let streams = bigs(needs.streams.iter().map(|stream| stream.0));
    let names: Vec<String> = needs.stream_names.iter().map(|name| wanted(name)).collect();
    let emails: Vec<String> = needs.emails.iter().map(|email| wanted(email)).collect();
    let (member_streams, member_users): (Vec<i64>, Vec<i64>) =
        needs.members.iter().map(|(stream, user)| (big(stream.0), big(user.0))).unzip();
    let (named_streams, named_users): (Vec<String>, Vec<i64>) =
        needs.named_members.iter().map(|(name, user)| (wanted(name), big(user.0))).unzip();
    let (senders, send_ids): (Vec<i64>, Vec<&str>) =
        needs.sends.iter().map(|(sender, send_id)| (big(sender.0), send_id.as_str())).unzip();
    let (resenders, digests): (Vec<i64>, Vec<&[u8]>) =
        needs.recent.iter().map(|(sender, digest)| (big(sender.0), &digest.0[..])).unzip();
    let lookup = big(RESEND_LOOKUP_MAX as u64);
    let (messages, new_users, new_streams) =
        (big(needs.new_messages as u64), big(needs.new_users as u64), big(needs.new_streams as u64));
    let rows = tokio::try_join!(
        biased;
        ask(c, !users.is_empty(), USERS, [&realm, &users]),
        ask(c, !streams.is_empty(), STREAMS, [&realm, &streams]),
        ask(c, !names.is_empty(), NAMED_STREAMS, [&realm, &names]),
        ask(c, !member_users.is_empty(), MEMBERS, [&realm, &member_streams, &member_users]),
        ask(c, !named_users.is_empty(), NAMED_MEMBERS, [&realm, &named_streams, &named_users]),
        ask(c, !emails.is_empty(), EMAILS, [&realm, &emails]),
        ask(c, !senders.is_empty(), SENDS, [&senders, &send_ids]),
        ask(c, !resenders.is_empty(), RECENT, [&resenders, &digests, &lookup]),
        ask(c, messages > 0, MESSAGE_IDS, [&messages]),
        ask(c, new_users > 0, USER_IDS, [&new_users]),
        ask(c, new_streams > 0, STREAM_IDS, [&new_streams]),
        surface::facts(c, realm_id, &needs.surface),
    )?;
    let (
        users,
        streams,
        named_streams,
        members,
        named_members,
        emails,
        sends,
        recent,
        messages,
        new_users,
        new_streams,
        surface,
    ) = rows;
    Ok(Known {
        users: all(&users, |row| user(row).map(|user| (user.user_id, user)))?,
        streams: all(streams.iter().chain(&named_streams), |row| {
            stream(row).map(|stream| (stream.stream_id, stream))
        })?,
        members: all(members.iter().chain(&named_members), |row| Ok((stream_id(row, 0)?, user_id(row, 1)?)))?,
        emails: all(&emails, |row| column(row, 0))?,
        sends: all(&sends, send)?,
        recent: all(&recent, recent_send)?,
        surface,
        ids: Ids {
            messages: all(&messages, |row| message_id(row, 0))?,
            users: all(&new_users, |row| user_id(row, 0))?,
            streams: all(&new_streams, |row| stream_id(row, 0))?,
        },
    })
}

/// Nothing, if nothing is asked.
async fn ask<const N: usize>(
    c: &Connection,
    asked: bool,
    sql: &str,
    parameters: [Parameter<'_>; N],
) -> Result<Vec<Row>, Failure> {
    if asked { c.query(sql, parameters).await } else { Ok(Vec::new()) }
}

fn send(row: &Row) -> Result<((UserId, SendId), StoredSend), Failure> {
    let send_id: String = column(row, 1)?;
    let send_id = SendId::parse(send_id).map_err(|error| Failure::Row(error.to_string()))?;
    let stored =
        StoredSend { message_id: message_id(row, 2)?, sequence: sequence(row, 3)?, digest: digest(row, 4)? };
    Ok(((user_id(row, 0)?, send_id), stored))
}

fn recent_send(row: &Row) -> Result<((UserId, MessageDigest), RecentSend), Failure> {
    let recent = RecentSend {
        message_id: message_id(row, 2)?,
        sequence: sequence(row, 3)?,
        created_s: number(row, 4)?,
    };
    Ok(((user_id(row, 0)?, digest(row, 1)?), recent))
}

fn digest(row: &Row, index: usize) -> Result<MessageDigest, Failure> {
    let digest: &[u8] = column(row, index)?;
    let digest = digest.try_into().map_err(|_| Failure::Row("no digest of a message".into()))?;
    Ok(MessageDigest(digest))
}
