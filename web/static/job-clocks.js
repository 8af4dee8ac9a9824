// Spans of time that go by: elements marked data-since count up, those marked data-until count down.
import { find, findAll, setText } from "./dom.js";
import { duration } from "./format.js";

let ahead = 0; // milliseconds that the clock here is ahead of the service's

function compare() {
  const told = find("[data-now]");
  if (told) ahead = Date.now() - Date.parse(told.dataset.now);
}

function tick() {
  const now = Date.now() - ahead;
  for (const element of findAll("[data-since]")) {
    setText(element, duration((now - Date.parse(element.dataset.since)) / 1000));
  }
  for (const element of findAll("[data-until]")) {
    const left = (Date.parse(element.dataset.until) - now) / 1000;
    setText(element, left > 0 ? duration(Math.ceil(left)) : "a moment");
  }
}

document.addEventListener("page-changed", () => {
  compare();
  tick();
});
compare();
setInterval(tick, 1_000);
