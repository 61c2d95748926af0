const NAMESPACE = "http://www.w3.org/2000/svg";

/** Outlines on a grid of 20 by 20. @type {Record<string, string[]>} */
const PATHS = {
  hash: ["M7.5 3 6 17", "M14 3l-1.5 14", "M3.5 7.5h13.5", "M3 12.5h13.5"],
  lock: ["M5.5 9h9a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z", "M7 9V6.5a3 3 0 0 1 6 0V9"],
  plus: ["M10 4v12", "M4 10h12"],
  people: [
    "M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
    "M2 16.5c.4-3 2.6-4.5 5.5-4.5s5.1 1.5 5.5 4.5",
    "M13 4a2.7 2.7 0 0 1 0 5.2",
    "M15 12.3c1.7.6 2.8 2 3 4.2",
  ],
  person: ["M10 9.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z", "M4 17c.4-3.2 2.8-4.8 6-4.8s5.6 1.6 6 4.8"],
  menu: ["M3 5.5h14", "M3 10h14", "M3 14.5h14"],
  close: ["M5 5l10 10", "M15 5 5 15"],
  send: ["M3.5 10 16.5 4l-4 12.5-3-5.5z", "M9.5 11l7-7"],
  down: ["M10 4v11", "M5.5 11l4.5 4.5 4.5-4.5"],
  chevron: ["M7.5 5l5 5-5 5"],
  clock: ["M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14z", "M10 6v4l2.7 1.7"],
  check: ["M4 10.5l4 4 8-9"],
  alert: ["M10 3 18 16.5H2z", "M10 8v4", "M10 14.3v.1"],
  pulse: ["M2 10.5h3.5l2.3-6 4 11 2.2-5h4"],
  leave: ["M12 4H5v12h7", "M9 10h8", "M14 7l3 3-3 3"],
  invite: [
    "M8 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
    "M2.5 16.5c.4-3 2.6-4.5 5.5-4.5 1.2 0 2.3.3 3.2.8",
    "M15 11.5v5",
    "M12.5 14h5",
  ],
  cut: ["M3 10h4", "M13 10h4", "M8.5 6.5l3 7", "M11.5 6.5l-3 7"],
};

/**
 * @param {keyof typeof PATHS} name
 * @returns {SVGElement} hidden from assistive technology: what it stands in says what it means
 */
export function icon(name) {
  return drawing(`icon icon-${name}`, "0 0 20 20", PATHS[name]);
}

/** The product's sign: three gusts. */
export function logo() {
  return drawing("logo", "0 0 32 32", GUSTS);
}

/**
 * @param {string} className
 * @param {string} viewBox
 * @param {string[]} outlines
 */
function drawing(className, viewBox, outlines) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  for (const outline of outlines) {
    const path = document.createElementNS(NAMESPACE, "path");
    path.setAttribute("d", outline);
    svg.append(path);
  }
  return svg;
}

const GUSTS = [
  "M6 12.5h12.2a3.4 3.4 0 1 0-3.2-4.6",
  "M6 17.5h17a3.2 3.2 0 1 1-3 4.4",
  "M9 22.5h6.4a2.4 2.4 0 1 1-2.2 3.3",
];
