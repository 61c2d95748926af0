/** @typedef {import("./types.js").Destination} Destination */
/** @typedef {import("./types.js").EventRecord} EventRecord */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./api.js").MessagesAnswer} MessagesAnswer */

/**
 * The messages of a topic or of a set of users that are known here, ascending and without a hole from the
 * oldest known to the newest there is.
 */
export class Conversation {
  /** @type {Message[]} */
  #messages = [];
  /** The answer that the list holds; events up to it are in it. */
  #asOf = 0;
  #loaded = false;
  #foundOldest = false;
  #generation = 0;

  /**
   * @param {string} key
   * @param {Destination} to every user of a direct conversation named
   */
  constructor(key, to) {
    this.key = key;
    this.to = to;
    /** How many look at it. */
    this.watchers = 0;
  }

  /** @returns {readonly Message[]} ascending */
  get messages() {
    return this.#messages;
  }

  /** Whether a page was fetched; before, only what came since is here. */
  get loaded() {
    return this.#loaded;
  }

  /** Whether there is nothing older than what is known. */
  get foundOldest() {
    return this.#foundOldest;
  }

  /** Changes when what is known was dropped: a page asked for before does not fit any more. */
  get generation() {
    return this.#generation;
  }

  get oldestId() {
    return this.#messages[0]?.message_id ?? null;
  }

  get newestId() {
    return this.#messages.at(-1)?.message_id ?? null;
  }

  /**
   * Takes in the newest page.
   *
   * @param {MessagesAnswer} answer
   * @param {EventRecord[]} later the conversation's message events after the answer
   */
  loadNewest(answer, later) {
    const reachesBack = answer.messages[0]?.message_id ?? Infinity;
    // What came live and lies before the page is older than it and joins it without a hole.
    const before = this.#messages.filter(({ message_id }) => message_id < reachesBack && !answer.foundOldest);
    this.#messages = [...(answer.messages.length > 0 ? before : []), ...answer.messages];
    this.#asOf = answer.as_of.sequence;
    this.#loaded = true;
    this.#foundOldest = answer.foundOldest;
    for (const record of later) this.handle(record);
  }

  /** @param {MessagesAnswer} answer the page before the oldest known message */
  loadOlder(answer) {
    const reachesTo = this.oldestId ?? Infinity;
    const older = answer.messages.filter(({ message_id }) => message_id < reachesTo);
    this.#messages = [...older, ...this.#messages];
    this.#foundOldest = answer.foundOldest || older.length === 0;
  }

  /**
   * An event of this conversation: a message, or what became of one.
   * @param {EventRecord} record
   * @returns {boolean} whether it changed anything here
   */
  handle(record) {
    const { sequence, event } = record;
    if (sequence <= this.#asOf) return false;
    if (event.kind === "message_edited") return this.#edit(event.message_id, event.content);
    if (event.kind === "messages_deleted") return this.#delete(new Set(event.message_ids));
    return event.kind === "message" && this.#add(event, sequence);
  }

  /**
   * @param {import("./types.js").MessageEvent} event
   * @param {number} sequence
   */
  #add(event, sequence) {
    const { message_id, sender_id, timestamp, to, content, send_id } = event;
    if (this.newestId !== null && message_id <= this.newestId) return false;
    this.#messages.push({ message_id, sender_id, timestamp, to, content, send_id, sequence });
    if (this.watchers === 0) this.trim();
    return true;
  }

  /**
   * @param {number} messageId
   * @param {string} content
   */
  #edit(messageId, content) {
    const index = this.#messages.findIndex(({ message_id }) => message_id === messageId);
    if (index < 0 || this.#messages[index].content === content) return false;
    this.#messages = this.#messages.with(index, { ...this.#messages[index], content });
    return true;
  }

  /** @param {Set<number>} messageIds */
  #delete(messageIds) {
    const left = this.#messages.filter(({ message_id }) => !messageIds.has(message_id));
    if (left.length === this.#messages.length) return false;
    this.#messages = left;
    return true;
  }

  /** Lets go of what is old: nobody looks at it, and a page brings it back. */
  trim() {
    const surplus = this.#messages.length - UNWATCHED_MAX;
    if (surplus <= TRIM_STEP) return;
    this.#messages.splice(0, surplus);
    this.#foundOldest = false;
  }

  /**
   * What is known has a hole from here on: drop it.
   * @param {number} sequence of the event that made it so
   * @returns {boolean} whether anything was dropped
   */
  drop(sequence) {
    if (sequence <= this.#asOf) return false;
    this.#messages = [];
    this.#asOf = sequence;
    this.#loaded = false;
    this.#foundOldest = false;
    this.#generation += 1;
    return true;
  }
}

/** Messages kept of a conversation that nobody looks at, and how many more before it is cut to that. */
const UNWATCHED_MAX = 200;
const TRIM_STEP = 50;
