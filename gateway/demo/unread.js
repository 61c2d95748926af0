/** @typedef {import("/protocol/js/realm.js").Realm} Realm */
/** @typedef {import("/protocol/js/types.js").Destination} Destination */

/**
 * What this page has not shown yet, counted here alone: a conversation is read up to a message. What was
 * there when the page first heard of a conversation counts as read.
 */
export class Unread {
  #realm;
  #ownId;
  /** By conversation, the newest message that was read. @type {Map<string, number>} */
  #readTo = new Map();

  /**
   * @param {Realm} realm
   * @param {() => number | null} ownId
   */
  constructor(realm, ownId) {
    this.#realm = realm;
    this.#ownId = ownId;
  }

  /**
   * A topic or direct conversation that was fetched, with its newest message: read, unless known before.
   *
   * @param {string} key
   * @param {number} maxId
   */
  learn(key, maxId) {
    if (this.#readTo.has(key)) return;
    const conversation = this.#realm.conversations.get(key);
    const live = conversation && !conversation.loaded ? conversation.oldestId : null;
    this.#readTo.set(key, live === null ? maxId : Math.min(maxId, live - 1));
  }

  /**
   * A conversation that began while the page was there: all of it is new.
   * @param {string} key
   */
  begin(key) {
    if (!this.#readTo.has(key)) this.#readTo.set(key, 0);
  }

  /**
   * Shown, down to its newest message.
   * @param {string} key
   * @returns {boolean} whether that changed anything
   */
  read(key) {
    const newest = this.#realm.conversations.get(key)?.newestId ?? null;
    const before = this.#readTo.get(key) ?? 0;
    if (newest === null || newest <= before) return false;
    this.#readTo.set(key, newest);
    return true;
  }

  /** @param {string} key */
  readTo(key) {
    return this.#readTo.get(key) ?? 0;
  }

  /**
   * @param {string} key
   * @returns {number} of what is known here
   */
  count(key) {
    const messages = this.#realm.conversations.get(key)?.messages ?? [];
    const readTo = this.readTo(key);
    let count = 0;
    for (let i = messages.length - 1; i >= 0 && messages[i].message_id > readTo; i -= 1) {
      if (messages[i].sender_id !== this.#ownId()) count += 1;
    }
    return count;
  }
}
