import { Activity } from "./activity.js";
import { CatchUp } from "./catch_up.js";
import { Composer } from "./composer.js";
import { ConversationView } from "./conversation_view.js";
import { coalesced, fill, h, setData } from "./dom.js";
import { Header } from "./header.js";
import { People } from "./people.js";
import { formatRoute } from "./route.js";
import { Session } from "./session.js";
import { Sidebar } from "./sidebar.js";
import { StatusPanel } from "./status_panel.js";
import { StreamDialogs } from "./stream_dialogs.js";

/** @typedef {import("/protocol/js/client_types.js").CodecName} CodecName */
/** @typedef {import("/protocol/js/realm_state.js").Change} Change */
/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("./sign_in.js").Account} Account */

/** One user's chat: ties the session to what is on the screen. */
export class App {
  #root;
  #session;
  #activity;
  #catchUp;
  #header;
  #sidebar;
  #view;
  #composer;
  #people;
  #status;
  #dialogs;
  #shell;
  /** @type {number[]} */
  #timers = [];
  #renderLists = coalesced(() => this.#lists());
  #renderMiddle = coalesced(() => this.#middle());
  #renderStatus = coalesced(() => this.#status.render());

  /**
   * @param {HTMLElement} root
   * @param {Account} account
   * @param {CodecName} codec
   * @param {{onLeave: () => void}} calls
   */
  constructor(root, account, codec, { onLeave }) {
    this.#root = root;
    const session = new Session(account, codec);
    this.#session = session;
    const open = (/** @type {Destination} */ to) => this.#open(to);
    this.#activity = new Activity((status) => session.client.setStatus(status));
    this.#catchUp = new CatchUp(session);
    this.#dialogs = new StreamDialogs(session, open);
    this.#header = new Header(session, {
      onMenu: () => this.#toggle("menu"),
      onPeople: () => this.#toggle("people"),
      dialogs: this.#dialogs,
    });
    this.#sidebar = new Sidebar(session, {
      open,
      onNewTopic: (streamId) => this.#newTopic(streamId),
      onLeave,
      dialogs: this.#dialogs,
    });
    this.#view = new ConversationView(session, { onRead: () => this.#renderLists() });
    this.#composer = new Composer(session, { open, onSent: () => this.#view.toNewest() });
    this.#people = new People(session, { open });
    this.#status = new StatusPanel(session, (codec) => this.#useCodec(codec));
    this.#shell = this.#makeShell();
  }

  /** @param {Destination | null} to */
  start(to) {
    const { client, realm } = this.#session;
    this.#session.to = to;
    realm.on("change", (change) => this.#handleChange(change));
    realm.on("status", () => this.#all());
    client.on("state", () => this.#all());
    client.on("presence", () => this.#renderLists());
    client.on("typing", () => this.#composer.renderTyping());
    for (const kind of /** @type {const} */ (["position", "latency", "warning", "reset", "welcome"]))
      client.on(kind, () => this.#renderStatus());
    realm.wantTopics();
    this.#activity.start();
    this.#timers.push(
      window.setInterval(() => this.#tick(), TICK_MS),
      window.setInterval(() => this.#ping(), PING_MS),
    );
    addEventListener("keydown", this.#closePanels);
    document.addEventListener("visibilitychange", this.#renderMiddle);
    fill(this.#root, this.#shell);
    this.#all();
    client.connect().then(
      () => to && this.#watch(to),
      () => {},
    ); // why it failed is told by `state`
  }

  stop() {
    this.#timers.forEach((timer) => clearInterval(timer));
    removeEventListener("keydown", this.#closePanels);
    document.removeEventListener("visibilitychange", this.#renderMiddle);
    this.#activity.stop();
    this.#dialogs.close();
    this.#session.realm.stop();
    this.#session.client.close();
  }

  /**
   * The address names another conversation, or another codec.
   * @param {Destination | null} to
   * @param {CodecName | null} codec
   */
  go(to, codec) {
    if (codec !== null && codec !== this.#session.codec) this.#useCodec(codec);
    if (to) this.#open(to);
  }

  #makeShell() {
    const scrim = h("div", { class: "scrim", on: { click: () => this.#toggle(null) } });
    const middle = h("main", { class: "middle" }, this.#header.element, this.#view.element, this.#composer.element);
    const aside = h(
      "aside",
      { class: "aside", "aria-label": "People and connection" },
      this.#people.element,
      this.#status.element,
    );
    return h("div", { class: "shell" }, this.#sidebar.element, middle, aside, scrim, this.#dialogs.element);
  }

  // Where one is.

  /** @param {Destination} to */
  #open(to) {
    const session = this.#session;
    const before = session.to;
    if (!before || session.key(before) !== session.key(to)) {
      if (before && session.client.userId !== null) session.realm.unwatch(before);
      session.to = to;
      if (session.client.userId !== null) this.#watch(to);
      // The first conversation opens by itself: going back must not lead to where it opens again.
      this.#showRoute(before ? "pushState" : "replaceState");
      this.#composer.handleMove();
    }
    this.#toggle(null);
    this.#all();
    this.#composer.focus();
  }

  /** @param {Destination} to */
  #watch(to) {
    if ("user_ids" in to || to.topic !== "") this.#session.realm.watch(to);
  }

  /** The first conversation of a page that was opened without one, or whose stream is no more to be seen. */
  #openFirst() {
    const session = this.#session;
    const { to, realm } = session;
    const isLost = to !== null && "stream_id" in to && !realm.streams.has(to.stream_id);
    if ((to && !isLost) || realm.status !== "ready") return;
    const streams = session.subscriptions();
    const stream = streams.find(({ name }) => name === "general") ?? streams[0];
    if (stream && session.realm.topics(stream.stream_id)) {
      this.#open({ stream_id: stream.stream_id, topic: session.topics(stream.stream_id)[0]?.name ?? "" });
    }
  }

  /** @param {CodecName} codec */
  #useCodec(codec) {
    this.#session.useCodec(codec);
    this.#showRoute("replaceState");
    this.#renderStatus();
  }

  /** Has the address say where one is. @param {"pushState" | "replaceState"} how */
  #showRoute(how) {
    const { account, to, codec } = this.#session;
    const hash = formatRoute({ user: account.name, to, codec: codec === "json" ? null : codec });
    if (location.hash !== hash) history[how](null, "", hash);
  }

  /** @param {number} streamId */
  #newTopic(streamId) {
    this.#toggle(null);
    this.#composer.newTopic(streamId);
  }

  // What changed.

  /** @param {Change} change */
  #handleChange(change) {
    this.#catchUp.handleChange(change);
    this.#renderLists();
    if (change.what !== "conversation" || (this.#session.to && change.key === this.#session.key(this.#session.to)))
      this.#renderMiddle();
    this.#renderStatus();
  }

  #all() {
    setData(this.#shell, { state: this.#session.client.state, realm: this.#session.realm.status });
    this.#renderLists();
    this.#renderMiddle();
    this.#renderStatus();
  }

  #middle() {
    this.#openFirst();
    this.#header.render();
    this.#view.render();
    this.#composer.render();
  }

  #lists() {
    this.#sidebar.render();
    this.#people.render();
    const unread = this.#sidebar.unreadTotal;
    const name = this.#session.account.full_name.split(" ")[0];
    document.title = `${unread > 0 ? `(${unread}) ` : ""}Squall · ${name}`;
  }

  #tick() {
    this.#status.render();
    this.#people.render();
    this.#header.renderConnection();
  }

  #ping() {
    if (document.visibilityState === "visible") this.#session.client.ping();
  }

  /** On a narrow screen one side at a time comes over the middle. @param {"menu" | "people" | null} side */
  #toggle(side) {
    setData(this.#shell, { side: this.#shell.dataset.side === side ? null : side });
  }

  /** @param {KeyboardEvent} event */
  #closePanels = (event) => {
    if (event.key === "Escape") this.#toggle(null);
  };
}

const TICK_MS = 1_000;
const PING_MS = 5_000;
