// Copies a new token.
import { find, setText } from "./dom.js";

const field = document.getElementById("token");
const button = document.getElementById("copy-token");

async function copy() {
  field.select();
  // Browsers keep the clipboard's own interface for HTTPS; the old way works everywhere.
  if (navigator.clipboard) await navigator.clipboard.writeText(field.value);
  else document.execCommand("copy");
  setText(find("[data-text]", button), "Copied");
}

button.addEventListener("click", copy);
button.hidden = false;
