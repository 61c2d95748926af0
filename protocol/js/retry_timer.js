import { Backoff } from "./backoff.js";

/** @typedef {import("./environment.js").Environment} Environment */

/** The wait before each attempt to reconnect. */
export class RetryTimer {
  #environment;
  #backoff;
  #onDue;
  /** @type {unknown} */
  #timer = null;
  #isAsked = false;

  /**
   * @param {Environment} environment
   * @param {() => void} onDue
   */
  constructor(environment, onDue) {
    this.#environment = environment;
    this.#backoff = new Backoff(environment.random);
    this.#onDue = onDue;
  }

  /** Attempts since the last `welcome`. */
  get failures() {
    return this.#backoff.failures;
  }

  /** Whether the server asked for the wait, so that nothing shortens it. */
  get isAsked() {
    return this.#isAsked;
  }

  /**
   * @param {import("./close_codes.js").Reconnect} reconnect
   * @returns {number} milliseconds until it is due
   */
  start(reconnect) {
    this.cancel();
    const waitMs = this.#backoff.next(reconnect);
    this.#isAsked = reconnect === "delay";
    this.#timer = this.#environment.setTimeout(this.#onDue, waitMs);
    return waitMs;
  }

  cancel() {
    this.#environment.clearTimeout(this.#timer);
  }

  /** A `welcome` came: the next wait is short again. */
  reset() {
    this.#backoff.reset();
  }
}
