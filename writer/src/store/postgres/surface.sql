-- What Zulip's clients need beyond messages and who sees them: what became of messages, who has read which, what
-- is a user's own, and words to search for.

-- edited_s: when its text last changed; NULL: never. search: the words of its text and topic.
ALTER TABLE messages
    ADD COLUMN edited_s bigint,
    ADD COLUMN search tsvector
        GENERATED ALWAYS AS (to_tsvector('simple', content || ' ' || coalesce(topic, ''))) STORED;
CREATE INDEX messages_search ON messages USING gin (search);

CREATE INDEX users_by_name ON users (realm_id, full_name);
CREATE INDEX members_since ON members (stream_id, from_sequence) WHERE to_sequence IS NULL;

-- What a message was before; a NULL is what did not change.
CREATE TABLE message_edits (
    message_id     bigint NOT NULL,
    sequence       bigint NOT NULL,
    actor_id       bigint NOT NULL,
    edited_s       bigint NOT NULL,
    content_before text,
    topic_before   text,
    PRIMARY KEY (message_id, sequence)
);

CREATE TABLE reactions (
    message_id    bigint NOT NULL,
    user_id       bigint NOT NULL,
    reaction_type text   NOT NULL,
    emoji_code    text   COLLATE "C" NOT NULL,
    emoji_name    text   NOT NULL,
    PRIMARY KEY (message_id, user_id, reaction_type, emoji_code)
);

-- Whom messages mention; user 0: everybody who reads it.
CREATE TABLE mentions (
    user_id    bigint NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (message_id, user_id)
);
CREATE INDEX mentions_of_user ON mentions (user_id, message_id);

CREATE TABLE stars (
    user_id    bigint NOT NULL,
    message_id bigint NOT NULL,
    PRIMARY KEY (user_id, message_id)
);

CREATE INDEX stars_of_message ON stars (message_id);

-- Who has read which: one's own messages, all up to the floor, those of each place (a topic or a conversation) up
-- to its marker; but for exceptions, which are few.
CREATE TABLE read_floors (
    user_id bigint PRIMARY KEY,
    floor   bigint NOT NULL
);
CREATE TABLE read_markers (
    user_id bigint NOT NULL,
    place   text   COLLATE "C" NOT NULL,
    up_to   bigint NOT NULL,
    PRIMARY KEY (user_id, place)
);
CREATE INDEX read_markers_of_place ON read_markers (place);
CREATE TABLE read_exceptions (
    user_id    bigint  NOT NULL,
    message_id bigint  NOT NULL,
    unread     boolean NOT NULL,
    PRIMARY KEY (user_id, message_id)
);
CREATE INDEX read_exceptions_of_message ON read_exceptions (message_id);

CREATE TABLE topic_policies (
    user_id   bigint  NOT NULL,
    stream_id bigint  NOT NULL,
    topic_key text    COLLATE "C" NOT NULL,
    topic     text    NOT NULL,
    policy    integer NOT NULL,
    updated_s bigint  NOT NULL,
    PRIMARY KEY (user_id, stream_id, topic_key)
);

-- Values are JSON.
CREATE TABLE subscription_settings (
    user_id   bigint NOT NULL,
    stream_id bigint NOT NULL,
    name      text   NOT NULL,
    value     text   NOT NULL,
    PRIMARY KEY (user_id, stream_id, name)
);
CREATE TABLE user_settings (
    user_id bigint NOT NULL,
    name    text   NOT NULL,
    value   text   NOT NULL,
    PRIMARY KEY (user_id, name)
);
