-- The writer's tables. Names are compared by their *_key columns: without case, as the program lowers it, and byte
-- by byte whatever the database's own order is.
--
-- The hot tables, messages and events, have no foreign keys: each would cost a look-up and a lock a row, and the
-- program has just read, under the realm's lock, what they refer to.

CREATE SEQUENCE realm_ids;
CREATE SEQUENCE user_ids MAXVALUE 4294967295;
CREATE SEQUENCE stream_ids;
CREATE SEQUENCE conversation_ids;
-- Taken after the realm's row is locked: within a realm message ids grow as its sequences do.
CREATE SEQUENCE message_ids;

-- A commit updates its realm's row: room in its page lets it stay there.
CREATE TABLE realms (
    realm_id      bigint PRIMARY KEY DEFAULT nextval('realm_ids'),
    name          text   NOT NULL,
    name_key      text   COLLATE "C" NOT NULL UNIQUE,
    epoch         bigint NOT NULL,
    head_sequence bigint NOT NULL DEFAULT 0,
    head_mark     bigint NOT NULL DEFAULT 0,
    created_s     bigint NOT NULL
) WITH (fillfactor = 25);

CREATE TABLE users (
    user_id            bigint  PRIMARY KEY,
    realm_id           bigint  NOT NULL REFERENCES realms,
    email              text    NOT NULL,
    email_key          text    COLLATE "C" NOT NULL,
    full_name          text    NOT NULL,
    role               text    NOT NULL,
    is_bot             boolean NOT NULL,
    is_active          boolean NOT NULL,
    key_hash           bytea   NOT NULL UNIQUE,
    -- The sequence of the last change of key, or of a deactivation; 0: none yet.
    credential_changed bigint  NOT NULL DEFAULT 0,
    created_s          bigint  NOT NULL,
    UNIQUE (realm_id, email_key)
);
CREATE INDEX users_of_realm ON users (realm_id, user_id);

-- Apart from users: written often, and by itself.
CREATE TABLE last_heard (
    user_id      bigint PRIMARY KEY REFERENCES users,
    last_heard_s bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE streams (
    stream_id   bigint  PRIMARY KEY,
    realm_id    bigint  NOT NULL REFERENCES realms,
    name        text    NOT NULL,
    name_key    text    COLLATE "C" NOT NULL,
    description text    NOT NULL,
    invite_only boolean NOT NULL,
    created_s   bigint  NOT NULL,
    UNIQUE (realm_id, name_key)
);
CREATE INDEX streams_of_realm ON streams (realm_id, stream_id);

-- Memberships as intervals of sequences: from_sequence included, to_sequence not; NULL: still a member.
CREATE TABLE members (
    stream_id     bigint NOT NULL REFERENCES streams,
    user_id       bigint NOT NULL REFERENCES users,
    from_sequence bigint NOT NULL,
    to_sequence   bigint,
    realm_id      bigint NOT NULL,
    PRIMARY KEY (stream_id, user_id, from_sequence)
);
CREATE UNIQUE INDEX members_now ON members (realm_id, stream_id, user_id) WHERE to_sequence IS NULL;
CREATE INDEX members_by_user ON members (user_id, stream_id);

-- A set of users who write to each other; users_key is their ids, ascending, with commas.
CREATE TABLE conversations (
    conversation_id bigint PRIMARY KEY DEFAULT nextval('conversation_ids'),
    realm_id        bigint NOT NULL REFERENCES realms,
    users_key       text   COLLATE "C" NOT NULL,
    UNIQUE (realm_id, users_key)
);
CREATE TABLE conversation_users (
    user_id         bigint NOT NULL REFERENCES users,
    conversation_id bigint NOT NULL REFERENCES conversations,
    PRIMARY KEY (user_id, conversation_id)
);

-- Either stream_id, topic and topic_key, or conversation_id.
CREATE TABLE messages (
    message_id      bigint PRIMARY KEY,
    realm_id        bigint NOT NULL,
    sequence        bigint NOT NULL,
    sender_id       bigint NOT NULL,
    send_id         text   COLLATE "C" NOT NULL,
    digest          bytea  NOT NULL,
    stream_id       bigint,
    topic           text,
    topic_key       text   COLLATE "C",
    conversation_id bigint,
    created_s       bigint NOT NULL,
    content         text   NOT NULL,
    UNIQUE (sender_id, send_id)
);
CREATE INDEX messages_of_realm ON messages (realm_id, message_id);
CREATE INDEX messages_of_sender ON messages (sender_id, message_id);
CREATE INDEX messages_of_stream ON messages (stream_id, message_id) WHERE stream_id IS NOT NULL;
CREATE INDEX messages_of_topic ON messages (stream_id, topic_key, message_id) WHERE stream_id IS NOT NULL;
CREATE INDEX messages_of_conversation ON messages (conversation_id, message_id)
    WHERE conversation_id IS NOT NULL;

-- The log: each realm's events of the resume window. audience and body are JSON.
CREATE TABLE events (
    realm_id      bigint  NOT NULL,
    sequence      bigint  NOT NULL,
    mark          bigint  NOT NULL,
    kind          integer NOT NULL,
    changes_state boolean NOT NULL,
    audience      text    NOT NULL,
    body          text    NOT NULL,
    created_s     bigint  NOT NULL,
    PRIMARY KEY (realm_id, sequence)
);
CREATE INDEX events_of_state ON events (realm_id, sequence) WHERE changes_state;
