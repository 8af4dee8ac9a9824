// Follows the system's theme where the reader chose to, also when it changes while the page is open.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Shows the page in this theme: "light", "dark" or "system". */
export function show(theme) {
  root.dataset.theme = theme;
  root.dataset.bsTheme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
}

dark.addEventListener("change", () => show(root.dataset.theme));
