"""The pieces of which pages hold hundreds: in Python, since a macro of a template takes ten times as long."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache

import jinja2
from jinja2.runtime import Context, Macro
from markupsafe import Markup, escape

from cs_archiver.domain.sizes import human_size, plural
from cs_archiver.domain.states import JobStatus
from cs_archiver.server.pages.words import ago_text, clock_text, count_text, duration_text, exact_text, moment_text

STATES = {
    JobStatus.QUEUED: ("clock", "Queued"),
    JobStatus.COPYING: ("copy", "Copying"),
    JobStatus.COMPRESSING: ("compress", "Compressing"),
    JobStatus.VERIFYING: ("verify", "Verifying"),
    JobStatus.AWAITING_UPLOAD: ("hourglass", "Awaiting upload"),
    JobStatus.UPLOADING: ("upload", "Uploading"),
    JobStatus.UPLOAD_VERIFYING: ("verify", "Verifying upload"),
    JobStatus.DELETING_SOURCE: ("trash", "Deleting source"),
    JobStatus.COMPLETED: ("completed", "Completed"),
    JobStatus.FAILED: ("failed", "Failed"),
    JobStatus.CANCELLED: ("cancelled", "Cancelled"),
}
"""The name of its icon, and the word for it."""

Icon = Callable[..., Markup]


def _html(text: str) -> Markup:
    return Markup(text)  # noqa: S704  what comes from outside is escaped where it is put in


_UNKNOWN = _html('<span class="text-body-secondary" aria-label="unknown">&ndash;</span>')
_NOTHING = _html("")
_NO_PERCENT = _html("&ndash;")


def icon_of(address: str) -> Icon:
    """Draws symbols of the file at this address by their names; one with a text is read out, others are not."""

    @lru_cache(maxsize=256)
    def icon(name: str, text: str = "") -> Markup:
        read = f'role="img" aria-label="{escape(text)}"' if text else 'aria-hidden="true"'
        return _html(f'<svg class="icon" {read}><use href="{escape(address)}#{escape(name)}"></use></svg>')

    return icon


def state_of(icon: Icon) -> Callable[..., Markup]:
    """The state of a job: icon and word. states.js keeps those with the id of a job up to date."""

    @lru_cache(maxsize=1024)
    def state(status: str, job_id: str = "") -> Markup:
        symbol, word = STATES[JobStatus(status)]
        of_job = f' data-job-state="{escape(job_id)}"' if job_id else ""
        return _html(
            f'<span class="state state-{escape(status)}"{of_job}>{icon(symbol)} <span>{escape(word)}</span></span>'
        )

    return state


@jinja2.pass_context
def ago(context: Context, moment: str | None) -> Markup:
    """How long ago, with the exact moment in the tooltip; nothing for none."""
    if not moment:
        return _NOTHING
    exact = escape(exact_text(moment, context["frame"].preferences))
    return _html(f'<time datetime="{escape(moment)}" title="{exact}" data-ago>{ago_text(moment)}</time>')


@jinja2.pass_context
def time(context: Context, moment: str | None) -> Markup:
    """The moment itself, with the second and the zone in the tooltip; nothing for none."""
    if not moment:
        return _NOTHING
    preferences = context["frame"].preferences
    exact, shown = escape(exact_text(moment, preferences)), escape(moment_text(moment, preferences))
    return _html(f'<time datetime="{escape(moment)}" title="{exact} ({ago_text(moment)})">{shown}</time>')


@jinja2.pass_context
def size(context: Context, size_bytes: int | None) -> Markup:
    """A size, with the exact number of bytes in the tooltip; a dash for none."""
    return _UNKNOWN if size_bytes is None else _size(size_bytes, context["frame"].preferences.units)


@lru_cache(maxsize=4096)
def _size(size_bytes: int, unit: str) -> Markup:
    title = f"{count_text(size_bytes)} {plural(size_bytes, 'byte')}"
    return _html(f'<span class="num" title="{title}">{human_size(size_bytes, int(unit))}</span>')


@lru_cache(maxsize=4096)
def duration(seconds: float | None) -> Markup:
    """The two largest units; a dash for none."""
    return _UNKNOWN if seconds is None else _html(f'<span class="num">{duration_text(seconds)}</span>')


@lru_cache(maxsize=4096)
def percent(part: float, whole: float | None) -> Markup:
    """Of the whole, a dash where there is none."""
    return _html(f"{100 * part / whole:.0f}&#8239;%") if whole else _NO_PERCENT


@jinja2.pass_context
def log_line(context: Context, level: str, timestamp: str, message: str) -> Markup:
    """A line of a job's log; job-log.js fills in those that come later."""
    preferences = context["frame"].preferences
    moment = day = clock = ""
    if timestamp:
        moment = f' datetime="{escape(timestamp)}" title="{escape(exact_text(timestamp, preferences))}"'
        day, clock = moment_text(timestamp, preferences)[:10], clock_text(timestamp, preferences)
    return _html(
        f'<li class="log-line" data-level="{level}"><time{moment}><span class="log-day">{day}</span>'
        f' <span class="log-clock">{clock}</span></time> <span class="log-level">{level}</span>'
        f' <span class="log-text">{escape(message)}</span></li>'
    )


class Remembered:
    """Rows of tables that were made before, of the same values and for readers who want them the same."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[Hashable, Markup] = OrderedDict()

    @jinja2.pass_context
    def __call__(self, context: Context, make: Macro, *values: Hashable) -> Markup:
        """What the macro makes of these values; of nothing else, but for how moments and sizes are shown."""
        preferences = context["frame"].preferences
        key = (context.name, make.name, preferences.units, preferences.zone_name, values)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = _html(make(*values))
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)
        return found
