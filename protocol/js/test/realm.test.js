import assert from "node:assert/strict";
import { test } from "node:test";

import { SquallClient } from "../client.js";
import { ApiError } from "../errors.js";
import { Realm } from "../realm.js";
import { FakeApi } from "./support/fake_api.js";
import { settled } from "./support/fake_clock.js";
import { FakeGateway, POSITION } from "./support/fake_gateway.js";
import { record } from "./support/recorder.js";

const LUNCH = { stream_id: 1, topic: "lunch" };
const KEY = "stream:1:lunch";
const GENERAL = { stream_id: 1, name: "general", description: "", invite_only: false };
const SECRET = { stream_id: 2, name: "secret", description: "", invite_only: true };
const ADA = { user_id: 3, email: "ada@x", full_name: "Ada", role: "member", is_bot: false, is_active: true };
const BOB = { ...ADA, user_id: 5, email: "bob@x", full_name: "Bob" };

const at = (sequence, epoch = POSITION.epoch) => ({ epoch, sequence, mark: 0 });
const stored = (message_id, to = LUNCH) => ({
  message_id,
  sender_id: 5,
  timestamp: 1,
  to,
  content: `stored ${message_id}`,
});

async function start({ topics = false, watch = null } = {}) {
  const gateway = new FakeGateway();
  gateway.random = 0;
  const client = new SquallClient({ url: "ws://gateway.example/ws", token: "key", environment: gateway.environment() });
  const api = new FakeApi();
  const realm = new Realm(client, api);
  if (topics) realm.wantTopics();
  if (watch) client.on("welcome", ({ fresh }) => fresh && realm.watch(watch));
  client.connect();
  await gateway.welcome();
  const ids = () => realm.conversation(LUNCH).messages.map(({ message_id }) => message_id);
  const answer = async (name, fields, as_of = at(42), is) => {
    const call = api.take(name, is);
    call.resolve({ as_of, ...fields });
    await settled();
    return call;
  };
  const answerState = async (as_of = at(42), fields = {}) => {
    await settled();
    await answer("users", { users: [ADA, BOB] }, as_of);
    await answer("streams", { streams: [GENERAL] }, as_of);
    await answer("subscriptions", { streams: fields.subscriptions ?? [GENERAL] }, as_of);
    await answer(
      "messages",
      { messages: fields.directs ?? [], foundOldest: true, foundNewest: true },
      as_of,
      (narrow) => narrow === "direct",
    );
  };
  const answerPage = (messageIds, as_of = at(42), foundOldest = false) =>
    answer(
      "messages",
      { messages: messageIds.map((id) => stored(id)), foundOldest, foundNewest: true },
      as_of,
      (narrow) => narrow !== "direct",
    );
  return { gateway, client, api, realm, ids, answer, answerState, answerPage, socket: gateway.socket };
}

async function ready(options) {
  const it = await start(options);
  await it.answerState();
  return it;
}

async function watching(messageIds = [900, 901]) {
  const it = await ready();
  it.realm.watch(LUNCH);
  await settled();
  await it.answerPage(messageIds);
  return it;
}

test("a fresh session fetches state at once, and shows it when it is whole", async () => {
  const { realm, answer, answerState, api } = await start();
  const told = record(realm, "status", "change");
  assert.equal(realm.status, "loading");
  await answerState();
  assert.equal(realm.status, "ready");
  assert.deepEqual([...realm.users.keys()], [3, 5]);
  assert.deepEqual([...realm.subscriptions.values()], [GENERAL]);
  assert.deepEqual(told.change, [{ what: "everything" }]);
  assert.equal(api.waiting.length, 0);
  await assert.rejects(answer("users", {}), /no users waits/);
});

test("events that come during the fetch are applied above each answer's own as_of", async () => {
  const { realm, socket, answer } = await start();
  await settled();
  const user = (n, full_name) => ({ ...BOB, user_id: n, full_name });
  socket.event(43, { kind: "user_added", user: user(6, "six") });
  socket.event(44, { kind: "members_added", stream: SECRET, user_ids: [3], actor_id: 5 });
  await answer("users", { users: [ADA, BOB, user(6, "six")] }, at(43));
  await answer("streams", { streams: [GENERAL] }, at(42));
  socket.event(45, { kind: "user_updated", user: user(6, "sechs"), previous: user(6, "six") });
  await answer("subscriptions", { streams: [GENERAL] }, at(43));
  await answer("messages", { messages: [], foundOldest: true }, at(42));
  assert.equal(realm.users.get(6).full_name, "sechs");
  assert.deepEqual([...realm.subscriptions.keys()], [1, 2]);
  assert.deepEqual([...realm.streams.keys()], [1, 2]);
});

test("an event that an answer holds already is not applied over it", async () => {
  const { realm, socket, answerState } = await start();
  await answerState(at(50), { subscriptions: [] }); // left at 49, says the answer
  socket.event(48, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  socket.event(49, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 3 });
  socket.event(50, { kind: "user_updated", user: { ...BOB, full_name: "stale" }, previous: BOB });
  assert.equal(realm.subscriptions.size, 0);
  assert.equal(realm.users.get(5).full_name, "Bob");
  socket.event(51, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  assert.deepEqual([...realm.subscriptions.keys()], [1]);
});

test("an answer older than the position is fetched again", async () => {
  const { gateway, realm, api, answer, answerState } = await start();
  await settled();
  await answer("users", { users: [] }, at(41));
  assert.equal(api.waiting.filter(({ name }) => name === "users").length, 0);
  await gateway.clock.advance(1);
  await answerState();
  assert.equal(realm.status, "ready");
  assert.equal(realm.users.size, 2);
});

test("an answer of another epoch makes the client connect anew", async () => {
  const { gateway, realm, answer, answerState } = await start();
  await settled();
  await answer("users", { users: [] }, at(99, 6));
  await gateway.clock.advance(1);
  assert.equal(gateway.sockets.length, 2);
  await gateway.welcome();
  gateway.socket.say({ type: "reset", reason: "epoch", position: at(99, 6), after_ms: 100 });
  await gateway.clock.advance(100);
  await answerState(at(99, 6));
  assert.equal(realm.status, "ready");
});

test("failures for now are tried again, as late as the server asks", async () => {
  const { gateway, realm, api, answerState } = await start();
  await settled();
  api.take("users").reject(new ApiError(429, "RATE_LIMIT_HIT", "slow down", 3_000));
  await gateway.clock.advance(2_999);
  assert.equal(api.waiting.filter(({ name }) => name === "users").length, 0);
  await gateway.clock.advance(1);
  api.take("users").reject(new ApiError(0, "UNREACHABLE", "no line"));
  await gateway.clock.advance(1);
  await answerState();
  assert.equal(realm.status, "ready");
});

test("a refusal for good is told", async () => {
  const { realm, api } = await start();
  const told = record(realm, "status");
  await settled();
  api.take("users").reject(new ApiError(401, "UNAUTHORIZED", "no such key"));
  await settled();
  assert.equal(realm.status, "failed");
  assert.match(told.status.at(-1).error.message, /no such key/);
  assert.equal(realm.error, told.status.at(-1).error);
});

test("after a reset the client waits, keeps what it shows, and changes it at once", async () => {
  const { gateway, realm, socket, ids, api, answerState, answerPage } = await watching();
  socket.message(43);
  assert.deepEqual(ids(), [900, 901, 1043]);
  socket.say({ type: "reset", reason: "expired", position: at(9_000), after_ms: 1_800 });
  await gateway.clock.advance(1_799);
  assert.equal(api.waiting.length, 0);
  socket.message(9_001);
  assert.deepEqual(ids(), [900, 901, 1043]);
  await gateway.clock.advance(1);
  await answerState(at(9_000));
  assert.equal(realm.status, "loading"); // the open conversation is still to come
  socket.message(9_002);
  await answerPage([8_000, 8_001, 10_001], at(9_001));
  assert.equal(realm.status, "ready");
  assert.deepEqual(ids(), [8_000, 8_001, 10_001, 10_002]);
});

test("a second reset during the fetch throws the first away", async () => {
  const { gateway, realm, socket, api, answer, answerState, ids } = await start({ watch: LUNCH });
  await settled();
  await answer("users", { users: [{ ...ADA, full_name: "old life" }] });
  const late = api.take("streams");
  socket.message(43);
  socket.say({ type: "reset", reason: "epoch", position: at(10, 6), after_ms: 0 });
  late.resolve({ as_of: at(42), streams: [SECRET] });
  await gateway.clock.advance(0);
  await answerState(at(10, 6));
  await answer("messages", { messages: [stored(5)], foundOldest: true }, at(10, 6));
  assert.equal(realm.status, "ready");
  assert.deepEqual([...realm.streams.keys()], [1]);
  assert.equal(realm.users.get(3).full_name, "Ada");
  assert.deepEqual(ids(), [5]);
});

test("a reconnect during the fetch goes on with it", async () => {
  const { gateway, realm, socket, answer, answerPage, ids } = await start({ watch: LUNCH });
  await settled();
  socket.message(43);
  await answer("users", { users: [ADA, BOB] });
  socket.end(1006);
  await answer("streams", { streams: [GENERAL] });
  await gateway.clock.advance(1);
  await gateway.welcome();
  assert.equal(gateway.socket.sent[0].position.sequence, 43);
  gateway.socket.message(44);
  await answer("subscriptions", { streams: [GENERAL] });
  await answer("messages", { messages: [], foundOldest: true }, at(42), (narrow) => narrow === "direct");
  gateway.socket.message(45);
  await answerPage([900, 1043, 1044], at(44));
  assert.equal(realm.status, "ready");
  assert.deepEqual(ids(), [900, 1043, 1044, 1045]);
});

test("a resume shows what was missed without fetching anything", async () => {
  const { gateway, socket, ids, api } = await watching();
  socket.end(1006);
  await gateway.clock.advance(1);
  await gateway.welcome();
  gateway.socket.message(43);
  gateway.socket.message(44);
  assert.deepEqual(ids(), [900, 901, 1043, 1044]);
  assert.equal(api.waiting.length, 0);
});

test("a page asked for while live messages come holds each of them once", async () => {
  const { realm, socket, answerPage, ids } = await ready();
  socket.message(43);
  realm.watch(LUNCH);
  socket.message(44);
  socket.message(45);
  await settled();
  await answerPage([900, 1043, 1044], at(44)); // 45 came after it
  assert.deepEqual(ids(), [900, 1043, 1044, 1045]);
  socket.message(46);
  assert.deepEqual(ids(), [900, 1043, 1044, 1045, 1046]);
});

test("a page that knows more than has come live doubles nothing", async () => {
  const { realm, socket, answerPage, ids } = await ready();
  realm.watch(LUNCH);
  await settled();
  await answerPage([900, 1043, 1044], at(44));
  socket.message(43);
  socket.message(44);
  socket.message(45);
  assert.deepEqual(ids(), [900, 1043, 1044, 1045]);
});

test("a page older than what has come live is fetched again", async () => {
  const { gateway, realm, socket, answerPage, ids } = await ready();
  socket.message(43);
  realm.watch(LUNCH);
  await settled();
  await answerPage([900], at(42));
  assert.deepEqual(ids(), [1043]);
  await gateway.clock.advance(1);
  await answerPage([900, 1043], at(43));
  assert.deepEqual(ids(), [900, 1043]);
});

test("what came live before the newest page joins it without a hole", async () => {
  const { realm, socket, answerPage, ids } = await ready();
  for (let sequence = 43; sequence < 48; sequence += 1) socket.message(sequence);
  realm.watch(LUNCH);
  await settled();
  await answerPage([1046, 1047], at(47)); // a page of two
  assert.deepEqual(ids(), [1043, 1044, 1045, 1046, 1047]);
});

test("history is loaded page by page while live messages come", async () => {
  const { realm, socket, answer, ids } = await watching([900, 901]);
  realm.loadOlder(LUNCH);
  realm.loadOlder(LUNCH); // already on its way
  await settled();
  socket.message(43);
  const call = await answer("messages", { messages: [stored(898), stored(899)], foundOldest: false }, at(43));
  assert.equal(call.parameters[1].before, 900);
  assert.deepEqual(ids(), [898, 899, 900, 901, 1043]);
  realm.loadOlder(LUNCH);
  await settled();
  await answer("messages", { messages: [stored(897)], foundOldest: true }, at(43));
  assert.deepEqual(ids(), [897, 898, 899, 900, 901, 1043]);
  assert.ok(realm.conversation(LUNCH).foundOldest);
  await realm.loadOlder(LUNCH);
});

test("a page of history that comes after a reset is thrown away", async () => {
  const { gateway, realm, socket, api, ids, answerState, answerPage } = await watching();
  realm.loadOlder(LUNCH);
  await settled();
  const late = api.take("messages");
  socket.say({ type: "reset", reason: "expired", position: at(9_000), after_ms: 0 });
  late.resolve({ as_of: at(42), messages: [stored(1)], foundOldest: true });
  await gateway.clock.advance(0);
  await answerState(at(9_000));
  await answerPage([8_000], at(9_000));
  assert.deepEqual(ids(), [8_000]);
});

test("leaving and coming back drops what has a hole, and fetches it anew", async () => {
  const { realm, socket, answerPage, ids } = await watching();
  socket.event(43, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 3 });
  assert.equal(realm.subscriptions.size, 0);
  socket.event(50, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  assert.deepEqual(ids(), []);
  socket.message(51);
  await settled();
  await answerPage([900, 901, 1045, 1051], at(51));
  assert.deepEqual(ids(), [900, 901, 1045, 1051]);
});

test("coming back while a page is on its way makes that page worthless, unless it is newer", async () => {
  const { gateway, realm, socket, answerPage, ids } = await ready();
  realm.watch(LUNCH);
  await settled();
  socket.event(43, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 3 });
  socket.event(50, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  await answerPage([900], at(42));
  assert.deepEqual(ids(), []);
  await gateway.clock.advance(1);
  await answerPage([900, 1045], at(50));
  socket.message(51);
  assert.deepEqual(ids(), [900, 1045, 1051]);
});

test("coming back while history is on its way makes that page worthless", async () => {
  const { realm, socket, answer, answerPage, ids } = await watching();
  realm.loadOlder(LUNCH);
  await settled();
  socket.event(43, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 3 });
  socket.event(50, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  await answer("messages", { messages: [stored(898), stored(899)], foundOldest: false }, at(42));
  assert.deepEqual(ids(), []);
  await answerPage([1_045, 1_046], at(50));
  assert.deepEqual(ids(), [1_045, 1_046]);
});

test("an edit changes the text in its place, and a deletion takes the message away", async () => {
  const { realm, socket, ids, api } = await watching();
  const changes = record(realm, "change").change;
  const contents = () => realm.conversation(LUNCH).messages.map(({ content }) => content);
  const edit = { kind: "message_edited", message_id: 900, actor_id: 5, timestamp: 2, to: LUNCH, content: "Stew?" };
  socket.event(43, edit);
  assert.deepEqual(contents(), ["Stew?", "stored 901"]);
  socket.event(44, { ...edit, message_id: 7 });
  socket.event(45, { kind: "messages_deleted", message_ids: [901, 8], actor_id: 5, to: LUNCH });
  assert.deepEqual(ids(), [900]);
  assert.equal(changes.filter(({ what }) => what === "conversation").length, 2, "what is not known changes nothing");
  assert.equal(api.waiting.filter(({ name }) => name === "messages").length, 0);
});

test("an edit that a page holds already is not applied over it", async () => {
  const { realm, socket, answerPage } = await ready();
  realm.watch(LUNCH);
  await settled();
  const edit = { kind: "message_edited", message_id: 900, actor_id: 5, timestamp: 2, to: LUNCH };
  socket.event(43, { ...edit, content: "older" });
  socket.event(44, { ...edit, content: "newer" });
  await answerPage([900], at(43));
  assert.equal(realm.conversation(LUNCH).messages[0].content, "newer");
});

test("messages that move make both their topics be fetched anew", async () => {
  const { socket, answerPage, ids } = await watching();
  const moved = { kind: "messages_moved", message_ids: [900], actor_id: 5, timestamp: 2, stream_id: 1 };
  socket.event(43, { ...moved, topic_before: "dinner", topic: "supper" });
  assert.deepEqual(ids(), [900, 901], "other topics");
  socket.event(44, { ...moved, topic_before: "Lunch", topic: "dinner" });
  assert.deepEqual(ids(), []);
  await settled();
  await answerPage([901], at(44));
  assert.deepEqual(ids(), [901]);
});

test("a stream that changes is told with its new name", async () => {
  const { realm, socket } = await watching();
  socket.event(43, { kind: "stream_updated", stream: { ...GENERAL, name: "lobby" }, previous: GENERAL });
  assert.equal(realm.streams.get(1).name, "lobby");
  assert.equal(realm.subscriptions.get(1).name, "lobby");
});

test("others coming and going change nobody else's view", async () => {
  const { realm, socket, ids, api } = await watching();
  socket.event(43, { kind: "members_added", stream: GENERAL, user_ids: [9], actor_id: 5 });
  socket.event(44, { kind: "members_removed", stream_id: 1, user_ids: [9], actor_id: 5 });
  assert.deepEqual(ids(), [900, 901]);
  assert.equal(realm.subscriptions.size, 1);
  assert.equal(api.waiting.length, 0);
});

test("an invite-only stream is unknown again to whoever leaves it", async () => {
  const { realm, socket } = await ready();
  socket.event(43, { kind: "members_added", stream: SECRET, user_ids: [3], actor_id: 5 });
  assert.ok(realm.streams.has(2));
  socket.event(44, { kind: "members_removed", stream_id: 2, user_ids: [3], actor_id: 5 });
  assert.ok(!realm.streams.has(2) && !realm.subscriptions.has(2));
  socket.event(45, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 5 });
  assert.ok(realm.streams.has(1) && !realm.subscriptions.has(1));
});

test("topics follow their messages, whichever side of the answer they are on", async () => {
  const { realm, socket, answer, answerState } = await start({ topics: true });
  await answerState();
  socket.message(43);
  socket.message(44, { to: { stream_id: 1, topic: "new" } });
  assert.equal(realm.topics(1), null);
  await answer("topics", { topics: [{ name: "lunch", max_id: 1043 }] }, at(43));
  assert.deepEqual(
    [...realm.topics(1)],
    [
      ["lunch", 1043],
      ["new", 1044],
    ],
  );
  socket.message(45);
  assert.equal(realm.topics(1).get("lunch"), 1045);
});

test("topics of a stream come when it is joined, and go when it is left", async () => {
  const { realm, socket, answer, answerState, api } = await start({ topics: true });
  await answerState(at(42), { subscriptions: [] });
  assert.equal(realm.status, "ready");
  socket.event(43, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  await settled();
  await answer("topics", { topics: [{ name: "lunch", max_id: 9 }] }, at(43));
  assert.equal(realm.topics(1).get("lunch"), 9);
  socket.event(44, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 3 });
  assert.equal(realm.topics(1), null);
  assert.equal(api.waiting.length, 0);
});

test("direct conversations are found, and begin live", async () => {
  const { realm, socket, answerState } = await start();
  await answerState(at(42), { directs: [stored(7, { user_ids: [3, 5] }), stored(9, { user_ids: [3, 5] })] });
  socket.message(43, { to: { user_ids: [3, 9] } });
  assert.deepEqual(
    [...realm.directs].map(([key, { maxId }]) => [key, maxId]),
    [
      ["direct:3,5", 9],
      ["direct:3,9", 1043],
    ],
  );
  assert.equal(realm.conversation({ user_ids: [9] }).messages.length, 1);
});

test("what the API refuses of a conversation is told, and tried again when it is opened again", async () => {
  const { realm, api, answerPage, ids } = await ready();
  realm.watch(LUNCH);
  await settled();
  api.take("messages").reject(new ApiError(400, "STREAM_DOES_NOT_EXIST", "no such stream"));
  await settled();
  assert.match(realm.refusal(KEY).message, /no such stream/);
  assert.equal(api.waiting.length, 0);
  realm.unwatch(LUNCH);
  realm.watch(LUNCH);
  await settled();
  await answerPage([900]);
  assert.deepEqual(ids(), [900]);
  assert.equal(realm.refusal(KEY), null);
});

test("a refusal that events have overtaken is asked for again", async () => {
  const { realm, socket, api, answerPage, ids } = await ready();
  realm.watch(LUNCH);
  await settled();
  const refused = api.take("messages"); // judged while this user was out
  socket.event(43, { kind: "members_removed", stream_id: 1, user_ids: [3], actor_id: 3 });
  socket.event(44, { kind: "members_added", stream: GENERAL, user_ids: [3], actor_id: 3 });
  refused.reject(new ApiError(400, "BAD_REQUEST", "no such stream"));
  await settled();
  await answerPage([900], at(44));
  assert.deepEqual(ids(), [900]);
});

// Local echo.

test("a message is shown at once, and becomes its event", async () => {
  const { realm, socket, ids } = await watching();
  const sendId = realm.send(LUNCH, "Soup?");
  assert.deepEqual(
    realm.pending(KEY).map(({ state, content }) => [state, content]),
    [["sending", "Soup?"]],
  );
  socket.message(43, { sender_id: 3, send_id: sendId, content: "Soup?" });
  assert.deepEqual(realm.pending(KEY), []);
  assert.deepEqual(ids(), [900, 901, 1043]);
  socket.say({ type: "sent", send_id: sendId, message_id: 1043, sequence: 43 });
  await settled();
  assert.deepEqual(realm.pending(KEY), []);
});

test("an answer before the event leaves the echo, stored, until the event", async () => {
  const { realm, socket } = await watching();
  const sendId = realm.send(LUNCH, "Soup?");
  socket.say({ type: "sent", send_id: sendId, message_id: 1043, sequence: 43 });
  await settled();
  const [echo] = realm.pending(KEY);
  assert.deepEqual([echo.state, echo.messageId, echo.sequence], ["stored", 1043, 43]);
  socket.message(43, { sender_id: 3, send_id: sendId });
  assert.deepEqual(realm.pending(KEY), []);
});

test("a send from before a reset goes again and is shown once, in the page that holds it", async () => {
  const { gateway, realm, socket, ids, answerState, answer } = await watching();
  const sendId = realm.send(LUNCH, "Soup?");
  socket.end(1006);
  await gateway.clock.advance(1);
  await gateway.welcome();
  gateway.socket.say({ type: "reset", reason: "expired", position: at(9_000), after_ms: 0 });
  assert.deepEqual(
    gateway.socket.sentOf("send").map(({ send_id }) => send_id),
    [sendId],
  );
  await gateway.clock.advance(0);
  await answerState(at(9_000));
  await answer(
    "messages",
    { messages: [stored(8_000), { ...stored(8_001), sender_id: 3, send_id: sendId }], foundOldest: false },
    at(9_000),
  );
  assert.deepEqual(ids(), [8_000, 8_001]);
  assert.deepEqual(realm.pending(KEY), []); // though its answer is not here
  gateway.socket.say({ type: "sent", send_id: sendId, message_id: 8_001, sequence: 8_999 });
  await settled();
  assert.deepEqual(realm.pending(KEY), []);
});

test("an answered send that only a page holds loses its echo with the page", async () => {
  const { gateway, realm, socket, answerState, answerPage } = await watching();
  const sendId = realm.send(LUNCH, "Soup?");
  socket.say({ type: "sent", send_id: sendId, message_id: 8_001, sequence: 8_999 });
  await settled();
  socket.say({ type: "reset", reason: "expired", position: at(9_000), after_ms: 0 });
  assert.equal(realm.pending(KEY).length, 1);
  await gateway.clock.advance(0);
  await answerState(at(9_000));
  await answerPage([8_000, 8_001], at(9_000));
  assert.equal(realm.pending(KEY).length, 0);
});

test("a refused message says why, and can be tried again under its id, or given up", async () => {
  const { realm, socket } = await watching();
  const sendId = realm.send(LUNCH, "no");
  const refuse = async () => {
    socket.say({ type: "refused", send_id: sendId, code: "forbidden", message: "not you" });
    await settled();
  };
  await refuse();
  assert.deepEqual(
    realm.pending(KEY).map(({ state, error }) => [state, error.message]),
    [["failed", "not you"]],
  );
  realm.retry(sendId);
  assert.equal(realm.pending(KEY)[0].state, "sending");
  assert.deepEqual(
    socket.sentOf("send").map(({ send_id }) => send_id),
    [sendId, sendId],
  );
  realm.discard(sendId); // it is on its way: too late
  assert.equal(realm.pending(KEY).length, 1);
  await refuse();
  realm.discard(sendId);
  assert.deepEqual(realm.pending(KEY), []);
});

test("more events than are kept during a fetch begin it anew", async () => {
  const { gateway, realm, socket, answer, answerState, ids } = await start({ watch: LUNCH });
  await settled();
  await answer("users", { users: [] });
  for (let sequence = 43; sequence <= 43 + 10_000; sequence += 1) socket.message(sequence);
  await gateway.clock.advance(0);
  await answerState(at(10_043));
  await answer("messages", { messages: [stored(11_043)], foundOldest: false }, at(10_043));
  assert.equal(realm.status, "ready");
  assert.deepEqual(ids(), [11_043]);
});

test("a conversation that nobody looks at keeps its newest messages only", async () => {
  const { realm, socket } = await ready();
  for (let sequence = 43; sequence < 1_043; sequence += 1) socket.message(sequence);
  const { messages } = realm.conversation(LUNCH);
  assert.ok(messages.length <= 250);
  assert.equal(messages.at(-1).message_id, 2_042);
});

test("stop ends all fetches and listens no more", async () => {
  const { realm, api, socket } = await start();
  await settled();
  realm.stop();
  await settled();
  assert.equal(api.waiting.length, 0);
  socket.event(43, { kind: "user_added", user: ADA });
  assert.equal(realm.status, "loading");
});
