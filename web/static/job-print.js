// A job on paper: a receipt of the deletion, with the whole evidence.
import { findAll, on } from "./dom.js";

on("click", "[data-print]", () => print());
addEventListener("beforeprint", () => {
  for (const part of findAll("main details")) part.open = true;
});
