// The queue: numbers move with each update, panels and lists are fetched anew when the queue changes.
import "./job-clocks.js";
import "./job-progress.js";
import { find, findAll } from "./dom.js";
import { refresh } from "./job-regions.js";
import { listen } from "./live.js";
import { draw, note } from "./sparkline.js";
import { toast } from "./toasts.js";

const DISK_CHANGES = 30_000;
const LANES = new Map([
  ["copying", "copy_compress"], ["compressing", "copy_compress"], ["verifying", "copy_compress"],
  ["uploading", "upload"], ["upload_verifying", "upload"], ["deleting_source", "upload"],
]);
const ENDS = new Map([["completed", "success"], ["failed", "danger"], ["cancelled", "info"]]);

function drawAll() {
  for (const element of findAll("[data-spark]")) draw(element, element.dataset.spark);
}

listen("job_update", (job) => {
  const lane = LANES.get(job.status);
  if (lane) note(lane, job.rate_bytes_per_second);
  const block = find(`[data-of="${CSS.escape(job.job_id)}"]`);
  const end = ENDS.get(job.status);
  if (block && end) toast(`${block.dataset.name}: ${job.step.toLowerCase()}`, end);
});
listen("queue_update", refresh);
listen("snapshot", refresh);
document.addEventListener("page-changed", drawAll);
setInterval(drawAll, 1_000);
setInterval(() => document.hidden || refresh(), DISK_CHANGES);
