// Runs before the first paint, so that nobody who likes it dark is dazzled; theme.js does the rest.
(() => {
  const root = document.documentElement;
  if (root.dataset.theme === "system") {
    root.dataset.bsTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
})();
