import { MalformedError } from "./errors.js";
import { readServerMessage } from "./server_message.js";

/**
 * `squall.v1.json`: a message is one JSON object in one text frame.
 * @type {import("./types.js").Codec}
 */
export const jsonCodec = Object.freeze({
  subprotocol: "squall.v1.json",

  encode(message) {
    return JSON.stringify(message);
  },

  decode(data) {
    if (typeof data !== "string") throw new MalformedError("a binary frame in a protocol of texts");
    let value;
    try {
      value = JSON.parse(data);
    } catch (error) {
      throw new MalformedError(`not JSON: ${/** @type {Error} */ (error).message}`);
    }
    return readServerMessage(value);
  },
});
