/** Lets at most so many calls run at once; the others wait in order. */
export class Gate {
  #free;
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {number} runningMax */
  constructor(runningMax) {
    this.#free = runningMax;
  }

  /**
   * @template T
   * @param {() => Promise<T>} call
   * @returns {Promise<T>}
   */
  async run(call) {
    if (this.#free === 0) await new Promise((/** @type {(value?: unknown) => void} */ go) => this.#waiting.push(go));
    else this.#free -= 1;
    try {
      return await call();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
