import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "./support/browser.js";
import { ChatPage } from "./support/chat_page.js";
import { Server } from "./support/server.js";

const PYTHON = fileURLToPath(new URL("../python/.venv/bin/python", import.meta.url));
const CHAT = fileURLToPath(new URL("../python/chat.py", import.meta.url));

/** @type {import("playwright-core").Browser} */
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

test("a Python script chats with the page, over a restart of the server", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const ada = await ChatPage.open(browser, server.url, "ada", await server.streamId("general"), "snakes");
  const script = spawn(PYTHON, [CHAT, server.zuliprcPath("bruno"), "general", "snakes"], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => script.kill());
  let printed = "";
  script.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
  const prints = async (line) => {
    while (!printed.split("\n").includes(line)) await once(script.stdout, "data", { signal: AbortSignal.timeout(60_000) });
  };

  script.stdin.write("hello from Python\n");
  await ada.hears("hello from Python");
  await ada.say("hello from the page");
  await prints("ada: hello from the page");

  await server.kill9();
  script.stdin.write("Python in the dark\n");
  await ada.isDisconnected();
  await ada.say("the page in the dark");
  await server.restart();
  await ada.hears("Python in the dark");
  await ada.hears("the page in the dark");
  await prints("ada: the page in the dark");
  await prints("bruno: Python in the dark");

  const shown = await ada.contents();
  assert.deepEqual([...shown].sort(), ["Python in the dark", "hello from Python", "hello from the page", "the page in the dark"]);
  const lines = printed.trim().split("\n").map((line) => line.replace(/^\w+: /, ""));
  assert.deepEqual(lines, shown, "the script heard what the page shows");
  ada.isSound();
});
