/** @typedef {import("./types.js").Destination} Destination */

/**
 * A message of this client that its conversation does not show yet.
 *
 * @typedef {object} PendingMessage
 * @property {string} sendId
 * @property {string} key of its conversation
 * @property {Destination} to
 * @property {string} content
 * @property {number} createdMs by the server's clock
 * @property {"sending" | "stored" | "failed"} state
 * @property {Error | null} error why it failed
 * @property {number | null} messageId once it is stored
 * @property {number | null} sequence once it is stored
 */

/** The local echo: messages shown from the moment they are sent until their event, or a page, has them. */
export class Pending {
  /** @type {Map<string, PendingMessage>} */
  #messages = new Map();

  /**
   * @param {string} key of a conversation
   * @returns {PendingMessage[]} in the order in which they were sent
   */
  of(key) {
    return [...this.#messages.values()].filter((message) => message.key === key);
  }

  /** @param {string} sendId */
  get(sendId) {
    return this.#messages.get(sendId) ?? null;
  }

  /** @param {{sendId: string, key: string, to: Destination, content: string, createdMs: number}} message */
  add(message) {
    this.#messages.set(message.sendId, { ...message, state: "sending", error: null, messageId: null, sequence: null });
  }

  /**
   * @param {string} sendId
   * @param {number} messageId
   * @param {number} sequence
   */
  store(sendId, messageId, sequence) {
    const message = this.#messages.get(sendId);
    if (message) Object.assign(message, { state: "stored", error: null, messageId, sequence });
  }

  /**
   * @param {string} sendId
   * @param {Error} error
   */
  fail(sendId, error) {
    const message = this.#messages.get(sendId);
    if (message?.state === "sending") Object.assign(message, { state: "failed", error });
  }

  /** @param {string} sendId */
  resume(sendId) {
    const message = this.#messages.get(sendId);
    if (message?.state === "failed") Object.assign(message, { state: "sending", error: null });
  }

  /** @param {string} sendId */
  remove(sendId) {
    this.#messages.delete(sendId);
  }

  /**
   * The state shown holds everything up to `sequence`: those stored there are in it.
   * @param {number} sequence
   * @returns {string[]} the keys of the conversations that lost one
   */
  settle(sequence) {
    const settled = [...this.#messages.values()].filter(
      (message) => message.sequence !== null && message.sequence <= sequence,
    );
    for (const { sendId } of settled) this.#messages.delete(sendId);
    return [...new Set(settled.map(({ key }) => key))];
  }
}
