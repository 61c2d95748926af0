/** @typedef {import("./close_codes.js").Reconnect} Reconnect */

/** How long to wait before each attempt to reconnect: a random time below a bound that doubles (full jitter). */
export class Backoff {
  #failures = 0;
  #random;

  /** @param {() => number} random at least 0, below 1 */
  constructor(random) {
    this.#random = random;
  }

  /** Attempts since the last success. */
  get failures() {
    return this.#failures;
  }

  /**
   * The wait before the next attempt, which counts as a failure until `reset`.
   *
   * @param {Reconnect} after what the close code asked for
   * @returns {number} milliseconds
   */
  next(after) {
    const first = after === "delay" ? DELAY_BOUND_MS : RESUME_BOUND_MS;
    const bound = Math.min(BOUND_MS_MAX, first * 2 ** Math.min(this.#failures, DOUBLINGS_MAX));
    this.#failures += 1;
    return this.#random() * bound;
  }

  /** A `welcome` came. */
  reset() {
    this.#failures = 0;
  }
}

const RESUME_BOUND_MS = 500;
const DELAY_BOUND_MS = 5_000;
const BOUND_MS_MAX = 20_000;
/** Enough to reach the greatest bound; keeps the power finite however long the line is down. */
const DOUBLINGS_MAX = 10;
