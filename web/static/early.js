// Runs before everything else on the page.
"use strict";

// What comes from elsewhere may be called "__proto__": no object can be given properties that others would inherit.
Object.freeze(Object.prototype);

// Before the first paint, so that nobody who likes it dark is dazzled; theme.js does the rest.
(() => {
  const root = document.documentElement;
  if (root.dataset.theme === "system") {
    root.dataset.bsTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
})();
