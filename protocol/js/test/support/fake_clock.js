/** A clock and timers that move only when a test says so. */
export class FakeClock {
  #now = 1_763_818_162_000;
  #timers = new Map();
  #ids = 0;

  now = () => this.#now;

  setTimeout = (call, delayMs) => {
    this.#ids += 1;
    this.#timers.set(this.#ids, { at: this.#now + Math.max(0, Math.round(delayMs)), call });
    return this.#ids;
  };

  clearTimeout = (id) => void this.#timers.delete(id);

  /** How many timers wait. */
  get waiting() {
    return this.#timers.size;
  }

  /** Lets time pass; timers run when they are due, each with everything that follows from it. */
  async advance(ms) {
    const end = this.#now + ms;
    await settled();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#timers.delete(next.id);
      this.#now = Math.max(this.#now, next.at);
      next.call();
      await settled();
    }
    this.#now = end;
  }

  /** Lets time pass while the page sleeps: timers that were due run late, all at once. */
  async sleep(ms) {
    this.#now += ms;
    await this.advance(0);
  }

  #next(end) {
    let first = null;
    for (const [id, timer] of this.#timers)
      if (timer.at <= end && (!first || timer.at < first.at)) first = { id, ...timer };
    return first;
  }
}

/** Everything that promises have to do is done. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
