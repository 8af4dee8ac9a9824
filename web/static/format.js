// Sizes, spans of time and moments as people read them: the same words as the server writes.
const root = document.documentElement;
const DECIMAL = ["B", "kB", "MB", "GB", "TB", "PB"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

const rounded = (value, digits) => Number(value.toFixed(digits));

/** `1.15 GiB`, in the units of the reader. */
export function size(bytes, factor = Number(root.dataset.units)) {
  const names = factor === 1000 ? DECIMAL : BINARY;
  let value = bytes;
  let unit = 0;
  while (rounded(value, 2) >= factor && unit < names.length - 1) {
    value /= factor;
    unit += 1;
  }
  if (unit === 0) return `${value.toFixed(0)} B`;
  const digits = rounded(value, 2) < 10 ? 2 : rounded(value, 1) < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${names[unit]}`;
}

export const rate = (bytesPerSecond) => `${size(bytesPerSecond)}/s`;

/** `1 h 23 min`: the two largest units. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (large, largeName, small, smallName) =>
    small ? `${large} ${largeName} ${small} ${smallName}` : `${large} ${largeName}`;
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return two(minutes, "min", whole % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return two(hours, "h", minutes % 60, "min");
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** `3 min ago`. */
export function ago(moment, now = Date.now()) {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (seconds < 45) return seconds > -60 ? "just now" : "in the future";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h ago`;
  const days = Math.round(minutes / 1440);
  if (days < 60) return `${days} days ago`;
  return days < 730 ? `${Math.floor(days / 30)} months ago` : `${Math.floor(days / 365)} years ago`;
}

const parts = (moment, options) => {
  const zone = root.dataset.zone || undefined;
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options });
  return Object.fromEntries(format.formatToParts(new Date(moment)).map(({ type, value }) => [type, value]));
};
const NUMBERS = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };

/** `2026-11-22 14:03`, in the time zone of the reader. */
export function moment(text) {
  const { year, month, day, hour, minute } = parts(text, NUMBERS);
  return `${year}-${month}-${day} ${hour}:${minute}`;
}

/** The same to the second, with its zone. */
export function exact(text) {
  const { second, timeZoneName } = parts(text, { ...NUMBERS, second: "2-digit", timeZoneName: "short" });
  return `${moment(text)}:${second} ${timeZoneName}`;
}

/** `14:03:22`. */
export function clock(text) {
  const { hour, minute, second } = parts(text, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return `${hour}:${minute}:${second}`;
}

/** With thin spaces between thousands. */
export const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
