"""What can be wrong for a while: told once when it has lasted, and once when it has been over for some time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cs_archiver.clock import now_text
from cs_archiver.domain.notices import Kind, Message
from cs_archiver.services.notify.state import Told

_PREFIX = "CS Archiver: "
_REMEMBERED_SECONDS = 86_400.0  # after it was over, that it was
_MOST_DOUBLINGS = 6


@dataclass(frozen=True, slots=True)
class Condition:
    """`key` tells it apart from others; `message` is sent once it has lasted for `patience_seconds`."""

    key: str
    kind: Kind
    message: Message
    patience_seconds: float

    @property
    def what(self) -> str:
        return self.message.subject.removeprefix(_PREFIX)


@dataclass(frozen=True, slots=True)
class Findings:
    """What holds now, and the keys, or beginnings of keys, of what cannot be told just now."""

    present: Mapping[str, Condition]
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, present: Iterable[Condition], unknown: Iterable[str] = ()) -> "Findings":
        return cls({condition.key: condition for condition in present}, tuple(unknown))


@dataclass(frozen=True, slots=True)
class Changes:
    begun: list[Condition]
    over: list[Told]


class _Over(NamedTuple):
    """How often something was over lately, and when it was for the last time."""

    times: int
    at: float


class Conditions:
    """`told` is what people know of, and is kept up to date; `calm_seconds` must pass before something is over.

    That doubles each time it comes back within a day: what comes and goes is told a few times, and then stays.
    """

    def __init__(self, told: dict[str, Told], *, calm_seconds: float) -> None:
        self.told = told
        self._calm_seconds = calm_seconds
        self._changing_since: dict[str, float] = {}  # what is now other than people know
        self._over: dict[str, _Over] = {}

    def look(self, findings: Findings, now: float) -> Changes:
        """What is to be told; `now` is of a clock that is never set, in seconds."""
        changing = {key for key in findings.present if key not in self.told}
        changing |= {key for key in self.told if key not in findings.present and not key.startswith(findings.unknown)}
        waiting = changing | {key for key in self._changing_since if key.startswith(findings.unknown)}
        self._changing_since = {key: self._changing_since.get(key, now) for key in waiting}
        changes = Changes([], [])
        for key in sorted(changing):
            lasted = now - self._changing_since[key]
            condition = findings.present.get(key)
            if condition is None and lasted >= self._calm_seconds * 2 ** self._times_over(key, now):
                changes.over.append(self.told.pop(key))
                self._note_over(key, now)
                del self._changing_since[key]
            elif condition is not None and lasted >= condition.patience_seconds:
                changes.begun.append(condition)
                self.told[key] = Told(kind=condition.kind, what=condition.what, since=now_text())
                del self._changing_since[key]
        return changes

    def _note_over(self, key: str, now: float) -> None:
        times = min(self._times_over(key, now) + 1, _MOST_DOUBLINGS)
        lately = {other: over for other, over in self._over.items() if now - over.at <= _REMEMBERED_SECONDS}
        self._over = {**lately, key: _Over(times, now)}

    def _times_over(self, key: str, now: float) -> int:
        over = self._over.get(key)
        return 0 if over is None or now - over.at > _REMEMBERED_SECONDS else over.times
