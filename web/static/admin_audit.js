// The audit trail: its days, beside the filters of every list.
import { on } from "./dom.js";
import { bind } from "./keys.js";
import "./listing.js";

on("change", "#filters input[type=date]", (_event, field) => field.form.requestSubmit());
bind("/", "Search", () => document.getElementById("q").focus());
