// When its session ends, the page goes with all it shows: also where the service cannot be reached to say so.
import { listen } from "./live.js";

const LOOK_EACH = 30_000; // a timer for hours would sleep as long as the computer does
const { sessionSeconds, idleSeconds } = document.body.dataset;
const ends = Date.now() + Number(sessionSeconds) * 1_000;
const idle = Number(idleSeconds) * 1_000 || Infinity;
let lostAt = Infinity;

listen("connection", ({ up, since }) => {
  lostAt = up ? Infinity : since.getTime();
});

function leaveInTime() {
  const now = Date.now();
  if (now >= ends) location.reload(); // which leads to the sign-in, and back here
  else if (now - lostAt >= idle) location.replace(signIn()); // to load this page would be to use the session
  else setTimeout(leaveInTime, Math.min(ends - now, LOOK_EACH));
}

function signIn() {
  const here = location.pathname + location.search;
  return `${document.documentElement.dataset.base}/login?ended=1&next=${encodeURIComponent(here)}`;
}

leaveInTime();
