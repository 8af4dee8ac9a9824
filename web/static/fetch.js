// Other pages and JSON of this service. Pages come as parsed documents, which run nothing, so that what the server
// rendered can be taken over as it is: there is one way to make a row, and it is the template.
import { unattended } from "./attended.js";
import { find, findAll } from "./dom.js";

const base = document.documentElement.dataset.base;

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/**
 * The document of a page, or of the answer to a form where there is a `body`; `signal` can end the request.
 * A session that ended leads to the sign-in. Throws Refused with what an error page says, unless that is wanted as well.
 */
export function page(address, { signal, body, errors = false } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(body ? "POST" : "GET", address);
    request.responseType = "document";
    request.setRequestHeader("Accept", "text/html");
    for (const [name, value] of unattended()) request.setRequestHeader(name, value);
    request.onload = () => {
      const found = request.response;
      if (!found) reject(new Refused(request.status, "The answer is no page."));
      else if (!find("body[data-signed-in]", found)) signIn(request.responseURL, body);
      else if (request.status >= 400 && !errors) reject(new Refused(request.status, said(found)));
      else resolve(found);
    };
    request.onerror = () => reject(new Refused(0, "The service cannot be reached."));
    request.onabort = () => reject(new DOMException("a newer one was asked for", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(body && new URLSearchParams(body));
  });
}

/** A form that was sent in vain leads where the server says so; for all else this page is asked for again. */
function signIn(address, isForm) {
  if (isForm && new URL(address).pathname === `${base}/login`) location.assign(address);
  else location.reload();
}

const said = (errorPage) => find(".detail", errorPage)?.textContent ?? errorPage.title;

/** Takes over every element marked data-region, by its id, from another rendering of this page; tells of an update of the service. */
export function takeOver(other) {
  const isUpdated = other.documentElement.dataset.build !== document.documentElement.dataset.build;
  if (isUpdated) document.getElementById("new-build").hidden = false;
  for (const old of findAll("[data-region]")) {
    const fresh = other.getElementById(old.id);
    if (fresh && !fresh.isEqualNode(old)) put(document.adoptNode(fresh), old);
  }
  document.dispatchEvent(new CustomEvent("page-changed"));
}

function put(fresh, old) {
  if (old.dataset.steady !== undefined) fresh.style.minHeight = `${old.offsetHeight}px`; // what is below stays in its place
  const focused = old.contains(document.activeElement) ? likeIn(document.activeElement) : null;
  old.replaceWith(fresh);
  if (focused) find(focused, fresh)?.focus();
}

/** What finds the same element in another rendering. */
function likeIn(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const name = element.hasAttribute("href") ? "href" : "value";
  return `${element.localName}[${name}="${CSS.escape(element.getAttribute(name) ?? "")}"]`;
}

/** JSON of the API; `path` is below the base. Throws Refused with the detail of the problem. */
export async function json(path) {
  return (await answered(path)).body;
}

/** How many rows a list of the API has, all its pages together. Throws as `json` does. */
export async function total(path) {
  const { response } = await answered(`${path}&limit=1`);
  return Number(response.headers.get("X-Total-Count"));
}

async function answered(path) {
  const headers = unattended();
  headers.set("Accept", "application/json");
  const response = await fetch(base + path, { headers });
  if (response.status === 401) location.reload();
  const body = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Refused(response.status, body?.detail ?? response.statusText);
  return { response, body };
}
