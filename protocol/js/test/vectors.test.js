import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bincodeCodec } from "../codec_bincode.js";
import { jsonCodec } from "../codec_json.js";
import { gatewayCodecs } from "./support/gateway_codecs.js";

/** The golden bytes that every implementation of the protocol reads: `{name, from, json, bincode}`. */
const VECTORS = JSON.parse(readFileSync(new URL("../../vectors/v1.json", import.meta.url), "utf8"));

/** What each side says and hears in a codec. */
const SIDES = Object.fromEntries(
  [jsonCodec, bincodeCodec].map((codec) => {
    const gateway = gatewayCodecs[codec.subprotocol];
    return [
      codec.subprotocol,
      {
        client: { encode: codec.encode, decode: gateway.decode },
        server: { encode: gateway.encode, decode: codec.decode },
      },
    ];
  }),
);

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

for (const { name, from, json, bincode } of VECTORS) {
  test(`${from}: ${name}`, () => {
    const message = JSON.parse(json);
    const inJson = SIDES["squall.v1.json"][from];
    assert.equal(inJson.encode(message), json);
    assert.deepEqual(inJson.decode(json), message);
    const inBincode = SIDES["squall.v1.bincode"][from];
    assert.equal(hex(inBincode.encode(message)), bincode);
    assert.deepEqual(inBincode.decode(bytes(bincode)), message);
    if (from === "server") assert.deepEqual(inBincode.decode(bytes(bincode).buffer), message);
  });
}

test("the vectors hold every kind of message and event", () => {
  const types = new Set(VECTORS.map(({ from, json }) => `${from} ${JSON.parse(json).type}`));
  assert.equal(types.size, 9 + 14);
  const kinds = new Set(VECTORS.map(({ json }) => JSON.parse(json).event?.kind).filter(Boolean));
  assert.equal(kinds.size, 18);
});
