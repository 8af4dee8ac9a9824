// Tells the server which time zone the browser is in, so that pages come with local times.
const NAME = "csa_browser_zone";
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";

if (zone && !document.cookie.split("; ").includes(`${NAME}=${zone}`)) {
  const path = document.documentElement.dataset.base || "/";
  document.cookie = `${NAME}=${zone}; path=${path}; max-age=31536000; samesite=lax`;
}
