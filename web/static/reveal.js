// The button beside a password shows it, and hides it again; it is hidden in any case before it is sent.
import { find, findAll, on, setIcon } from "./dom.js";

function reveal(button, shown) {
  find("input", button.closest(".input-group")).type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
  setIcon(button, shown ? "eye-off" : "eye");
}

on("click", "[data-reveal]", (_event, button) => reveal(button, button.getAttribute("aria-pressed") === "false"));
on("submit", "form", (_event, form) => {
  for (const button of findAll("[data-reveal]", form)) reveal(button, false);
});
