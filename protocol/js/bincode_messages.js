import {
  ascending,
  either,
  flag,
  list,
  number,
  offline,
  optional,
  reason,
  record,
  text,
  unlessEmpty,
  variant,
  word,
} from "./bincode_shapes.js";

/** @typedef {import("./bincode_shapes.js").Shape} Shape */

// The tables of SPEC.md, section 11. A kind's number is its place here, and its fields stand in their order:
// nothing may be moved, and what is new goes last.

const place = { epoch: number, sequence: number, mark: number };
const position = record(place);
const userIds = list(number);
const status = word("idle", "active");
const op = word("start", "stop");
const stream = record({ stream_id: number, name: text, description: text, invite_only: flag });
const user = record({
  user_id: number,
  email: text,
  full_name: text,
  role: word("admin", "member", "guest"),
  is_bot: flag,
  is_active: flag,
});
const destination = either({ stream_id: number, topic: text }, { user_ids: userIds });

const reaction = {
  message_id: number,
  user_id: number,
  emoji_name: text,
  emoji_code: text,
  reaction_type: word("unicode_emoji", "realm_emoji", "zulip_extra_emoji"),
  to: destination,
};
const flags = { user_id: number, flag: word("read", "starred"), message_ids: list(number) };

const event = variant("kind", {
  message: {
    message_id: number,
    sender_id: number,
    timestamp: number,
    to: destination,
    content: text,
    send_id: text,
  },
  stream_created: { stream },
  members_added: { stream, user_ids: userIds, actor_id: number },
  members_removed: { stream_id: number, user_ids: userIds, actor_id: number },
  user_added: { user },
  user_updated: { user, previous: user },
  credential_changed: { user_id: number },
  message_edited: { message_id: number, actor_id: number, timestamp: number, to: destination, content: text },
  messages_moved: {
    message_ids: list(number),
    actor_id: number,
    timestamp: number,
    stream_id: number,
    topic_before: text,
    topic: text,
  },
  messages_deleted: { message_ids: list(number), actor_id: number, to: destination },
  reaction_added: reaction,
  reaction_removed: reaction,
  flags_added: flags,
  flags_removed: flags,
  stream_updated: { stream, previous: stream },
  topic_policy_set: { user_id: number, stream_id: number, topic: text, policy: number, timestamp: number },
  subscription_set: { user_id: number, stream_id: number, name: text, value: text },
  setting_set: { user_id: number, name: text, value: text },
});

const membership = { send_id: text, stream_id: number, user_ids: unlessEmpty(userIds) };

/** What a client says. */
export const clientMessage = variant("type", {
  hello: { token: text, position: optional(position), presence: status, scope: word("realm", "none") },
  send: { send_id: text, to: destination, content: text },
  subscribe: membership,
  unsubscribe: membership,
  typing: { op, to: destination },
  presence: { status },
  presence_request: {},
  ping: {},
  pong: { active: flag },
});

/** What a server says. */
export const serverMessage = variant("type", {
  welcome: {
    session_id: number,
    realm_id: number,
    user_id: number,
    position,
    api: text,
    time_ms: number,
    heartbeat_ms: number,
    timeout_ms: number,
    resume_window_s: number,
    presence_error_max_ms: number,
    frame_bytes_max: number,
    content_chars_max: number,
    sends_in_flight_max: number,
  },
  event: { sequence: number, mark: number, event },
  position: place,
  reset: { reason: reason("expired", "epoch", "future"), position, after_ms: number },
  sent: { send_id: text, message_id: number, sequence: number },
  done: { send_id: text, sequence: number },
  refused: {
    send_id: text,
    code: reason(
      "rate_limited",
      "unavailable",
      "out_of_order",
      "unknown_stream",
      "unknown_user",
      "forbidden",
      "invalid_content",
      "send_id_reused",
      "too_many",
    ),
    message: text,
    retry_after_ms: optional(number),
  },
  presence_snapshot: { as_of_ms: number, change: number, active: ascending, idle: ascending, offline },
  presence: {
    as_of_ms: number,
    from: number,
    to: number,
    active: unlessEmpty(ascending),
    idle: unlessEmpty(ascending),
    offline: unlessEmpty(offline),
  },
  typing: { op, sender_id: number, to: destination },
  ping: { time_ms: number },
  pong: { time_ms: number },
  goaway: { after_ms: number },
  error: {
    code: reason("malformed", "hello", "unauthorized", "sessions_max", "sends_in_flight", "unavailable"),
    message: text,
  },
});
