import { ApiError } from "./errors.js";
import { Gate } from "./gate.js";

/**
 * What is fetched of one life of the state: each thing once at a time, few at once. What the API refused is
 * remembered, so that nobody asks again and again.
 */
export class Fetches {
  #gate = new Gate(FETCHES_MAX);
  #abort = new AbortController();
  /** @type {Map<string, Promise<void>>} */
  #underWay = new Map();
  /** @type {Map<string, Error>} */
  #refusals = new Map();
  /** How often what the API refuses may have changed. */
  #changes = 0;

  /** Ends with the present life. */
  get signal() {
    return this.#abort.signal;
  }

  /** @param {string} key */
  underWay(key) {
    return this.#underWay.get(key) ?? null;
  }

  /** @param {string} key */
  refusal(key) {
    return this.#refusals.get(key) ?? null;
  }

  /** Somebody wants it now. @param {string} key */
  forgive(key) {
    this.#refusals.delete(key);
  }

  /** Something happened that may change what the API refuses. */
  forgiveAll() {
    this.#changes += 1;
    this.#refusals.clear();
  }

  /** Ends all that is under way; a new life begins. */
  restart() {
    this.stop();
    this.#abort = new AbortController();
    this.#underWay.clear();
    this.#refusals.clear();
  }

  stop() {
    this.#abort.abort();
  }

  /**
   * @param {string} key
   * @param {() => Promise<void>} run called when it is its turn
   * @param {(isOver: boolean) => void} onEnd `isOver`: so is the life that it was for
   * @returns {Promise<void>} does not reject with what the API answered: see `refusal`
   */
  start(key, run, onEnd) {
    const { signal } = this.#abort;
    const changes = this.#changes;
    const fetch = this.#gate
      .run(run)
      .catch((error) => {
        if (signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        // A refusal has no as_of: one that events have overtaken says nothing, and is asked for again.
        if (changes === this.#changes) this.#refusals.set(key, error);
      })
      .finally(() => {
        if (!signal.aborted) this.#underWay.delete(key);
        onEnd(signal.aborted);
      });
    this.#underWay.set(key, fetch);
    return fetch;
  }
}

/** At a time: a page beside them must not wait for a hundred topics. */
const FETCHES_MAX = 4;
