import assert from "node:assert/strict";
import { test } from "node:test";

import { Unread } from "../unread.js";

const OWN = 3;

/** A realm with one conversation of these messages. */
function start(ids, { loaded = false, senders = {} } = {}) {
  const messages = ids.map((message_id) => ({ message_id, sender_id: senders[message_id] ?? 5 }));
  const conversation = {
    messages,
    loaded,
    get oldestId() {
      return messages[0]?.message_id ?? null;
    },
    get newestId() {
      return messages.at(-1)?.message_id ?? null;
    },
  };
  const realm = { conversations: new Map([["k", conversation]]) };
  const come = (message_id) => messages.push({ message_id, sender_id: 5 });
  return { unread: new Unread(realm, () => OWN), come };
}

test("what was there when the page came counts as read, what comes then does not", () => {
  const { unread, come } = start([], {});
  unread.learn("k", 40);
  come(41);
  come(42);
  assert.equal(unread.count("k"), 2);
});

test("what came live before the page learned of the conversation is new", () => {
  const { unread } = start([41, 42]);
  unread.learn("k", 42);
  assert.equal(unread.count("k"), 2);
});

test("a page of history is not taken for live messages", () => {
  const { unread } = start([39, 40], { loaded: true });
  unread.learn("k", 40);
  assert.equal(unread.count("k"), 0);
});

test("a conversation that begins is new from its start", () => {
  const { unread } = start([41, 42, 43], { loaded: true, senders: { 42: OWN } });
  unread.begin("k");
  assert.equal(unread.count("k"), 2); // its user's own are never new
});

test("reading reads to the newest, and learning again changes nothing", () => {
  const { unread, come } = start([41, 42]);
  unread.begin("k");
  assert.ok(unread.read("k"));
  assert.ok(!unread.read("k"));
  assert.equal(unread.count("k"), 0);
  come(43);
  unread.learn("k", 43);
  assert.equal(unread.count("k"), 1);
  assert.equal(unread.readTo("k"), 42);
});
