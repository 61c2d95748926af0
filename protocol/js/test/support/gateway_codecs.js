import { clientMessage, serverMessage } from "../../bincode_messages.js";
import { ByteReader } from "../../byte_reader.js";
import { ByteWriter } from "../../byte_writer.js";

/** The gateway's side of the codecs, by subprotocol: what it says is written, what a client says is read. */
export const gatewayCodecs = {
  "squall.v1.json": {
    encode: (message) => JSON.stringify(message),
    decode: (text) => JSON.parse(text),
  },
  "squall.v1.bincode": {
    encode(message) {
      const writer = new ByteWriter();
      serverMessage.write(writer, message, {});
      const bytes = writer.bytes();
      return bytes.buffer;
    },
    decode(data) {
      const reader = new ByteReader(data);
      const message = clientMessage.read(reader, {});
      reader.end();
      return message;
    },
  },
};
