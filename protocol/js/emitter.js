/**
 * Calls listeners by the kind of what happened, in the order in which they were added. A listener that
 * throws stops neither the others nor whoever emits: its error is told like an uncaught one.
 *
 * @template {Record<string, any>} Events kinds and what each listener is given
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(detail: any) => void>>} */
  #listeners = new Map();

  /**
   * @template {keyof Events} K
   * @param {K} kind
   * @param {(detail: Events[K]) => void} listener
   * @returns {() => void} takes the listener away again
   */
  on(kind, listener) {
    const listeners = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * @template {keyof Events} K
   * @param {K} kind
   * @param {Events[K]} detail
   */
  emit(kind, detail) {
    for (const listener of [...(this.#listeners.get(kind) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
