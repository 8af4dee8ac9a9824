// One job: numbers move with each update, everything else is fetched anew when something happened to it.
import "./job-clocks.js";
import "./job-log.js";
import "./job-print.js";
import "./job-progress.js";
import { calmed, findAll } from "./dom.js";
import { refresh } from "./job-regions.js";
import { listen } from "./live.js";
import { draw, note } from "./sparkline.js";

const id = document.getElementById("job").dataset.job;
const soon = calmed(refresh, 300);
let status = null;

function drawAll() {
  for (const element of findAll("[data-spark]")) draw(element, id);
}

listen("job_update", (job) => {
  if (job.job_id !== id) return;
  note(id, job.rate_bytes_per_second);
  if (job.status !== status) refresh();
  status = job.status;
});
listen("log", ({ job_id: of }) => of === id && soon());
listen("queue_update", soon); // a retry that is set for later changes no state
listen("snapshot", refresh);
document.addEventListener("page-changed", drawAll);
setInterval(drawAll, 1_000);
