import { conversationKey, wholeDestination } from "./destination.js";
import { Emitter } from "./emitter.js";
import { Fetches } from "./fetches.js";
import { Pending } from "./pending.js";
import { RealmState } from "./realm_state.js";
import { fetchState, sleep } from "./state_fetch.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./client.js").SquallClient} SquallClient */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./realm_state.js").Change} Change */
/** @typedef {import("./types.js").Destination} Destination */
/** @typedef {import("./types.js").EventRecord} EventRecord */
/** @typedef {import("./types.js").Position} Position */

/**
 * `empty` before the first session; `loading` while state is fetched (what is shown may be old until it is
 * there, whole); `ready`; `failed` if the API refuses.
 * @typedef {"empty" | "loading" | "ready" | "failed"} RealmStatus
 */

/**
 * @typedef {object} RealmEvents
 * @property {Change} change something that is shown changed
 * @property {{status: RealmStatus, error: Error | null}} status
 */

/**
 * Fetches a part of the state, not older than when it was made.
 * @typedef {<Answer extends {as_of: Position}>(request: (signal: AbortSignal) => Promise<Answer>) => Promise<Answer>} Fetcher
 */

/**
 * A realm as its user sees it: users, streams, topics, conversations with their messages, and this client's
 * own messages on their way. It is kept exact through lost connections and resets: no message lost, doubled
 * or out of order.
 *
 * @extends {Emitter<RealmEvents>}
 */
export class Realm extends Emitter {
  #client;
  #api;
  #pending = new Pending();
  #fetches = new Fetches();
  /** What is shown. @type {RealmState} */
  #shown = new RealmState(-1, { epoch: 0, sequence: 0, mark: 0 });
  /** What is being fetched and takes its place when it is whole. @type {RealmState | null} */
  #next = null;
  /** Conversations that somebody looks at. @type {Map<string, {to: Destination, count: number}>} */
  #watched = new Map();
  #topicsWanted = false;
  /** @type {RealmStatus} */
  #status = "empty";
  /** @type {Error | null} */
  #error = null;
  /** @type {(() => void)[]} */
  #unlisten;

  /**
   * Make it before `client.connect()`.
   *
   * @param {SquallClient} client
   * @param {Api} api of the same user
   */
  constructor(client, api) {
    super();
    this.#client = client;
    this.#api = api;
    this.#unlisten = [
      client.on("welcome", ({ welcome, fresh }) => {
        if (fresh || this.#status === "empty") this.#begin(welcome.position, 0);
      }),
      client.on("reset", ({ position, after_ms }) => this.#begin(position, after_ms)),
      client.on("event", ({ sequence, event }) => this.#handleEvent({ sequence, event })),
      client.on("position", () => this.#settle()),
    ];
  }

  // What is known.

  get status() {
    return this.#status;
  }

  /** Why it failed. */
  get error() {
    return this.#error;
  }

  /** By id. */
  get users() {
    return this.#shown.users;
  }

  /** The streams this user may know of, by id. */
  get streams() {
    return this.#shown.streams;
  }

  /** The streams this user is a member of, by id. */
  get subscriptions() {
    return this.#shown.subscriptions;
  }

  /** Direct conversations, by key. */
  get directs() {
    return this.#shown.directs;
  }

  /**
   * A stream's topics with the id of their newest message; null if they are not there yet.
   * @param {number} streamId
   * @returns {ReadonlyMap<string, number> | null}
   */
  topics(streamId) {
    return this.#shown.topics.get(streamId) ?? null;
  }

  /**
   * @param {Destination} to
   * @returns {Conversation} as it is now; ask again after a change
   */
  conversation(to) {
    return this.#shown.conversation(to);
  }

  /** All conversations of which something is known. */
  get conversations() {
    return this.#shown.conversations;
  }

  /**
   * This client's messages there that the conversation does not hold yet.
   * @param {string} key
   */
  pending(key) {
    const pending = this.#pending.of(key);
    if (pending.length === 0) return pending;
    // A page may hold a message before its answer and its event are here.
    const messages = this.#shown.conversations.get(key)?.messages ?? [];
    const held = new Set(messages.filter(({ sender_id }) => sender_id === this.#ownId).map(({ send_id }) => send_id));
    return pending.filter(({ sendId }) => !held.has(sendId));
  }

  /**
   * Why a conversation's messages can't be had.
   * @param {string} key
   */
  refusal(key) {
    return this.#fetches.refusal(key);
  }

  /**
   * Whether messages of the conversation are on their way here.
   * @param {string} key
   */
  isFetching(key) {
    return this.#fetches.underWay(key) !== null;
  }

  // What can be done.

  /** Keep the topics of all streams this user is a member of. */
  wantTopics() {
    this.#topicsWanted = true;
    this.#fetchMissing();
  }

  /**
   * Keep the conversation's newest messages, through resets too, until `unwatch`.
   * @param {Destination} to
   */
  watch(to) {
    const key = conversationKey(to, this.#ownId);
    const watched = this.#watched.get(key) ?? { to: wholeDestination(to, this.#ownId), count: 0 };
    watched.count += 1;
    this.#watched.set(key, watched);
    this.#fetches.forgive(key);
    this.#shown.conversation(to).watchers = watched.count;
    this.#fetchMissing();
  }

  /** @param {Destination} to */
  unwatch(to) {
    const key = conversationKey(to, this.#ownId);
    const watched = this.#watched.get(key);
    if (!watched) return;
    watched.count -= 1;
    if (watched.count === 0) this.#watched.delete(key);
    const conversation = this.#shown.conversation(to);
    conversation.watchers = watched.count;
    if (watched.count === 0) conversation.trim();
  }

  /**
   * Fetches the newest page of a conversation that nobody watches, once.
   * @param {Destination} to
   */
  async load(to) {
    const conversation = this.conversation(to);
    if (!this.#next && !conversation.loaded) await this.#fetchNewest(this.#shown, conversation);
  }

  /**
   * Fetches the page before the oldest message that is known.
   * @param {Destination} to
   * @returns {Promise<void>} also when there is none, or state is being fetched anew
   */
  async loadOlder(to) {
    const conversation = this.conversation(to);
    if (this.#next || !conversation.loaded || conversation.foundOldest) return;
    await this.#fetchOlder(this.#shown, conversation);
  }

  /**
   * Sends a message that is shown at once.
   *
   * @param {Destination} to
   * @param {string} content
   * @returns {string} its send id; what becomes of it is told by `pending` and then by the conversation
   */
  send(to, content) {
    const sendId = this.#client.freshSendId();
    const whole = wholeDestination(to, this.#ownId);
    const key = conversationKey(whole, this.#ownId);
    this.#pending.add({ sendId, key, to: whole, content, createdMs: this.#client.serverNow() });
    this.#transmit(sendId);
    return sendId;
  }

  /**
   * Sends a failed message again, under its own id.
   * @param {string} sendId
   */
  retry(sendId) {
    if (this.#pending.get(sendId)?.state !== "failed") return;
    this.#pending.resume(sendId);
    this.#transmit(sendId);
  }

  /**
   * Forgets a failed message.
   * @param {string} sendId
   */
  discard(sendId) {
    const message = this.#pending.get(sendId);
    if (message?.state !== "failed") return;
    this.#pending.remove(sendId);
    this.#emitConversation(message.key);
  }

  /** Lets go of the client; nothing changes here any more. */
  stop() {
    for (const off of this.#unlisten) off();
    this.#fetches.stop();
  }

  get #ownId() {
    return this.#client.userId ?? -1;
  }

  // The reset algorithm (SPEC.md, section 3).

  /**
   * @param {Position} position events after it come
   * @param {number} afterMs wait before fetching
   */
  #begin(position, afterMs) {
    this.#fetches.restart();
    // Sequences of another life of the log say nothing in this one.
    if (position.epoch !== this.#shown.position.epoch) this.#pending.settle(Infinity);
    const next = new RealmState(this.#ownId, position);
    next.tape.hold();
    this.#next = next;
    this.#setStatus("loading");
    const { signal } = this.#fetches;
    this.#fetchAll(next, afterMs, signal).then(
      () => this.#show(next),
      (error) => {
        if (!signal.aborted) this.#setStatus("failed", error);
      },
    );
  }

  /**
   * @param {RealmState} next
   * @param {number} afterMs
   * @param {AbortSignal} signal
   */
  async #fetchAll(next, afterMs, signal) {
    if (afterMs > 0) await sleep(afterMs, this.#client.environment, signal);
    const fetch = this.#fetcher(next.position, signal);
    await Promise.all([
      fetch((signal) => this.#api.users(signal)).then((answer) => next.loadUsers(answer)),
      fetch((signal) => this.#api.streams(signal)).then((answer) => next.loadStreams(answer)),
      fetch((signal) => this.#api.subscriptions(signal)).then((answer) => next.loadSubscriptions(answer)),
      fetch((signal) => this.#api.messages("direct", { count: DIRECTS_COUNT }, signal)).then((answer) =>
        next.loadDirects(answer),
      ),
    ]);
    // What is watched may become more, or be dropped by an event, while it is fetched.
    for (let missing = this.#missing(next); missing.length > 0; missing = this.#missing(next))
      await Promise.all(missing);
    signal.throwIfAborted();
  }

  /** @param {RealmState} next whole from here on */
  #show(next) {
    if (this.#next !== next) return;
    next.tape.release();
    this.#shown = next;
    this.#next = null;
    this.#setStatus("ready");
    this.#settle();
    this.emit("change", { what: "everything" });
  }

  // Events.

  /** @param {EventRecord} record */
  #handleEvent(record) {
    const { event, sequence } = record;
    const state = this.#next ?? this.#shown;
    const changes = state.handle(record);
    if (state.tape.overflown && this.#client.position) return this.#begin(this.#client.position, 0);
    if (event.kind === "message" && event.sender_id === this.#ownId && event.send_id) {
      this.#pending.store(event.send_id, event.message_id, sequence);
    }
    if (event.kind !== "message") this.#fetches.forgiveAll();
    if (this.#next) return;
    this.#settle();
    for (const change of changes) this.emit("change", change);
    if (event.kind !== "message") this.#fetchMissing();
  }

  /** What is stored at or before the position is in what is shown, so its echo goes. */
  #settle() {
    const position = this.#client.position;
    if (this.#next || !position) return;
    for (const key of this.#pending.settle(position.sequence)) this.#emitConversation(key);
  }

  /** @param {string} sendId */
  #transmit(sendId) {
    const message = this.#pending.get(sendId);
    if (!message) return;
    this.#emitConversation(message.key);
    this.#client
      .send(message.to, message.content, { sendId })
      .then(
        ({ message_id, sequence }) => this.#pending.store(sendId, message_id, sequence),
        (error) => this.#pending.fail(sendId, error),
      )
      .then(() => {
        this.#settle();
        this.#emitConversation(message.key);
      });
  }

  // Fetching.

  /** Fetches what is wanted and not here. */
  #fetchMissing() {
    if (this.#next || this.#status !== "ready") return;
    for (const fetch of this.#missing(this.#shown)) fetch.catch(() => {}); // told by `refusal`
  }

  /**
   * @param {RealmState} state
   * @returns {Promise<void>[]}
   */
  #missing(state) {
    const topics = this.#topicsWanted ? [...state.subscriptions.keys()] : [];
    const fetches = topics
      .filter((streamId) => !state.topicsLoaded(streamId) && !this.#fetches.refusal(topicsKey(streamId)))
      .map((streamId) => this.#fetchTopics(state, streamId));
    for (const [key, { to, count }] of this.#watched) {
      const conversation = state.conversation(to);
      conversation.watchers = count;
      const isKnown = "user_ids" in to || state.streams.has(to.stream_id);
      if (isKnown && !conversation.loaded && !this.#fetches.refusal(key))
        fetches.push(this.#fetchNewest(state, conversation));
    }
    return fetches;
  }

  /**
   * @param {RealmState} state
   * @param {number} streamId
   */
  #fetchTopics(state, streamId) {
    return this.#once(state, topicsKey(streamId), { what: "topics", streamId }, async (fetch) => {
      const answer = await fetch((signal) => this.#api.topics(streamId, signal));
      state.loadTopics(streamId, answer);
    });
  }

  /**
   * @param {RealmState} state
   * @param {Conversation} conversation
   */
  #fetchNewest(state, conversation) {
    const { key, to } = conversation;
    return this.#once(state, key, { what: "conversation", key }, async (fetch) => {
      const answer = await fetch((signal) => this.#api.messages(to, { count: PAGE_COUNT }, signal));
      state.loadNewest(conversation, answer);
    });
  }

  /**
   * @param {RealmState} state
   * @param {Conversation} conversation
   */
  #fetchOlder(state, conversation) {
    const { key, to, generation, oldestId } = conversation;
    return this.#once(state, key, { what: "conversation", key }, async (fetch) => {
      const answer = await fetch((signal) => this.#api.messages(to, { before: oldestId, count: PAGE_COUNT }, signal));
      if (conversation.generation === generation) conversation.loadOlder(answer);
    });
  }

  /**
   * Runs a fetch unless the same is under way, keeps the events that come meanwhile, and tells its end.
   *
   * @param {RealmState} state
   * @param {string} key
   * @param {Change} change
   * @param {(fetch: Fetcher) => Promise<void>} run
   * @returns {Promise<void>} never rejects: see `refusal`
   */
  #once(state, key, change, run) {
    const known = this.#fetches.underWay(key);
    if (known) return known;
    const fetcher = this.#fetcher(this.#client.position ?? state.position, this.#fetches.signal);
    state.tape.hold();
    const end = (/** @type {boolean} */ isOver) => {
      state.tape.release();
      if (isOver || state !== this.#shown) return;
      this.emit("change", change);
      this.#fetchMissing();
    };
    return this.#fetches.start(key, () => run(fetcher), end);
  }

  /**
   * @param {Position} floor
   * @param {AbortSignal} signal
   * @returns {Fetcher}
   */
  #fetcher(floor, signal) {
    const { environment } = this.#client;
    const onForeignEpoch = () => this.#client.reconnect({ wait: true });
    return (request) => fetchState(request, { floor, environment, signal, onForeignEpoch });
  }

  /** @param {string} key */
  #emitConversation(key) {
    this.emit("change", { what: "conversation", key });
  }

  /**
   * @param {RealmStatus} status
   * @param {Error | null} [error]
   */
  #setStatus(status, error = null) {
    this.#status = status;
    this.#error = error;
    this.emit("status", { status, error });
  }
}

/** @param {number} streamId */
const topicsKey = (streamId) => `topics:${streamId}`;

/** Messages in a page of history. */
const PAGE_COUNT = 50;
/** How far back direct conversations are looked for. */
const DIRECTS_COUNT = 200;
