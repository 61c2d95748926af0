/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

/**
 * Makes an element. Text becomes text nodes, never markup.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties] `class`, `data` (dataset), `on` (listeners); `true` and texts
 *   become attributes, `null` and `false` none
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") setData(element, value);
    else if (name === "on")
      for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Record<string, string | number | null | undefined>} data null takes one away
 */
export function setData(element, data) {
  for (const [name, value] of Object.entries(data)) {
    if (value === null || value === undefined) delete element.dataset[name];
    else if (element.dataset[name] !== String(value)) element.dataset[name] = String(value);
  }
}

/**
 * Puts `children` in place of what the element has; what stays keeps its focus and scroll place.
 *
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const wanted = flat(children).filter(isShown);
  const nodes = wanted.map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
  const kept = new Set(nodes);
  for (const node of [...element.childNodes]) if (!kept.has(/** @type {any} */ (node))) node.remove();
  nodes.forEach((node, index) => {
    if (element.childNodes[index] !== node) element.insertBefore(node, element.childNodes[index] ?? null);
  });
}

/** @param {Element} element @param {Child[]} children */
function append(element, children) {
  for (const child of flat(children)) {
    if (isShown(child)) element.append(child instanceof Node ? child : String(child));
  }
}

/** @param {Child[]} children @returns {any[]} */
const flat = (children) => /** @type {any} */ (children).flat(Infinity);

/** @param {unknown} child */
const isShown = (child) => child !== null && child !== undefined && child !== false;

/**
 * Keeps elements by key over renderings: `get` makes one the first time, `sweep` forgets those not asked for.
 *
 * @template {Element} E
 */
export class Keyed {
  /** @type {Map<string, E>} */
  #elements = new Map();
  /** @type {Set<string>} */
  #used = new Set();

  /**
   * @param {string} key
   * @param {() => E} make
   */
  get(key, make) {
    this.#used.add(key);
    const known = this.#elements.get(key);
    if (known) return known;
    const made = make();
    this.#elements.set(key, made);
    return made;
  }

  sweep() {
    for (const key of this.#elements.keys()) if (!this.#used.has(key)) this.#elements.delete(key);
    this.#used.clear();
  }
}

/**
 * Runs `render` soon, once for however many calls: with the next picture, or without one where there is none
 * (a hidden page still counts in its title).
 *
 * @param {() => void} render
 * @returns {() => void}
 */
export function coalesced(render) {
  /** @type {{frame: number, timer: number} | null} */
  let planned = null;
  const run = () => {
    if (planned) cancelAnimationFrame(planned.frame);
    if (planned) clearTimeout(planned.timer);
    planned = null;
    render();
  };
  return () => {
    planned ??= { frame: requestAnimationFrame(run), timer: window.setTimeout(run, PICTURE_MS_MAX) };
  };
}

const PICTURE_MS_MAX = 100;
