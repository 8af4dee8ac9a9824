// The page once more, as it is now: at once, and never twice at the same time.
import { findAll } from "./dom.js";
import { page, takeOver } from "./fetch.js";

/** `act`, but while it is under way, further calls together become one that follows it. */
export function oneAtATime(act) {
  let running = false;
  let again = false;
  return async () => {
    again = running;
    if (running) return;
    running = true;
    try {
      do {
        again = false;
        await act();
      } while (again);
    } finally {
      running = false;
    }
  };
}

export const refresh = oneAtATime(async () => {
  const other = await page(location.href).catch(() => null); // out of reach: the banner says so, and it comes back
  if (!other) return;
  for (const { id } of findAll("[data-region] details[open][id]")) other.getElementById(id)?.setAttribute("open", "");
  takeOver(other);
});
