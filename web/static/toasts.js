// Short notes in the corner of the page, and the message a form left for this one.
import { cloned, find, on, setIcon, setText } from "./dom.js";

const ICONS = new Map([["info", "info"], ["success", "completed"], ["danger", "failed"]]);
const SHOWN_FOR = 6_000;

/** Shows a note; those of the level "danger" stay until they are closed. */
export function toast(text, level = "info") {
  const note = cloned("toast-template");
  note.dataset.level = level;
  setIcon(note, ICONS.get(level));
  setText(find("[data-text]", note), text);
  document.getElementById("toasts").append(note);
  if (level !== "danger") setTimeout(() => note.remove(), SHOWN_FOR);
}

on("click", ".toast-note .btn-close", (_event, button) => button.closest(".toast-note").remove());

const address = new URL(location.href);
if (address.searchParams.has("flash")) {
  address.searchParams.delete("flash"); // what it named was said; a bookmark should not repeat it
  history.replaceState(history.state, "", address);
}
