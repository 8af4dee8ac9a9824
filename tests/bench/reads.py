"""How often each byte of a job is read, and by whom: counted by strace, in the kernel's own numbers."""

import asyncio
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from cs_archiver.sandbox import Sandbox
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.planted import media, text
from tests.support.service import Place, Service, environment, sandbox_settings

_TOOLS = {"rsync": "rsync", "dd": "dd", "7z": "7-Zip", "7zz": "7-Zip", "7za": "7-Zip"}
_READS = "read,readv,pread64,preadv,preadv2,sendfile,copy_file_range,splice"
_NAME = re.compile(r"(?P<resumed><\.\.\. )?(?P<call>\w+)")
_FILE = re.compile(r"\d+<([^>]*)>")
_RESULT = re.compile(r" = (\d+)$")
_LEAST = 0.005
_BY = {"rsync": {"COPY_SMALL_BELOW_GB": "0"}}
_BY["dd"] = {**_BY["rsync"], "COPY_MEDIUM_BELOW_GB": "0"}
_BY["parallel threads"] = {**_BY["dd"], "COPY_LARGE_BELOW_GB": "0"}
_CLIP, _TEXTS, _TEXT = 12 << 20, 8, 264_000
_SECONDS = 300
_PARTS = ("source", "copy", "archive")

_WHY = (
    (
        "source, while it is copied",
        "no; where the product copies, its digests are of these very bytes, so that they need no other read",
    ),
    (
        "source, before the deletion",
        'no: it proves that what is deleted is what was archived. `recheck = "metadata"` leaves it out where the '
        "product copied; after rsync and dd it comes right after the copy instead",
    ),
    (
        "copy, by the product",
        "is, where the product copies; rsync and dd know no digest, so each file of their copy is read once it is "
        "whole, while they copy the rest. Beside dd, the product copies and hashes itself what is below 1 MiB. `auto` "
        "reads samples",
    ),
    ("copy, by 7-Zip", "no; its CRC32 is held against that of the source"),
    (
        "archive, by 7-Zip, and once by the product",
        "`7z t` gives no digest of the archive, and the product does not unpack: two reads, but at the same time, so "
        "that the second finds the bytes in memory. The listing reads the headers alone. Where `auto` packs in two "
        "runs, the second reads again what the first wrote, which are the files that shrink",
    ),
    (
        "archive, once more by the product",
        "no: Globus compared the destination with the archive as it was at the upload, and this proves that it still "
        "is the one that was tested",
    ),
)


class Case(NamedTuple):
    """How one job is done: the title, and the settings that make it so."""

    title: str
    settings: Mapping[str, str]


_CASES = (
    *(Case(f"shutil, `{mode}`", {"COMPRESSION_MODE": mode}) for mode in ("fast", "store", "auto")),
    *(Case(f"{way}, `fast`", settings) for way, settings in _BY.items()),
    Case('rsync, `fast`, `recheck = "metadata"`', {**_BY["rsync"], "VERIFICATION_RECHECK": "metadata"}),
)


class Reader(NamedTuple):
    """Who read what: `what` is a part of the world, `who` a tool or the product."""

    what: str
    who: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Bytes that calls gave back, and the size of what they were read from, in bytes."""

    read: Counter[Reader]
    size: Mapping[str, int]

    def times(self, what: str, who: str) -> float:
        return self.read[Reader(what, who)] / self.size[what]

    def said(self, what: str) -> str:
        readers = sorted(reader.who for reader in self.read if reader.what == what)
        return ", ".join(f"{who} {self.times(what, who):.2f}" for who in readers if self.times(what, who) >= _LEAST)

    def in_all(self, what: str) -> float:
        return sum(count for reader, count in self.read.items() if reader.what == what) / self.size[what]


class _Trace:
    """Sums up what strace wrote with -f, -y and -Y; a call may stand in two lines, with others between."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._open: dict[str, str] = {}
        self.read: Counter[Reader] = Counter()

    def take(self, line: str) -> None:
        caller, _, call = line.partition(" ")
        name = _NAME.match(call)
        if name is None:
            return
        if name["resumed"]:
            what = self._open.pop(caller, None)
        else:
            files = _FILE.findall(call)
            what = self._part(files[name["call"] == "sendfile"]) if files else None
        if what is None:
            return
        if call.endswith("<unfinished ...>"):
            self._open[caller] = what
        elif (count := _RESULT.search(call)) is not None:
            comm = caller.partition("<")[2].rstrip(">")
            self.read[Reader(what, _TOOLS.get(comm, "product"))] += int(count[1])

    def _part(self, path: str) -> str | None:
        if path.startswith(f"{self._place.nas}/"):
            return "source"
        if path.startswith(f"{self._place.storage}/"):
            return "archive" if ".7z" in path else "copy"
        return None


def _plant(folder: Path) -> int:
    """A clip that does not shrink and a few texts; gives back their size in bytes."""
    source = random.Random(7)
    (folder / "clip.mxf").write_bytes(media(source, _CLIP))
    for number in range(_TEXTS):
        (folder / f"notes {number}.xml").write_bytes(text(source, _TEXT))
    return sum(path.stat().st_size for path in folder.iterdir())


@asynccontextmanager
async def _traced(place: Place, sandbox: Sandbox, into: Path, settings: Mapping[str, str]) -> AsyncIterator[Service]:
    values = environment(place, sandbox.url, **settings)
    strace = ("strace", "-f", "-y", "-Y", "-qq", "-s", "0", "--seccomp-bpf", "-e", f"trace={_READS}", "-o", str(into))
    process = await asyncio.create_subprocess_exec(
        *strace, sys.executable, "-m", "cs_archiver", "serve",
        env={"PATH": os.environ["PATH"], **values}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            while b"is ready" not in (line := await process.stdout.readline()):
                assert line, "the service did not start"
        async with aiohttp.ClientSession() as session:
            service = Service(place, sandbox, f"http://127.0.0.1:{values['PORT']}", session)
            await service.sign_in()
            yield service
    finally:
        for traced in psutil.Process(process.pid).children():  # strace ends when all is written down
            traced.terminate()
        await process.wait()


async def counted(case: Case) -> Counted:
    """One job, from the sign-in to its end, by a service that is traced; the sandbox is not."""
    with tempfile.TemporaryDirectory(prefix="bench-reads-") as root:
        place, trace = Place(Path(root) / "world").make(), Path(root) / "trace"
        folder = place.folder()
        size = _plant(folder)
        async with (
            Sandbox(sandbox_settings(place)) as sandbox,
            _traced(place, sandbox, trace, case.settings) as service,
        ):
            job_id = await service.submit(folder) if await service.discover() else ""
            job = await service.until(job_id, seconds=_SECONDS)
            assert job["status"] == "completed", await service.log_of(job_id)
            archive = place.archive_of(folder).stat().st_size
        found = _Trace(place)
        with trace.open() as lines:
            for line in lines:
                found.take(line.rstrip("\n"))
        return Counted(found.read, {"source": size, "copy": size, "archive": archive})


def _claims(found: Mapping[str, Counted]) -> list[Claim]:
    """Of the default: its source twice, as the deletion is to be proven; its copy once, by 7-Zip."""
    by_default = found[_CASES[0].title]
    most = {"source": 2, "copy": 1, "archive": 3}
    return [
        Claim(
            f"times that each byte of the {what} is read by the product and its tools, by default, in a folder "
            "up to 1 GB",
            f"<= {times}",
            by_default.said(what),
            f"{by_default.in_all(what):.2f}",
            None if by_default.in_all(what) <= times + _LEAST else "see below who reads it",
        )
        for what, times in most.items()
    ]


async def _measure(order: Order) -> Findings:
    found: dict[str, Counted] = {}
    for case in _CASES:
        found[case.title] = await counted(case)
        order.tell(" | ".join([case.title, *(found[case.title].said(what) for what in _PARTS)]))
    rows = [[title, *(of_one.said(what) for what in _PARTS)] for title, of_one in found.items()]
    return Findings(
        _claims(found),
        f"""One job each, of a clip of {_CLIP >> 20} MiB that does not shrink and {_TEXTS} texts of {_TEXT // 1000} kB,
by a service under `strace`, which writes down what each call that reads gave back. The figures are those bytes, of all
files of the kind, by the size of these; what is below {_LEAST} (times, headers) is left out. What Globus reads is its
own.

{table(("Copied by, `[compression] mode`", "Source", "Copy", "Archive"), rows)}

{table(("Read", "Could it be left out?"), _WHY)}""",
    )


BENCHMARK = Benchmark(
    "reads", "How often each byte is read", _measure, versions=("7-Zip", "rsync", "coreutils"), in_rounds=False
)
