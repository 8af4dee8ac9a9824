// The history: filters beyond those of every list, rows that lead to their jobs, and jobs that end meanwhile.
import { calmed, find, on } from "./dom.js";
import { bind } from "./keys.js";
import { go, refresh } from "./listing.js";
import { listen } from "./live.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
let isStale = false;

const isPlain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);

/** In a page that nobody looks at, only once somebody does: what is fetched there would pass for seen. */
function renew() {
  isStale = document.hidden;
  if (!isStale) refresh();
}

const renewSoon = calmed(renew, 300);

listen("job_update", ({ job_id: id, status }) => {
  if (ENDED.has(status) || find(`#history [data-job-state="${CSS.escape(id)}"]`)) renewSoon();
});
listen("missed", renew);
document.addEventListener("visibilitychange", () => isStale && renew());

on("change", "#filters input[type=date]", (_event, field) => field.form.requestSubmit());
on("click", ".choices a", (event, link) => {
  if (!isPlain(event)) return;
  event.preventDefault();
  go(link.href);
});
on("click", "#history-table tbody tr", (event, row) => {
  const isText = getSelection().type === "Range";
  if (isPlain(event) && !isText && !event.target.closest("a")) find(".name a", row).click();
});

bind("/", "Search", () => document.getElementById("q").focus());
