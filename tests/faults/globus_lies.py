"""What a destination may lie about, and what a third party may do to an archive there."""

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.answers import error
from cs_archiver.sandbox.faults import Effect, Outcome, Overlay
from tests.faults.globus_faults import ALPHA, OTHER_ID
from tests.faults.scale import pick
from tests.support.service import DESTINATION, SOURCE

_OP = Operation
ONE_TRY = {"MAX_UPLOAD_RETRIES": "0"}
MOST = pick(1, 100)  # wrong values of each member


@dataclass(frozen=True)
class Lie:
    """What is told, and the pattern the job must name it with. Below 0, `skip` counts from the last such call."""

    operation: Operation
    effect: Effect
    told: str
    skip: int = 0
    match: str = ""
    also: tuple[tuple[Operation, Effect, int], ...] = ()
    overrides: Mapping[str, str] = field(default_factory=lambda: ONE_TRY)


def outcome(kind: Any, told: str) -> Lie:
    return Lie(_OP.RUN, Outcome(kind), told)


CONTENT_LIES = {
    "missing": outcome("MISSING", "not there"),
    "truncated": outcome("TRUNCATED", "remote size"),
    "flipped-bit": outcome("FLIPPED_BIT", "comparison files_transferred"),
    "stale-and-nothing-there": outcome("STALE", "not there"),
    "skipped": outcome("SKIPPED", "files_skipped"),
    "skipped-errors": outcome("SKIPPED_ERRORS", "subtasks_skipped_errors"),
    "history-deleted": outcome("HISTORY_DELETED", "files Globus lists"),
    "verify-off": outcome("VERIFY_OFF", "verify_checksum"),
    "second-look-verify-off": Lie(_OP.RUN, Outcome("VERIFY_OFF"), "comparison verify_checksum", skip=1),
    "second-look-skipped-errors": Lie(_OP.RUN, Outcome("SKIPPED_ERRORS"), "comparison subtasks_skipped", skip=1),
    "second-look-history-deleted": Lie(_OP.RUN, Outcome("HISTORY_DELETED"), "comparison source_endpoint", skip=1),
    # The first upload is refused for its lack of a history and leaves a damaged file of the right size;
    # the second is said to have replaced it.
    "stale-of-the-same-size": Lie(
        _OP.RUN,
        Outcome("STALE"),
        "comparison files_transferred",
        skip=1,
        also=((_OP.RUN, Outcome("FLIPPED_BIT"), 1), (_OP.RUN, Outcome("HISTORY_DELETED"), 1)),
        overrides={"MAX_UPLOAD_RETRIES": "1"},
    ),
}

_WRONG_IN_TASK: dict[str, tuple[object, ...]] = {
    "type": ("DELETE", None),
    "verify_checksum": (False, None, 1),
    "files": (0, 2, None, "1", True),
    "files_transferred": (0, 2, None, "1", True),
    "files_skipped": (1, None, "0", False),
    "subtasks_failed": (1, None, "0"),
    "subtasks_expired": (1, None, "0"),
    "subtasks_canceled": (1, None, "0"),
    "subtasks_skipped_errors": (1, None, "0"),
    "fatal_error": ({"code": "CANCELED", "description": "canceled"}, "", False),
    "canceled_by_admin": ("SOURCE", "DESTINATION", ""),
    "label": ("CS Archiver job of somebody else", None),
    "source_endpoint_id": (OTHER_ID, DESTINATION, None),
    "destination_endpoint_id": (OTHER_ID, SOURCE, None),
    "bytes_transferred": (0, 1, 10**12, None, "1"),
}
TASK_LIES = {
    f"task-{name}-{value!r:.20}": Lie(_OP.TASK, Overlay({name: value}), f"task {name}")
    for name, values in _WRONG_IN_TASK.items()
    for value in values[:MOST]
} | {f"task-{name}-absent": Lie(_OP.TASK, Overlay(without=(name,)), f"task {name}") for name in _WRONG_IN_TASK}

_WRONG_IN_ROW: dict[str, tuple[tuple[object, ...], str]] = {
    "destination_path": (("/elsewhere/Project_Alpha.tar.7z", "", None), "at the destination path"),
    "source_path": (("/archives/another.tar.7z", None), "source path"),
    "size": ((0, 1, 10**12, "1"), "size Globus transferred"),
    "checksum": (("0" * 64, "00"), "SHA-256 Globus computed"),
}
ROW_LIES = {
    f"row-{name}-{value!r:.20}": Lie(_OP.SUCCESSFUL_TRANSFERS, Overlay(rows={name: value}), told)
    for name, (values, told) in _WRONG_IN_ROW.items()
    for value in values[:MOST]
} | {
    "rows-none": Lie(_OP.SUCCESSFUL_TRANSFERS, Overlay({"DATA": []}), "files Globus lists"),
    "rows-two": Lie(
        _OP.SUCCESSFUL_TRANSFERS,
        Overlay({"DATA": [{"destination_path": "/a"}, {"destination_path": "/b"}]}),
        "files Globus lists",
    ),
}

_WRONG_IN_STAT: dict[str, tuple[object, ...]] = {
    "type": ("dir", "invalid_symlink", "pipe", "File"),
    "size": (0, 1, 10**12, None, "291", True, 291.5),
    "name": ("another.tar.7z", None),
}
STAT_LIES = {
    f"stat-{when}-{name}-{value!r:.20}": Lie(_OP.STAT, Overlay({name: value}), told, skip, ALPHA)
    for when, skip, told in (("verifying", -3, "remote|bytes at"), ("before-deleting", -2, "no longer at"))
    for name, values in _WRONG_IN_STAT.items()
    for value in values[:MOST]
    if (when, name) != ("before-deleting", "name")
} | {
    f"stat-{when}-not-there": Lie(_OP.STAT, error(404, "NotFound"), told, skip, ALPHA)
    for when, skip, told in (("verifying", -3, "not there"), ("before-deleting", -2, "no longer at"))
}
COLLECTION_LIES = {
    f"collection-{side}-verifies-nothing": Lie(
        _OP.ENDPOINT, Overlay({"disable_verify": True}), "checksums switched off", 1, collection
    )
    for side, collection in (("source", SOURCE), ("destination", DESTINATION))
}
LIES = CONTENT_LIES | TASK_LIES | ROW_LIES | STAT_LIES | COLLECTION_LIES

Fill = Callable[[Path, random.Random], None]


def _little(folder: Path, _draw: random.Random) -> None:
    (folder / "a").write_bytes(b"x")


def _usual(folder: Path, draw: random.Random) -> None:
    (folder / "sub").mkdir()
    for number in range(3):
        (folder / "sub" / f"{number}.mov").write_bytes(draw.randbytes(4000))


def _more(folder: Path, draw: random.Random) -> None:
    for number in range(6):
        (folder / f"{number}.mov").write_bytes(draw.randbytes(draw.randint(1, 300_000)))


FILLS: dict[str, Fill] = {"usual": _usual, "little": _little, "more": _more}


def _swap(archive: Path, content: bytes) -> None:
    archive.unlink()
    archive.write_bytes(content)


def _flip(archive: Path, draw: random.Random) -> None:
    content = bytearray(archive.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    archive.write_bytes(content)


def _folder_instead(archive: Path, _draw: random.Random) -> None:
    archive.unlink()
    archive.mkdir()


def _link_to_nowhere(archive: Path, _draw: random.Random) -> None:
    archive.unlink()
    archive.symlink_to("nowhere")


def _rename(archive: Path, _draw: random.Random) -> None:
    archive.rename(archive.with_name("kept elsewhere"))


Tamper = Callable[[Path, random.Random], None]
TAMPERS: dict[str, Tamper] = {
    "removed": lambda archive, draw: archive.unlink(),
    "renamed": _rename,
    "emptied": lambda archive, draw: os.truncate(archive, 0),
    "one-byte-short": lambda archive, draw: os.truncate(archive, archive.stat().st_size - 1),
    "many-bytes-short": lambda archive, draw: os.truncate(archive, draw.randrange(archive.stat().st_size)),
    "one-byte-longer": lambda archive, draw: _swap(archive, archive.read_bytes() + b"x"),
    "another-file": lambda archive, draw: _swap(archive, draw.randbytes(archive.stat().st_size + 7)),
    "a-folder": _folder_instead,
    "a-dangling-link": _link_to_nowhere,
}
SAME_SIZE: dict[str, Tamper] = {
    "bit-flipped": _flip,
    "other-bytes": lambda archive, draw: _swap(archive, draw.randbytes(archive.stat().st_size)),
}
