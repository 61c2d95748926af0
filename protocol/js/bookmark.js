/** @typedef {import("./types.js").Position} Position */

/** The place in the log up to which a client was told everything; kept beyond its life where a store is given. */
export class Bookmark {
  #store;
  /** @type {Position | null} */
  #position;

  /** @param {import("./client_types.js").PositionStore | undefined} store */
  constructor(store) {
    this.#store = store;
    this.#position = store?.load() ?? null;
  }

  get position() {
    return this.#position;
  }

  /**
   * Where the server says to go on.
   * @param {Position} position
   */
  set({ epoch, sequence, mark }) {
    this.#position = { epoch, sequence, mark };
  }

  /**
   * To an event, which lies ahead.
   * @param {{sequence: number, mark: number}} event
   * @returns {Position | null} null, and nothing moves, if it does not
   */
  advance({ sequence, mark }) {
    const before = this.#position;
    if (!before || sequence <= before.sequence) return null;
    this.#position = { epoch: before.epoch, sequence, mark };
    return this.#position;
  }

  /**
   * To a place in the same log, not behind.
   * @param {Position} position
   * @returns {Position | null} null, and nothing moves, if it is not that
   */
  follow({ epoch, sequence, mark }) {
    if (epoch !== this.#position?.epoch || sequence < this.#position.sequence) return null;
    this.#position = { epoch, sequence, mark };
    return this.#position;
  }

  /** Stores it; throws what the store throws. */
  save() {
    if (this.#position) this.#store?.save(this.#position);
  }
}
