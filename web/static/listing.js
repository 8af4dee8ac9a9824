// Lists that are searched while one types, sorted and paged without leaving the page; the address always says how.
import { calmed, find, on } from "./dom.js";
import * as fetching from "./fetch.js";
import { toast } from "./toasts.js";

const form = document.getElementById("filters");
let asked = null;
let underWay = Promise.resolve();

/** Shows the list of this address; `keep` adds it to the history rather than taking the place of the present one. */
export function go(address, { keep = true } = {}) {
  underWay = load(address, keep);
  return underWay;
}

async function load(address, keep) {
  asked?.abort();
  const mine = new AbortController();
  asked = mine;
  try {
    const other = await fetching.page(address, { signal: mine.signal });
    if (keep) history.pushState({}, "", address);
    else history.replaceState(history.state, "", address);
    fetching.takeOver(other);
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "danger");
  }
}

/** The same list once more, as it is now; a search that is under way comes first, and is not given up for it. */
export async function refresh() {
  for (let waited = null; waited !== underWay; await waited) waited = underWay;
  await go(location.href, { keep: false });
}

function wanted() {
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  const address = new URL(form.action);
  address.search = new URLSearchParams(given);
  return address.href;
}

if (form) {
  const search = calmed(() => go(wanted(), { keep: false }), 200);
  on("input", "input[type=search]", search, form);
  on("change", "select", (_event, select) => {
    if (select.dataset.resets) form.elements.namedItem(select.dataset.resets).value = "";
    go(wanted());
  }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(wanted());
  });
  for (const button of form.querySelectorAll("[data-needless]")) button.hidden = true;
}

on("click", "[data-region] :is(a.sort, .pager a)", async (event, link) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  const column = link.closest("th")?.cellIndex;
  await go(link.href);
  if (column !== undefined) find(`thead th:nth-child(${column + 1}) a.sort`)?.focus();
  else scrollTo({ top: 0 });
});

addEventListener("popstate", async () => {
  await go(location.href, { keep: false });
  if (!form) return;
  const given = new URLSearchParams(location.search);
  for (const field of form.elements) if (field.name) field.value = given.get(field.name) ?? "";
});
