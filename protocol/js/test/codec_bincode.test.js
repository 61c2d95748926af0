import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bincodeCodec } from "../codec_bincode.js";
import { MalformedError, UnsendableError } from "../errors.js";
import { isKnownEvent, readServerMessage } from "../server_message.js";
import { gatewayCodecs } from "./support/gateway_codecs.js";
import { seeded } from "./support/model_realm.js";
import { RandomMessages } from "./support/random_messages.js";

const gateway = gatewayCodecs[bincodeCodec.subprotocol];
const VECTORS = JSON.parse(readFileSync(new URL("../../vectors/v1.json", import.meta.url), "utf8"));
const FROM_SERVER = VECTORS.filter(({ from }) => from === "server").map(({ bincode }) => bytes(bincode));
const RUNS = Number(process.env.RUNS ?? 2_000);

function bytes(hex) {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

function decode(hex) {
  return bincodeCodec.decode(bytes(hex));
}

/** Reads what may be anything: a message that is whole, null, or the one error that is allowed. */
function read(data) {
  try {
    const message = bincodeCodec.decode(data);
    assert.deepEqual(message && readServerMessage(message), message, "what is read passes the checks of JSON");
    if (message?.type === "event" && message.event) assert.ok(isKnownEvent(message.event));
    return message;
  } catch (error) {
    if (error instanceof MalformedError) return error;
    error.message = `${Buffer.from(data).toString("hex")}: ${error.message}`;
    throw error;
  }
}

test("random messages come back as they went", () => {
  for (let seed = 1; seed <= RUNS; seed += 1) {
    const random = new RandomMessages(seeded(seed));
    const said = random.fromServer();
    assert.deepEqual(bincodeCodec.decode(gateway.encode(said)), said, `seed ${seed}`);
    const sent = random.fromClient();
    assert.deepEqual(gateway.decode(bincodeCodec.encode(sent)), sent, `seed ${seed}`);
  }
});

test("a message cut off anywhere is refused", () => {
  for (const whole of FROM_SERVER) {
    for (let length = 0; length < whole.length; length += 1) {
      assert.ok(read(whole.subarray(0, length)) instanceof MalformedError, `${length} of ${whole.length} bytes`);
    }
  }
});

test("a byte after the message is refused", () => {
  for (const whole of FROM_SERVER)
    assert.throws(() => bincodeCodec.decode(new Uint8Array([...whole, 0])), /1 bytes after/);
});

test("of changed and of random bytes some are messages; the others are refused in words", () => {
  const random = seeded(1);
  const byte = () => Math.floor(random() * 256);
  let refused = 0;
  for (let run = 0; run < RUNS; run += 1) {
    const changed = FROM_SERVER[run % FROM_SERVER.length].slice();
    for (let changes = 1 + (byte() % 3); changes > 0; changes -= 1) changed[byte() % changed.length] = byte();
    const garbage = Uint8Array.from({ length: byte() % 64 }, byte);
    garbage[0] = byte() % 14;
    for (const data of [changed, garbage]) if (read(data) instanceof MalformedError) refused += 1;
  }
  assert.ok(refused > RUNS / 4 && refused < 2 * RUNS, `${refused} refused`);
});

test("reads numbers up to 2^53, and says of larger ones that they are too large", () => {
  const ping = (time_ms) => ({ type: "ping", time_ms });
  for (const [hex, value] of [
    ["0afa", 250],
    ["0afbfb00", 251],
    ["0afbffff", 65_535],
    ["0afc00000100", 65_536],
    ["0afcffffffff", 2 ** 32 - 1],
    ["0afd0000000001000000", 2 ** 32],
    ["0afdffffffffffff1f00", Number.MAX_SAFE_INTEGER],
    ["0afb0500", 5], // longer than needed, as bincode reads it too
  ])
    assert.deepEqual(decode(hex), ping(value));
  assert.throws(() => decode("0afd0000000000002000"), { name: "MalformedError", message: /2\^53/ });
  assert.throws(() => decode("0afdffffffffffffffff"), { name: "MalformedError", message: /2\^53/ });
  assert.throws(() => decode(`0afe${"00".repeat(16)}`), /254 begins no number/);
  assert.throws(() => decode("0aff"), /255 begins no number/);
});

test("steps of ids that add up past 2^53 are refused, and times before 1970", () => {
  const most = "fdffffffffffff1f00";
  assert.throws(() => decode(`0800000102${most}010000`), /2\^53/);
  assert.throws(() => decode(`080000010000` + `02${most}000100`), /2\^53/);
  assert.throws(() => decode("08fbe80300010000" + "010302"), /before 1970/);
  assert.deepEqual(decode("08fbe80300010000" + "010301").offline, [[3, 0]]);
});

test("counts that the frame can't hold are refused before anything is made of them", () => {
  assert.throws(() => decode("0105070300fcffffffff"), { name: "MalformedError" });
  assert.throws(() => decode("0700000000fcffffff7f0102"), /2147483647 items announced, 2 bytes left/);
  assert.throws(() => decode("07000002030405"), { name: "MalformedError" });
  assert.throws(() => decode("070000000002010101"), /2 items announced, 3 bytes left/, "a user offline takes two");
});

test("texts are UTF-8 to the letter", () => {
  const error = (text) => `0d00${text}`;
  assert.equal(decode(error("06efbbbfc3b3" + "21")).message, "\ufeffó!", "a byte order mark is kept");
  assert.equal(decode(error("00")).message, "");
  for (const text of ["01ff", "02c080", "03eda080", "01c3", "04f4908080"])
    assert.throws(() => decode(error(text)), /not UTF-8/, text);
});

test("truth values, options and words are none but those there are", () => {
  assert.throws(() => decode("012b07010405616263646500" + "02"), /2 is no truth value/);
  assert.throws(() => decode("0601610000" + "02"), /2 is no truth value/);
  assert.throws(() => decode("09020300010161"), /2 is none of start, stop/);
  assert.throws(() => decode("0900030201"), /2 is none of stream_id, user_ids/);
});

test("a kind that is not known is skipped, whatever is in it", () => {
  assert.equal(decode("0e"), null);
  assert.equal(decode("fbffff00010203"), null);
});

test("an event of a kind that is not known still tells its place", () => {
  assert.deepEqual(decode("012b07fa" + "ffff"), { type: "event", sequence: 43, mark: 7, event: null });
});

test("a reason that is not known is no reason to drop what it is the reason of", () => {
  const refused = { type: "refused", send_id: "a", code: "unknown", message: "no" };
  assert.deepEqual(decode("06016163026e6f00"), refused);
  assert.equal(decode("0d4d00").code, "unknown");
  assert.equal(decode("030901020305").reason, "unknown");
});

test("takes an ArrayBuffer and any view of bytes, and no text", () => {
  const padded = bytes("ffff0a05ffff");
  assert.deepEqual(bincodeCodec.decode(padded.subarray(2, 4)), { type: "ping", time_ms: 5 });
  assert.deepEqual(bincodeCodec.decode(bytes("0a05").buffer), { type: "ping", time_ms: 5 });
  for (const data of ['{"type":"ping","time_ms":5}', "", null, undefined, 7, {}])
    assert.throws(() => bincodeCodec.decode(data), { name: "MalformedError", message: /text frame/ });
});

test("what has no form is refused when it is written, not by the server", () => {
  const to = { stream_id: 1, topic: "lunch" };
  const send = { type: "send", send_id: "a", to, content: "Soup?" };
  for (const message of [
    { ...send, to: { ...to, stream_id: -1 } },
    { ...send, to: { ...to, stream_id: 1.5 } },
    { ...send, to: { ...to, stream_id: 2 ** 53 } },
    { ...send, to: { ...to, stream_id: "1" } },
    { ...send, to: { ...to, stream_id: Number.NaN } },
    { ...send, to: { user_ids: 3 } },
    { ...send, to: {} },
    { ...send, to: null },
    { ...send, content: undefined },
    { type: "pong", active: 1 },
    { type: "presence", status: "away" },
    { type: "hello", token: "key", position: "x", presence: "active", scope: "realm" },
    { type: "welcome" },
    { type: "toString" },
    {},
    null,
  ])
    assert.throws(() => bincodeCodec.encode(message), UnsendableError, JSON.stringify(message));
});

test("writes long messages", () => {
  const content = "ż".repeat(40_000);
  const send = { type: "send", send_id: "a", to: { user_ids: [3, 5] }, content };
  const written = bincodeCodec.encode(send);
  assert.equal(written.length, 1 + 2 + 4 + 5 + 80_000);
  assert.deepEqual(gateway.decode(written), send);
});
