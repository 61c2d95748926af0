import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Backoff } from "../backoff.js";
import { SquallClient } from "../client.js";
import { CLOSE_CODES, reconnectAfter } from "../close_codes.js";
import { FakeGateway, POSITION } from "./support/fake_gateway.js";
import { record } from "./support/recorder.js";

async function connected() {
  const gateway = new FakeGateway();
  const client = new SquallClient({ url: "ws://gateway.example/ws", token: "key", environment: gateway.environment() });
  client.connect().catch(() => {});
  await gateway.welcome();
  return { gateway, client, socket: gateway.socket };
}

test("the close codes are those of SPEC.md", () => {
  const spec = readFileSync(new URL("../../SPEC.md", import.meta.url), "utf8");
  const words = { never: "no", resume: "resume", delay: "after a delay", resync: "expect a reset" };
  const rows = [...spec.matchAll(/^\| (\d{4}) \| (.+?) \| (.+?) \|$/gm)].map(([, code, reason, next]) => [
    Number(code),
    reason,
    next,
  ]);
  assert.deepEqual(
    CLOSE_CODES.map(({ code, reason, reconnect }) => [code, reason, words[reconnect]]),
    rows,
  );
});

test("codes that no table has go by their hundred, or are a lost line", () => {
  assert.equal(reconnectAfter(4077), "resume");
  assert.equal(reconnectAfter(4177), "delay");
  assert.equal(reconnectAfter(4277), "resync");
  assert.equal(reconnectAfter(4477), "never");
  for (const code of [1001, 1005, 1006, 1011, 1012, 4300, 4999]) assert.equal(reconnectAfter(code), "resume");
});

for (const { code, reconnect } of CLOSE_CODES) {
  test(`after ${code} the client does: ${reconnect}`, async () => {
    const { gateway, client, socket } = await connected();
    const told = record(client, "state");
    gateway.random = 0.999;
    socket.end(code);
    if (reconnect === "never") {
      assert.equal(client.state, "closed");
      assert.equal(told.state.at(-1).error.code, code);
      await gateway.clock.advance(120_000);
      assert.equal(gateway.sockets.length, 1);
      return;
    }
    const boundMs = reconnect === "delay" ? 5_000 : 500;
    assert.equal(client.state, "waiting");
    assert.ok(told.state.at(-1).retryMs > boundMs * 0.99 && told.state.at(-1).retryMs < boundMs);
    await gateway.clock.advance(boundMs * 0.9);
    assert.equal(gateway.sockets.length, 1);
    await gateway.clock.advance(boundMs * 0.1);
    assert.equal(gateway.sockets.length, 2);
    await gateway.welcome();
    assert.deepEqual(gateway.socket.sent[0].position, POSITION);
    assert.equal(client.state, "open");
  });
}

test("the wait is random below a bound that doubles up to 20 s", () => {
  const most = new Backoff(() => 1);
  const bounds = Array.from({ length: 9 }, () => most.next("resume"));
  assert.deepEqual(bounds, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000]);
  most.reset();
  assert.deepEqual(
    [most.next("delay"), most.next("delay"), most.next("delay"), most.next("delay")],
    [5_000, 10_000, 20_000, 20_000],
  );
  const least = new Backoff(() => 0);
  assert.deepEqual([least.next("resume"), least.next("resume")], [0, 0]);
  for (let i = 0; i < 2_000; i += 1) assert.ok(Number.isFinite(most.next("resume")));
});

test("failures count up until a welcome", async () => {
  const { gateway, client, socket } = await connected();
  gateway.random = 0.5;
  socket.end(1006);
  await gateway.clock.advance(250);
  gateway.socket.end(1006);
  await gateway.clock.advance(499);
  assert.equal(gateway.sockets.length, 2);
  await gateway.clock.advance(1);
  assert.equal(gateway.sockets.length, 3);
  assert.equal(client.attempt, 2);
  await gateway.welcome();
  assert.equal(client.attempt, 0);
  assert.equal(client.stats.reconnectAttempts, 2);
});

test("goaway: goes on, then closes and reconnects at once when its time has come", async () => {
  const { gateway, client, socket } = await connected();
  socket.say({ type: "goaway", after_ms: 1_300 });
  await gateway.clock.advance(1_299);
  socket.message(43);
  assert.equal(client.position.sequence, 43);
  assert.equal(socket.closedWith, null);
  await gateway.clock.advance(1);
  assert.equal(socket.closedWith, 1000);
  assert.equal(gateway.sockets.length, 2);
  await gateway.welcome();
  assert.equal(gateway.socket.sent[0].position.sequence, 43);
});

test("a connection that ends before its goaway is due leaves no second reconnect behind", async () => {
  const { gateway, socket } = await connected();
  socket.say({ type: "goaway", after_ms: 1_300 });
  socket.end(4000);
  await gateway.clock.advance(500);
  await gateway.welcome();
  await gateway.clock.advance(5_000);
  assert.equal(gateway.sockets.length, 2);
});

test("a silent connection is given up after heartbeat and time-out", async () => {
  const { gateway, client, socket } = await connected();
  await gateway.clock.advance(20_000);
  socket.say({ type: "ping", time_ms: gateway.clock.now() });
  await gateway.clock.advance(34_999);
  assert.equal(client.state, "open");
  await gateway.clock.advance(1);
  assert.equal(client.state, "waiting");
  assert.equal(socket.closedWith, 4001);
  socket.message(43); // too late: the connection is over
  assert.equal(client.position.sequence, 42);
  await gateway.clock.advance(500);
  assert.equal(gateway.sockets.length, 2);
});

test("a page that slept asks before it gives the connection up", async () => {
  const { gateway, client, socket } = await connected();
  await gateway.clock.sleep(3_600_000);
  assert.equal(client.state, "open");
  assert.deepEqual(socket.sentOf("ping"), [{ type: "ping" }]);
  socket.say({ type: "pong", time_ms: gateway.clock.now() });
  await gateway.clock.advance(20_000);
  assert.equal(client.state, "open");
  await gateway.clock.sleep(3_600_000);
  await gateway.clock.advance(10_000);
  assert.equal(client.state, "waiting");
});

test("a socket that never opens, or never welcomes, is given up", async () => {
  const gateway = new FakeGateway();
  const client = new SquallClient({ url: "ws://x/ws", token: "key", environment: gateway.environment() });
  client.connect().catch(() => {});
  await gateway.clock.advance(15_000);
  assert.equal(client.state, "waiting");
  await gateway.clock.advance(500);
  gateway.socket.open();
  gateway.socket.say({ type: "ping", time_ms: 1 });
  await gateway.clock.advance(15_000);
  assert.equal(client.state, "waiting");
});

test("the network's return ends the wait, unless the server asked for it", async () => {
  const { gateway, client, socket } = await connected();
  gateway.random = 0.99;
  socket.end(1006);
  gateway.network.dispatchEvent(new Event("online"));
  assert.equal(client.state, "connecting");
  await gateway.welcome();
  gateway.socket.end(4100);
  gateway.network.dispatchEvent(new Event("online"));
  assert.equal(client.state, "waiting");
});

test("a page that is seen again tests its line", async () => {
  const { gateway, client, socket } = await connected();
  gateway.page.visibilityState = "hidden";
  gateway.page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(socket.sentOf("ping").length, 0);
  gateway.page.visibilityState = "visible";
  gateway.page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(socket.sentOf("ping").length, 1);
  await gateway.clock.advance(10_000);
  assert.equal(client.state, "waiting");
});

test("an old socket's words and end mean nothing to the new one", async () => {
  const { gateway, client, socket } = await connected();
  client.reconnect();
  await gateway.welcome();
  socket.end(4401);
  socket.message(50);
  assert.equal(client.state, "open");
  assert.equal(client.position.sequence, 42);
});
