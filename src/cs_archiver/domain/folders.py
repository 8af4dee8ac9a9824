"""Which folders can be archived, and why the others are left out (PRD 2.1)."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from itertools import islice

from cs_archiver.domain.manifest import shown

MARKER_SUFFIX = "-ARCHIVED-TO-GLOBUS.txt"
SYMBOLIC_LINK = "a symbolic link: never followed"
OTHER_FILE_SYSTEM = "on another file system than QNAP_BASE_PATH: never entered"
MOUNTED = "another folder is mounted there: never entered; unmount it"

_LONGEST_NAME_BYTES = 255 - len(MARKER_SUFFIX)  # the marker carries the folder's name; Linux allows 255 bytes
LONG_AGO_NS = -(2**63)
_ARCHIVED = "already archived"
_NOTHING = "nothing to archive"


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder at the third level. `left_out` is None when it can be archived, else the reason.

    A folder of level 1 or 2 that cannot be entered is one too, with an empty `name`, and `level2` as well for one
    of level 1. What is left out may have been read in part or not at all: its size, count and time are of what
    was read, 0 and None for nothing.
    """

    path: str
    level1: str
    level2: str
    name: str
    size_bytes: int
    file_count: int
    modified_at: str | None
    left_out: str | None

    @property
    def is_archived(self) -> bool:
        """Whether it is left out because of a marker file."""
        return self.left_out is not None and self.left_out.startswith(_ARCHIVED)

    @property
    def has_nothing_to_archive(self) -> bool:
        """Whether it is left out because it is empty or holds only a .txt file."""
        return self.left_out is not None and self.left_out.startswith(_NOTHING)

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}  # asdict copies each value: ten times as long


@dataclass(frozen=True, slots=True)
class Content:
    """What a walk counted in a folder, or in a part of it; `plus` puts parts together.

    `file_count` is of regular files and links, `size_bytes` of regular files, litter included. Litter is what NAS
    and desktop leave behind: the two counts without it are complete only until `is_decided`. `marker` is the name
    of a marker file at the top of the folder, `trouble` why it cannot be archived whatever else it holds.
    """

    newest_mtime_ns: int = LONG_AGO_NS
    file_count: int = 0
    size_bytes: int = 0
    files_but_litter: int = 0
    txt_files_but_litter: int = 0
    marker: bytes | None = None
    trouble: str | None = None

    @property
    def is_decided(self) -> bool:
        """Whether it is more than nothing and more than a single .txt file, so that names no longer matter."""
        return self.files_but_litter > 1

    def plus(self, part: "Content") -> "Content":
        """Both together; the same in whatever order parts are added."""
        return total((self, part))


@dataclass(frozen=True, slots=True)
class Patterns:
    """Shell patterns of marker files and of litter, as configured under [discovery]. Case matters."""

    markers: tuple[str, ...]
    litter: tuple[str, ...]

    def is_litter(self, name: bytes) -> bool:
        return matches(name, self.litter)

    def is_marker(self, name: bytes) -> bool:
        return matches(name, self.markers)

    def markers_among(self, names: Iterable[bytes]) -> list[bytes]:
        match = _compiled(self.markers).match
        return [name for name in names if match(name.decode("utf-8", "surrogateescape"))]

    def but_litter(self, names: Iterable[bytes]) -> Content:
        """How many of these files are no litter, and how many of those are .txt files, until it `is_decided`."""
        wanted = list(islice((name for name in names if not self.is_litter(name)), 2))
        texts = sum(name.lower().endswith(b".txt") for name in wanted)
        return Content(files_but_litter=len(wanted), txt_files_but_litter=texts)


def total(parts: Sequence[Content]) -> Content:
    """All parts together."""
    return Content(
        newest_mtime_ns=max((part.newest_mtime_ns for part in parts), default=LONG_AGO_NS),
        file_count=sum(part.file_count for part in parts),
        size_bytes=sum(part.size_bytes for part in parts),
        files_but_litter=sum(part.files_but_litter for part in parts),
        txt_files_but_litter=sum(part.txt_files_but_litter for part in parts),
        marker=min((part.marker for part in parts if part.marker is not None), default=None),
        trouble=min((part.trouble for part in parts if part.trouble is not None), default=None),
    )


def matches(name: bytes, patterns: tuple[str, ...]) -> bool:
    return _compiled(patterns).match(name.decode("utf-8", "surrogateescape")) is not None


@lru_cache(maxsize=16)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    matches_nothing = "(?!)"
    return re.compile("|".join(translate(pattern) for pattern in patterns) or matches_nothing)


def reason_to_leave_out(content: Content) -> str | None:
    """None when the folder can be archived (PRD 2.1 and decisions, points 4 and 5)."""
    if content.marker is not None:
        return archived_by(content.marker)
    if content.trouble is not None:
        return content.trouble
    if content.file_count == 0:
        return f"{_NOTHING}: it holds no file"
    if content.files_but_litter == 0:
        return f"{_NOTHING}: it holds only what NAS and desktop systems leave behind"
    if content.files_but_litter == 1 and content.txt_files_but_litter == 1:
        return f"{_NOTHING}: it holds only a single .txt file"
    return None


def archived_by(marker: bytes) -> str:
    """The reason to leave a folder out that holds this marker file."""
    return f"{_ARCHIVED}: it holds the marker file '{shown(marker)}'"


def is_passed_over(name: bytes) -> bool:
    """Names at levels 1 to 3 that are no folders of people: `@Recycle`, `.snapshots` and the like."""
    return name.startswith((b".", b"@"))


def unusable_name(name: bytes) -> str | None:
    """Why a folder of this name at level 3 cannot be archived, or None."""
    reason = unusable_characters(name)
    if reason is None and len(name) > _LONGEST_NAME_BYTES:
        reason = f"its name is longer than {_LONGEST_NAME_BYTES} bytes, too long for a marker file: shorten it"
    return reason


def unusable_characters(name: bytes) -> str | None:
    """Why nothing in a folder of this name, at any of the three levels, can be archived, or None.

    Globus forbids line breaks in names and speaks UTF-8 (docs.globus.org, Transfer API, path limitations).
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "its name is not valid UTF-8: rename it"
    for character in text:
        if not character.isprintable():
            called = unicodedata.name(character, "a control or unassigned character")
            return f"its name holds the unprintable U+{ord(character):04X} ({called}): rename it"
    if "\\" in text:
        return "its name holds a backslash, which Globus cannot tell from a separator on every system: rename it"
    return None
