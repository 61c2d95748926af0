import assert from "node:assert/strict";
import { test } from "node:test";

import { OutboxFullError, RefusedError } from "../errors.js";
import { Outbox } from "../outbox.js";
import { FakeClock } from "./support/fake_clock.js";

function start(inFlightMax = 256) {
  const clock = new FakeClock();
  const wire = [];
  const outbox = new Outbox(
    { now: clock.now, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout },
    (message) => wire.push(message.send_id),
  );
  outbox.open(inFlightMax);
  const send = (send_id) => {
    const promise = outbox.add({ type: "send", send_id, to: { stream_id: 1, topic: "t" }, content: send_id });
    promise.catch(() => {});
    return promise;
  };
  const sent = (send_id) => outbox.handleAnswer({ type: "sent", send_id, message_id: 1, sequence: 1 });
  const refuse = (send_id, retry_after_ms, code = "rate_limited") =>
    outbox.handleRefused({ type: "refused", send_id, code, message: code, retry_after_ms });
  /** What went out since the last call. */
  const out = () => wire.splice(0);
  return { clock, outbox, send, sent, refuse, out };
}

test("no more wait for answers than the server takes", () => {
  const { send, sent, out } = start(2);
  for (const id of ["a", "b", "c", "d"]) send(id);
  assert.deepEqual(out(), ["a", "b"]);
  sent("a");
  assert.deepEqual(out(), ["c"]);
});

test("what is refused for now goes again in order, before what is newer", async () => {
  const { clock, send, sent, refuse, out } = start();
  for (const id of ["a", "b", "c"]) send(id);
  sent("a");
  refuse("b", 1_200);
  refuse("c", 100, "out_of_order");
  send("d");
  assert.deepEqual(out(), ["a", "b", "c"]);
  await clock.advance(1_199);
  assert.deepEqual(out(), []);
  await clock.advance(1);
  assert.deepEqual(out(), ["b", "c", "d"]);
});

test("the retry waits for the answers of the whole round", async () => {
  const { clock, send, sent, refuse, out } = start();
  for (const id of ["a", "b"]) send(id);
  refuse("a", 100);
  await clock.advance(500);
  send("c");
  assert.deepEqual(out(), ["a", "b"]);
  refuse("b", 100, "out_of_order");
  await clock.advance(100);
  assert.deepEqual(out(), ["a", "b", "c"]);
  for (const id of ["a", "b", "c"]) sent(id);
  send("d");
  assert.deepEqual(out(), ["d"]);
});

test("a later send that was stored all the same is not sent again", async () => {
  const { clock, send, sent, refuse, out } = start();
  for (const id of ["a", "b"]) send(id);
  refuse("a", 100);
  sent("b");
  await clock.advance(100);
  assert.deepEqual(out(), ["a", "b", "a"]);
});

test("a final refusal stops nobody else", async () => {
  const { send, refuse, out } = start();
  const lost = send("a");
  send("b");
  refuse("a", undefined, "forbidden");
  await assert.rejects(lost, RefusedError);
  send("c");
  assert.deepEqual(out(), ["a", "b", "c"]);
});

test("refused again and again, the order holds", async () => {
  const { clock, send, sent, refuse, out } = start();
  for (const id of ["a", "b", "c"]) send(id);
  for (let round = 0; round < 5; round += 1) {
    assert.deepEqual(out(), ["a", "b", "c"]);
    for (const id of ["a", "b", "c"]) refuse(id, 50);
    await clock.advance(50);
  }
  for (const id of ["a", "b", "c"]) sent(id);
  assert.deepEqual(out(), ["a", "b", "c"]);
});

test("a new connection ends the wait of a refusal: another node may take it", async () => {
  const { clock, outbox, send, refuse, out } = start();
  for (const id of ["a", "b"]) send(id);
  refuse("a", 60_000, "unavailable");
  outbox.pause();
  assert.deepEqual(out(), ["a", "b"]);
  outbox.open(256);
  assert.deepEqual(out(), ["a", "b"]);
  await clock.advance(60_000);
  assert.deepEqual(out(), []);
});

test("too many in flight: all that have no answer go again after a pause, fewer at a time", async () => {
  const { clock, outbox, send, sent, out } = start(4);
  for (const id of ["a", "b", "c", "d"]) send(id);
  outbox.handleTooManyInFlight();
  sent("a");
  assert.deepEqual(out(), ["a", "b", "c", "d"]);
  await clock.advance(1_000);
  assert.deepEqual(out(), ["b", "c"]);
  sent("b");
  assert.deepEqual(out(), ["d"]);
});

test("an answer to nothing changes nothing", () => {
  const { send, sent, refuse, out } = start(1);
  sent("x");
  refuse("x", 100);
  refuse("x");
  send("a");
  assert.deepEqual(out(), ["a"]);
  sent("a");
  sent("a");
  send("b");
  send("c");
  assert.deepEqual(out(), ["b"]);
});

test("the same id while it waits is the same send", () => {
  const { send, out, outbox } = start();
  assert.equal(outbox.add({ type: "send", send_id: "a" }), outbox.add({ type: "send", send_id: "a" }));
  send("a");
  assert.deepEqual(out(), ["a"]);
});

test("a full outbox says so", async () => {
  const { outbox, send } = start();
  for (let i = 0; i < 10_000; i += 1) send(`s${i}`);
  await assert.rejects(send("one more"), OutboxFullError);
  assert.equal(outbox.size, 10_000);
});
