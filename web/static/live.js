// The live updates: one WebSocket for the page, which comes back by itself; docs/api-live.md describes the messages.
import { unattended } from "./attended.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const SHOWN_AFTER = 2_000; // shorter breaks are nobody's business
const SESSION_ENDED = 4401;
const LEAVES_WITHIN = 5_000;

const news = new EventTarget();
let wait = FIRST_WAIT;
let timer = 0;
let socket = null;
let seq = 0;
let lostAt = null;
let told = false;
let leaving = false;
let opened = false;
let isFirst = true;

/**
 * Calls `act` with each message of this type: "snapshot", "job_update", "queue_update", "folders_update" or "log"; or with
 * "connection", `{ up, since }`, whenever it is lost for longer than a moment, and when it is back.
 * Another snapshot means that something was missed: "missed" follows it, to fetch anew what is no part of it.
 */
export function listen(type, act) {
  news.addEventListener(type, (event) => act(event.detail));
}

const tell = (type, detail) => news.dispatchEvent(new CustomEvent(type, { detail }));

function connect() {
  clearTimeout(timer);
  const address = new URL(`${document.documentElement.dataset.base}/ws/jobs`, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  seq = 0;
  socket = new WebSocket(address);
  opened = false;
  socket.onopen = () => {
    opened = true;
  };
  socket.onmessage = ({ data }) => heard(JSON.parse(data));
  socket.onclose = closed;
}

function heard(message) {
  seq += 1;
  if (message.seq !== seq) {
    socket.close(); // something is missing: begin anew
    return;
  }
  if (message.type === "snapshot") back();
  tell(message.type, message);
  if (message.type !== "snapshot") return;
  if (!isFirst) tell("missed", message);
  isFirst = false;
}

function back() {
  wait = FIRST_WAIT;
  lostAt = null;
  if (told) tell("connection", { up: true, since: null });
  told = false;
}

function closed({ code }) {
  if (code === SESSION_ENDED) {
    setTimeout(() => location.reload(), leaving ? LEAVES_WITHIN : 0); // which leads to the sign-in, and back here
    return;
  }
  if (!opened) leaveIfSignedOut();
  lostAt ??= new Date();
  setTimeout(tellIfLost, SHOWN_AFTER);
  timer = setTimeout(connect, wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

/** A refused WebSocket does not say why. */
async function leaveIfSignedOut() {
  const address = `${document.documentElement.dataset.base}/api/auth/me`;
  const answer = await fetch(address, { headers: unattended() }).catch(() => null);
  if (answer?.status === 401) location.reload();
}

function tellIfLost() {
  if (lostAt === null || told || Date.now() - lostAt < SHOWN_AFTER) return;
  told = true;
  tell("connection", { up: false, since: lostAt });
}

function hurry() {
  if (lostAt === null || socket.readyState !== WebSocket.CLOSED) return;
  wait = FIRST_WAIT;
  connect();
}

addEventListener("submit", ({ defaultPrevented }) => {
  leaving = !defaultPrevented;
});
addEventListener("online", hurry);
document.addEventListener("visibilitychange", () => document.hidden || hurry());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

// Once every module of the page has run, so that none misses the snapshot.
export const start = () => document.addEventListener("DOMContentLoaded", connect);
