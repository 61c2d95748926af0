import { environment } from "../../environment.js";
import { ApiError } from "../../errors.js";
import { FakeClock } from "./fake_clock.js";
import { gatewayCodecs } from "./gateway_codecs.js";

const EPOCH = 77;

/** Numbers that look random and are the same for the same seed. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A whole realm in a few lines: a log, members, messages, an HTTP API whose answers take their time, and a
 * gateway whose lines break. What a client shows in the end must be what is here.
 */
export class ModelRealm {
  clock = new FakeClock();
  ownId = 3;
  messages = [];
  streams = new Map();
  members = new Map();
  users = new Map();
  /** By send id: the same id is the same send. */
  answers = new Map();
  resets = 0;
  /** Events entered and what of them this user may see. */
  #log = [];
  /** What the realm was at each sequence: a server beside may be a little behind. */
  #past = [];
  #socket = null;
  #random;

  constructor(random) {
    this.#random = random;
    for (const user_id of [3, 5, 7])
      this.users.set(user_id, {
        user_id,
        email: `${user_id}@x`,
        full_name: `User ${user_id}`,
        role: "member",
        is_bot: false,
        is_active: true,
      });
    for (const stream_id of [1, 2]) {
      this.streams.set(stream_id, { stream_id, name: `s${stream_id}`, description: "", invite_only: stream_id === 2 });
      this.members.set(stream_id, new Set([3, 5, 7]));
    }
    this.#remember();
  }

  get head() {
    return { epoch: EPOCH, sequence: this.#log.length, mark: this.#log.length };
  }

  // What happens in the realm.

  post(sender_id, to, content, send_id) {
    const known = this.answers.get(send_id);
    if (known) return known;
    if ("stream_id" in to && !this.members.get(to.stream_id).has(sender_id)) return null;
    const message = { message_id: 100 + this.messages.length, sender_id, timestamp: 1, to, content, send_id };
    this.messages.push(message);
    const isSeen = "user_ids" in to ? to.user_ids.includes(this.ownId) : this.members.get(to.stream_id).has(this.ownId);
    this.#enter({ kind: "message", ...message }, isSeen);
    const answer = { message_id: message.message_id, sequence: this.#log.length };
    this.answers.set(send_id, answer);
    return answer;
  }

  move(stream_id, user_id) {
    const members = this.members.get(stream_id);
    const isIn = members.has(user_id);
    const isSeen = members.has(this.ownId) || user_id === this.ownId;
    if (isIn) members.delete(user_id);
    else members.add(user_id);
    const event = isIn
      ? { kind: "members_removed", stream_id, user_ids: [user_id], actor_id: user_id }
      : { kind: "members_added", stream: this.streams.get(stream_id), user_ids: [user_id], actor_id: user_id };
    this.#enter(event, isSeen);
  }

  rename(user_id, full_name) {
    const previous = this.users.get(user_id);
    const user = { ...previous, full_name };
    this.users.set(user_id, user);
    this.#enter({ kind: "user_updated", user, previous }, true);
  }

  #enter(event, isSeen) {
    this.#log.push({ event, isSeen });
    this.#remember();
    this.#socket?.follow();
  }

  #remember() {
    const members = new Map([...this.members].map(([stream_id, users]) => [stream_id, new Set(users)]));
    this.#past.push(new Snapshot(this, this.messages.slice(), members, new Map(this.users)));
  }

  // What this user may read by HTTP.

  get now() {
    return this.#past.at(-1);
  }

  api() {
    const answer =
      (make) =>
      async (...parameters) => {
        const signal = parameters.at(-1);
        await this.#delay(signal);
        // A refusal has no as_of: rights are judged by the newest state.
        const to = typeof parameters[0] === "number" ? { stream_id: parameters[0] } : parameters[0];
        if (typeof to === "object" && to !== signal && !this.now.mayRead(to))
          throw new ApiError(400, "BAD_REQUEST", "no such stream");
        const sequence = Math.max(0, this.head.sequence - (this.#random() < 0.2 ? 3 : 0));
        const made = make(this.#past[sequence], ...parameters.slice(0, -1));
        await this.#delay(signal);
        return { as_of: { epoch: EPOCH, sequence, mark: sequence }, ...made };
      };
    return {
      users: answer((past) => ({ users: [...past.users.values()] })),
      streams: answer((past) => ({ streams: past.visibleStreams() })),
      subscriptions: answer((past) => ({ streams: past.subscriptions() })),
      topics: answer((past, stream_id) => ({ topics: past.topics(stream_id) })),
      messages: answer((past, narrow, page) => past.page(narrow, page)),
    };
  }

  #delay(signal) {
    return new Promise((resolve, reject) => {
      this.clock.setTimeout(
        () => (signal.aborted ? reject(signal.reason) : resolve()),
        Math.floor(this.#random() * 300),
      );
    });
  }

  // The gateway.

  /** Ends the line; some of what was on it is lost. */
  cut() {
    this.#socket?.cut();
  }

  environment() {
    const realm = this;
    let bytes = 0;
    return environment({
      WebSocket: class extends ModelSocket {
        constructor(_url, [subprotocol]) {
          super(realm, subprotocol);
        }
      },
      now: this.clock.now,
      setTimeout: this.clock.setTimeout,
      clearTimeout: this.clock.clearTimeout,
      random: this.#random,
      randomBytes: (array) => array.fill((bytes += 1) % 256).fill(Math.floor(bytes / 256), 1, 2),
      network: null,
      page: null,
    });
  }

  get random() {
    return this.#random;
  }

  get log() {
    return this.#log;
  }

  attach(socket) {
    this.#socket = socket;
  }

  detach(socket) {
    if (this.#socket === socket) this.#socket = null;
  }
}

/** The realm at one sequence, to this user's eyes. */
class Snapshot {
  constructor({ ownId, streams }, messages, members, users) {
    Object.assign(this, { ownId, streams, messages, members, users });
  }

  isMember(to) {
    return "user_ids" in to ? to.user_ids.includes(this.ownId) : this.members.get(to.stream_id).has(this.ownId);
  }

  mayRead(to) {
    return this.isMember(to) || ("stream_id" in to && !this.streams.get(to.stream_id).invite_only);
  }

  visibleStreams() {
    return [...this.streams.values()].filter(({ stream_id }) => this.mayRead({ stream_id }));
  }

  subscriptions() {
    return [...this.streams.values()].filter(({ stream_id }) => this.isMember({ stream_id }));
  }

  topics(stream_id) {
    const newest = new Map(
      this.messages.filter(({ to }) => to.stream_id === stream_id).map(({ to, message_id }) => [to.topic, message_id]),
    );
    return [...newest].map(([name, max_id]) => ({ name, max_id }));
  }

  conversation(to) {
    return this.messages.filter((message) => JSON.stringify(message.to) === JSON.stringify(to));
  }

  page(narrow, { before = null }) {
    const all =
      narrow === "direct"
        ? this.messages.filter(({ to }) => "user_ids" in to && this.isMember(to))
        : this.conversation(narrow);
    const older = all.filter(({ message_id }) => before === null || message_id < before);
    const messages = older.slice(-PAGE_COUNT).map((message) => ({ ...message }));
    return { messages, foundOldest: messages.length === older.length, foundNewest: before === null };
  }
}

const PAGE_COUNT = 5;

/** One line to the model: what is put on it arrives in order, later, or never. */
class ModelSocket {
  onopen = null;
  onmessage = null;
  onclose = null;
  #realm;
  #isOver = false;
  #isOpen = false;
  #followed = 0;
  #arrivesAt = 0;
  #leavesAt = 0;

  constructor(realm, subprotocol) {
    this.#realm = realm;
    this.protocol = subprotocol;
    realm.clock.setTimeout(() => this.onopen?.({}), 10);
  }

  send(data) {
    const { clock, random } = this.#realm;
    this.#leavesAt = Math.max(this.#leavesAt, clock.now() + Math.floor(random() * 50));
    const message = gatewayCodecs[this.protocol].decode(data);
    clock.setTimeout(() => !this.#isOver && this.#handle(message), this.#leavesAt - clock.now());
  }

  close() {
    this.#isOver = true;
    this.#realm.detach(this);
  }

  cut() {
    if (this.#isOver) return;
    this.close();
    this.onclose?.({ code: 1006, reason: "" });
  }

  /** Puts on the line what the log has and the client may see. */
  follow() {
    if (!this.#isOpen) return;
    const { log } = this.#realm;
    for (; this.#followed < log.length; this.#followed += 1) {
      const { event, isSeen } = log[this.#followed];
      const sequence = this.#followed + 1;
      if (isSeen) this.#say({ type: "event", sequence, mark: sequence, event });
    }
    if (this.#realm.random() < 0.1) this.#say({ type: "position", ...this.#realm.head });
  }

  #handle(message) {
    if (message.type === "hello") return this.#welcome(message);
    if (message.type === "send") return this.#take(message);
  }

  #welcome({ position }) {
    const realm = this.#realm;
    const { head } = realm;
    realm.attach(this);
    const start = position ?? head;
    this.#say({
      type: "welcome",
      session_id: 1,
      realm_id: 1,
      user_id: realm.ownId,
      position: start,
      api: "",
      time_ms: realm.clock.now(),
      heartbeat_ms: 25_000,
      timeout_ms: 10_000,
      resume_window_s: 86_400,
      presence_error_max_ms: 55_000,
      frame_bytes_max: 65_536,
      content_chars_max: 10_000,
      sends_in_flight_max: 4,
    });
    this.#followed = start.sequence;
    this.#isOpen = true;
    if (position && realm.random() < 0.3) {
      realm.resets += 1;
      this.#followed = head.sequence;
      this.#say({ type: "reset", reason: "expired", position: head, after_ms: Math.floor(realm.random() * 500) });
    }
    this.follow();
    this.#ping();
  }

  #ping() {
    if (this.#isOver) return;
    this.#say({ type: "ping", time_ms: this.#realm.clock.now() });
    this.#realm.clock.setTimeout(() => this.#ping(), 25_000);
  }

  #take({ send_id, to, content }) {
    const { random, ownId } = this.#realm;
    if (random() < 0.15)
      return this.#say({ type: "refused", send_id, code: "unavailable", message: "later", retry_after_ms: 100 });
    const answer = this.#realm.post(ownId, to, content, send_id);
    this.#say(
      answer
        ? { type: "sent", send_id, ...answer }
        : { type: "refused", send_id, code: "forbidden", message: "no member" },
    );
  }

  #say(message) {
    const { clock, random } = this.#realm;
    this.#arrivesAt = Math.max(this.#arrivesAt, clock.now() + Math.floor(random() * 120));
    const data = gatewayCodecs[this.protocol].encode(message);
    clock.setTimeout(() => !this.#isOver && this.onmessage?.({ data }), this.#arrivesAt - clock.now());
  }
}
