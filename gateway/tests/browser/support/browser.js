import { access } from "node:fs/promises";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.SQUALL_CHROMIUM ?? "/usr/bin/chromium";
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Headless Chromium. */
export async function launch() {
  await access(EXECUTABLE).catch(() => {
    throw new Error(`no Chromium at ${EXECUTABLE}: run \`make setup\``);
  });
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGS });
}
