// The folders: selecting several, the scan while it runs, and states of jobs as they change.
import { bind } from "./keys.js";
import { calmed, find, findAll, on, setText } from "./dom.js";
import * as fetching from "./fetch.js";
import { count } from "./format.js";
import { refresh } from "./listing.js";
import { listen } from "./live.js";

const LOOK_AFTER = 400;
const LOOKS_A_LIST = 5; // what a scan has found so far is shown every two seconds
const boxes = () => findAll("#folder-table input[name=path]");
const selected = new Set();
let anchor = null;
let isFollowing = false;

function showSelection() {
  const all = boxes();
  for (const box of all) {
    box.checked = selected.has(box.value);
    box.closest("tr").classList.toggle("is-selected", box.checked);
  }
  const head = document.getElementById("select-all");
  if (!head) return;
  const checked = all.filter((box) => box.checked).length;
  head.hidden = all.length === 0;
  head.checked = checked > 0 && checked === all.length;
  head.indeterminate = checked > 0 && checked < all.length;
  const button = document.getElementById("archive-selected");
  button.disabled = selected.size === 0;
  setText(find("[data-text]", button), selected.size ? `Archive selected (${selected.size})` : "Archive selected");
}

const select = (box, on) => (on ? selected.add(box.value) : selected.delete(box.value));

on("click", "#folder-table input[name=path]", (event, box) => {
  const all = boxes();
  const from = all.findIndex((other) => other.value === anchor);
  const to = all.indexOf(box);
  const range = event.shiftKey && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
  for (const one of range) select(one, box.checked);
  anchor = box.value;
  showSelection();
});
on("change", "#select-all", (_event, head) => {
  for (const box of boxes()) select(box, head.checked);
  showSelection();
});
// Those selected on other pages of the list go along.
document.getElementById("selection").addEventListener("formdata", ({ formData }) => {
  formData.delete("path");
  for (const path of selected) formData.append("path", path);
});
document.addEventListener("page-changed", showSelection);

async function followScan(looks = 1) {
  const region = document.getElementById("scan");
  isFollowing = region !== null;
  if (!isFollowing) return;
  const scan = await fetching.json("/api/folders/scan").catch(() => null);
  if (scan && !scan.running) {
    isFollowing = false;
    await refresh();
    return;
  }
  if (scan) {
    setText(find("[data-looked-at]", region), count(scan.looked_at));
    const bar = find("progress", region);
    if (scan.last?.listed) bar.value = Math.min(scan.looked_at, bar.max);
  }
  if (looks % LOOKS_A_LIST === 0) await refresh();
  setTimeout(followScan, LOOK_AFTER, looks + 1);
}

listen("queue_update", calmed(refresh, 300));
listen("folders_update", async () => {
  await refresh();
  if (!isFollowing) followScan();
});
listen("missed", refresh);

for (const box of boxes()) select(box, box.checked); // as the browser remembers them
bind("/", "Search", () => document.getElementById("q").focus());
bind("r", "Refresh: look through the NAS", () => document.getElementById("refresh").click());
bind("a", "Archive the selected folders", () => document.getElementById("archive-selected")?.click());
showSelection();
followScan();
