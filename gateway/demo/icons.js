const NAMESPACE = "http://www.w3.org/2000/svg";

/** Outlines on a grid of 20 by 20. @type {Record<string, string[]>} */
const PATHS = {
  hash: ["M7.5 3 6 17", "M14 3l-1.5 14", "M3.5 7.5h13.5", "M3 12.5h13.5"],
  lock: ["M5.5 9h9a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z", "M7 9V6.5a3 3 0 0 1 6 0V9"],
  plus: ["M10 4v12", "M4 10h12"],
  people: ["M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z", "M2 16.5c.4-3 2.600-4.500 5.500-4.500s5.100 1.500 5.500 4.500", "M13 4a2.700 2.700 0 0 1 0 5.200", "M15 12.300c1.700.6 2.800 2 3 4.200"],
  person: ["M10 9.500a3.200 3.200 0 1 0 0-6.400 3.200 3.200 0 0 0 0 6.400z", "M4 17c.4-3.200 2.800-4.800 6-4.800s5.600 1.600 6 4.800"],
  menu: ["M3 5.500h14", "M3 10h14", "M3 14.500h14"],
  close: ["M5 5l10 10", "M15 5 5 15"],
  send: ["M3.500 10 16.500 4l-4 12.500-3-5.500z", "M9.500 11l7-7"],
  down: ["M10 4v11", "M5.500 11l4.500 4.500 4.500-4.500"],
  chevron: ["M7.500 5l5 5-5 5"],
  clock: ["M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14z", "M10 6v4l2.700 1.700"],
  check: ["M4 10.500l4 4 8-9"],
  alert: ["M10 3 18 16.500H2z", "M10 8v4", "M10 14.300v.1"],
  pulse: ["M2 10.500h3.500l2.300-6 4 11 2.200-5h4"],
  leave: ["M12 4H5v12h7", "M9 10h8", "M14 7l3 3-3 3"],
  invite: ["M8 9.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6z", "M2.500 16.500c.4-3 2.600-4.500 5.500-4.500 1.200 0 2.300.3 3.200.8", "M15 11.500v5", "M12.500 14h5"],
  cut: ["M3 10h4", "M13 10h4", "M8.500 6.500l3 7", "M11.500 6.500l-3 7"],
};

/**
 * @param {keyof typeof PATHS} name
 * @returns {SVGElement} hidden from assistive technology: what it stands in says what it means
 */
export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  for (const outline of PATHS[name]) {
    const path = document.createElementNS(NAMESPACE, "path");
    path.setAttribute("d", outline);
    svg.append(path);
  }
  return svg;
}

/** The product's sign. */
export function logo() {
  const image = document.createElement("img");
  image.src = "/demo/icon.svg";
  image.alt = "";
  image.className = "logo";
  return image;
}
