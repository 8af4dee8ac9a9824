// Keeps the badges of jobs' states up to date, wherever they stand.
import { find, findAll, setIcon, setText } from "./dom.js";
import { listen } from "./live.js";

// As in macros.html.
const STATES = new Map([
  ["queued", ["clock", "Queued"]],
  ["copying", ["copy", "Copying"]],
  ["compressing", ["compress", "Compressing"]],
  ["verifying", ["verify", "Verifying"]],
  ["awaiting_upload", ["hourglass", "Awaiting upload"]],
  ["uploading", ["upload", "Uploading"]],
  ["upload_verifying", ["verify", "Verifying upload"]],
  ["deleting_source", ["trash", "Deleting source"]],
  ["completed", ["completed", "Completed"]],
  ["failed", ["failed", "Failed"]],
  ["cancelled", ["cancelled", "Cancelled"]],
]);

/** Makes a badge show this state. */
export function show(badge, status) {
  const [icon, word] = STATES.get(status);
  badge.className = `state state-${status}`;
  setIcon(badge, icon);
  setText(find("span", badge), word);
}

const known = new Map();

function update({ job_id: id, status }) {
  known.set(id, status);
  for (const badge of findAll(`[data-job-state="${CSS.escape(id)}"]`)) show(badge, status);
}

listen("job_update", update);
listen("snapshot", ({ jobs }) => {
  known.clear();
  jobs.forEach(update);
});
// What was taken over may have been rendered before the last update came.
document.addEventListener("page-changed", () => {
  for (const badge of findAll("[data-job-state]")) {
    if (known.has(badge.dataset.jobState)) show(badge, known.get(badge.dataset.jobState));
  }
});
