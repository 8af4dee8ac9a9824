// The throughput of the last minutes as a small curve, from what was heard since the page was opened.
import { duration, rate as words } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const BUCKET = 2_000;
const MOST = 150; // buckets: five minutes
const LEAST = 30;
const HEIGHT = 36;
const heard = new Map(); // name -> Map of bucket number -> bytes a second

const bucketOf = (moment) => Math.floor(moment / BUCKET);

/** Notes the present rate, in bytes a second; null is no news. */
export function note(name, bytesPerSecond) {
  if (bytesPerSecond === null) return;
  if (!heard.has(name)) heard.set(name, new Map());
  const rates = heard.get(name);
  rates.set(bucketOf(Date.now()), bytesPerSecond);
  for (const bucket of rates.keys()) if (bucket <= bucketOf(Date.now()) - MOST) rates.delete(bucket);
}

function valuesOf(rates) {
  const last = bucketOf(Date.now());
  const length = Math.min(MOST, Math.max(LEAST, last - Math.min(last, ...rates.keys()) + 1));
  return Array.from({ length }, (_, index) => rates.get(last - length + 1 + index) ?? 0);
}

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function curve(values, highest, text) {
  const width = values.length - 1;
  const points = values.map((value, x) => `${x},${(HEIGHT - 1 - (value / highest) * (HEIGHT - 3)).toFixed(1)}`);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", `Throughput, ${text}`);
  svg.append(
    shape("polygon", { class: "spark-area", points: `0,${HEIGHT} ${points.join(" ")} ${width},${HEIGHT}` }),
    shape("polyline", { class: "spark-line", points: points.join(" ") }),
  );
  return svg;
}

/** Draws the curve of this name into the element; nothing where nothing is known. */
export function draw(element, name) {
  const values = valuesOf(heard.get(name) ?? new Map());
  const highest = Math.max(...values);
  if (highest === 0) {
    element.replaceChildren();
    return;
  }
  const caption = document.createElement("span");
  caption.className = "spark-caption num";
  caption.textContent = `last ${duration((values.length * BUCKET) / 1_000)}, at most ${words(highest)}`;
  element.replaceChildren(curve(values, highest, caption.textContent), caption);
}
