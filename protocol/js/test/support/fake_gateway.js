import { FakeClock, settled } from "./fake_clock.js";
import { gatewayCodecs } from "./gateway_codecs.js";

export const POSITION = { epoch: 5511, sequence: 42, mark: 7 };

/** The other end of a client's sockets: a test reads what was sent and says what comes back. */
export class FakeGateway {
  clock = new FakeClock();
  /** @type {FakeSocket[]} */
  sockets = [];
  /** The subprotocols that it knows. */
  subprotocols = Object.keys(gatewayCodecs);
  /** What `random` gives next. */
  random = 0.5;
  network = new EventTarget();
  page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  #bytes = 0;

  environment() {
    const gateway = this;
    return {
      ...this.clock,
      WebSocket: class extends FakeSocket {
        constructor(url, subprotocols) {
          super(url, subprotocols, gateway.subprotocols);
          gateway.sockets.push(this);
        }
      },
      now: this.clock.now,
      setTimeout: this.clock.setTimeout,
      clearTimeout: this.clock.clearTimeout,
      random: () => this.random,
      randomBytes: (bytes) => bytes.fill((this.#bytes += 1)),
      network: this.network,
      page: this.page,
    };
  }

  /** The newest socket. */
  get socket() {
    return this.sockets.at(-1);
  }

  /** Opens the newest socket and welcomes its client at the position it named, or at `head`. */
  async welcome(fields = {}, head = POSITION) {
    const { socket } = this;
    socket.open();
    const [hello] = socket.sent;
    socket.say({
      type: "welcome",
      session_id: this.sockets.length,
      realm_id: 1,
      user_id: 3,
      position: hello.position ?? head,
      api: "http://gateway.example/api/v1",
      time_ms: this.clock.now(),
      heartbeat_ms: 25_000,
      timeout_ms: 10_000,
      resume_window_s: 86_400,
      presence_error_max_ms: 55_000,
      frame_bytes_max: 65_536,
      content_chars_max: 10_000,
      sends_in_flight_max: 256,
      ...fields,
    });
    await settled();
    return socket;
  }
}

/** A WebSocket without a network. */
class FakeSocket {
  readyState = 0;
  /** What the client said, decoded. */
  sent = [];
  /** The code with which the client closed it. */
  closedWith = null;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  #taken;

  constructor(url, subprotocols, known) {
    this.url = url;
    this.subprotocols = subprotocols;
    this.#taken = subprotocols.find((subprotocol) => known.includes(subprotocol));
  }

  get protocol() {
    return this.readyState === 0 ? "" : this.#taken;
  }

  send(data) {
    if (this.readyState !== 1) throw new Error("not open");
    this.sent.push(gatewayCodecs[this.#taken].decode(data));
  }

  close(code) {
    this.closedWith ??= code;
    this.readyState = 3;
  }

  // What the server does.

  open() {
    this.readyState = 1;
    this.onopen?.({});
  }

  say(message) {
    this.onmessage?.({ data: gatewayCodecs[this.#taken].encode(message) });
  }

  frame(data) {
    this.onmessage?.({ data });
  }

  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** What the client said of that type. */
  sentOf(type) {
    return this.sent.filter((message) => message.type === type);
  }

  event(sequence, event, mark = sequence * 10) {
    this.say({ type: "event", sequence, mark, event });
  }

  message(sequence, fields = {}) {
    this.event(sequence, {
      kind: "message",
      message_id: 1000 + sequence,
      sender_id: 5,
      timestamp: 1_763_818_162,
      to: { stream_id: 1, topic: "lunch" },
      content: `message ${sequence}`,
      send_id: `other-${sequence}`,
      ...fields,
    });
  }
}
