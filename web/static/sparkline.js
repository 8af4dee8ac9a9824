// The throughput of the last minutes as a small curve, from what was heard since the page was opened.
import { make, setText } from "./dom.js";
import { clock, duration, rate as words } from "./format.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const BUCKET = 2; // seconds
const MOST = 150; // buckets: five minutes
const LEAST = 30;
const HEIGHT = 36;
const heard = new Map(); // name -> Map of bucket number -> bytes a second
const drawn = new Map(); // name -> its plot and caption, which move to whichever element shows them

const bucketOf = (milliseconds) => Math.floor(milliseconds / 1_000 / BUCKET);

/** Notes the present rate, in bytes a second; null is no news. */
export function note(name, bytesPerSecond) {
  if (bytesPerSecond === null) return;
  if (!heard.has(name)) heard.set(name, new Map());
  const rates = heard.get(name);
  rates.set(bucketOf(Date.now()), bytesPerSecond);
  for (const bucket of rates.keys()) if (bucket <= bucketOf(Date.now()) - MOST) rates.delete(bucket);
}

/** Seconds since 1970, and the rates at them: zero where nothing was heard. */
function curveOf(rates) {
  const last = bucketOf(Date.now());
  const length = Math.min(MOST, Math.max(LEAST, last - Math.min(last, ...rates.keys()) + 1));
  const buckets = Array.from({ length }, (_, index) => last - length + 1 + index);
  return [buckets.map((bucket) => bucket * BUCKET), buckets.map((bucket) => rates.get(bucket) ?? 0)];
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

function made() {
  const caption = make("span", { class: "spark-caption num" });
  const tell = (plot) => setText(caption, said(plot));
  const plot = new uPlot({
    width: 100, height: HEIGHT, padding: [2, 0, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
    select: { show: false },
    axes: [{ show: false }, { show: false }],
    scales: { y: { range: (_plot, _low, high) => [0, high || 1] } },
    series: [{}, { width: 1.5, stroke: () => colour("--accent"), fill: () => colour("--accent-veil"), points: { show: false } }],
    hooks: { setCursor: [tell], setData: [tell] },
  });
  plot.root.setAttribute("role", "img");
  return { plot, caption };
}

function said({ cursor: { idx: pointed }, data: [seconds, rates] }) {
  if (!rates) return "";
  if (Number.isInteger(pointed) && pointed < rates.length) return `${clock(seconds[pointed] * 1_000)}, ${words(rates[pointed])}`;
  return `last ${duration(seconds.length * BUCKET)}, at most ${words(Math.max(...rates))}`;
}

/** Draws the curve of this name into the element; nothing where nothing is known. */
export function draw(element, name) {
  const curve = curveOf(heard.get(name) ?? new Map());
  if (!curve[1].some(Boolean)) {
    element.replaceChildren();
    return;
  }
  if (!drawn.has(name)) drawn.set(name, made());
  const { plot, caption } = drawn.get(name);
  if (plot.root.parentNode !== element) element.replaceChildren(plot.root, caption);
  if (plot.width !== element.clientWidth) plot.setSize({ width: element.clientWidth, height: HEIGHT });
  plot.setData(curve);
  plot.root.setAttribute("aria-label", `Throughput, ${caption.textContent}`);
}
