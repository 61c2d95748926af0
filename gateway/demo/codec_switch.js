import { h } from "./dom.js";

/** @typedef {import("/protocol/js/client_types.js").CodecName} CodecName */
/** @typedef {import("./session.js").Session} Session */

/** How the page and the server write their messages: shown, and to be chosen. */
export class CodecSwitch {
  #session;
  #buttons;

  /**
   * @param {Session} session
   * @param {(codec: CodecName) => void} onChoose
   */
  constructor(session, onChoose) {
    this.#session = session;
    this.#buttons = CODECS.map(({ codec, label, title }) => ({
      codec,
      element: h(
        "button",
        { type: "button", title, data: { testid: `codec-${codec}` }, on: { click: () => onChoose(codec) } },
        label,
      ),
    }));
    this.element = h(
      "span",
      { class: "switch", role: "group", "aria-label": "Codec" },
      this.#buttons.map(({ element }) => element),
    );
  }

  render() {
    const { client, codec: wanted } = this.#session;
    const used = client.subprotocol ?? `squall.v1.${wanted}`;
    for (const { codec, element } of this.#buttons)
      element.setAttribute("aria-pressed", String(used === `squall.v1.${codec}`));
  }
}

/** @type {{codec: CodecName, label: string, title: string}[]} */
const CODECS = [
  { codec: "json", label: "JSON", title: "Speak squall.v1.json: texts, to be read by people" },
  { codec: "bincode", label: "bincode", title: "Speak squall.v1.bincode: the same in about a fifth of the bytes" },
];
