"""The folders that can be archived, and those that cannot."""

from typing import Annotated, Literal, Self

from pydantic import Field

from cs_archiver.db import folders as db
from cs_archiver.domain import folders
from cs_archiver.server.contract.base import Answer, ByteCount, Flag, Moment, Query
from cs_archiver.services.folders import FolderService

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


class FoldersQuery(Query):
    refresh: Annotated[
        Literal["full"] | Flag,
        Field(
            description="Scan the NAS again first. A folder in which nothing came or went is taken over as it was, "
            "for at most a day, unless it is `full`. Of personal tokens, those of the scope operate may."
        ),
    ] = False


class Folder(Answer):
    path: str
    name: str
    level1: str
    level2: str
    size_bytes: ByteCount
    size_human: Annotated[
        str,
        Field(
            examples=["1.00 GB"], description="Powers of 1024 by their older names: 1.00 GB are 1,073,741,824 bytes."
        ),
    ]
    modified_at: Annotated[Moment | None, Field(description="The newest change of a file in it.")]
    file_count: int
    is_archived: Annotated[bool, Field(description="Always false: what was archived is no longer listed.")]

    @classmethod
    def of(cls, found: folders.Folder) -> Self:
        return cls(
            path=found.path,
            name=found.name,
            level1=found.level1,
            level2=found.level2,
            size_bytes=found.size_bytes,
            size_human=_size_human(found.size_bytes),
            modified_at=found.modified_at,
            file_count=found.file_count,
            is_archived=False,
        )


class Scan(Answer):
    """The scan of the NAS that runs, and the newest one that went through."""

    running: bool
    started_at: Annotated[Moment | None, Field(description="Of the one that runs.")]
    looked_at: Annotated[int | None, Field(description="How many folders it has looked at so far.")]
    failure: Annotated[str | None, Field(description="Why the newest one did not go through.")]
    last: Annotated["LastScan | None", Field(description="Null before the first.")]

    @classmethod
    def of(cls, service: FolderService, last: db.Scan | None) -> Self:
        running, failure = service.running_scan, service.scan_failure
        return cls(
            running=running is not None,
            started_at=None if running is None else running.started_at,
            looked_at=None if running is None else running.looked_at,
            failure=None if failure is None else str(failure),
            last=None if last is None else LastScan.of(last, service.measured_since(last)),
        )


class LastScan(Answer):
    started_at: Moment
    finished_at: Moment
    listed: int
    left_out: int
    measured_since: Annotated[
        Moment,
        Field(
            description="No size and count is from before this; a file rewritten in place later may not be seen yet."
        ),
    ]

    @classmethod
    def of(cls, scan: db.Scan, measured_since: str) -> Self:
        return cls(
            started_at=scan.started_at,
            finished_at=scan.finished_at,
            listed=scan.listed,
            left_out=scan.left_out,
            measured_since=measured_since,
        )


class LeftOutFolder(Answer):
    path: str
    name: str
    level1: str
    level2: str
    reason: Annotated[str | None, Field(description="Why it cannot be archived.")]

    @classmethod
    def of(cls, found: folders.Folder) -> Self:
        return cls(path=found.path, name=found.name, level1=found.level1, level2=found.level2, reason=found.left_out)


def _size_human(size_bytes: int) -> str:
    """As the requirements give it to programs, names and all; people read domain.sizes, which names them anew."""
    size, unit = float(size_bytes), 0
    while round(size, 2) >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.2f} {_UNITS[unit]}" if unit else f"{size_bytes} B"
