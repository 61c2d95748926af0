import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "./support/browser.js";
import { ChatPage } from "./support/chat_page.js";
import { Relay } from "./support/relay.js";
import { Server } from "./support/server.js";

/** @type {import("playwright-core").Browser} */
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const codec of ["json", "bincode"]) {
  test(`a user outside the invite-only stream sees nothing of it in ${codec}: live, in a resume or by HTTP`, (t) => isKeptOut(t, codec));
}

async function isKeptOut(t, codec) {
  const relay = await Relay.start();
  t.after(() => relay.stop());
  const server = await Server.start(["--allow-origin", relay.url]);
  t.after(() => server.stop());
  relay.targetPort = server.port;
  const [general, leads] = [await server.streamId("general"), await server.streamId("leads")];
  const ada = await ChatPage.open(browser, server.url, "ada", general, "open talk");
  const emre = await ChatPage.open(browser, relay.url, "emre", general, "open talk", { codec });

  const sayBoth = async (secret, open) => {
    await ada.go(leads, "plans");
    await ada.say(secret);
    await ada.hears(secret);
    await ada.go(general, "open talk");
    await ada.say(open);
    await ada.hears(open);
  };
  await sayBoth("secret, live", "open, live");
  await emre.hears("open, live");

  relay.cut();
  await emre.isDisconnected();
  await sayBoth("secret, while away", "open, while away");
  relay.mend();
  await emre.hears("open, while away");

  // What was said after the secrets has come over the same log: so would they have.
  assert.ok(emre.frames.some((frame) => frame.includes("open, while away")));
  assert.deepEqual(emre.frames.filter((frame) => /secret|leads/.test(frame)), []);
  assert.equal(await emre.page.getByTestId("stream-leads").count(), 0);
  assert.equal(await emre.page.getByText("secret").count(), 0);
  for (const narrow of [[], [["stream", "leads"]], [["topic", "plans"]]]) {
    const { text } = await server.get("emre", "messages", { anchor: "newest", num_before: 100, num_after: 0, narrow });
    assert.doesNotMatch(text, /secret/, JSON.stringify(narrow));
  }
  for (const path of ["streams", "users/me/subscriptions"]) assert.doesNotMatch((await server.get("emre", path)).text, /leads/, path);
  // The same call does show it to a member.
  assert.match((await server.get("bruno", "messages", { anchor: "newest", num_before: 100, num_after: 0, narrow: [["stream", "leads"]] })).text, /secret, live/);
  for (const chat of [ada, emre]) chat.isSound();
}

test("an invited user sees the stream appear, and what is said from then on", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const [general, leads] = [await server.streamId("general"), await server.streamId("leads")];
  const ada = await ChatPage.open(browser, server.url, "ada", leads, "plans");
  const emre = await ChatPage.open(browser, server.url, "emre", general, "open talk");
  await ada.say("before emre");
  await ada.hears("before emre");
  await ada.page.getByTestId("add-people").click();
  await ada.page.getByTestId("choose-emre").check();
  await ada.page.getByTestId("invite-submit").click();
  await emre.page.getByTestId("stream-leads").waitFor();
  await ada.go(leads, "plans");
  await ada.say("welcome, emre");
  await emre.go(leads, "plans");
  await emre.hears("welcome, emre");
  assert.deepEqual(await emre.contents(), ["welcome, emre"]);
  for (const chat of [ada, emre]) chat.isSound();
});
