-- What Zulip's clients need beyond messages and who sees them: what became of messages, who has read which, what
-- is a user's own, and words to search for.

-- When its text last changed; NULL: never.
ALTER TABLE messages ADD COLUMN edited_s INTEGER;

CREATE INDEX users_by_name ON users (realm_id, full_name);
CREATE INDEX members_since ON members (stream_id, from_sequence) WHERE to_sequence IS NULL;

-- What a message was before; a NULL is what did not change.
CREATE TABLE message_edits (
    message_id     INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    actor_id       INTEGER NOT NULL,
    edited_s       INTEGER NOT NULL,
    content_before TEXT,
    topic_before   TEXT,
    PRIMARY KEY (message_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE reactions (
    message_id    INTEGER NOT NULL,
    user_id       INTEGER NOT NULL,
    reaction_type TEXT    NOT NULL,
    emoji_code    TEXT    NOT NULL,
    emoji_name    TEXT    NOT NULL,
    PRIMARY KEY (message_id, user_id, reaction_type, emoji_code)
) STRICT, WITHOUT ROWID;

-- Whom messages mention; user 0: everybody who reads it.
CREATE TABLE mentions (
    user_id    INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    PRIMARY KEY (message_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mentions_of_user ON mentions (user_id, message_id);

CREATE TABLE stars (
    user_id    INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX stars_of_message ON stars (message_id);

-- Who has read which: one's own messages, all up to the floor, those of each place (a topic or a conversation) up
-- to its marker; but for exceptions, which are few.
CREATE TABLE read_floors (
    user_id INTEGER PRIMARY KEY,
    floor   INTEGER NOT NULL
) STRICT;
CREATE TABLE read_markers (
    user_id INTEGER NOT NULL,
    place   TEXT    NOT NULL,
    up_to   INTEGER NOT NULL,
    PRIMARY KEY (user_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX read_markers_of_place ON read_markers (place);
CREATE TABLE read_exceptions (
    user_id    INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    unread     INTEGER NOT NULL,
    PRIMARY KEY (user_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX read_exceptions_of_message ON read_exceptions (message_id);

CREATE TABLE topic_policies (
    user_id   INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    topic_key TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    policy    INTEGER NOT NULL,
    updated_s INTEGER NOT NULL,
    PRIMARY KEY (user_id, stream_id, topic_key)
) STRICT, WITHOUT ROWID;

-- Values are JSON.
CREATE TABLE subscription_settings (
    user_id   INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    PRIMARY KEY (user_id, stream_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE user_settings (
    user_id INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    PRIMARY KEY (user_id, name)
) STRICT, WITHOUT ROWID;

-- The words of messages and their topics; the texts themselves stay where they are.
CREATE VIRTUAL TABLE message_search USING fts5 (
    content, topic, content = 'messages', content_rowid = 'message_id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER message_search_new AFTER INSERT ON messages BEGIN
    INSERT INTO message_search (rowid, content, topic) VALUES (new.message_id, new.content, new.topic);
END;
CREATE TRIGGER message_search_gone AFTER DELETE ON messages BEGIN
    INSERT INTO message_search (message_search, rowid, content, topic)
    VALUES ('delete', old.message_id, old.content, old.topic);
END;
CREATE TRIGGER message_search_changed AFTER UPDATE OF content, topic ON messages BEGIN
    INSERT INTO message_search (message_search, rowid, content, topic)
    VALUES ('delete', old.message_id, old.content, old.topic);
    INSERT INTO message_search (rowid, content, topic) VALUES (new.message_id, new.content, new.topic);
END;
INSERT INTO message_search (message_search) VALUES ('rebuild');
