// The queue: numbers move with each update, panels and lists are fetched anew when the queue changes.
import "./job-clocks.js";
import "./job-progress.js";
import { find, findAll } from "./dom.js";
import { refresh } from "./job-regions.js";
import { listen } from "./live.js";
import { draw, note } from "./sparkline.js";
import { toast } from "./toasts.js";

const DISK_CHANGES = 30_000;
const LANES = {
  copying: "copy_compress", compressing: "copy_compress", verifying: "copy_compress",
  uploading: "upload", upload_verifying: "upload", deleting_source: "upload",
};
const ENDS = { completed: "success", failed: "danger", cancelled: "info" };

function drawAll() {
  for (const element of findAll("[data-spark]")) draw(element, element.dataset.spark);
}

listen("job_update", (job) => {
  if (LANES[job.status]) note(LANES[job.status], job.rate_bytes_per_second);
  const block = find(`[data-of="${CSS.escape(job.job_id)}"]`);
  if (block && ENDS[job.status]) toast(`${block.dataset.name}: ${job.step.toLowerCase()}`, ENDS[job.status]);
});
listen("queue_update", refresh);
listen("snapshot", refresh);
document.addEventListener("page-changed", drawAll);
setInterval(drawAll, 1_000);
setInterval(() => document.hidden || refresh(), DISK_CHANGES);
