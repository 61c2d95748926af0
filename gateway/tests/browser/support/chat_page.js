import assert from "node:assert/strict";

/** How long anything may take that a test waits for. */
const WAIT_MS_MAX = 60_000;

/**
 * A message as the page shows it.
 * @typedef {{id: number | null, sequence: number | null, senderId: number, state: string, content: string}} Shown
 */

/** The demo page of one user, in a browser context of its own. */
export class ChatPage {
  /** All that came over the page's WebSockets: texts as they are, and those in binary frames. @type {string[]} */
  frames = [];
  /** How many of them were binary. */
  binaryFrames = 0;
  /** Faults of the page's scripts. @type {Error[]} */
  faults = [];

  /** @param {import("playwright-core").Page} page @param {string} name */
  constructor(page, name) {
    this.page = page;
    this.name = name;
    page.setDefaultTimeout(WAIT_MS_MAX);
    page.on("pageerror", (error) => this.faults.push(error));
    page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => this.#keep(payload)));
  }

  /** Opens the page as a demo user, in a topic. @param {{codec?: "json" | "bincode"}} [options] */
  static async open(browser, url, name, streamId, topic, { codec } = {}) {
    const context = await browser.newContext();
    const chat = new ChatPage(await context.newPage(), name);
    chat.url = url;
    chat.codec = codec;
    await chat.go(streamId, topic);
    return chat;
  }

  async go(streamId, topic) {
    const to = new URLSearchParams({ user: this.name, stream: String(streamId), topic });
    if (this.codec) to.set("codec", this.codec);
    await this.page.goto(`${this.url}/#${to}`);
    await this.isConnected();
  }

  /** Waits until the page says that it speaks the codec. @param {"json" | "bincode"} codec */
  async speaks(codec) {
    await this.page.locator(`[data-testid="codec-${codec}"][aria-pressed="true"]`).waitFor({ state: "attached" });
  }

  /** Types into the composer and presses Enter. */
  async say(content) {
    const composer = this.page.getByTestId("composer");
    await composer.fill(content);
    await composer.press("Enter");
    await this.page.getByTestId("message").filter({ hasText: content }).first().waitFor();
  }

  async isConnected() {
    await this.page.locator('[data-testid="connection-state"][data-state="open"]').waitFor();
  }

  async isDisconnected() {
    await this.page.locator('[data-testid="connection-state"]:not([data-state="open"])').waitFor();
  }

  /** Waits until the message is shown as received. */
  async hears(content) {
    const row = this.page.locator('[data-testid="message"][data-state="received"]');
    await row
      .filter({ has: this.page.getByText(content, { exact: true }) })
      .first()
      .waitFor();
  }

  /** Every message on the page, top to bottom. @returns {Promise<Shown[]>} */
  async messages() {
    return this.page.getByTestId("message").evaluateAll((rows) =>
      rows.map((row) => ({
        id: row.dataset.messageId ? Number(row.dataset.messageId) : null,
        sequence: row.dataset.sequence ? Number(row.dataset.sequence) : null,
        senderId: Number(row.dataset.senderId),
        state: row.dataset.state,
        content: row.querySelector('[data-testid="content"]').textContent,
      })),
    );
  }

  async contents() {
    return (await this.messages()).map(({ content }) => content);
  }

  #keep(payload) {
    this.frames.push(String(payload));
    if (typeof payload !== "string") this.binaryFrames += 1;
  }

  /** The page's scripts ran without a fault. */
  isSound() {
    assert.deepEqual(this.faults, [], `${this.name}'s page`);
  }
}
