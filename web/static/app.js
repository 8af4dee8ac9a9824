// What every page has. Modules of single pages import what they need beside it.
import "./dialogs.js";
import "./header.js";
import "./keys.js";
import "./reveal.js";
import "./session.js";
import "./states.js";
import "./theme.js";
import "./toasts.js";
import "./zone.js";
import { start } from "./live.js";

start();
