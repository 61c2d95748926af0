/** Messages of every kind with every sort of content, made of a source of random numbers. */
export class RandomMessages {
  #random;

  /** @param {() => number} random at least 0, below 1 */
  constructor(random) {
    this.#random = random;
  }

  fromClient() {
    const send_id = `id-${this.#below(1_000_000)}`;
    const members = { send_id, stream_id: this.#number(), ...this.#unlessEmpty("user_ids", this.#ids()) };
    return this.#pick([
      () => ({
        type: "hello",
        token: this.#text(),
        ...this.#maybe("position", () => this.#position()),
        presence: this.#pick(["active", "idle"]),
        scope: this.#pick(["realm", "none"]),
      }),
      () => ({ type: "send", send_id, to: this.#to(), content: this.#text() }),
      () => ({ type: "subscribe", ...members }),
      () => ({ type: "unsubscribe", ...members }),
      () => ({ type: "typing", op: this.#pick(["start", "stop"]), to: this.#to() }),
      () => ({ type: "presence", status: this.#pick(["active", "idle"]) }),
      () => ({ type: "pong", active: this.#flag() }),
    ])();
  }

  fromServer() {
    const as_of_ms = 1_700_000_000_000 + this.#below(2 ** 40);
    return this.#pick([
      () => ({ type: "event", sequence: this.#number(), mark: this.#below(2 ** 32), event: this.#event() }),
      () => ({ type: "position", ...this.#position() }),
      () => ({
        type: "reset",
        reason: this.#pick(["expired", "epoch", "future"]),
        position: this.#position(),
        after_ms: this.#below(2 ** 32),
      }),
      () => ({ type: "sent", send_id: "a", message_id: this.#number(), sequence: this.#number() }),
      () => ({
        type: "refused",
        send_id: "a",
        code: this.#pick(["rate_limited", "out_of_order", "too_many"]),
        message: this.#text(),
        ...this.#maybe("retry_after_ms", () => this.#below(2 ** 32)),
      }),
      () => ({
        type: "presence_snapshot",
        as_of_ms,
        change: this.#number(),
        active: this.#ids(),
        idle: this.#ids(),
        offline: this.#offline(as_of_ms),
      }),
      () => ({
        type: "presence",
        as_of_ms,
        from: this.#number(),
        to: this.#number(),
        ...this.#unlessEmpty("active", this.#ids()),
        ...this.#unlessEmpty("idle", this.#ids()),
        ...this.#unlessEmpty("offline", this.#offline(as_of_ms)),
      }),
      () => ({ type: "typing", op: this.#pick(["start", "stop"]), sender_id: this.#number(), to: this.#to() }),
      () => ({ type: "error", code: this.#pick(["malformed", "unavailable"]), message: this.#text() }),
    ])();
  }

  #event() {
    return this.#pick([
      () => ({
        kind: "message",
        message_id: this.#number(),
        sender_id: this.#number(),
        timestamp: this.#number(),
        to: this.#to(),
        content: this.#text(),
        send_id: "a",
      }),
      () => ({ kind: "stream_created", stream: this.#stream() }),
      () => ({ kind: "members_added", stream: this.#stream(), user_ids: this.#ids(), actor_id: this.#number() }),
      () => ({ kind: "members_removed", stream_id: this.#number(), user_ids: this.#ids(), actor_id: this.#number() }),
      () => ({ kind: "user_added", user: this.#user() }),
      () => ({ kind: "user_updated", user: this.#user(), previous: this.#user() }),
      () => ({
        kind: "message_edited",
        message_id: this.#number(),
        actor_id: this.#number(),
        timestamp: this.#number(),
        to: this.#to(),
        content: this.#text(),
      }),
      () => ({ kind: "messages_deleted", message_ids: this.#ids(), actor_id: this.#number(), to: this.#to() }),
      () => ({
        kind: this.#pick(["reaction_added", "reaction_removed"]),
        message_id: this.#number(),
        user_id: this.#number(),
        emoji_name: this.#text(),
        emoji_code: this.#text(),
        reaction_type: this.#pick(["unicode_emoji", "realm_emoji", "zulip_extra_emoji"]),
        to: this.#to(),
      }),
      () => ({
        kind: this.#pick(["flags_added", "flags_removed"]),
        user_id: this.#number(),
        flag: this.#pick(["read", "starred"]),
        message_ids: this.#ids(),
      }),
      () => ({ kind: "stream_updated", stream: this.#stream(), previous: this.#stream() }),
      () => ({ kind: "setting_set", user_id: this.#number(), name: this.#text(), value: this.#text() }),
    ])();
  }

  #position() {
    return { epoch: this.#number(), sequence: this.#number(), mark: this.#below(2 ** 32) };
  }

  #to() {
    return this.#flag() ? { stream_id: this.#number(), topic: this.#text() } : { user_ids: this.#ids() };
  }

  #stream() {
    return { stream_id: this.#number(), name: this.#text(), description: this.#text(), invite_only: this.#flag() };
  }

  #user() {
    return {
      user_id: this.#number(),
      email: this.#text(),
      full_name: this.#text(),
      role: this.#pick(["admin", "member", "guest"]),
      is_bot: this.#flag(),
      is_active: this.#flag(),
    };
  }

  /** Of every length that a number can have. */
  #number() {
    return this.#below(this.#pick([251, 252, 2 ** 16, 2 ** 16 + 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53]));
  }

  #ids() {
    let id = 0;
    return Array.from({ length: this.#below(4) }, () => (id += 1 + this.#below(this.#pick([3, 300, 2 ** 31]))));
  }

  #offline(as_of_ms) {
    return this.#ids().map((id) => [id, Math.floor(as_of_ms / 1000) - this.#below(this.#pick([60, 100_000, 2 ** 30]))]);
  }

  #text() {
    const letters = ["a", "Ż", "語", "🐢", "\n", '"', "\0", "\ufeff", "\u2028"];
    return Array.from({ length: this.#below(this.#pick([3, 20, 400])) }, () => this.#pick(letters)).join("");
  }

  #maybe(name, make) {
    return this.#flag() ? { [name]: make() } : {};
  }

  /** The JSON form leaves out what is empty. */
  #unlessEmpty(name, values) {
    return values.length > 0 ? { [name]: values } : {};
  }

  #flag() {
    return this.#random() < 0.5;
  }

  #pick(choices) {
    return choices[this.#below(choices.length)];
  }

  #below(limit) {
    return Math.floor(this.#random() * limit);
  }
}
