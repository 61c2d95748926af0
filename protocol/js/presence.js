/** @typedef {import("./types.js").PresenceSnapshot} PresenceSnapshot */
/** @typedef {import("./types.js").PresenceDiff} PresenceDiff */

/**
 * What to show of a user. `lastHeardMs` is by the server's clock, null if there was never anything.
 * @typedef {{status: "active" | "idle" | "offline" | "unknown", lastHeardMs: number | null}} PresenceView
 */

/** Who is there, by the last snapshot and the diffs since. */
export class Presence {
  /** @type {number | null} */
  #change = null;
  #asking = false;
  /** @type {Set<number>} */
  #active = new Set();
  /** @type {Set<number>} */
  #idle = new Set();
  /** When each user not connected was last heard of. @type {Map<number, number>} */
  #offlineMs = new Map();
  /** The last message before the connection was lost. @type {number | null} */
  #lostAtMs = null;
  #errorMsMax = 55_000;

  /** The number of the last change known; null before the first snapshot of a connection. */
  get change() {
    return this.#change;
  }

  /**
   * A session opened; a snapshot follows.
   * @param {number} [errorMsMax] how late a claim can be
   */
  handleWelcome(errorMsMax) {
    this.#change = null;
    this.#asking = true;
    if (errorMsMax !== undefined) this.#errorMsMax = errorMsMax;
  }

  /** @param {PresenceSnapshot} snapshot */
  handleSnapshot(snapshot) {
    this.#change = snapshot.change;
    this.#asking = false;
    this.#lostAtMs = null;
    this.#active = new Set(snapshot.active);
    this.#idle = new Set(snapshot.idle);
    this.#offlineMs = new Map(snapshot.offline.map(([userId, heardS]) => [userId, heardS * 1000]));
  }

  /**
   * @param {PresenceDiff} diff
   * @returns {"applied" | "dropped" | "ask"} `ask`: dropped, and a snapshot must be asked for
   */
  handleDiff(diff) {
    if (diff.from !== this.#change) {
      if (this.#asking) return "dropped";
      this.#asking = true;
      return "ask";
    }
    for (const userId of diff.active ?? []) this.#move(userId, this.#active);
    for (const userId of diff.idle ?? []) this.#move(userId, this.#idle);
    for (const [userId, heardS] of diff.offline ?? []) {
      this.#move(userId, null);
      this.#offlineMs.set(userId, heardS * 1000);
    }
    this.#change = diff.to;
    return "applied";
  }

  /**
   * The connection is lost: nobody was heard of after its last message.
   * @param {number} lastMessageMs by the server's clock
   */
  handleLoss(lastMessageMs) {
    this.#change = null;
    this.#asking = false;
    this.#lostAtMs ??= lastMessageMs;
  }

  /**
   * What to show of a user now.
   *
   * @param {number} userId
   * @param {number} nowMs by the server's clock
   * @returns {PresenceView}
   */
  view(userId, nowMs) {
    const status = this.#active.has(userId) ? "active" : this.#idle.has(userId) ? "idle" : null;
    if (!status) {
      const heardMs = this.#offlineMs.get(userId);
      return heardMs === undefined
        ? { status: "unknown", lastHeardMs: null }
        : { status: "offline", lastHeardMs: heardMs };
    }
    const heardMs = this.#lostAtMs ?? nowMs;
    return { status: nowMs - heardMs > this.#errorMsMax ? "offline" : status, lastHeardMs: heardMs };
  }

  /**
   * @param {number} userId
   * @param {Set<number> | null} set where the user is from now on
   */
  #move(userId, set) {
    this.#active.delete(userId);
    this.#idle.delete(userId);
    this.#offlineMs.delete(userId);
    set?.add(userId);
  }
}
