import assert from "node:assert/strict";
import { test } from "node:test";

import { SquallClient } from "../client.js";
import { bincodeCodec } from "../codec_bincode.js";
import { jsonCodec } from "../codec_json.js";
import { ClosedError, TooLargeError, UnsendableError } from "../errors.js";
import { FakeGateway, POSITION } from "./support/fake_gateway.js";
import { record } from "./support/recorder.js";

const LUNCH = { stream_id: 1, topic: "lunch" };

function start(codec, options = {}) {
  const gateway = new FakeGateway();
  const environment = gateway.environment();
  const client = new SquallClient({ url: "ws://gateway.example/ws", token: "key", codec, environment, ...options });
  return { gateway, client };
}

async function connected(codec, options) {
  const { gateway, client } = start(codec, options);
  const opened = client.connect();
  await gateway.welcome();
  await opened;
  return { gateway, client, socket: gateway.socket };
}

test("who asks for nothing, or for JSON, offers JSON alone", async () => {
  for (const codec of [undefined, "json", jsonCodec]) {
    const { client, socket } = await connected(codec);
    assert.deepEqual(socket.subprotocols, ["squall.v1.json"]);
    assert.equal(client.subprotocol, "squall.v1.json");
  }
});

test("who wants bincode offers it first, and speaks it", async () => {
  const { client, socket } = await connected("bincode");
  assert.deepEqual(socket.subprotocols, ["squall.v1.bincode", "squall.v1.json"]);
  assert.equal(socket.binaryType, "arraybuffer");
  assert.equal(client.subprotocol, "squall.v1.bincode");
  const told = record(client, "message");
  socket.message(43, { content: "żółw 🐢" });
  assert.equal(told.message[0].message.content, "żółw 🐢");
  assert.deepEqual(client.position, { ...POSITION, sequence: 43, mark: 430 });
  const sent = client.send(LUNCH, "Soup?");
  const [{ send_id, to, content }] = socket.sentOf("send");
  assert.deepEqual({ to, content }, { to: LUNCH, content: "Soup?" });
  socket.say({ type: "sent", send_id, message_id: 907, sequence: 44 });
  assert.deepEqual(await sent, { message_id: 907, sequence: 44 });
});

test("a server that knows only JSON is spoken to in JSON", async () => {
  const { gateway, client } = start("bincode");
  gateway.subprotocols = ["squall.v1.json"];
  const opened = client.connect();
  await gateway.welcome();
  await opened;
  assert.equal(client.subprotocol, "squall.v1.json");
  assert.equal(gateway.socket.sent[0].type, "hello");
});

test("a codec of one's own is the only one offered", async () => {
  const codec = { ...bincodeCodec };
  const { client, socket } = await connected(codec);
  assert.deepEqual(socket.subprotocols, ["squall.v1.bincode"]);
  assert.equal(client.state, "open");
});

test("a codec that there is not is told at once", () => {
  assert.throws(() => start("xml"), /no codec xml: there are json, bincode/);
  assert.throws(() => start("constructor"), TypeError);
});

test("another codec takes over with the next connection, which resumes", async () => {
  const { gateway, client, socket } = await connected("json");
  socket.message(43);
  client.useCodec("bincode");
  assert.equal(client.subprotocol, "squall.v1.json");
  client.reconnect();
  assert.equal(client.subprotocol, "squall.v1.bincode", "as it is asked for");
  await gateway.welcome();
  assert.equal(client.subprotocol, "squall.v1.bincode");
  assert.deepEqual(gateway.socket.sent[0].position, { ...POSITION, sequence: 43, mark: 430 });
  client.close();
  assert.equal(client.subprotocol, null);
});

test("counts the bytes it gets, in both codecs", async () => {
  const bytes = {};
  for (const codec of ["json", "bincode"]) {
    const { client, socket } = await connected(codec);
    const before = client.stats.receivedBytes;
    socket.message(43, { content: "ż" });
    bytes[codec] = client.stats.receivedBytes - before;
  }
  const json = `{"type":"event","sequence":43,"mark":430,"event":{"kind":"message","message_id":1043,"sender_id":5,"timestamp":1763818162,"to":{"stream_id":1,"topic":"lunch"},"content":"ż","send_id":"other-43"}}`;
  assert.deepEqual(bytes, { json: Buffer.byteLength(json), bincode: 35 });
});

test("malformed frames are dropped with a warning, and the connection goes on", async () => {
  const { client, socket } = await connected("bincode");
  const told = record(client, "warning", "message");
  for (const frame of [[], [1], [10, 254], [10, 5, 0], [255]]) socket.frame(Uint8Array.from(frame).buffer);
  socket.frame('{"type":"ping","time_ms":5}');
  assert.equal(told.warning.length, 6);
  socket.frame(Uint8Array.of(99, 1, 2, 3).buffer); // a kind from the future
  assert.equal(told.warning.length, 6);
  socket.message(43);
  assert.equal(told.message.length, 1);
  assert.equal(client.state, "open");
});

test("an event of an unknown kind moves the position and reaches nobody", async () => {
  const { client, socket } = await connected("bincode");
  const told = record(client, "event", "warning");
  socket.frame(Uint8Array.of(1, 50, 7, 200, 1, 2, 3).buffer);
  assert.deepEqual(client.position, { ...POSITION, sequence: 50, mark: 7 });
  assert.equal(told.event.length + told.warning.length, 0);
});

test("what bincode has no form for rejects its send, or is dropped with a warning", async () => {
  const { client, socket } = await connected("bincode");
  const told = record(client, "warning");
  await assert.rejects(client.send({ stream_id: -1, topic: "lunch" }, "Soup?"), UnsendableError);
  await assert.rejects(client.subscribe(1.5), UnsendableError);
  client.typing({ stream_id: -1, topic: "lunch" });
  assert.ok(told.warning[0].error instanceof UnsendableError);
  assert.deepEqual(
    socket.sent.map(({ type }) => type),
    ["hello"],
  );
  assert.equal(client.state, "open");
  assert.equal(client.unanswered, 0);
});

test("a stored position that is none ends the connection, as it does in JSON", async () => {
  const positionStore = { load: () => ({ epoch: "x" }), save: () => {} };
  const { gateway, client } = start("bincode", { positionStore });
  const opened = client.connect();
  gateway.socket.open();
  await assert.rejects(opened, (error) => error instanceof ClosedError && error.code === 4400);
  assert.equal(gateway.socket.closedWith, 1000);
  assert.equal(client.stats.warnings, 1);
  assert.equal(gateway.clock.waiting, 0);
});

test("a message counts as long as it may become in any codec offered", async () => {
  const { client } = await connected("bincode");
  const content = "\u0001".repeat(20_000); // six bytes each in JSON, one in bincode
  await assert.rejects(client.send(LUNCH, content), TooLargeError);
});
