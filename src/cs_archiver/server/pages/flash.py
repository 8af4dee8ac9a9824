"""What a page says once, after it was led to by a form: kept here, so that nobody can put words into our pages."""

import secrets
from collections import OrderedDict
from enum import StrEnum
from typing import NamedTuple

FLASH = "flash"  # the parameter that names one, so that each of several tabs gets its own

_MOST_KEPT = 1000


class Level(StrEnum):
    SUCCESS = "success"
    WARNING = "warning"
    DANGER = "danger"


class Flash(NamedTuple):
    level: Level
    text: str


class Flashes:
    """In memory alone: to lose one costs a sentence."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Flash] = OrderedDict()

    def leave(self, credential: str, flash: Flash) -> str:
        """Gives back the name under which the same session takes it."""
        name = secrets.token_urlsafe(9)
        self._kept[credential, name] = flash
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return name

    def take(self, credential: str, name: str) -> Flash | None:
        return self._kept.pop((credential, name), None)
