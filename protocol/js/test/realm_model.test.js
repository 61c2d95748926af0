import assert from "node:assert/strict";
import { test } from "node:test";

import { SquallClient } from "../client.js";
import { Realm } from "../realm.js";
import { settled } from "./support/fake_clock.js";
import { ModelRealm, seeded } from "./support/model_realm.js";

const PLACES = [
  { stream_id: 1, topic: "a" },
  { stream_id: 1, topic: "b" },
  { stream_id: 2, topic: "a" },
  { user_ids: [3, 5] },
  { user_ids: [3, 5, 7] },
];
const RUNS = Number(process.env.RUNS ?? 60);
const STEPS = 120;

/** One run: a realm that lives, a line that breaks, a client that looks here and there. */
class Run {
  constructor(seed, codec) {
    this.random = seeded(seed);
    this.model = new ModelRealm(seeded(seed + 1_000_000));
    const environment = this.model.environment();
    this.client = new SquallClient({ url: "ws://model/ws", token: "key", codec, environment });
    this.realm = new Realm(this.client, this.model.api());
    this.realm.wantTopics();
    this.watched = new Set();
    /** Since each new beginning, the sequences of the events told. */
    this.lives = [];
    this.client.on(
      "welcome",
      ({ welcome, fresh }) => fresh && this.lives.push({ from: welcome.position.sequence, seen: [] }),
    );
    this.client.on("reset", ({ position }) => this.lives.push({ from: position.sequence, seen: [] }));
    this.client.on("event", ({ sequence }) => this.lives.at(-1).seen.push(sequence));
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  async live() {
    this.client.connect();
    for (let step = 0; step < STEPS; step += 1) {
      this.act(this.random(), step);
      await this.model.clock.advance(Math.floor(this.random() * 120));
    }
    await this.model.clock.advance(120_000);
  }

  act(chance, step) {
    const { model, realm, client } = this;
    const place = this.pick(PLACES);
    if (chance < 0.45) model.post(this.pick([5, 7]), place, `step ${step}`, `other-${step}`);
    else if (client.userId === null) return;
    else if (chance < 0.6) realm.send(place, `step ${step}`);
    else if (chance < 0.66) model.move(this.pick([1, 2]), this.pick([3, 3, 5]));
    else if (chance < 0.7) model.rename(this.pick([3, 5]), `step ${step}`);
    else if (chance < 0.78) model.cut();
    else if (chance < 0.9) this.look(place);
    else realm.loadOlder(place);
  }

  look(place) {
    if (this.watched.delete(place)) return this.realm.unwatch(place);
    this.watched.add(place);
    this.realm.watch(place);
  }

  async loadAll(place) {
    for (let pages = 0; pages < 200 && !this.realm.conversation(place).foundOldest; pages += 1) {
      this.realm.load(place);
      this.realm.loadOlder(place);
      await this.model.clock.advance(2_000);
    }
  }
}

const ids = (messages) => messages.map(({ message_id }) => message_id);
const byId = (rows, id) => [...rows].sort((a, b) => a[id] - b[id]);

async function check(run) {
  const { model, realm, client } = run;
  const { now } = model;
  assert.equal(client.state, "open");
  assert.equal(realm.status, "ready");
  for (const { from, seen } of run.lives) {
    const due = model.log
      .map(({ isSeen }, index) => (isSeen ? index + 1 : 0))
      .filter((sequence) => sequence > from && sequence <= (seen.at(-1) ?? 0));
    assert.deepEqual(seen, due, "every event once, in order");
  }
  assert.deepEqual(byId(realm.users.values(), "user_id"), byId(now.users.values(), "user_id"));
  assert.deepEqual(byId(realm.streams.values(), "stream_id"), byId(now.visibleStreams(), "stream_id"));
  assert.deepEqual(byId(realm.subscriptions.values(), "stream_id"), byId(now.subscriptions(), "stream_id"));
  for (const { stream_id } of now.subscriptions()) {
    assert.deepEqual(
      [...realm.topics(stream_id)].sort(),
      now
        .topics(stream_id)
        .map(({ name, max_id }) => [name, max_id])
        .sort(),
    );
  }
  for (const place of PLACES) await checkConversation(run, place);
}

async function checkConversation(run, place) {
  const { realm, model } = run;
  const conversation = realm.conversation(place);
  const all = ids(model.now.conversation(place));
  if (model.now.isMember(place)) {
    const known = ids(conversation.messages);
    assert.deepEqual(known, all.slice(all.length - known.length), "from some message to the newest, each once");
    if (run.watched.has(place)) assert.equal(known.length > 0, all.length > 0);
    await run.loadAll(place);
    assert.deepEqual(ids(realm.conversation(place).messages), all);
  } else if (!model.now.mayRead(place)) assert.deepEqual(ids(conversation.messages), []);
  for (const { state, error } of realm.pending(conversation.key))
    assert.deepEqual([state, error?.code], ["failed", "forbidden"]);
}

for (const codec of ["json", "bincode"]) {
  test(`in ${RUNS} lives of ${STEPS} steps in ${codec} nothing is lost, doubled or reordered`, async () => {
    let resets = 0;
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const run = new Run(seed, codec);
      await run.live();
      try {
        assert.equal(run.client.subprotocol, `squall.v1.${codec}`);
        await check(run);
      } catch (error) {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      }
      resets += run.model.resets;
      run.client.close();
      run.realm.stop();
      await settled();
    }
    assert.ok(resets > RUNS, "the lives were too quiet to show anything");
  });
}
