-- The writer's tables. Names are compared by their *_key columns: without case, as the program lowers it.

CREATE TABLE realms (
    realm_id      INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL,
    name_key      TEXT    NOT NULL UNIQUE,
    epoch         INTEGER NOT NULL,
    head_sequence INTEGER NOT NULL DEFAULT 0,
    head_mark     INTEGER NOT NULL DEFAULT 0,
    created_s     INTEGER NOT NULL
) STRICT;

-- The next free id of each kind: ids are never used twice, even if their row goes.
CREATE TABLE counters (
    kind    TEXT    PRIMARY KEY,
    next_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('message', 1), ('user', 1), ('stream', 1);

CREATE TABLE users (
    user_id            INTEGER PRIMARY KEY,
    realm_id           INTEGER NOT NULL REFERENCES realms,
    email              TEXT    NOT NULL,
    email_key          TEXT    NOT NULL,
    full_name          TEXT    NOT NULL,
    role               TEXT    NOT NULL,
    is_bot             INTEGER NOT NULL,
    is_active          INTEGER NOT NULL,
    key_hash           BLOB    NOT NULL UNIQUE,
    -- The sequence of the last change of key, or of a deactivation; 0: none yet.
    credential_changed INTEGER NOT NULL DEFAULT 0,
    created_s          INTEGER NOT NULL,
    UNIQUE (realm_id, email_key)
) STRICT;
CREATE INDEX users_of_realm ON users (realm_id, user_id);

-- Apart from users: written often, and by itself.
CREATE TABLE last_heard (
    user_id      INTEGER PRIMARY KEY REFERENCES users,
    last_heard_s INTEGER NOT NULL
) STRICT;

CREATE TABLE streams (
    stream_id   INTEGER PRIMARY KEY,
    realm_id    INTEGER NOT NULL REFERENCES realms,
    name        TEXT    NOT NULL,
    name_key    TEXT    NOT NULL,
    description TEXT    NOT NULL,
    invite_only INTEGER NOT NULL,
    created_s   INTEGER NOT NULL,
    UNIQUE (realm_id, name_key)
) STRICT;

-- Memberships as intervals of sequences: from_sequence included, to_sequence not; NULL: still a member.
CREATE TABLE members (
    stream_id     INTEGER NOT NULL REFERENCES streams,
    user_id       INTEGER NOT NULL REFERENCES users,
    from_sequence INTEGER NOT NULL,
    to_sequence   INTEGER,
    realm_id      INTEGER NOT NULL,
    PRIMARY KEY (stream_id, user_id, from_sequence)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX members_now ON members (realm_id, stream_id, user_id) WHERE to_sequence IS NULL;
CREATE INDEX members_by_user ON members (user_id, stream_id);

-- A set of users who write to each other; users_key is their ids, ascending, with commas.
CREATE TABLE conversations (
    conversation_id INTEGER PRIMARY KEY,
    realm_id        INTEGER NOT NULL REFERENCES realms,
    users_key       TEXT    NOT NULL,
    UNIQUE (realm_id, users_key)
) STRICT;
CREATE TABLE conversation_users (
    user_id         INTEGER NOT NULL REFERENCES users,
    conversation_id INTEGER NOT NULL REFERENCES conversations,
    PRIMARY KEY (user_id, conversation_id)
) STRICT, WITHOUT ROWID;

-- Either stream_id, topic and topic_key, or conversation_id.
CREATE TABLE messages (
    message_id      INTEGER PRIMARY KEY,
    realm_id        INTEGER NOT NULL REFERENCES realms,
    sequence        INTEGER NOT NULL,
    sender_id       INTEGER NOT NULL REFERENCES users,
    send_id         TEXT    NOT NULL,
    digest          BLOB    NOT NULL,
    stream_id       INTEGER REFERENCES streams,
    topic           TEXT,
    topic_key       TEXT,
    conversation_id INTEGER REFERENCES conversations,
    created_s       INTEGER NOT NULL,
    content         TEXT    NOT NULL,
    UNIQUE (sender_id, send_id)
) STRICT;
CREATE INDEX messages_of_realm ON messages (realm_id, message_id);
CREATE INDEX messages_of_sender ON messages (sender_id, message_id);
CREATE INDEX messages_of_stream ON messages (stream_id, message_id) WHERE stream_id IS NOT NULL;
CREATE INDEX messages_of_topic ON messages (stream_id, topic_key, message_id) WHERE stream_id IS NOT NULL;
CREATE INDEX messages_of_conversation ON messages (conversation_id, message_id)
    WHERE conversation_id IS NOT NULL;

-- The log: each realm's events of the resume window. audience and body are JSON.
CREATE TABLE events (
    realm_id      INTEGER NOT NULL REFERENCES realms,
    sequence      INTEGER NOT NULL,
    mark          INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    changes_state INTEGER NOT NULL,
    audience      TEXT    NOT NULL,
    body          TEXT    NOT NULL,
    created_s     INTEGER NOT NULL,
    PRIMARY KEY (realm_id, sequence)
) STRICT;
CREATE INDEX events_of_state ON events (realm_id, sequence) WHERE changes_state = 1;
