import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "./support/browser.js";
import { ChatPage } from "./support/chat_page.js";
import { Server } from "./support/server.js";

/** @type {import("playwright-core").Browser} */
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

test("two users talk while the server is killed and restarted: nothing missed, doubled or reordered", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const general = await server.streamId("general");
  // One of them in each codec.
  const codecs = { ada: "json", bruno: "bincode" };
  const [ada, bruno] = await Promise.all(
    Object.entries(codecs).map(([name, codec]) => ChatPage.open(browser, server.url, name, general, "browsers", { codec })),
  );
  for (const chat of [ada, bruno]) await chat.speaks(chat.codec);
  const said = { ada: [], bruno: [] };
  const say = async (chat, content) => {
    said[chat.name].push(content);
    await chat.say(content);
  };

  for (const round of [1, 2, 3]) {
    await say(ada, `question ${round}`);
    await bruno.hears(`question ${round}`);
    await say(bruno, `answer ${round}`);
    await ada.hears(`answer ${round}`);
  }

  // The power goes right after a message was typed: it may be stored or not, answered or not.
  await say(ada, "typed as the power goes");
  await server.kill9();
  await Promise.all([ada.isDisconnected(), bruno.isDisconnected()]);
  for (const number of [1, 2, 3]) {
    await say(ada, `ada in the dark ${number}`);
    await say(bruno, `bruno in the dark ${number}`);
  }
  await server.restart();
  await Promise.all([ada, bruno].flatMap((chat) => ["ada in the dark 3", "bruno in the dark 3"].map((text) => chat.hears(text))));

  await server.kill9();
  await server.restart();
  await say(bruno, "after the second fall");
  await say(ada, "the end");
  await Promise.all([ada.hears("the end"), bruno.hears("the end"), ada.hears("after the second fall"), bruno.hears("after the second fall")]);

  const [onAdas, onBrunos] = await Promise.all([ada.messages(), bruno.messages()]);
  assert.ok(onAdas.every(({ state }) => state === "received"), "every message was acknowledged");
  assert.deepEqual(onBrunos, onAdas, "both pages show the same, in the same order");
  const contents = onAdas.map(({ content }) => content);
  assert.deepEqual([...contents].sort(), [...said.ada, ...said.bruno].sort(), "each message once, and no other");
  for (const own of Object.values(said)) assert.deepEqual(contents.filter((content) => own.includes(content)), own, "in the order typed");
  const ids = onAdas.map(({ id }) => id);
  assert.deepEqual(ids, [...ids].sort((a, b) => a - b), "in the order stored");
  assert.deepEqual(await server.contents("chidi", [["topic", "browsers"]]), contents, "as the history has it");
  assert.equal(ada.binaryFrames, 0);
  assert.equal(bruno.binaryFrames, bruno.frames.length);
  for (const chat of [ada, bruno]) chat.isSound();
});

test("a page changes its codec in the middle of a talk, and goes on where it was", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const chat = await ChatPage.open(browser, server.url, "ada", await server.streamId("general"), "switch");
  await chat.speaks("json");
  await chat.say("in JSON");
  await chat.hears("in JSON");
  await chat.page.getByTestId("codec-bincode").click();
  await chat.speaks("bincode");
  await chat.isConnected();
  await chat.say("in bincode");
  await chat.hears("in bincode");
  assert.ok(chat.binaryFrames > 0);
  assert.match(chat.page.url(), /codec=bincode/);
  assert.equal(await chat.page.getByTestId("stat-resumes").textContent(), "1");
  await chat.page.reload();
  await chat.speaks("bincode");
  await chat.hears("in bincode");
  assert.deepEqual(await chat.contents(), ["in JSON", "in bincode"]);
  chat.isSound();
});

test("a page that is loaded again shows the same messages", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const chat = await ChatPage.open(browser, server.url, "ada", await server.streamId("random"), "reload");
  for (const content of ["one", "two", "three"]) await chat.say(content);
  await chat.hears("three");
  await chat.page.reload();
  await chat.hears("three");
  assert.deepEqual(await chat.contents(), ["one", "two", "three"]);
  chat.isSound();
});

test("the first screen offers the demo users", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const page = await (await browser.newContext()).newPage();
  await page.goto(server.url);
  for (const name of ["ada", "bruno", "chidi", "dalia", "emre"]) await page.getByTestId(`user-card-${name}`).waitFor();
  await page.getByTestId("user-card-dalia").click();
  await page.locator('[data-testid="connection-state"][data-state="open"]').waitFor();
  for (const stream of ["general", "random", "leads"]) await page.getByTestId(`stream-${stream}`).waitFor();
});

test("who is there and who types is shown", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const general = await server.streamId("general");
  const [ada, bruno] = await Promise.all(["ada", "bruno"].map((name) => ChatPage.open(browser, server.url, name, general, "typing")));
  await ada.page.locator('[data-testid="person-bruno"][data-status="active"]').waitFor();
  await bruno.page.getByTestId("composer").pressSequentially("well");
  await ada.page.locator('[data-testid="typing"][data-count="1"]').waitFor();
  await bruno.page.getByTestId("composer").press("Enter");
  await ada.hears("well");
  await ada.page.locator('[data-testid="typing"][data-count="0"]').waitFor({ state: "attached" });
  for (const chat of [ada, bruno]) chat.isSound();
});
