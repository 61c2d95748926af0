import { Bookmark } from "./bookmark.js";
import { closeReason, reconnectAfter } from "./close_codes.js";
import { CodecChoice } from "./codec_choice.js";
import { Connection } from "./connection.js";
import { Deferred } from "./deferred.js";
import { conversationKey } from "./destination.js";
import { Emitter } from "./emitter.js";
import { environment } from "./environment.js";
import { ClosedError, MalformedError, TooLargeError } from "./errors.js";
import { LineClock } from "./line_clock.js";
import { Outbox } from "./outbox.js";
import { Presence } from "./presence.js";
import { RetryTimer } from "./retry_timer.js";
import { freshSendId } from "./send_id.js";
import { isKnownEvent } from "./server_message.js";
import { TypingNotifier } from "./typing_notifier.js";
import { TypingTracker } from "./typing_tracker.js";
import { Wakeups } from "./wakeups.js";
import { wellFormed, wellFormedDestination } from "./well_formed.js";

/** @typedef {import("./client_types.js").ClientEvents} ClientEvents */
/** @typedef {import("./client_types.js").Options} Options */
/** @typedef {import("./client_types.js").State} State */
/** @typedef {import("./connection.js").End} End */
/** @typedef {import("./types.js").Destination} Destination */
/** @typedef {import("./types.js").Position} Position */
/** @typedef {import("./types.js").ServerMessage} ServerMessage */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Welcome} Welcome */

/**
 * A user's connection to a realm: reconnects by itself, resumes where it was, sends each message once.
 *
 * @extends {Emitter<ClientEvents>}
 */
export class SquallClient extends Emitter {
  #options;
  #environment;
  #codecs;
  #bookmark;
  #retryTimer;
  #outbox;
  #typingNotifier;
  #typingTracker;
  #wakeups;
  #clock;
  #presence = new Presence();
  /** @type {State} */
  #state = "new";
  /** @type {Connection | null} */
  #connection = null;
  /** @type {Welcome | null} */
  #welcome = null;
  /** @type {Status} */
  #status;
  /** @type {unknown} */
  #goawayTimer = null;
  /** A resume that a reset may still take back. */
  #resumeIsFresh = false;
  /** Who waits for the next session. @type {Deferred<Welcome> | null} */
  #opening = null;

  /** Counts since the start. */
  stats = { connections: 0, resumes: 0, resets: 0, reconnectAttempts: 0, events: 0, receivedBytes: 0, warnings: 0 };

  /** @param {Options} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#environment = environment(options.environment);
    this.#codecs = new CodecChoice(options.codec);
    this.#status = options.presence ?? "active";
    this.#bookmark = new Bookmark(options.positionStore);
    this.#retryTimer = new RetryTimer(this.#environment, () => this.#retry());
    this.#clock = new LineClock(this.#environment);
    this.#outbox = new Outbox(this.#environment, (message) => this.#connection?.send(message));
    this.#typingNotifier = new TypingNotifier(this.#environment, (message) => this.#connection?.send(message));
    this.#typingTracker = new TypingTracker(this.#environment, (key) =>
      this.emit("typing", { key, users: this.typists(key) }),
    );
    this.#wakeups = new Wakeups(this.#environment, () => this.wake());
  }

  // What is known.

  get state() {
    return this.#state;
  }

  /** The terms of the present or last session. */
  get welcome() {
    return this.#welcome;
  }

  /** This client's user; null before the first `welcome`. */
  get userId() {
    return this.#welcome?.user_id ?? null;
  }

  /** The last place in the log that this client knows. */
  get position() {
    return this.#bookmark.position;
  }

  /** What this client and the server speak; null between connections. */
  get subprotocol() {
    return this.#connection?.subprotocol ?? null;
  }

  /** Who is there. */
  get presence() {
    return this.#presence;
  }

  /** The clock, timers and the rest, for what is built on this client. */
  get environment() {
    return this.#environment;
  }

  /** Writes without an answer. */
  get unanswered() {
    return this.#outbox.size;
  }

  /** Attempts since the last `welcome`. */
  get attempt() {
    return this.#retryTimer.failures;
  }

  /** The time by the server's clock, in milliseconds since the Unix epoch. */
  serverNow() {
    return this.#clock.serverNow();
  }

  /** In milliseconds: the last ping's round trip, the last send's way to its answer. */
  get latency() {
    return { pingMs: this.#clock.pingMs, ackMs: this.#clock.ackMs };
  }

  /**
   * What to show of a user now.
   * @param {number} userId
   */
  presenceOf(userId) {
    return this.#presence.view(userId, this.serverNow());
  }

  /**
   * Who types in a conversation.
   * @param {string} key see `conversationKey`
   */
  typists(key) {
    return this.#typingTracker.users(key);
  }

  // What can be done.

  /**
   * Opens the connection and keeps it open.
   * @returns {Promise<Welcome>} of the next session; rejects with ClosedError if there can be none
   */
  connect() {
    if (this.#state === "open" && this.#welcome) return Promise.resolve(this.#welcome);
    this.#opening ??= new Deferred();
    const { promise } = this.#opening;
    promise.catch(() => {}); // whoever waits is told; nobody has to wait
    if (this.#state === "new" || this.#state === "closed") {
      this.#wakeups.start();
      this.#open();
    }
    return promise;
  }

  /** Ends the connection. Sends without an answer reject with ClosedError. */
  close() {
    this.#connection?.close();
    this.#leave();
    this.#stop(new ClosedError(1000, "closed by this client"));
  }

  /** Leaves the connection for a new one; `wait` for as long as after a failure, else at once. */
  reconnect({ wait = false } = {}) {
    if (this.#state !== "open" && this.#state !== "connecting") return;
    this.#connection?.close();
    this.#leave();
    if (wait) this.#retryAfter("resume");
    else this.#retry();
  }

  /**
   * Asks for another codec from the next connection on.
   * @param {import("./client_types.js").CodecName | import("./types.js").Codec} codec
   */
  useCodec(codec) {
    this.#codecs = new CodecChoice(codec);
  }

  /** The network or the page is back: try now what would be tried later. */
  wake() {
    if (this.#state === "open") this.#connection?.probe();
    else if (this.#state === "waiting" && !this.#retryTimer.isAsked) this.#retry();
  }

  /**
   * Sends a message, once: over as many connections as it takes.
   *
   * @param {Destination} to of a direct message, `user_ids` names the others
   * @param {string} content Markdown
   * @param {{sendId?: string}} [options] the id of an earlier try of the same message
   * @returns {Promise<{message_id: number, sequence: number}>} when it is committed; rejects with
   *   RefusedError, TooLargeError, UnsendableError, OutboxFullError or ClosedError
   */
  send(to, content, { sendId = this.freshSendId() } = {}) {
    this.#typingNotifier.sent();
    const message = {
      type: /** @type {const} */ ("send"),
      send_id: sendId,
      to: wellFormedDestination(to),
      content: wellFormed(content),
    };
    return /** @type {Promise<{message_id: number, sequence: number}>} */ (this.#write(message));
  }

  /**
   * Joins a stream, or adds others to it.
   *
   * @param {number} streamId
   * @param {{userIds?: number[], sendId?: string}} [options] nobody named means oneself
   * @returns {Promise<{sequence: number}>}
   */
  subscribe(streamId, options) {
    return this.#changeMembers("subscribe", streamId, options);
  }

  /**
   * Leaves a stream, or removes others from it.
   *
   * @param {number} streamId
   * @param {{userIds?: number[], sendId?: string}} [options] nobody named means oneself
   * @returns {Promise<{sequence: number}>}
   */
  unsubscribe(streamId, options) {
    return this.#changeMembers("unsubscribe", streamId, options);
  }

  /** A new id for a send, to know its echo by. */
  freshSendId() {
    return freshSendId(this.#environment.randomBytes);
  }

  /**
   * The user pressed a key in a message to `to`; the others are told as often as needed.
   * @param {Destination} to
   */
  typing(to) {
    this.#typingNotifier.input(wellFormedDestination(to));
  }

  /** The user stopped typing. */
  stopTyping() {
    this.#typingNotifier.stop();
  }

  /**
   * Tells what the user does: `active` while it does something, `idle` when it turned away.
   * @param {Status} status
   */
  setStatus(status) {
    if (status === this.#status) return;
    this.#status = status;
    this.#connection?.send({ type: "presence", status });
  }

  /** Measures the round trip; `latency` tells the result. */
  ping() {
    if (this.#state === "open") this.#ask(true);
  }

  // The connection's life.

  #open() {
    /** @type {Position | null} */
    let named = null;
    const connection = new Connection({
      url: this.#options.url,
      codecs: this.#codecs,
      environment: this.#environment,
      hello: () => {
        named = this.position;
        return this.#hello();
      },
      onWelcome: (welcome) => this.#handleWelcome(welcome, named === null),
      onMessage: (message) => this.#handleMessage(message),
      onFrame: (bytes) => void (this.stats.receivedBytes += bytes),
      onMalformed: (error) => this.#warn(error),
      onDoubt: () => this.#ask(false),
      onEnd: (end) => this.#handleEnd(end),
    });
    this.#connection = connection;
    this.#setState("connecting");
  }

  #hello() {
    return {
      type: "hello",
      token: this.#options.token,
      ...(this.position ? { position: this.position } : {}),
      presence: this.#status,
      scope: this.#options.scope ?? "realm",
    };
  }

  /**
   * @param {Welcome} welcome
   * @param {boolean} fresh no position was named
   */
  #handleWelcome(welcome, fresh) {
    this.#welcome = welcome;
    this.#bookmark.set(welcome.position);
    this.#clock.set(welcome.time_ms);
    this.#retryTimer.reset();
    this.stats.connections += 1;
    this.#resumeIsFresh = !fresh;
    if (!fresh) this.stats.resumes += 1;
    this.#presence.handleWelcome(welcome.presence_error_max_ms);
    this.#setState("open");
    this.emit("welcome", { welcome, fresh });
    this.#outbox.open(welcome.sends_in_flight_max ?? SENDS_IN_FLIGHT);
    this.#opening?.resolve(welcome);
    this.#opening = null;
    this.#savePosition();
  }

  /** @param {End} end */
  #handleEnd(end) {
    this.#leave();
    const reconnect = reconnectAfter(end.code);
    if (reconnect !== "never") return this.#retryAfter(reconnect);
    this.#stop(new ClosedError(end.code, end.error?.message || end.reason || closeReason(end.code)));
  }

  /** The connection is no more: what hung on it is let go. */
  #leave() {
    this.#connection = null;
    this.#environment.clearTimeout(this.#goawayTimer);
    this.#retryTimer.cancel();
    this.#clock.forget();
    this.#outbox.pause();
    this.#typingNotifier.sent();
    this.#typingTracker.clear();
    if (this.#state !== "open") return;
    this.#presence.handleLoss(this.#clock.heardMs);
    this.emit("presence", this.#presence);
  }

  /** @param {import("./close_codes.js").Reconnect} reconnect */
  #retryAfter(reconnect) {
    this.#setState("waiting", { retryMs: this.#retryTimer.start(reconnect) });
  }

  #retry() {
    this.#retryTimer.cancel();
    this.stats.reconnectAttempts += 1;
    this.#open();
  }

  /** @param {ClosedError} error */
  #stop(error) {
    this.#wakeups.stop();
    this.#setState("closed", { error });
    this.#outbox.rejectAll(error);
    this.#opening?.reject(error);
    this.#opening = null;
  }

  /**
   * @param {State} state
   * @param {{retryMs?: number, error?: ClosedError}} [detail]
   */
  #setState(state, { retryMs, error } = {}) {
    this.#state = state;
    this.emit("state", { state, retryMs: retryMs ?? null, error: error ?? null });
  }

  // What the server says.

  /** @param {ServerMessage} message */
  #handleMessage(message) {
    this.#clock.heard();
    switch (message.type) {
      case "event":
        return this.#handleEvent(message);
      case "position":
        return this.#handlePosition(message);
      case "reset":
        return this.#handleReset(message);
      case "sent":
      case "done":
        return this.#handleAnswer(message);
      case "refused":
        return this.#outbox.handleRefused(message);
      case "presence_snapshot":
        this.#presence.handleSnapshot(message);
        return this.emit("presence", this.#presence);
      case "presence":
        return this.#handlePresence(message);
      case "typing":
        return this.#typingTracker.handleTyping(message, this.userId ?? -1);
      case "ping":
        this.#clock.set(message.time_ms);
        return this.#connection?.send({ type: "pong", active: this.#status === "active" });
      case "pong":
        if (this.#clock.answer(message.time_ms)) this.emit("latency", this.latency);
        return;
      case "goaway":
        return this.#handleGoaway(message);
      case "error":
        return this.#handleError(message);
      case "welcome":
        return;
    }
  }

  /** @param {import("./types.js").EventMessage} message */
  #handleEvent({ sequence, mark, event }) {
    const position = this.#bookmark.advance({ sequence, mark });
    if (!position) return this.#warn(new MalformedError(`event ${sequence} came after ${this.position?.sequence}`));
    this.#resumeIsFresh = false;
    this.stats.events += 1;
    if (isKnownEvent(event)) {
      if (event.kind === "message") this.#forgetTyping(event);
      this.emit("event", { sequence, mark, event, position });
      if (event.kind === "message")
        this.emit("message", { message: event, sequence, own: event.sender_id === this.userId });
    }
    this.emit("position", { position });
    this.#savePosition();
  }

  /** @param {import("./types.js").PositionMessage} message */
  #handlePosition(message) {
    const position = this.#bookmark.follow(message);
    if (!position)
      return this.#warn(new MalformedError(`position ${message.sequence} came after ${this.position?.sequence}`));
    this.emit("position", { position });
    this.#savePosition();
  }

  /** @param {import("./types.js").ResetMessage} message */
  #handleReset(message) {
    if (this.#resumeIsFresh) this.stats.resumes -= 1;
    this.#resumeIsFresh = false;
    this.stats.resets += 1;
    this.#bookmark.set(message.position);
    this.emit("reset", message);
    this.emit("position", { position: message.position });
    this.#savePosition();
  }

  /** @param {import("./types.js").SentMessage | import("./types.js").DoneMessage} message */
  #handleAnswer(message) {
    const entry = this.#outbox.handleAnswer(message);
    if (!entry) return;
    this.#clock.ackMs = this.#environment.now() - entry.addedAt;
    this.emit("latency", this.latency);
  }

  /** @param {import("./types.js").PresenceDiff} diff */
  #handlePresence(diff) {
    const outcome = this.#presence.handleDiff(diff);
    if (outcome === "ask") this.#connection?.send({ type: "presence_request" });
    if (outcome === "applied") this.emit("presence", this.#presence);
  }

  /** @param {import("./types.js").GoawayMessage} message */
  #handleGoaway({ after_ms }) {
    this.#environment.clearTimeout(this.#goawayTimer);
    this.#goawayTimer = this.#environment.setTimeout(() => this.reconnect(), after_ms);
  }

  /** @param {import("./types.js").ErrorMessage} message */
  #handleError({ code, message }) {
    if (code === "sends_in_flight") this.#outbox.handleTooManyInFlight();
    this.#warn(new Error(`${code}: ${message}`));
  }

  /** @param {import("./types.js").MessageEvent} message */
  #forgetTyping(message) {
    this.#typingTracker.forget(conversationKey(message.to, this.userId ?? -1), message.sender_id);
  }

  // Helpers.

  /**
   * @param {"subscribe" | "unsubscribe"} type
   * @param {number} streamId
   * @param {{userIds?: number[], sendId?: string}} [options]
   * @returns {Promise<{sequence: number}>}
   */
  #changeMembers(type, streamId, { userIds, sendId = this.freshSendId() } = {}) {
    return this.#write({
      type,
      send_id: sendId,
      stream_id: streamId,
      ...(userIds?.length ? { user_ids: userIds } : {}),
    });
  }

  /** @param {import("./types.js").WriteMessage} message */
  #write(message) {
    if (this.#state === "closed") return Promise.reject(new ClosedError(1000, "the client is closed"));
    // The server ends the connection over a message too long, and would again after each reconnect.
    const bytesMax = this.#welcome?.frame_bytes_max ?? FRAME_BYTES_MAX;
    try {
      const bytes = this.#codecs.bytesMax(message);
      if (bytes > bytesMax) throw new TooLargeError(bytes, bytesMax);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#outbox.add(message);
  }

  /** @param {boolean} isMeasured */
  #ask(isMeasured) {
    if (this.#clock.ask(isMeasured)) this.#connection?.send({ type: "ping" });
  }

  #savePosition() {
    try {
      this.#bookmark.save();
    } catch (error) {
      this.#warn(/** @type {Error} */ (error)); // a full disk is no reason to stop listening
    }
  }

  /** @param {Error} error */
  #warn(error) {
    this.stats.warnings += 1;
    this.emit("warning", { error });
  }
}

/** Until `welcome` tells them: SPEC.md, section 10. */
const FRAME_BYTES_MAX = 65_536;
const SENDS_IN_FLIGHT = 256;
