// Links marked data-dialog lead to a page with one question; here it is asked in a dialog over the present page.
import { find, on } from "./dom.js";
import * as fetching from "./fetch.js";

const dialog = document.getElementById("dialog");
const content = document.getElementById("dialog-content");
const waiting = document.getElementById("dialog-waiting");
let asked = null;

/** Shows an element in the dialog, named by its heading. */
export function show(element) {
  waiting.hidden = true;
  find("h1, h2", element).id = "dialog-title";
  content.replaceChildren(element);
  if (!dialog.open) dialog.showModal();
}

/** Asks the question of another page, or of the answer to a form; `text` is what stands there until it comes. */
export async function ask(address, text = "One moment…", form = null) {
  asked?.abort();
  const mine = new AbortController();
  asked = mine;
  const body = form && new FormData(form);
  const leave = () => (form ? form.submit() : location.assign(address));
  content.replaceChildren();
  waiting.hidden = false;
  document.getElementById("dialog-waiting-text").textContent = text;
  if (!dialog.open) dialog.showModal();
  try {
    const question = find("[data-dialog-content]", await fetching.page(address, { signal: mine.signal, body, errors: true }));
    if (question) show(document.adoptNode(question));
    else leave();
  } catch (error) {
    if (error.name !== "AbortError") leave(); // the page itself says what is wrong
  }
}

on("click", "a[data-dialog]", (event, link) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  ask(link.href, link.dataset.dialog || undefined);
});
on("submit", "form[data-dialog]", (event, form) => {
  event.preventDefault();
  ask(form.action, form.dataset.dialog || undefined, form);
});
on("click", "[data-close]", (event) => {
  event.preventDefault();
  dialog.close();
}, dialog);
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  if (dialog.open) return; // again, meanwhile
  asked?.abort();
  content.replaceChildren();
});
// A form that was sent must not be sent twice.
on("submit", "form", (event, form) => {
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
}, dialog);
