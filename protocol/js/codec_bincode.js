import { clientMessage, serverMessage } from "./bincode_messages.js";
import { ByteReader } from "./byte_reader.js";
import { ByteWriter } from "./byte_writer.js";
import { MalformedError } from "./errors.js";

/**
 * `squall.v1.bincode`: a message is one binary frame, about a fifth of the JSON's bytes. What it reads is
 * whole by its making.
 * @type {import("./types.js").Codec}
 */
export const bincodeCodec = Object.freeze({
  subprotocol: "squall.v1.bincode",

  encode(message) {
    const writer = new ByteWriter();
    clientMessage.write(writer, message, {});
    return writer.bytes();
  },

  decode(data) {
    const reader = new ByteReader(bytesOf(data));
    const message = serverMessage.read(reader, {});
    reader.end();
    return message;
  },
});

/** @param {unknown} data */
function bytesOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (data instanceof Uint8Array) return data;
  throw new MalformedError("a text frame in a protocol of bytes");
}
