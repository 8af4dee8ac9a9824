// Whether somebody is at the page: what it asks for by itself must not keep a session that nobody uses.
const NAME = "X-Unattended";
let attended = false;

for (const type of ["keydown", "pointerdown", "wheel"]) {
  addEventListener(type, () => {
    attended = true;
  }, { capture: true, passive: true });
}

/** The headers of a request by script: they say so if nobody did anything since the one before. */
export function unattended() {
  const names = attended ? [] : [NAME];
  attended = false;
  return new Headers(names.map((name) => [name, "1"]));
}
