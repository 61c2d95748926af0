import { Conversation } from "./conversation.js";
import { conversationKey, wholeDestination } from "./destination.js";
import { EventTape } from "./event_tape.js";

/** @typedef {import("./api.js").MessagesAnswer} MessagesAnswer */
/** @typedef {import("./types.js").Destination} Destination */
/** @typedef {import("./types.js").EventRecord} EventRecord */
/** @typedef {import("./types.js").MessageEvent} MessageEvent */
/** @typedef {import("./types.js").Position} Position */
/** @typedef {import("./types.js").RealmEvent} RealmEvent */
/** @typedef {import("./types.js").Stream} Stream */
/** @typedef {import("./types.js").User} User */

/**
 * What changed. `key` is a conversation's.
 * @typedef {{what: "users" | "streams" | "subscriptions" | "directs"} | {what: "topics", streamId: number}
 *   | {what: "conversation", key: string} | {what: "everything"}} Change
 */

/**
 * One answer's part of the state. It holds the events up to its `asOf`; those after it are applied, once.
 */
class Part {
  /** @type {number | null} */
  asOf = null;
  #apply;

  /** @param {(event: RealmEvent) => Change | null} apply */
  constructor(apply) {
    this.#apply = apply;
  }

  /**
   * @param {EventRecord} record
   * @returns {Change | null}
   */
  handle({ sequence, event }) {
    return this.asOf !== null && sequence > this.asOf ? this.#apply(event) : null;
  }

  /**
   * The answer is in; `later` are the events after it.
   * @param {number} asOf
   * @param {EventRecord[]} later
   */
  load(asOf, later) {
    this.asOf = asOf;
    for (const record of later) this.#apply(record.event);
  }
}

/**
 * What one life of a realm looks like to one user, from a position on: state fetched in parts, each at its
 * own `as_of`, and the events above it. It fetches nothing itself.
 */
export class RealmState {
  /** @type {Map<number, User>} */
  users = new Map();
  /** Those this user may know of. @type {Map<number, Stream>} */
  streams = new Map();
  /** Those this user is a member of. @type {Map<number, Stream>} */
  subscriptions = new Map();
  /** By stream, the newest message of each topic. @type {Map<number, Map<string, number>>} */
  topics = new Map();
  /** Direct conversations by key, with their newest message. @type {Map<string, {to: Destination, maxId: number}>} */
  directs = new Map();
  /** @type {Map<string, Conversation>} */
  conversations = new Map();
  tape = new EventTape();

  #ownId;
  #users = new Part((event) => this.#applyToUsers(event));
  #streams = new Part((event) => this.#applyToStreams(event));
  #subscriptions = new Part((event) => this.#applyToSubscriptions(event));
  #directs = new Part((event) => this.#applyToDirects(event));
  /** @type {Map<number, Part>} */
  #topics = new Map();

  /**
   * @param {number} ownId
   * @param {Position} position events after it will come
   */
  constructor(ownId, position) {
    this.#ownId = ownId;
    this.position = position;
  }

  /** @param {number} streamId */
  topicsLoaded(streamId) {
    return (this.#topics.get(streamId)?.asOf ?? null) !== null;
  }

  /**
   * @param {Destination} to
   * @returns {Conversation} made if it is not there yet
   */
  conversation(to) {
    const key = conversationKey(to, this.#ownId);
    const known = this.conversations.get(key);
    if (known) return known;
    const made = new Conversation(key, wholeDestination(to, this.#ownId));
    this.conversations.set(key, made);
    return made;
  }

  // Answers.

  /** @param {import("./api.js").UsersAnswer} answer */
  loadUsers({ as_of, users }) {
    this.users = new Map(users.map((user) => [user.user_id, user]));
    this.#users.load(as_of.sequence, this.tape.after(as_of.sequence));
  }

  /** @param {import("./api.js").StreamsAnswer} answer */
  loadStreams({ as_of, streams }) {
    this.streams = new Map(streams.map((stream) => [stream.stream_id, stream]));
    this.#streams.load(as_of.sequence, this.tape.after(as_of.sequence));
  }

  /** @param {import("./api.js").StreamsAnswer} answer */
  loadSubscriptions({ as_of, streams }) {
    this.subscriptions = new Map(streams.map((stream) => [stream.stream_id, stream]));
    this.#subscriptions.load(as_of.sequence, this.tape.after(as_of.sequence));
  }

  /** @param {MessagesAnswer} answer the newest direct messages */
  loadDirects({ as_of, messages }) {
    this.directs = new Map();
    for (const { to, message_id } of messages) this.#noteDirect(to, message_id);
    this.#directs.load(as_of.sequence, this.tape.after(as_of.sequence));
  }

  /**
   * @param {number} streamId
   * @param {import("./api.js").TopicsAnswer} answer
   */
  loadTopics(streamId, { as_of, topics }) {
    this.topics.set(streamId, new Map(topics.map(({ name, max_id }) => [name, max_id])));
    const part = new Part((event) => this.#applyToTopics(streamId, event));
    this.#topics.set(streamId, part);
    part.load(as_of.sequence, this.tape.after(as_of.sequence));
  }

  /**
   * @param {Conversation} conversation
   * @param {MessagesAnswer} answer its newest page
   */
  loadNewest(conversation, answer) {
    const later = this.tape.after(answer.as_of.sequence);
    conversation.loadNewest(
      answer,
      later.filter(({ event }) => this.#isOf(conversation, event)),
    );
    // Left and come back after the answer was made: it lacks what came between.
    for (const { sequence, event } of later) if (this.#breaks(conversation, event)) conversation.drop(sequence);
  }

  // Events.

  /**
   * Takes in the next event.
   * @param {EventRecord} record
   * @returns {Change[]}
   */
  handle(record) {
    this.tape.add(record);
    const parts = [this.#users, this.#streams, this.#subscriptions, this.#directs, ...this.#topics.values()];
    const changes = parts.map((part) => part.handle(record)).filter((change) => change !== null);
    return [...changes, ...this.#handleInConversations(record)];
  }

  /**
   * @param {EventRecord} record
   * @returns {Change[]}
   */
  #handleInConversations(record) {
    const { event, sequence } = record;
    if (isOfOneConversation(event)) {
      const conversation = this.conversation(event.to);
      return conversation.handle(record) ? [{ what: "conversation", key: conversation.key }] : [];
    }
    return [...this.conversations.values()]
      .filter((conversation) => this.#breaks(conversation, event) && conversation.drop(sequence))
      .map(({ key }) => ({ what: "conversation", key }));
  }

  /**
   * @param {Conversation} conversation
   * @param {RealmEvent} event
   */
  #isOf(conversation, event) {
    return isOfOneConversation(event) && conversationKey(event.to, this.#ownId) === conversation.key;
  }

  /**
   * Whether the event makes what is known of the conversation worth nothing: it lets this user in or out of its
   * stream, or moves messages into its topic or out of it.
   *
   * @param {Conversation} conversation
   * @param {RealmEvent} event
   */
  #breaks({ to }, event) {
    if (!("stream_id" in to)) return false;
    if (event.kind !== "messages_moved") return this.#ownMove(event) === to.stream_id;
    const [from, into] = [event.topic_before, event.topic].map((topic) => topic.toLowerCase());
    return event.stream_id === to.stream_id && [from, into].includes(to.topic.toLowerCase());
  }

  /**
   * @param {RealmEvent} event
   * @returns {number | null} the stream that this user came into or went out of
   */
  #ownMove(event) {
    if (event.kind !== "members_added" && event.kind !== "members_removed") return null;
    if (!event.user_ids.includes(this.#ownId)) return null;
    return event.kind === "members_added" ? event.stream.stream_id : event.stream_id;
  }

  /** @param {RealmEvent} event @returns {Change | null} */
  #applyToUsers(event) {
    if (event.kind !== "user_added" && event.kind !== "user_updated") return null;
    this.users.set(event.user.user_id, event.user);
    return { what: "users" };
  }

  /** @param {RealmEvent} event @returns {Change | null} */
  #applyToStreams(event) {
    if (event.kind === "stream_created" || event.kind === "members_added" || event.kind === "stream_updated") {
      this.streams.set(event.stream.stream_id, event.stream);
      return { what: "streams" };
    }
    const left = event.kind === "members_removed" ? this.#ownMove(event) : null;
    if (left === null || !this.streams.get(left)?.invite_only) return null;
    this.streams.delete(left);
    return { what: "streams" };
  }

  /** @param {RealmEvent} event @returns {Change | null} */
  #applyToSubscriptions(event) {
    if (event.kind === "stream_updated" && this.subscriptions.has(event.stream.stream_id)) {
      this.subscriptions.set(event.stream.stream_id, event.stream);
      return { what: "subscriptions" };
    }
    const streamId = this.#ownMove(event);
    if (streamId === null) return null;
    if (event.kind === "members_added") this.subscriptions.set(streamId, event.stream);
    else this.subscriptions.delete(streamId);
    return { what: "subscriptions" };
  }

  /** @param {RealmEvent} event @returns {Change | null} */
  #applyToDirects(event) {
    if (event.kind !== "message" || !("user_ids" in event.to)) return null;
    this.#noteDirect(event.to, event.message_id);
    return { what: "directs" };
  }

  /**
   * @param {Destination} to
   * @param {number} messageId
   */
  #noteDirect(to, messageId) {
    const key = conversationKey(to, this.#ownId);
    const maxId = Math.max(messageId, this.directs.get(key)?.maxId ?? 0);
    this.directs.set(key, { to: wholeDestination(to, this.#ownId), maxId });
  }

  /** @param {number} streamId @param {RealmEvent} event @returns {Change | null} */
  #applyToTopics(streamId, event) {
    if (this.#ownMove(event) === streamId || takesFromTopics(event, streamId)) {
      this.#topics.delete(streamId);
      this.topics.delete(streamId);
      return { what: "topics", streamId };
    }
    if (event.kind !== "message" || !("topic" in event.to) || event.to.stream_id !== streamId) return null;
    const topics = this.topics.get(streamId);
    if (!topics) return null;
    topics.set(event.to.topic, Math.max(event.message_id, topics.get(event.to.topic) ?? 0));
    return { what: "topics", streamId };
  }
}

/**
 * @param {RealmEvent} event
 * @returns {event is import("./types.js").MessageEvent | import("./types.js").MessageEdited
 *   | import("./types.js").MessagesDeleted}
 */
function isOfOneConversation({ kind }) {
  return kind === "message" || kind === "message_edited" || kind === "messages_deleted";
}

/**
 * Whether a topic of the stream may have another newest message now, or none.
 *
 * @param {RealmEvent} event
 * @param {number} streamId
 */
function takesFromTopics(event, streamId) {
  if (event.kind === "messages_moved") return event.stream_id === streamId;
  return event.kind === "messages_deleted" && "stream_id" in event.to && event.to.stream_id === streamId;
}
