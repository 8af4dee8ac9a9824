// The files of a job: searched and paged by listing.js, and there as soon as the folder is copied.
import { calmed } from "./dom.js";
import { bind } from "./keys.js";
import { refresh } from "./listing.js";
import { listen } from "./live.js";

listen("queue_update", calmed(refresh, 300));
listen("missed", refresh);
bind("/", "Search paths", () => document.getElementById("q").focus());
