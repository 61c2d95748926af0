import assert from "node:assert/strict";
import { test } from "node:test";

import { SquallClient } from "../client.js";
import { ClosedError, RefusedError, TooLargeError } from "../errors.js";
import { settled } from "./support/fake_clock.js";
import { FakeGateway, POSITION } from "./support/fake_gateway.js";
import { record } from "./support/recorder.js";

function start(options = {}) {
  const gateway = new FakeGateway();
  const client = new SquallClient({
    url: "ws://gateway.example/ws",
    token: "key",
    environment: gateway.environment(),
    ...options,
  });
  return { gateway, client };
}

async function connected(options) {
  const { gateway, client } = start(options);
  const opened = client.connect();
  await gateway.welcome();
  await opened;
  return { gateway, client, socket: gateway.socket };
}

const LUNCH = { stream_id: 1, topic: "lunch" };

test("says hello with the token, without a position at first", async () => {
  const { gateway, client } = start({ presence: "idle", scope: "none" });
  const opened = client.connect();
  assert.equal(client.state, "connecting");
  assert.equal(gateway.socket.url, "ws://gateway.example/ws");
  assert.deepEqual(gateway.socket.subprotocols, ["squall.v1.json"]);
  await gateway.welcome();
  assert.deepEqual(gateway.socket.sent, [{ type: "hello", token: "key", presence: "idle", scope: "none" }]);
  assert.equal((await opened).user_id, 3);
  assert.equal(client.state, "open");
  assert.equal(client.userId, 3);
  assert.deepEqual(client.position, POSITION);
});

test("tells whether a session begins at the head or goes on", async () => {
  const { gateway, client } = start();
  const told = record(client, "welcome");
  client.connect();
  await gateway.welcome();
  gateway.socket.end(1006);
  await gateway.clock.advance(500);
  await gateway.welcome();
  assert.deepEqual(
    told.welcome.map(({ fresh }) => fresh),
    [true, false],
  );
  assert.equal(client.stats.resumes, 1);
  assert.equal(client.stats.connections, 2);
});

test("remembers the position of events, of position messages and of resets", async () => {
  const { client, socket } = await connected();
  socket.message(43);
  assert.deepEqual(client.position, { epoch: 5511, sequence: 43, mark: 430 });
  socket.say({ type: "position", epoch: 5511, sequence: 88, mark: 99 });
  assert.deepEqual(client.position, { epoch: 5511, sequence: 88, mark: 99 });
  socket.say({ type: "reset", reason: "epoch", position: { epoch: 6, sequence: 5, mark: 1 }, after_ms: 0 });
  assert.deepEqual(client.position, { epoch: 6, sequence: 5, mark: 1 });
  assert.equal(client.stats.resets, 1);
});

test("an event of an unknown kind, or broken inside, moves the position and reaches nobody", async () => {
  const { client, socket } = await connected();
  const told = record(client, "event");
  socket.event(50, { kind: "reaction", emoji: "tada" });
  socket.event(51, { kind: "message", message_id: "x" });
  socket.event(52, null);
  assert.equal(client.position.sequence, 52);
  assert.equal(told.event.length, 0);
});

test("an event that came before is dropped", async () => {
  const { client, socket } = await connected();
  const told = record(client, "message", "warning");
  socket.message(43);
  socket.message(43);
  socket.message(41);
  assert.deepEqual(
    told.message.map(({ sequence }) => sequence),
    [43],
  );
  assert.equal(told.warning.length, 2);
});

test("resumes with the last position it knows", async () => {
  const { gateway, client, socket } = await connected();
  socket.message(77);
  socket.end(1006);
  assert.equal(client.state, "waiting");
  await gateway.clock.advance(500);
  await gateway.welcome();
  assert.deepEqual(gateway.socket.sent[0].position, { epoch: 5511, sequence: 77, mark: 770 });
});

test("a resume that is answered by a reset is no resume", async () => {
  const { gateway, client, socket } = await connected();
  socket.end(1006);
  await gateway.clock.advance(500);
  await gateway.welcome();
  assert.equal(client.stats.resumes, 1);
  gateway.socket.say({ type: "reset", reason: "expired", position: { ...POSITION, sequence: 9000 }, after_ms: 10 });
  assert.equal(client.stats.resumes, 0);
});

test("keeps its position where it is told, after the listeners had the event", async () => {
  const saved = [];
  const store = {
    load: () => ({ epoch: 5511, sequence: 40, mark: 4 }),
    save: (position) => saved.push(position.sequence),
  };
  const { gateway, client } = start({ positionStore: store });
  const seen = [];
  client.on("event", () => seen.push([...saved]));
  client.connect();
  await gateway.welcome();
  assert.deepEqual(gateway.socket.sent[0].position, { epoch: 5511, sequence: 40, mark: 4 });
  gateway.socket.message(41);
  assert.deepEqual(seen, [[40]]);
  assert.deepEqual(saved, [40, 41]);
});

test("a store that fails costs a warning", async () => {
  const store = {
    load: () => null,
    save: () => {
      throw new Error("disk full");
    },
  };
  const { client, socket } = await connected({ positionStore: store });
  const told = record(client, "warning");
  socket.message(43);
  assert.match(told.warning[0].error.message, /disk full/);
  assert.equal(client.position.sequence, 43);
});

test("a send resolves with its message's id and place", async () => {
  const { client, socket, gateway } = await connected();
  const sent = client.send(LUNCH, "Soup?");
  const [message] = socket.sentOf("send");
  assert.deepEqual(message, { type: "send", send_id: "01".repeat(16), to: LUNCH, content: "Soup?" });
  await gateway.clock.advance(30);
  socket.say({ type: "sent", send_id: message.send_id, message_id: 907, sequence: 43 });
  assert.deepEqual(await sent, { message_id: 907, sequence: 43 });
  assert.equal(client.unanswered, 0);
  assert.equal(client.latency.ackMs, 30);
});

test("a send made before the session is open goes out with it", async () => {
  const { gateway, client } = start();
  client.send(LUNCH, "early").catch(() => {});
  client.connect();
  await gateway.welcome();
  assert.deepEqual(
    gateway.socket.sentOf("send").map(({ content }) => content),
    ["early"],
  );
});

test("a refused send rejects with its code", async () => {
  const { client, socket } = await connected();
  const sent = client.send({ stream_id: 99, topic: "x" }, "?");
  const [{ send_id }] = socket.sentOf("send");
  socket.say({ type: "refused", send_id, code: "unknown_stream", message: "no such stream" });
  await assert.rejects(
    sent,
    (error) => error instanceof RefusedError && error.code === "unknown_stream" && error.sendId === send_id,
  );
});

test("unanswered sends go again after a reconnect, in order, with the same ids", async () => {
  const { gateway, client, socket } = await connected();
  const sends = ["a", "b", "c"].map((content) => client.send(LUNCH, content));
  const ids = socket.sentOf("send").map(({ send_id }) => send_id);
  socket.say({ type: "sent", send_id: ids[0], message_id: 1, sequence: 43 });
  socket.end(1006);
  await gateway.clock.advance(500);
  await gateway.welcome();
  assert.deepEqual(
    gateway.socket.sentOf("send").map(({ send_id }) => send_id),
    ids.slice(1),
  );
  gateway.socket.say({ type: "sent", send_id: ids[1], message_id: 2, sequence: 44 });
  gateway.socket.say({ type: "sent", send_id: ids[2], message_id: 3, sequence: 45 });
  assert.deepEqual(
    (await Promise.all(sends)).map(({ message_id }) => message_id),
    [1, 2, 3],
  );
});

test("a message too long for the server is not sent", async () => {
  const { client, socket } = await connected();
  await assert.rejects(client.send(LUNCH, "x".repeat(70_000)), TooLargeError);
  assert.equal(socket.sentOf("send").length, 0);
});

test("half a surrogate pair is mended: the server would end the connection over it", async () => {
  const { client, socket } = await connected();
  client.send({ stream_id: 1, topic: "\ud83d" }, "a \udc4d b 👍").catch(() => {});
  assert.deepEqual(socket.sentOf("send")[0].to, { stream_id: 1, topic: "\ufffd" });
  assert.equal(socket.sentOf("send")[0].content, "a \ufffd b 👍");
});

test("joins and leaves streams, for itself and for others", async () => {
  const { client, socket } = await connected();
  const joined = client.subscribe(2);
  client.subscribe(4, { userIds: [5] }).catch(() => {});
  client.unsubscribe(2).catch(() => {});
  const [first] = socket.sentOf("subscribe");
  assert.deepEqual(first, { type: "subscribe", send_id: first.send_id, stream_id: 2 });
  assert.deepEqual(socket.sentOf("subscribe")[1].user_ids, [5]);
  assert.equal(socket.sentOf("unsubscribe")[0].stream_id, 2);
  socket.say({ type: "done", send_id: first.send_id, sequence: 44 });
  assert.deepEqual(await joined, { sequence: 44 });
});

test("answers pings, telling whether the user is active", async () => {
  const { client, socket } = await connected();
  socket.say({ type: "ping", time_ms: 5 });
  client.setStatus("idle");
  client.setStatus("idle");
  socket.say({ type: "ping", time_ms: 6 });
  assert.deepEqual(socket.sentOf("pong"), [
    { type: "pong", active: true },
    { type: "pong", active: false },
  ]);
  assert.deepEqual(socket.sentOf("presence"), [{ type: "presence", status: "idle" }]);
});

test("hello repeats the status", async () => {
  const { gateway, client, socket } = await connected();
  client.setStatus("idle");
  socket.end(1006);
  await gateway.clock.advance(500);
  await gateway.welcome();
  assert.equal(gateway.socket.sent[0].presence, "idle");
});

test("measures the round trip, and keeps the server's clock", async () => {
  const { gateway, client, socket } = await connected();
  const told = record(client, "latency");
  client.ping();
  await gateway.clock.advance(12);
  socket.say({ type: "pong", time_ms: gateway.clock.now() + 5_000 });
  assert.equal(told.latency[0].pingMs, 12);
  assert.equal(client.serverNow(), gateway.clock.now() + 5_000);
  socket.say({ type: "pong", time_ms: 1 }); // unasked: changes nothing
  assert.equal(client.serverNow(), gateway.clock.now() + 5_000);
});

test("close ends it: the socket in good order, waiting sends with an error", async () => {
  const { gateway, client, socket } = await connected();
  const sent = client.send(LUNCH, "lost?");
  client.close();
  assert.equal(socket.closedWith, 1000);
  assert.equal(client.state, "closed");
  await assert.rejects(sent, ClosedError);
  await assert.rejects(client.send(LUNCH, "too late"), ClosedError);
  await gateway.clock.advance(60_000);
  assert.equal(gateway.sockets.length, 1);
  assert.equal(gateway.clock.waiting, 0);
});

test("a closed client connects again from where it was", async () => {
  const { gateway, client } = await connected();
  client.close();
  const opened = client.connect();
  await gateway.welcome();
  await opened;
  assert.deepEqual(gateway.socket.sent[0].position, POSITION);
});

test("malformed input is dropped with a warning, and the connection goes on", async () => {
  const { client, socket } = await connected();
  const told = record(client, "warning", "message");
  const odd = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '"x"',
    "{}",
    '{"type":7}',
    '{"type":"event"}',
    '{"type":"event","sequence":-1,"mark":2}',
    '{"type":"event","sequence":"x","mark":2}',
    '{"type":"reset","reason":"expired"}',
    '{"type":"presence_snapshot","active":3}',
    '{"type":"sent"}',
    '{"type":"typing","op":"start","sender_id":1,"to":{}}',
    '{"type":"goaway"}',
  ];
  for (const text of odd) socket.frame(text);
  socket.frame(new ArrayBuffer(4));
  assert.equal(told.warning.length, odd.length + 1);
  socket.frame('{"type":"from_the_future","x":1}');
  socket.frame('{"type":"__proto__"}');
  socket.frame('{"type":"constructor"}');
  assert.equal(client.stats.warnings, odd.length + 1);
  socket.message(43);
  assert.equal(told.message.length, 1);
  assert.equal(client.state, "open");
});

test("nothing but an error is heard before welcome", async () => {
  const { gateway, client } = start();
  const told = record(client, "message", "reset");
  client.connect().catch(() => {});
  gateway.socket.open();
  gateway.socket.message(43);
  gateway.socket.say({ type: "reset", reason: "epoch", position: POSITION, after_ms: 0 });
  assert.equal(told.message.length + told.reset.length, 0);
  assert.equal(client.position, null);
});

test("the words of an error before a close are those of the ClosedError", async () => {
  const { gateway, client } = start();
  const opened = client.connect();
  gateway.socket.open();
  gateway.socket.say({ type: "error", code: "unauthorized", message: "no such key" });
  gateway.socket.end(4401, "unknown token");
  await assert.rejects(
    opened,
    (error) => error instanceof ClosedError && error.code === 4401 && error.message === "no such key",
  );
});

test("a listener that throws stops nobody", async (t) => {
  const { client, socket } = await connected();
  const thrown = [];
  t.mock.method(globalThis, "queueMicrotask", (call) => {
    assert.throws(call, /listener/);
    thrown.push(call);
  });
  client.on("event", () => {
    throw new Error("listener");
  });
  const told = record(client, "event");
  socket.message(43);
  socket.message(44);
  assert.equal(told.event.length, 2);
  assert.equal(thrown.length, 2);
  await settled();
});
