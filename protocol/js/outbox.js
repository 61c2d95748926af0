import { Deferred } from "./deferred.js";
import { OutboxFullError, RefusedError } from "./errors.js";

/** @typedef {import("./environment.js").Environment} Environment */
/** @typedef {import("./types.js").WriteMessage} WriteMessage */

/**
 * What the server said of a write: `message_id` of a message, not of a membership change.
 * @typedef {{message_id?: number, sequence: number}} Answer
 */

/**
 * @typedef {object} Entry
 * @property {WriteMessage} message
 * @property {boolean} inFlight on the wire of the present connection, not answered yet
 * @property {number} addedAt
 * @property {Promise<Answer>} promise
 * @property {(answer: Answer) => void} resolve
 * @property {(error: Error) => void} reject
 */

/**
 * Writes without an answer, in the order in which they were made. They are put on the wire in that order,
 * again after each lost connection and after each refusal that passes, always with the same id.
 */
export class Outbox {
  #environment;
  #transmit;
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #inFlight = 0;
  #open = false;
  #inFlightMax = 0;
  /** Refused for now: nothing goes out before the wait is over and all answers of the round are here. */
  #held = false;
  /** @type {unknown} */
  #timer = null;
  #holdUntil = 0;

  /**
   * @param {Environment} environment
   * @param {(message: WriteMessage) => void} transmit puts it on the wire
   */
  constructor(environment, transmit) {
    this.#environment = environment;
    this.#transmit = transmit;
  }

  /** Writes without an answer. */
  get size() {
    return this.#entries.size;
  }

  /** How long the oldest of them waits, in milliseconds. */
  get waitingMs() {
    for (const entry of this.#entries.values()) return this.#environment.now() - entry.addedAt;
    return 0;
  }

  /** @param {string} sendId */
  has(sendId) {
    return this.#entries.has(sendId);
  }

  /**
   * Takes a write. The same id while it waits is the same write.
   *
   * @param {WriteMessage} message
   * @returns {Promise<Answer>} rejects with RefusedError, OutboxFullError, or what `rejectAll` is given
   */
  add(message) {
    const known = this.#entries.get(message.send_id);
    if (known) return known.promise;
    if (this.#entries.size >= ENTRIES_MAX) return Promise.reject(new OutboxFullError(ENTRIES_MAX));
    /** @type {Deferred<Answer>} */
    const { promise, resolve, reject } = new Deferred();
    const addedAt = this.#environment.now();
    this.#entries.set(message.send_id, { message, inFlight: false, addedAt, promise, resolve, reject });
    this.#pump();
    return promise;
  }

  /**
   * A session is open: everything unanswered goes out again, in order.
   * @param {number} inFlightMax how many may wait for their answers
   */
  open(inFlightMax) {
    this.#open = true;
    this.#inFlightMax = Math.max(1, inFlightMax);
    this.#takeBack();
    this.#release();
  }

  /** The connection is lost. */
  pause() {
    this.#open = false;
    this.#takeBack();
    this.#environment.clearTimeout(this.#timer);
  }

  /** @param {import("./types.js").SentMessage | import("./types.js").DoneMessage} answer */
  handleAnswer(answer) {
    const entry = this.#remove(answer.send_id);
    if (!entry) return null;
    entry.resolve(
      answer.type === "sent"
        ? { message_id: answer.message_id, sequence: answer.sequence }
        : { sequence: answer.sequence },
    );
    this.#pump();
    return entry;
  }

  /** @param {import("./types.js").RefusedMessage} refused */
  handleRefused(refused) {
    const entry = this.#entries.get(refused.send_id);
    if (!entry) return;
    if (refused.retry_after_ms === undefined || refused.retry_after_ms === null) {
      this.#remove(refused.send_id);
      entry.reject(new RefusedError(refused.code, refused.message, refused.send_id));
    } else {
      if (entry.inFlight) this.#inFlight -= 1;
      entry.inFlight = false;
      this.#hold(refused.retry_after_ms);
    }
    this.#pump();
  }

  /** The server took fewer than it said, and does not say which it left out: all go again. */
  handleTooManyInFlight() {
    this.#inFlightMax = Math.max(1, Math.floor(this.#inFlightMax / 2));
    this.#takeBack();
    this.#hold(TOO_MANY_PAUSE_MS);
  }

  /**
   * Ends the wait of all; what became of them is unknown.
   * @param {Error} error
   */
  rejectAll(error) {
    this.pause();
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const entry of entries) entry.reject(error);
  }

  /** @param {string} sendId */
  #remove(sendId) {
    const entry = this.#entries.get(sendId);
    if (!entry) return null;
    this.#entries.delete(sendId);
    if (entry.inFlight) this.#inFlight -= 1;
    return entry;
  }

  #takeBack() {
    for (const entry of this.#entries.values()) entry.inFlight = false;
    this.#inFlight = 0;
  }

  /** @param {number} delayMs */
  #hold(delayMs) {
    this.#held = true;
    this.#holdUntil = Math.max(this.#holdUntil, this.#environment.now() + delayMs);
    this.#environment.clearTimeout(this.#timer);
    const leftMs = this.#holdUntil - this.#environment.now();
    this.#timer = this.#environment.setTimeout(() => this.#pump(), leftMs);
  }

  #release() {
    this.#held = false;
    this.#holdUntil = 0;
    this.#environment.clearTimeout(this.#timer);
    this.#pump();
  }

  #pump() {
    if (!this.#open) return;
    if (this.#held) {
      // Newer ones overtake older ones if these are still to be refused: wait for the whole round.
      if (this.#inFlight === 0 && this.#environment.now() >= this.#holdUntil) this.#release();
      return;
    }
    for (const entry of this.#entries.values()) {
      if (this.#inFlight >= this.#inFlightMax) return;
      if (entry.inFlight) continue;
      entry.inFlight = true;
      this.#inFlight += 1;
      this.#transmit(entry.message);
    }
  }
}

const ENTRIES_MAX = 10_000;
const TOO_MANY_PAUSE_MS = 1_000;
