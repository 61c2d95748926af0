import { bincodeCodec } from "./codec_bincode.js";
import { jsonCodec } from "./codec_json.js";
import { frameBytes } from "./frame_bytes.js";

/** @typedef {import("./client_types.js").CodecName} CodecName */
/** @typedef {import("./types.js").Codec} Codec */

/** The codecs that a client offers, the wanted one first; the server takes the first that it knows. */
export class CodecChoice {
  #codecs;

  /** @param {CodecName | Codec} [wanted] */
  constructor(wanted = "json") {
    const codecs = typeof wanted === "object" ? [wanted] : OFFERS.get(wanted);
    if (!codecs) throw new TypeError(`no codec ${wanted}: there are ${[...OFFERS.keys()].join(", ")}`);
    this.#codecs = codecs;
  }

  /** Their names, to be offered. */
  get subprotocols() {
    return this.#codecs.map(({ subprotocol }) => subprotocol);
  }

  /**
   * The codec that the server took; the wanted one where a socket does not tell.
   * @param {string | undefined} subprotocol
   */
  taken(subprotocol) {
    return this.#codecs.find((codec) => codec.subprotocol === subprotocol) ?? this.#codecs[0];
  }

  /**
   * How long a message may become: the next server may take another codec.
   * @param {import("./types.js").WriteMessage} message
   */
  bytesMax(message) {
    return Math.max(...this.#codecs.map((codec) => frameBytes(codec.encode(message))));
  }
}

/** All servers know JSON: it is what to fall back to. @type {Map<string, Codec[]>} */
const OFFERS = new Map([
  ["json", [jsonCodec]],
  ["bincode", [bincodeCodec, jsonCodec]],
]);
