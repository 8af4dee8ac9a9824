// How far jobs are: writes every update into the blocks that queue_macros.html made, and says when a step begins.
import { find, findAll, setBar, setText } from "./dom.js";
import { duration, rate, size } from "./format.js";
import { listen } from "./live.js";

const UNKNOWN = "\u2013";
const or = (value, text) => (value === null ? UNKNOWN : text(value));

function bytes({ bytes_done: done, bytes_total: total }) {
  if (done === null) return UNKNOWN;
  return total === null ? size(done) : `${size(done)} of ${size(total)}`;
}

function begin(block, job) {
  block.dataset.status = job.status;
  setText(document.getElementById("job-spoken"), `${block.dataset.name}: ${job.step}`);
}

function write(block, job) {
  if (block.dataset.status !== job.status) begin(block, job);
  const elapsed = find("[data-since]", block);
  if (elapsed && job.step_started_at) elapsed.dataset.since = job.step_started_at;
  const texts = {
    step: job.step,
    "step-percent": job.step_percent === null ? "" : `${Math.round(job.step_percent)} %`,
    operation: job.current_operation,
    bytes: bytes(job),
    rate: or(job.rate_bytes_per_second, rate),
    left: or(job.eta_seconds, duration),
    whole: `${job.progress_percent} %`,
  };
  for (const [name, text] of Object.entries(texts)) setText(find(`[data-${name}]`, block), text);
  setBar(find("progress", block), job.step_percent);
}

function show(job) {
  for (const block of findAll(`[data-of="${CSS.escape(job.job_id)}"]`)) write(block, job);
}

listen("job_update", show);
listen("snapshot", ({ jobs }) => jobs.forEach(show));
