// The frame of the page: the banner of a lost connection, the count of failed jobs, menus, title and favicon.
import { calmed, find, findAll, on, setText } from "./dom.js";
import * as fetching from "./fetch.js";
import { ago, clock, exact } from "./format.js";
import { listen } from "./live.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const title = document.title;
const favicon = find("link[rel=icon]");
const failures = document.getElementById("failures");
const countSoon = calmed(countFailures, 300);
const active = new Map(); // id -> progress of the whole job

listen("snapshot", ({ jobs }) => {
  active.clear();
  for (const job of jobs) active.set(job.job_id, job);
  showActivity();
});
listen("job_update", (job) => {
  if (job.status === "failed") countSoon();
  if (ENDED.has(job.status)) active.delete(job.job_id);
  else active.set(job.job_id, job);
  showActivity();
});
listen("connection", ({ up, since }) => {
  const banner = document.getElementById("connection-lost");
  banner.hidden = up;
  find("main").classList.toggle("is-stale", !up);
  if (up) countSoon();
  else setText(find("time", banner), clock(since));
});

function showActivity() {
  const busy = [...active.values()].filter((job) => !["queued", "awaiting_upload"].includes(job.status));
  const furthest = Math.max(...busy.map((job) => job.progress_percent));
  const failed = Number(find("[data-count]", failures).textContent);
  const marks = [failed ? `(${failed} failed)` : "", busy.length ? `${furthest}%` : ""];
  document.title = [...marks.filter(Boolean), title].join(" ");
  const state = failed ? "failed" : busy.length ? "busy" : "idle";
  if (favicon.getAttribute("href") !== favicon.dataset[state]) favicon.href = favicon.dataset[state];
}

async function countFailures() {
  const count = await fetching.total(`/api/jobs?status=failed&ended_from=${encodeURIComponent(failures.dataset.seen)}`);
  setText(find("[data-count]", failures), String(count));
  failures.hidden = count === 0;
  showActivity();
}

on("click", "#new-build button", () => location.reload());

// Menus close like menus: by a click elsewhere, and by Escape.
document.addEventListener("click", ({ target }) => {
  for (const menu of findAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
});
on("keydown", "details.menu[open]", (event, menu) => {
  if (event.key !== "Escape") return;
  menu.open = false;
  find("summary", menu).focus();
});

setInterval(() => {
  for (const time of findAll("time[data-ago]")) {
    setText(time, ago(time.dateTime));
    time.title = exact(time.dateTime);
  }
}, 30_000);

showActivity();
