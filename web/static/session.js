// When its session ends, the page goes with all it shows: also where the service cannot be reached to say so.
const LOOK_EACH = 30_000; // a timer for hours would sleep as long as the computer does
const ends = Date.now() + Number(document.body.dataset.sessionSeconds) * 1_000;

function leaveInTime() {
  const left = ends - Date.now();
  if (left <= 0) location.reload(); // which leads to the sign-in, and back here
  else setTimeout(leaveInTime, Math.min(left, LOOK_EACH));
}

leaveInTime();
