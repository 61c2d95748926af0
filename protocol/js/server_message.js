import { MalformedError } from "./errors.js";

/** @typedef {import("./types.js").ServerMessage} ServerMessage */

/**
 * Checks that `value`, as a codec read it, is a message of the protocol. From here on no code checks
 * again. Unknown fields are left alone.
 *
 * @param {unknown} value
 * @returns {ServerMessage | null} null for a kind that this client does not know
 * @throws {MalformedError}
 */
export function readServerMessage(value) {
  if (!isObject(value) || typeof value.type !== "string") throw new MalformedError("not an object with a type");
  if (!Object.hasOwn(FIELDS, value.type)) return null;
  check(value, FIELDS[value.type], value.type);
  return /** @type {ServerMessage} */ (/** @type {unknown} */ (value));
}

/**
 * Whether an event's body is of a kind this client knows, and whole. One that is not still moves the
 * position on: sequences must not stand still for a kind that only newer clients know.
 *
 * @param {unknown} event
 */
export function isKnownEvent(event) {
  if (!isObject(event) || typeof event.kind !== "string" || !Object.hasOwn(EVENT_FIELDS, event.kind)) return false;
  return Object.entries(EVENT_FIELDS[event.kind]).every(([name, is]) => is(event[name]));
}

/**
 * @param {Record<string, unknown>} value
 * @param {Record<string, (value: unknown) => boolean>} fields
 * @param {string} what
 */
function check(value, fields, what) {
  for (const [name, is] of Object.entries(fields)) {
    if (!is(value[name])) throw new MalformedError(`${what}: bad field ${name}`);
  }
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** @param {unknown} value @returns {value is string} */
const isText = (value) => typeof value === "string";
/** @param {unknown} value */
const isFlag = (value) => typeof value === "boolean";
/** @param {unknown} value @returns {value is number} */
const isNumber = (value) => Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
/** @param {unknown} value */
const isPosition = (value) =>
  isObject(value) && isNumber(value.epoch) && isNumber(value.sequence) && isNumber(value.mark);
/** @param {unknown} value */
const isIds = (value) => Array.isArray(value) && value.every(isNumber);
/** @param {unknown} value */
const isTimes = (value) => Array.isArray(value) && value.every((pair) => isIds(pair) && pair.length >= 2);
/** @param {unknown} value */
const isDestination = (value) =>
  isObject(value) && (isIds(value.user_ids) || (isNumber(value.stream_id) && isText(value.topic)));
/** @param {unknown} value */
const isStream = (value) =>
  isObject(value) &&
  isNumber(value.stream_id) &&
  isText(value.name) &&
  isText(value.description) &&
  isFlag(value.invite_only);
/** @param {unknown} value */
const isUser = (value) => isObject(value) && isNumber(value.user_id) && isText(value.full_name) && isText(value.email);
/** @param {(value: unknown) => boolean} is */
const optional = (is) => (/** @type {unknown} */ value) => value === undefined || value === null || is(value);
/** @param {unknown} value */
const isTypingOp = (value) => value === "start" || value === "stop";

/** @type {Record<string, Record<string, (value: unknown) => boolean>>} */
const FIELDS = {
  welcome: {
    session_id: isNumber,
    user_id: isNumber,
    position: isPosition,
    time_ms: isNumber,
    heartbeat_ms: isNumber,
    timeout_ms: isNumber,
    presence_error_max_ms: optional(isNumber),
    frame_bytes_max: optional(isNumber),
    sends_in_flight_max: optional(isNumber),
  },
  event: { sequence: isNumber, mark: isNumber },
  position: { epoch: isNumber, sequence: isNumber, mark: isNumber },
  reset: { reason: isText, position: isPosition, after_ms: isNumber },
  sent: { send_id: isText, message_id: isNumber, sequence: isNumber },
  done: { send_id: isText, sequence: isNumber },
  refused: { send_id: isText, code: isText, message: isText, retry_after_ms: optional(isNumber) },
  presence_snapshot: { as_of_ms: isNumber, change: isNumber, active: isIds, idle: isIds, offline: isTimes },
  presence: {
    as_of_ms: isNumber,
    from: isNumber,
    to: isNumber,
    active: optional(isIds),
    idle: optional(isIds),
    offline: optional(isTimes),
  },
  typing: { op: isTypingOp, sender_id: isNumber, to: isDestination },
  ping: { time_ms: isNumber },
  pong: { time_ms: isNumber },
  goaway: { after_ms: isNumber },
  error: { code: isText, message: isText },
};

const REACTION = { message_id: isNumber, user_id: isNumber, emoji_name: isText, emoji_code: isText, to: isDestination };

/** @type {Record<string, Record<string, (value: unknown) => boolean>>} */
const EVENT_FIELDS = {
  message: { message_id: isNumber, sender_id: isNumber, timestamp: isNumber, to: isDestination, content: isText },
  stream_created: { stream: isStream },
  members_added: { stream: isStream, user_ids: isIds },
  members_removed: { stream_id: isNumber, user_ids: isIds },
  user_added: { user: isUser },
  user_updated: { user: isUser },
  credential_changed: { user_id: isNumber },
  message_edited: { message_id: isNumber, actor_id: isNumber, to: isDestination, content: isText },
  messages_moved: { message_ids: isIds, stream_id: isNumber, topic_before: isText, topic: isText },
  messages_deleted: { message_ids: isIds, to: isDestination },
  reaction_added: REACTION,
  reaction_removed: REACTION,
  flags_added: { user_id: isNumber, flag: isText, message_ids: isIds },
  flags_removed: { user_id: isNumber, flag: isText, message_ids: isIds },
  stream_updated: { stream: isStream },
  topic_policy_set: { user_id: isNumber, stream_id: isNumber, topic: isText, policy: isNumber },
  subscription_set: { user_id: isNumber, stream_id: isNumber, name: isText, value: isText },
  setting_set: { user_id: isNumber, name: isText, value: isText },
};
