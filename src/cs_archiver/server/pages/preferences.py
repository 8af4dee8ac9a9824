"""How a person wants things shown, kept by the browser in cookies: it is a matter of the screen, not of the account."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from http.cookies import SimpleCookie
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from cs_archiver.server.cookies import scope_of

THEME, UNITS, ZONE, KEYS = "csa_theme", "csa_units", "csa_zone", "csa_keys"
BROWSER_ZONE, FAILURES_SEEN = "csa_browser_zone", "csa_seen"
_ONE_YEAR_SECONDS = 365 * 24 * 3600


class Theme(StrEnum):
    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Units(StrEnum):
    """By how much a kilobyte is more than a byte."""

    BINARY = "1024"
    DECIMAL = "1000"


class Zone(StrEnum):
    """In which time zone moments are shown."""

    BROWSER = "browser"
    UTC = "utc"


class Keys(StrEnum):
    """Whether single keys are shortcuts: who dictates to the computer must be able to end that."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Preferences:
    """`browser_zone` is what the browser told of itself; empty before it did."""

    theme: Theme
    units: Units
    zone: Zone
    browser_zone: str
    keys: Keys = Keys.ON

    @property
    def time_zone(self) -> tzinfo:
        found = None if self.zone is Zone.UTC else zone_of(self.browser_zone)
        return found or UTC

    @property
    def zone_name(self) -> str:
        """As browsers know it; empty where the browser should take its own."""
        return "UTC" if self.zone is Zone.UTC else self.browser_zone


def preferences_of(request: web.Request) -> Preferences:
    """Cookies that make no sense count for nothing."""
    cookies = request.cookies
    theme, units, zone, keys = (cookies.get(name) for name in (THEME, UNITS, ZONE, KEYS))
    given = cookies.get(BROWSER_ZONE, "")
    return Preferences(
        theme=Theme(theme) if theme in set(Theme) else Theme.SYSTEM,
        units=Units(units) if units in set(Units) else Units.BINARY,
        zone=Zone(zone) if zone in set(Zone) else Zone.BROWSER,
        browser_zone=given if zone_of(given) else "",
        keys=Keys(keys) if keys in set(Keys) else Keys.ON,
    )


def keep(response: web.StreamResponse, request: web.Request, name: str, value: str) -> None:
    """Make the browser keep one of the cookies named above; scripts of our pages may read it."""
    cookie: SimpleCookie = SimpleCookie({name: value})
    for key, scope in {**scope_of(request), "max-age": _ONE_YEAR_SECONDS}.items():
        cookie[name][key] = scope
    response.headers.add(hdrs.SET_COOKIE, cookie[name].OutputString())


def zone_of(name: str) -> tzinfo | None:
    """None for an empty name, and for one that this machine knows nothing of."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError):  # a name that cannot be one; a zone this machine knows nothing of
        return None
