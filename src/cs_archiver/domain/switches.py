"""What people can pause: either worker, and every deletion; and what is said of a job that waits for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cs_archiver.domain.states import WorkerName
from cs_archiver.errors import Halted

WORKER_PAUSED = "worker-paused"
DELETIONS_PAUSED = "deletions-paused"
OUTSIDE_HOURS = "outside-hours"

NOBODYS_FAULT = frozenset({WORKER_PAUSED, DELETIONS_PAUSED, OUTSIDE_HOURS})
"""Problems of a job that waits as it was told to: nobody needs to look after it."""


class Switch(StrEnum):
    """The workers are named as in the keys of `GET /api/system/status`."""

    LOCAL = WorkerName.LOCAL.value
    TRANSFER = WorkerName.TRANSFER.value
    DELETIONS = "deletions"


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when, in UTC, and who asked for it."""

    since: str
    by: str


Pauses = Mapping[Switch, Pause]
"""A switch that is not named here is not paused."""

PAUSED = {
    Switch.LOCAL: "Copying and packing is paused",
    Switch.TRANSFER: "The transfer to Globus is paused",
    Switch.DELETIONS: "All deletions are paused",
}

RESUMED = {
    Switch.LOCAL: "Copying and packing goes on",
    Switch.TRANSFER: "The transfer to Globus goes on",
    Switch.DELETIONS: "Deletions go on",
}

EFFECTS = {
    Switch.LOCAL: "The step in hand goes on to its end; no other begins.",
    Switch.TRANSFER: "The step in hand goes on to its end; no other begins. A Globus task goes on by itself.",
    Switch.DELETIONS: "No source is deleted: a deletion under way stops before its next file, and what is left of it "
    "stays. The job that comes to its deletion waits there, and those behind it with it.",
}


def said_of(switch: Switch, pause: Pause) -> str:
    """One sentence without its full stop: what is paused, by whom, since when."""
    return f"{PAUSED[switch]} by {pause.by} since {pause.since[:16].replace('T', ' ')} UTC"


def halted(switch: Switch, pause: Pause, *, deletion_has_begun: bool = False) -> Halted:
    """Why a job waits; of a deletion that had begun it is said that it is not finished."""
    unfinished = ": the deletion of this source is not finished, and what is left of it stays until they are resumed"
    text = said_of(switch, pause) + (unfinished if deletion_has_begun else "")
    return Halted(text, problem=DELETIONS_PAUSED if switch is Switch.DELETIONS else WORKER_PAUSED)
