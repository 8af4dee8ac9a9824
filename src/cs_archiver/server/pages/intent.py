"""What somebody is about to have archived, as the question before it shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cs_archiver.domain.folders import MARKER_SUFFIX, Folder
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.services.preview import Outline, Plan

_DESTINATION_EXISTS = "destination-exists"


@dataclass(frozen=True, slots=True)
class Intended:
    """One folder. Without a plan, size and count are those of the last scan, and `reasons` is why there is none."""

    path: str
    name: str
    size_bytes: int
    files: int
    reasons: list[str]
    outline: Outline | None = None
    plan: Plan | None = None

    @classmethod
    def of_plan(cls, plan: Plan) -> Self:
        reasons = [error.detail for error in plan.obstacles if error.problem != _DESTINATION_EXISTS]
        folder, contents = plan.folder, plan.contents
        return cls(folder.path, folder.name, contents.size_bytes, contents.files, reasons, plan.outline, plan)

    @classmethod
    def of_folder(cls, folder: Folder, outline: Outline) -> Self:
        reasons = [] if folder.left_out is None else [folder.left_out]
        return cls(folder.path, folder.name, folder.size_bytes, folder.file_count, reasons, outline)

    @classmethod
    def refused(cls, path: str, error: InvalidRequest | JobError) -> Self:
        return cls(path, path.rpartition("/")[2], 0, 0, [str(error)])

    @property
    def is_possible(self) -> bool:
        return not self.reasons

    @property
    def is_taken(self) -> bool:
        """Whether the destination has an archive of this name, so that only a new version can be made."""
        return self.plan is not None and self.plan.destination.taken is not None

    @property
    def place(self) -> str:
        """The two levels above it."""
        return " / ".join(self.path.split("/")[-3:-1])

    @property
    def marker_name(self) -> str:
        return self.name + MARKER_SUFFIX


@dataclass(frozen=True, slots=True)
class Intent:
    """Several folders; the totals are of those that can be archived."""

    folders: Sequence[Intended]

    @property
    def possible(self) -> list[Intended]:
        return [folder for folder in self.folders if folder.is_possible]

    @property
    def size_bytes(self) -> int:
        return sum(folder.size_bytes for folder in self.possible)

    @property
    def files(self) -> int:
        return sum(folder.files for folder in self.possible)

    @property
    def is_previewed(self) -> bool:
        return any(folder.plan for folder in self.folders)

    @property
    def taken(self) -> list[Intended]:
        return [folder for folder in self.possible if folder.is_taken]

    @property
    def space_needed_bytes(self) -> int | None:
        """For the largest: they are archived one after the other."""
        return max((outline.space_needed_bytes for outline in self._outlines), default=None)

    @property
    def space_free_bytes(self) -> int | None:
        return min((outline.space_free_bytes for outline in self._outlines), default=None)

    @property
    def waits_for_space(self) -> bool:
        return any(outline.space_needed_bytes > outline.space_free_bytes for outline in self._outlines)

    @property
    def expected_seconds(self) -> float | None:
        """None as soon as it is unknown for one of them."""
        seconds = [outline.expected_seconds for outline in self._outlines]
        known = [one for one in seconds if one is not None]
        return sum(known) if known and len(known) == len(self.possible) else None

    @property
    def _outlines(self) -> list[Outline]:
        return [folder.outline for folder in self.possible if folder.outline is not None]
