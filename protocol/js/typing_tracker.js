import { conversationKey } from "./destination.js";

/** @typedef {import("./environment.js").Environment} Environment */
/** @typedef {import("./types.js").Destination} Destination */

/** Who is typing where. A start is forgotten after 15 s, with a stop, and with a message of that user there. */
export class TypingTracker {
  #environment;
  #onChange;
  /** By conversation and user, the timer that forgets. @type {Map<string, Map<number, unknown>>} */
  #typing = new Map();

  /**
   * @param {Environment} environment
   * @param {(key: string) => void} onChange
   */
  constructor(environment, onChange) {
    this.#environment = environment;
    this.#onChange = onChange;
  }

  /**
   * @param {string} key of a conversation
   * @returns {number[]} users, in the order in which they began
   */
  users(key) {
    return [...(this.#typing.get(key)?.keys() ?? [])];
  }

  /**
   * @param {import("./types.js").TypingMessage} message
   * @param {number} ownId
   */
  handleTyping(message, ownId) {
    if (message.sender_id === ownId) return;
    const to = "user_ids" in message.to ? { user_ids: [...message.to.user_ids, message.sender_id] } : message.to;
    const key = conversationKey(to, ownId);
    if (message.op === "stop") return this.forget(key, message.sender_id);
    const users = this.#typing.get(key) ?? new Map();
    this.#typing.set(key, users);
    const isNew = !users.has(message.sender_id);
    this.#environment.clearTimeout(users.get(message.sender_id));
    users.set(
      message.sender_id,
      this.#environment.setTimeout(() => this.forget(key, message.sender_id), FORGET_MS),
    );
    if (isNew) this.#onChange(key);
  }

  /**
   * That user stopped, or said what it had to say.
   * @param {string} key
   * @param {number} userId
   */
  forget(key, userId) {
    const users = this.#typing.get(key);
    if (!users?.has(userId)) return;
    this.#environment.clearTimeout(users.get(userId));
    users.delete(userId);
    if (users.size === 0) this.#typing.delete(key);
    this.#onChange(key);
  }

  /** The connection is lost: nobody is known to type. */
  clear() {
    for (const [key, users] of [...this.#typing]) for (const userId of [...users.keys()]) this.forget(key, userId);
  }
}

const FORGET_MS = 15_000;
