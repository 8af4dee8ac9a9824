// Keys for what is done often; `?` lists those of the page.
import * as dialogs from "./dialogs.js";
import { cloned, find, make, on } from "./dom.js";

const keys = new Map();

/** Binds a key to an action, outside of fields; `text` says what it does. */
export function bind(key, text, act) {
  keys.set(key, { text, act });
}

function list() {
  const section = cloned("keys-template");
  find("dl", section).append(
    ...[...keys].flatMap(([key, { text }]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)]),
  );
  dialogs.show(section);
}

const areOn = document.documentElement.dataset.singleKeys !== "off";
const isField = (element) => element.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (!areOn || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isField(event.target) || find("dialog[open]")) return;
  const bound = keys.get(event.key);
  if (!bound) return;
  event.preventDefault();
  bound.act();
});

bind("?", "List the keys", list);
on("click", "[data-keys]", list);
for (const button of document.querySelectorAll("[data-keys]")) button.hidden = false;
for (const [number, link] of document.querySelectorAll(".topnav a").entries()) {
  bind(String(number + 1), `Go to ${link.textContent.trim()}`, () => link.click());
}
