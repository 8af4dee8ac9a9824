"""What every template can use: filters in the reader's units and time zone, addresses, and facts of the service."""

from collections.abc import Callable
from functools import cache, partial

import jinja2
from aiohttp import web
from jinja2.runtime import Context

import cs_archiver
from cs_archiver.clock import elapsed
from cs_archiver.domain.sizes import human_size, plural
from cs_archiver.domain.states import step_name
from cs_archiver.domain.switches import PAUSED
from cs_archiver.server.keys import IS_GLOBUS_SANDBOX, STATIC_FILES
from cs_archiver.server.links import link
from cs_archiver.server.pages import pieces, words

_ROWS_REMEMBERED = 1000


def install(app: web.Application, templates: jinja2.Environment) -> None:
    templates.filters.update(
        size=_size,
        rate=_rate,
        moment=_moment,
        exact=_exact,
        clock=_clock,
        elapsed=_elapsed,
        ago=words.ago_text,
        duration=words.duration_text,
        count=words.count_text,
        plural=plural,
        step=step_name,
        paused=PAUSED.__getitem__,
    )
    asset = _asset(app)
    icon = pieces.icon_of(asset("icons.svg"))
    templates.globals.update(
        icon=icon,
        state=pieces.state_of(icon),
        states=pieces.STATES,
        ago=pieces.ago,
        time=pieces.time,
        size=pieces.size,
        duration=pieces.duration,
        percent=pieces.percent,
        log_line=pieces.log_line,
        remembered=pieces.Remembered(_ROWS_REMEMBERED),
        link=partial(link, app),
        asset=asset,
        version=cs_archiver.__version__,
        build=f"{cs_archiver.__version__}-{app[STATIC_FILES].version}",
        is_globus_sandbox=app[IS_GLOBUS_SANDBOX],
    )


def _elapsed(start: str, end: str) -> float:
    """Seconds between two moments."""
    return max(0.0, elapsed(start, end).total_seconds())


def _asset(app: web.Application) -> Callable[[str], str]:
    tree = app[STATIC_FILES]

    @cache
    def asset(name: str) -> str:
        """The address of a file under web/static. Raises KeyError for one that is not there."""
        if name not in tree.files:
            raise KeyError(name)
        return link(app, f"/static/{tree.version}/{name}")

    return asset


@jinja2.pass_context
def _size(context: Context, size_bytes: float) -> str:
    return human_size(size_bytes, int(context["frame"].preferences.units))


@jinja2.pass_context
def _rate(context: Context, bytes_per_second: float) -> str:
    return human_size(bytes_per_second, int(context["frame"].preferences.units)) + "/s"


@jinja2.pass_context
def _moment(context: Context, moment: str) -> str:
    return words.moment_text(moment, context["frame"].preferences)


@jinja2.pass_context
def _clock(context: Context, moment: str) -> str:
    return words.clock_text(moment, context["frame"].preferences)


@jinja2.pass_context
def _exact(context: Context, moment: str) -> str:
    return words.exact_text(moment, context["frame"].preferences)
