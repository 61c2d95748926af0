import assert from "node:assert/strict";
import { test } from "node:test";

import { SquallClient } from "../client.js";
import { Presence } from "../presence.js";
import { FakeGateway } from "./support/fake_gateway.js";

const NOW_MS = 1_763_818_165_000;
const SNAPSHOT = {
  type: "presence_snapshot",
  as_of_ms: NOW_MS,
  change: 71,
  active: [3, 5],
  idle: [9],
  offline: [[4, 1_763_810_000]],
};

const statuses = (presence, nowMs = NOW_MS) =>
  Object.fromEntries([3, 4, 5, 9, 77].map((id) => [id, presence.view(id, nowMs).status]));

function withSnapshot() {
  const presence = new Presence();
  presence.handleWelcome(55_000);
  presence.handleSnapshot(SNAPSHOT);
  return presence;
}

test("a snapshot tells who is there", () => {
  const presence = withSnapshot();
  assert.deepEqual(statuses(presence), { 3: "active", 4: "offline", 5: "active", 9: "idle", 77: "unknown" });
  assert.equal(presence.view(4, NOW_MS).lastHeardMs, 1_763_810_000_000);
  assert.equal(presence.view(5, NOW_MS).lastHeardMs, NOW_MS);
  assert.equal(presence.view(77, NOW_MS).lastHeardMs, null);
});

test("a diff moves those it names", () => {
  const presence = withSnapshot();
  assert.equal(
    presence.handleDiff({
      type: "presence",
      as_of_ms: NOW_MS,
      from: 71,
      to: 73,
      idle: [3],
      offline: [[9, 1_763_818_140]],
    }),
    "applied",
  );
  assert.deepEqual(statuses(presence), { 3: "idle", 4: "offline", 5: "active", 9: "offline", 77: "unknown" });
  assert.equal(presence.view(9, NOW_MS).lastHeardMs, 1_763_818_140_000);
  presence.handleDiff({ type: "presence", as_of_ms: NOW_MS, from: 73, to: 74, active: [9, 77] });
  assert.deepEqual(statuses(presence), { 3: "idle", 4: "offline", 5: "active", 9: "active", 77: "active" });
});

test("a diff that does not follow is dropped, and a snapshot asked for once", () => {
  const presence = withSnapshot();
  assert.equal(presence.handleDiff({ type: "presence", as_of_ms: NOW_MS, from: 72, to: 73, idle: [5] }), "ask");
  assert.equal(presence.handleDiff({ type: "presence", as_of_ms: NOW_MS, from: 73, to: 74, idle: [5] }), "dropped");
  assert.equal(presence.view(5, NOW_MS).status, "active");
  presence.handleSnapshot({ ...SNAPSHOT, change: 74, active: [], idle: [5], offline: [] });
  assert.equal(presence.handleDiff({ type: "presence", as_of_ms: NOW_MS, from: 74, to: 75, active: [5] }), "applied");
  assert.equal(presence.view(9, NOW_MS).status, "unknown");
});

test("with the connection lost, everybody was last heard of at its last message", () => {
  const presence = withSnapshot();
  presence.handleLoss(NOW_MS);
  assert.deepEqual(presence.view(5, NOW_MS + 20_000), { status: "active", lastHeardMs: NOW_MS });
  assert.deepEqual(presence.view(5, NOW_MS + 60_000), { status: "offline", lastHeardMs: NOW_MS });
  presence.handleWelcome(55_000);
  assert.equal(presence.view(5, NOW_MS + 60_000).status, "offline");
  presence.handleSnapshot({ ...SNAPSHOT, as_of_ms: NOW_MS + 60_000 });
  assert.deepEqual(presence.view(5, NOW_MS + 61_000), { status: "active", lastHeardMs: NOW_MS + 61_000 });
});

async function connected() {
  const gateway = new FakeGateway();
  const client = new SquallClient({ url: "ws://gateway.example/ws", token: "key", environment: gateway.environment() });
  client.connect();
  const socket = await gateway.welcome();
  return { gateway, client, socket };
}

test("the client asks for the snapshot it lacks, and not before the first could come", async () => {
  const { client, socket } = await connected();
  socket.say({ type: "presence", as_of_ms: NOW_MS, from: 70, to: 71 });
  assert.equal(socket.sentOf("presence_request").length, 0);
  socket.say(SNAPSHOT);
  socket.say({ type: "presence", as_of_ms: NOW_MS, from: 75, to: 76, idle: [5] });
  socket.say({ type: "presence", as_of_ms: NOW_MS, from: 76, to: 77, idle: [5] });
  assert.deepEqual(socket.sentOf("presence_request"), [{ type: "presence_request" }]);
  assert.equal(client.presenceOf(5).status, "active");
});

test("typing is told at once, each 10 s, and its end after a pause", async () => {
  const { gateway, client, socket } = await connected();
  const to = { stream_id: 1, topic: "lunch" };
  for (let second = 0; second < 12; second += 1) {
    client.typing(to);
    await gateway.clock.advance(1_000);
  }
  assert.deepEqual(
    socket.sentOf("typing").map(({ op }) => op),
    ["start", "start"],
  );
  await gateway.clock.advance(5_000);
  assert.deepEqual(socket.sentOf("typing").at(-1), { type: "typing", op: "stop", to });
});

test("typing elsewhere stops it here; a message stops it by itself", async () => {
  const { client, socket } = await connected();
  client.typing({ stream_id: 1, topic: "a" });
  client.typing({ user_ids: [5] });
  client.send({ user_ids: [5] }, "hi").catch(() => {});
  client.stopTyping();
  assert.deepEqual(
    socket.sentOf("typing").map(({ op, to }) => [op, to.topic ?? to.user_ids]),
    [
      ["start", "a"],
      ["stop", "a"],
      ["start", [5]],
    ],
  );
});

test("others' typing is forgotten after 15 s, on stop, with their message, and with the connection", async () => {
  const { gateway, client, socket } = await connected();
  const to = { stream_id: 1, topic: "lunch" };
  const key = "stream:1:lunch";
  const types = (op, sender_id) => socket.say({ type: "typing", op, sender_id, to });
  types("start", 5);
  types("start", 9);
  types("start", 3); // this user, from another device
  assert.deepEqual(client.typists(key), [5, 9]);
  types("stop", 9);
  assert.deepEqual(client.typists(key), [5]);
  await gateway.clock.advance(14_000);
  types("start", 5);
  await gateway.clock.advance(14_000);
  assert.deepEqual(client.typists(key), [5]);
  await gateway.clock.advance(1_000);
  assert.deepEqual(client.typists(key), []);
  types("start", 5);
  socket.message(43);
  assert.deepEqual(client.typists(key), []);
  types("start", 5);
  socket.end(1006);
  assert.deepEqual(client.typists(key), []);
});

test("typing in a direct conversation is found under its key, however its users are named", async () => {
  const { client, socket } = await connected();
  socket.say({ type: "typing", op: "start", sender_id: 5, to: { user_ids: [3] } });
  assert.deepEqual(client.typists("direct:3,5"), [5]);
  socket.say({ type: "typing", op: "stop", sender_id: 5, to: { user_ids: [5, 3] } });
  assert.deepEqual(client.typists("direct:3,5"), []);
});
