/** @typedef {import("/protocol/js/realm_state.js").Change} Change */
/** @typedef {import("./session.js").Session} Session */

/**
 * Keeps the marks of what was read: what the page finds when it comes counts as read; what came while it
 * was away, past a reset, is fetched so that it can be counted.
 */
export class CatchUp {
  #session;
  /** Streams whose topics the page has seen. @type {Set<number>} */
  #streams = new Set();
  #directsSeen = false;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  /** @param {Change} change */
  handleChange(change) {
    const { realm } = this.#session;
    if (change.what === "everything") {
      for (const streamId of realm.subscriptions.keys()) this.#learnStream(streamId);
      this.#learnDirects();
      this.#fetchMissed();
    } else if (change.what === "topics") this.#learnStream(change.streamId);
    else if (change.what === "directs") this.#learnDirects();
    else if (change.what === "subscriptions") {
      for (const streamId of this.#streams) if (!realm.subscriptions.has(streamId)) this.#streams.delete(streamId);
    }
  }

  /** @param {number} streamId */
  #learnStream(streamId) {
    const topics = this.#session.realm.topics(streamId);
    if (!topics) return;
    for (const [topic, maxId] of topics)
      this.#learn(this.#session.key({ stream_id: streamId, topic }), maxId, this.#streams.has(streamId));
    this.#streams.add(streamId);
  }

  #learnDirects() {
    for (const [key, { maxId }] of this.#session.realm.directs) this.#learn(key, maxId, this.#directsSeen);
    this.#directsSeen = true;
  }

  /**
   * @param {string} key
   * @param {number} maxId
   * @param {boolean} isNew it began while the page was there
   */
  #learn(key, maxId, isNew) {
    if (isNew) this.#session.unread.begin(key);
    else this.#session.unread.learn(key, maxId);
  }

  /** After a reset: the newest page of each conversation that has more than was read. */
  #fetchMissed() {
    const { realm, unread } = this.#session;
    const heads = [...realm.directs.values()];
    for (const [streamId] of realm.subscriptions) {
      for (const [topic, maxId] of realm.topics(streamId) ?? [])
        heads.push({ to: { stream_id: streamId, topic }, maxId });
    }
    const missed = heads.filter(({ to, maxId }) => maxId > unread.readTo(this.#session.key(to)));
    for (const { to } of missed.sort((a, b) => b.maxId - a.maxId).slice(0, FETCHED_MAX)) realm.load(to);
  }
}

/** After a long absence the rest stays uncounted: a hundred pages would be too dear for a number. */
const FETCHED_MAX = 20;
