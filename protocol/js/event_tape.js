/** @typedef {import("./types.js").EventRecord} EventRecord */

/**
 * The events since the oldest fetch that is still under way: what an answer does not hold yet is here.
 */
export class EventTape {
  /** @type {EventRecord[]} */
  #records = [];
  #holds = 0;

  /** Whether more came in than is kept: then only fetching everything anew is exact. */
  get overflown() {
    return this.#records.length > RECORDS_MAX;
  }

  /** A fetch begins: from here on events are kept. */
  hold() {
    this.#holds += 1;
  }

  /** A fetch is over. */
  release() {
    this.#holds -= 1;
    if (this.#holds === 0) this.#records = [];
  }

  /** @param {EventRecord} record */
  add(record) {
    if (this.#holds > 0 && !this.overflown) this.#records.push(record);
  }

  /**
   * @param {number} sequence
   * @returns {EventRecord[]} the events after it, ascending
   */
  after(sequence) {
    return this.#records.filter((record) => record.sequence > sequence);
  }
}

export const RECORDS_MAX = 10_000;
