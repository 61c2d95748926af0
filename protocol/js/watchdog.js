/** @typedef {import("./environment.js").Environment} Environment */

/**
 * Finds out that nothing was heard for too long. A timer that fires late means that this page slept, not
 * that the server was silent: then the line is tried with a question first.
 */
export class Watchdog {
  #environment;
  #onDoubt;
  #onDead;
  #silenceMsMax = 0;
  #answerMsMax = 0;
  #heardAt = 0;
  #dueAt = 0;
  #probing = false;
  /** @type {unknown} */
  #timer = null;

  /**
   * @param {Environment} environment
   * @param {{onDoubt: () => void, onDead: () => void}} calls `onDoubt` asks the server something,
   *   `onDead` gives the connection up
   */
  constructor(environment, { onDoubt, onDead }) {
    this.#environment = environment;
    this.#onDoubt = onDoubt;
    this.#onDead = onDead;
  }

  /**
   * @param {number} silenceMsMax the longest silence of a live connection
   * @param {number} answerMsMax how long the answer to a question may take
   */
  start(silenceMsMax, answerMsMax) {
    this.#silenceMsMax = silenceMsMax;
    this.#answerMsMax = answerMsMax;
    this.heard();
    this.#arm(silenceMsMax);
  }

  stop() {
    this.#environment.clearTimeout(this.#timer);
    this.#timer = null;
    this.#probing = false;
  }

  /** Something came from the server. */
  heard() {
    this.#heardAt = this.#environment.now();
    if (this.#probing) {
      this.#probing = false;
      this.#arm(this.#silenceMsMax);
    }
  }

  /** Asks now, and gives up if no answer comes in time. */
  probe() {
    if (this.#timer === null || this.#probing) return;
    this.#probing = true;
    this.#onDoubt();
    this.#arm(this.#answerMsMax);
  }

  /** @param {number} delayMs */
  #arm(delayMs) {
    this.#environment.clearTimeout(this.#timer);
    this.#dueAt = this.#environment.now() + delayMs;
    this.#timer = this.#environment.setTimeout(() => this.#fire(), delayMs);
  }

  #fire() {
    const now = this.#environment.now();
    if (this.#probing) {
      this.stop();
      return this.#onDead();
    }
    const silentMs = now - this.#heardAt;
    // A clock that was set back must not stretch the wait beyond one more silence.
    if (silentMs < this.#silenceMsMax) return this.#arm(Math.min(this.#silenceMsMax, this.#silenceMsMax - silentMs));
    if (now - this.#dueAt > LATE_MS) return this.probe();
    this.stop();
    this.#onDead();
  }
}

/** A timer this late was held back with the whole page. */
const LATE_MS = 5_000;
