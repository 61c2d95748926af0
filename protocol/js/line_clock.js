/** @typedef {import("./environment.js").Environment} Environment */

/** The server's clock, and how long the way to it takes. */
export class LineClock {
  #now;
  /** The server's clock less this machine's. */
  #offsetMs = 0;
  #heardAt = 0;
  /** When each unanswered `ping` left; null for one that only asks for a sign of life. @type {(number | null)[]} */
  #asked = [];
  /** The last round trip. @type {number | null} */
  pingMs = null;
  /** From the last answered send to its answer. @type {number | null} */
  ackMs = null;

  /** @param {Environment} environment */
  constructor({ now }) {
    this.#now = now;
  }

  /** Milliseconds since the Unix epoch, by the server's clock. */
  serverNow() {
    return this.#now() + this.#offsetMs;
  }

  /** The last message from the server, by the server's clock. */
  get heardMs() {
    return this.#heardAt + this.#offsetMs;
  }

  /** Something came from the server. */
  heard() {
    this.#heardAt = this.#now();
  }

  /**
   * The server told its time.
   * @param {number} timeMs
   */
  set(timeMs) {
    this.heard();
    this.#offsetMs = timeMs - this.#heardAt;
  }

  /**
   * A `ping` leaves.
   * @param {boolean} isMeasured
   * @returns {boolean} false if so many wait for their answers that one more tells nothing
   */
  ask(isMeasured) {
    if (isMeasured && this.#asked.length >= ASKED_MAX) return false;
    this.#asked.push(isMeasured ? this.#now() : null);
    return true;
  }

  /**
   * A `pong` came.
   * @param {number} timeMs
   * @returns {boolean} whether a round trip was measured by it
   */
  answer(timeMs) {
    const askedAt = this.#asked.shift() ?? null;
    if (askedAt === null) return false;
    this.pingMs = this.#now() - askedAt;
    this.set(timeMs);
    return true;
  }

  /** The connection is lost: what was asked stays without an answer. */
  forget() {
    this.#asked = [];
  }
}

const ASKED_MAX = 8;
