// The settings: the theme is shown while one chooses, before it is kept.
import { on } from "./dom.js";
import { show } from "./theme.js";

on("change", "#display input[name=theme]", (_event, { value }) => show(value));
