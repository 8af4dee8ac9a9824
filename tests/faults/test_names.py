"""Names are raw bytes: any that Linux allows goes into the archive and comes back out of it, bit by bit.

Each archive holds hundreds of files, folders and links with random names of 1 to 255 bytes, at the top and several
folders deep, drawn mostly from the kinds that break careless tools. It goes through the whole product, and stock
7-Zip gives everything back. The names of the three levels themselves, which go through Globus, JSON and a marker's
name, are either refused with a reason, before anything happens, or go through just as well.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.oracle import Oracle, contents, is_marker
from tests.faults.phases import STRATEGIES
from tests.faults.scale import pick
from tests.support.service import Service, running_service
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(300)

NAMES_AN_ARCHIVE = 500
ARCHIVES = pick(10, 400)
LEVEL_NAMES_A_CASE = 16
LEVEL_CASES = pick(2, 60)
LONGEST = 255

Kind = Callable[[Random], bytes]


def _letters(random: Random, most: int = 12) -> bytes:
    return bytes(random.choices(b"abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", k=random.randint(1, most)))


def _raw(random: Random, most: int = 40) -> bytes:
    return random.randbytes(random.randint(1, most)).translate(None, b"/\0") or b"?"


def _between(random: Random, *pieces: bytes) -> bytes:
    """One of the pieces at the beginning, in the middle or at the end of plain letters."""
    piece = random.choice(pieces)
    head, tail = _letters(random), _letters(random)
    return random.choice((piece + tail, head + piece, head + piece + tail, piece))


def _scalar(random: Random) -> str:
    number = random.choice((random.randrange(0x80, 0x800), random.randrange(0x800, 0xD800), random.randrange(1 << 16)))
    return chr(number + 0x10000 * random.randrange(16)) if not 0xD800 <= number < 0xE000 else "\uffff"


def _escape_of_7zip(random: Random) -> bytes:
    """A byte that is no text, and the private character by which 7-Zip may stand for it."""
    byte = random.randrange(0x80, 0x100)
    return random.choice((bytes([byte]), chr(0xEF00 + byte).encode(), chr(0xF000 + byte % 0x80).encode()))


def _twin(random: Random) -> bytes:
    """From so few that many of them differ in composition or case alone."""
    text = "".join(random.choices("éÉèñÅaA가", k=3))
    return unicodedata.normalize(random.choice(("NFC", "NFD", "NFC", "NFD")), text).encode()


KINDS: tuple[Kind, ...] = (
    _raw,
    _raw,
    lambda random: _raw(random, LONGEST),
    lambda random: _raw(random, 2),
    lambda random: bytes(random.choices(range(0x80, 0x100), k=random.randint(1, 8))),
    lambda random: _between(random, *(bytes([number]) for number in range(1, 0x20)), b"\x7f", b"\xc2\x85"),
    lambda random: _between(random, b"\n", b"\n\n", b"\r\n", b"\nPath = x\nSize = 1", b"\nCRC = DEADBEEF"),
    lambda random: random.choice((b" ", b"  ", b"\t", b"\xc2\xa0")) + _letters(random) + random.choice((b"", b" ")),
    lambda random: _letters(random) + random.choice((b" ", b"  ", b".", b"..", b". ", b" .", b"...")),
    lambda random: random.choice((b"-", b"--", b"-o", b"-sdel", b"-r", b"-si", b"-x!", b"-i@")) + _letters(random),
    lambda random: random.choice((b"-", b"--", b"...", b"*", b"?", b"~", b"@", b"\\", b":", b"%", b".. ", b". "))
    + random.choice((b"", b"", _letters(random))),
    lambda random: _between(random, b"*", b"?", b"[a]", b"{a,b}", b"*.mov", b"!", b"^"),
    lambda random: b"@" + _letters(random),
    lambda random: _between(random, b":", b"C:", b"host:", b"::", b"rsync:", b"x:y:z"),
    lambda random: _between(random, b"\\", b"..\\", b"\\..\\", b"C:\\", b"\\\\?\\", b"\\x41"),
    lambda random: _letters(random) * LONGEST,
    lambda random: _scalar(random).encode() * LONGEST,
    lambda random: "".join(_scalar(random) for _ in range(random.randint(1, 20))).encode(),
    lambda random: "".join(random.choices("אבגدهوab\u202e\u202d\u200f\u200b\ufeff", k=8)).encode(),
    lambda random: _between(random, b"\xed\xa0\x80", b"\xed\xb2\xa9", b"\xed\xa0\xbd\xed\xb2\xa9", b"\xf0\x9f\x92\xa9"),
    lambda random: _between(random, b"\xc0\xaf", b"\xc0\x80", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80", b"\xf0\x9f\x92"),
    _escape_of_7zip,
    _twin,
    _twin,
    lambda random: bytes(random.choices(b"aAbB", k=4)),
    lambda random: _letters(random) + random.choice((b".partial", b".tmp", b".7z", b".tar.7z", b".001", b".sha256")),
    lambda random: _letters(random) + b"-ARCHIVED-TO-GLOBUS.txt",
    lambda random: random.choice((b".archived", b".@__thumb", b"@eaDir", b".DS_Store", b"Thumbs.db", b"._a", b"._")),
    lambda random: random.choice((b".cs-archiver-", b".cs-archiver-probe-", b".cs-archiver.lock")) + _letters(random),
    lambda random: random.choice((b"CON", b"nul", b"aux.txt", b"COM1", b"desktop.ini", b"$(touch hit)", b"`id`")),
    lambda random: _between(random, b"'", b'"', b"''", b"%s%n", b"$HOME", b"&", b"|", b";", b"<>", b"\x1b[31m"),
)  # fmt: skip


def random_name(random: Random) -> bytes:
    while True:
        name = random.choice(KINDS)(random)[: random.choice((LONGEST, LONGEST, LONGEST, 60))]
        if name not in (b"", b".", b".."):
            return name


class Planter:
    """Fills a folder with entries of random names, each counted once."""

    def __init__(self, folder: Path, random: Random) -> None:
        self._random = random
        self._top = os.fsencode(folder)
        self._folders = [self._top]
        self._names: dict[bytes, list[bytes]] = {}
        self.planted = 0
        for name in (b"so that", b"it is archived"):
            self._file(os.path.join(self._top, name))

    def fill(self, number: int) -> None:
        while self.planted < number:
            folder, name = self._random.choice(self._folders), random_name(self._random)
            at_top = folder == self._top
            if at_top and (name == b".archived" or is_marker(name)):
                continue  # such a folder is archived already
            path = os.path.join(folder, name)
            if not os.path.lexists(path):
                self._plant(path)
                self._names.setdefault(folder, []).append(name)
                self.planted += 1

    def _plant(self, path: bytes) -> None:
        what = self._random.random()
        if what < 0.15 and path.count(b"/") < self._top.count(b"/") + 5:
            os.mkdir(path)
            self._folders.append(path)
        elif what < 0.3:
            os.symlink(self._target(os.path.dirname(path)), path)
        else:
            self._file(path)

    def _target(self, folder: bytes) -> bytes:
        """An entry of the same folder, or nothing."""
        names = self._names.get(folder, [])
        return self._random.choice(names) if names and self._random.random() < 0.7 else random_name(self._random)

    def _file(self, path: bytes) -> None:
        with open(path, "xb") as file:
            file.write(self._random.randbytes(self._random.choice((0, 1, 30))))


@pytest.mark.parametrize("seed", range(ARCHIVES))
async def test_whatever_bytes_a_name_is_made_of_it_comes_back_out_of_the_archive(
    seed: int, root: Path, count: Count
) -> None:
    random = Random(seed)
    strategy = list(STRATEGIES)[seed % len(STRATEGIES)]
    async with running_service(root, **STRATEGIES[strategy]) as service:
        folder = service.place.folder(f"names {seed}")
        planter = Planter(folder, random)
        planter.fill(NAMES_AN_ARCHIVE)
        oracle = Oracle(folder)
        assert len(oracle.expected) == NAMES_AN_ARCHIVE + 2

        job = await service.archive(folder)

        assert job["status"] == "completed", job
        assert oracle.losses(service.place.remote) == []
        assert oracle.is_archived_and_gone(service.place.remote)
        assert working_files(service) == []
    count("raw-byte names through archive and back", planter.planted)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("seed", range(LEVEL_CASES))
async def test_a_folder_of_whatever_name_is_archived_or_refused_with_a_reason(
    seed: int, level: int, root: Path, count: Count
) -> None:
    random = Random(1000 * level + seed)
    names = {random_name(random)[:250] for _ in range(LEVEL_NAMES_A_CASE)}
    async with running_service(root) as service:
        folders = [plant_at(service, level, name) for name in sorted(names)]
        oracles = {folder: Oracle(folder) for folder in folders}
        listed = [found["path"] for found in await service.discover()]
        told = (await service.call("GET", "/api/folders/left-out"))[1]
        for folder in folders:
            if str(folder) in listed:
                job = await service.archive(folder)
                assert job["status"] == "completed", job
                assert oracles[folder].is_archived_and_gone(service.place.remote), folder
            else:
                await require_refused(service, folder)
        for folder, oracle in oracles.items():
            assert oracle.losses(service.place.remote) == []
            assert str(folder) in listed or oracle.missing() == []
        assert len(told) + len(listed) + passed_over(names) == len(names)
        assert all(entry["reason"] for entry in told)
        assert working_files(service) == []
    count("names of the three levels archived", len(listed))
    count("names of the three levels refused", len(names) - len(listed))


def plant_at(service: Service, level: int, name: bytes) -> Path:
    """A folder of two files whose own name, or that of its shelf or its share, is this one."""
    names = ["Production", "2024", "Project"]
    names[level - 1] = os.fsdecode(name)
    folder = service.place.folder(names[2], names[0], names[1])
    for number in range(2):
        (folder / f"{number}.mov").write_bytes(name + b"%d" % number)
    return folder


async def require_refused(service: Service, folder: Path) -> None:
    """Asking for it all the same is answered as something that cannot be, and says why."""
    text = os.fsencode(folder).decode("utf-8", "replace")
    status, body = await service.call("POST", "/api/jobs", json={"folder_path": text})
    assert status in (404, 409, 422), body
    assert body["detail"]


def passed_over(names: set[bytes]) -> int:
    """Those that are no folders of people, so that nobody is told of them."""
    return sum(name.startswith((b".", b"@")) for name in names)


def working_files(service: Service) -> list[bytes]:
    """Files left where copies and archives are made; the service's own few lie beside those folders."""
    storage = service.place.storage
    found = [path for place in ("temp", "archives", "failed") for path, _ in contents(storage / place)]
    return found + [os.fsencode(path) for path in storage.glob("*.partial")]
