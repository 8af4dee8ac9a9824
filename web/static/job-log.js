// The log of a job in a window of its own: follows new lines until one scrolls up, and filters what is there.
import { calmed, cloned, find, on, setIcon, setText } from "./dom.js";
import { json } from "./fetch.js";
import { clock, count, exact, moment } from "./format.js";
import { oneAtATime } from "./job-regions.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";

const MOST_LINES = 2_000;
const RANKS = new Map([["INFO", 0], ["WARNING", 1], ["ERROR", 2]]);
const LEAST = new Map([["all", 0], ["warning", 1], ["error", 2]]);

const id = document.getElementById("job").dataset.job;
const frame = document.getElementById("log");
const list = document.getElementById("log-lines");
const note = document.getElementById("log-count");
const filters = document.getElementById("log-filters");
const button = document.getElementById("log-follow");

let lines = []; // the newest of the log, in order
let early = null; // what was heard while the lines are fetched
let following = true;
let unseen = 0;

const isWanted = ({ level, message }) =>
  RANKS.get(level) >= LEAST.get(filters.elements.level.value) &&
  message.toLowerCase().includes(filters.elements.words.value.toLowerCase());

function rowOf({ timestamp, level, message }) {
  const row = cloned("log-line-template");
  row.dataset.level = level;
  const time = find("time", row);
  time.dateTime = timestamp;
  time.title = exact(timestamp);
  setText(find(".log-day", row), moment(timestamp).slice(0, 10));
  setText(find(".log-clock", row), clock(timestamp));
  setText(find(".log-level", row), level);
  setText(find(".log-text", row), message);
  return row;
}

function showCount() {
  const shown = list.childElementCount;
  const parts = [];
  if (shown !== lines.length) parts.push(`${count(shown)} of ${count(lines.length)} lines match.`);
  if (lines.length >= MOST_LINES) parts.push("Older lines are in the download.");
  if (!lines.length) parts.push("No line yet.");
  setText(note, parts.join(" "));
}

function toEnd() {
  if (following) frame.scrollTop = frame.scrollHeight;
}

function showFollowing() {
  button.setAttribute("aria-pressed", String(following));
  setIcon(button, following ? "pause" : "play");
  setText(find("[data-text]", button), following ? "Pause" : unseen ? `Follow (${count(unseen)} new)` : "Follow");
}

function follow(on) {
  following = on;
  if (on) unseen = 0;
  showFollowing();
  toEnd();
}

function showAll() {
  list.replaceChildren(...lines.filter(isWanted).map(rowOf));
  showCount();
  toEnd();
}

function add(line) {
  lines.push(line);
  if (isWanted(line)) {
    list.append(rowOf(line));
    if (!following) unseen += 1;
  }
  if (lines.length > MOST_LINES && isWanted(lines.shift())) list.firstElementChild?.remove();
  showCount();
  showFollowing();
  toEnd();
}

const keyOf = ({ timestamp, message }) => `${timestamp} ${message}`;

/** Adds those of these lines that are not there yet; where they belong between others, all are shown anew. */
function merge(found) {
  const known = new Set(lines.map(keyOf));
  const fresh = found.filter((line) => !known.has(keyOf(line)));
  const last = lines.at(-1)?.timestamp ?? "";
  if (lines.length && fresh.every(({ timestamp }) => timestamp >= last)) {
    fresh.forEach(add);
  } else if (fresh.length) {
    lines = found;
    showAll();
  }
}

const fetchAll = oneAtATime(async () => {
  early = [];
  const fetched = await json(`/api/jobs/${id}/logs?limit=${MOST_LINES}`).catch(() => []);
  const heard = early;
  early = null;
  merge(fetched);
  merge([...lines, ...heard]);
});

listen("snapshot", fetchAll);
listen("log", (line) => {
  if (line.job_id !== id) return;
  if (early) early.push(line);
  else add(line);
});

// What is written in one transaction with a move is not told for itself.
const fetchSoon = calmed(fetchAll, 300);
let status = null;
listen("job_update", (job) => {
  if (job.job_id !== id || job.status === status) return;
  status = job.status;
  fetchSoon();
});

frame.addEventListener("scroll", () => {
  const atEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 24;
  if (atEnd !== following) follow(atEnd);
});
on("click", "#log-follow", () => follow(!following));
on("input", "input", showAll, filters);
on("change", "select", showAll, filters);
filters.addEventListener("submit", (event) => event.preventDefault());
for (const needless of filters.querySelectorAll("[data-needless]")) needless.hidden = true;
frame.classList.add("is-window");
button.hidden = false;
bind("f", "Follow the log, or pause", () => follow(!following));
bind("/", "Search the log", () => filters.elements.words.focus());
toEnd();
