import { MalformedError, UnsendableError } from "./errors.js";
import { frameBytes } from "./frame_bytes.js";
import { Watchdog } from "./watchdog.js";

/** @typedef {import("./environment.js").Environment} Environment */
/** @typedef {import("./types.js").ServerMessage} ServerMessage */
/** @typedef {import("./types.js").Welcome} Welcome */
/** @typedef {import("./types.js").ClientMessage} ClientMessage */

/**
 * How a connection ended. `error` is the server's last `error` message before it, if there was one.
 * @typedef {{code: number, reason: string, welcomed: boolean,
 *   error: import("./types.js").ErrorMessage | null}} End
 */

/** One WebSocket from its opening to its end: hello, welcome, messages, liveness. It ends once. */
export class Connection {
  #options;
  #codec;
  #socket;
  #watchdog;
  /** @type {Welcome | null} */
  #welcome = null;
  /** @type {import("./types.js").ErrorMessage | null} */
  #error = null;
  #ended = false;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {import("./codec_choice.js").CodecChoice} options.codecs
   * @param {() => ClientMessage} options.hello made when the socket is open
   * @param {Environment} options.environment
   * @param {(welcome: Welcome) => void} options.onWelcome
   * @param {(message: ServerMessage) => void} options.onMessage any other message of a kind that is known
   * @param {(bytes: number) => void} options.onFrame one came that was readable
   * @param {(error: MalformedError | UnsendableError) => void} options.onMalformed a message was dropped
   * @param {() => void} options.onDoubt ask the server for a sign of life
   * @param {(end: End) => void} options.onEnd
   */
  constructor(options) {
    this.#options = options;
    this.#watchdog = new Watchdog(options.environment, {
      onDoubt: () => options.onDoubt(),
      onDead: () => this.#giveUp("nothing heard from the server"),
    });
    this.#codec = options.codecs.taken(undefined);
    this.#socket = new options.environment.WebSocket(options.url, options.codecs.subprotocols);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#handleOpen();
    this.#socket.onmessage = (event) => this.#handleFrame(event.data);
    this.#socket.onclose = (event) => this.#end(event.code, event.reason);
    this.#socket.onerror = () => {}; // a close event with the code follows
    this.#watchdog.start(OPENING_MS_MAX, OPENING_MS_MAX);
  }

  /** The session's terms; null before it is open. */
  get welcome() {
    return this.#welcome;
  }

  /** What the server took of what was offered; before it did, what is wanted. */
  get subprotocol() {
    return this.#codec.subprotocol;
  }

  /**
   * Sends a message; before `welcome` and after the end it is dropped.
   * @param {ClientMessage | import("./types.js").WriteMessage} message
   */
  send(message) {
    if (this.#welcome && !this.#ended) this.#transmit(message);
  }

  /** Asks for a sign of life; without one the connection ends. */
  probe() {
    if (this.#welcome) this.#watchdog.probe();
  }

  /** Ends it in good order; `onEnd` is not called. */
  close() {
    if (this.#ended) return;
    this.#detach();
    this.#socket.close(1000, "");
  }

  #handleOpen() {
    this.#codec = this.#options.codecs.taken(this.#socket.protocol);
    if (this.#transmit(this.#options.hello())) return;
    this.#socket.close(1000, "");
    this.#end(4400, "hello has a value that the protocol has no form for");
  }

  /**
   * @param {ClientMessage | import("./types.js").WriteMessage} message
   * @returns whether it has a form
   */
  #transmit(message) {
    try {
      this.#socket.send(this.#codec.encode(message));
      return true;
    } catch (error) {
      if (!(error instanceof UnsendableError)) throw error;
      this.#options.onMalformed(error);
      return false;
    }
  }

  /** @param {string | ArrayBuffer} data */
  #handleFrame(data) {
    if (this.#ended) return;
    if (this.#welcome) this.#watchdog.heard();
    let message;
    try {
      message = this.#codec.decode(data);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#options.onMalformed(error);
      return;
    }
    this.#options.onFrame(frameBytes(data));
    if (message) this.#handleMessage(message);
  }

  /** @param {ServerMessage} message */
  #handleMessage(message) {
    if (message.type === "welcome") {
      if (this.#welcome) return;
      this.#welcome = message;
      this.#watchdog.start(message.heartbeat_ms + message.timeout_ms, message.timeout_ms);
      this.#options.onWelcome(message);
      return;
    }
    if (message.type === "error") this.#error = message;
    else if (!this.#welcome) return;
    this.#options.onMessage(message);
  }

  /** @param {string} reason */
  #giveUp(reason) {
    this.#socket.close(4001, "");
    this.#end(1006, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#ended) return;
    this.#detach();
    this.#options.onEnd({ code, reason, welcomed: this.#welcome !== null, error: this.#error });
  }

  #detach() {
    this.#ended = true;
    this.#watchdog.stop();
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
  }
}

/** From the start of the connection to `welcome`. */
const OPENING_MS_MAX = 15_000;
