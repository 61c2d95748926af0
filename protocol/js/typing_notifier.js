import { conversationKey } from "./destination.js";

/** @typedef {import("./environment.js").Environment} Environment */
/** @typedef {import("./types.js").Destination} Destination */

/** Tells the others that this user is typing: a start now and every 10 s, a stop when it pauses. */
export class TypingNotifier {
  #environment;
  #transmit;
  /** @type {{key: string, to: Destination, startedAt: number} | null} */
  #current = null;
  /** @type {unknown} */
  #pause = null;

  /**
   * @param {Environment} environment
   * @param {(message: import("./types.js").ClientMessage) => void} transmit
   */
  constructor(environment, transmit) {
    this.#environment = environment;
    this.#transmit = transmit;
  }

  /**
   * A key was pressed in a message to `to`.
   * @param {Destination} to
   */
  input(to) {
    const key = conversationKey(to, -1);
    if (this.#current?.key !== key) this.stop();
    const now = this.#environment.now();
    if (!this.#current || now - this.#current.startedAt >= REPEAT_MS) {
      this.#current = { key, to, startedAt: now };
      this.#transmit({ type: "typing", op: "start", to });
    }
    this.#environment.clearTimeout(this.#pause);
    this.#pause = this.#environment.setTimeout(() => this.stop(), PAUSE_MS);
  }

  /** The user stopped, without a message. */
  stop() {
    if (this.#current) this.#transmit({ type: "typing", op: "stop", to: this.#current.to });
    this.sent();
  }

  /** The user sent the message: receivers forget the typing by themselves. */
  sent() {
    this.#environment.clearTimeout(this.#pause);
    this.#current = null;
  }
}

const REPEAT_MS = 10_000;
const PAUSE_MS = 5_000;
