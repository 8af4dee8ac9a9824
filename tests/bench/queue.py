"""The durable queue beside plain sqlite3: the same statements, the same pragmas, each commit as durable."""

import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cs_archiver.clock import now_text
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import BUSY, WAITING, JobStatus, WorkerName
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Spent, in_turns, ratio, spent
from tests.bench.load.seed import seed
from tests.support.jobs import job_row, submit

_PRAGMAS = ("busy_timeout = 5000", "foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL")
_THERE_AND_BACK = (JobStatus.COPYING, JobStatus.QUEUED)
_LINE = "Copied 1 of 3 files of Project 000001 Interviews, 118.2 MB/s"
_COLUMNS = ", ".join(Job._fields)

Operations = Mapping[str, Callable[[], Awaitable[object]]]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Ended jobs in the database, and how often each operation is done in each round."""

    jobs: int
    times: int


_QUICK = _Scale(10_000, 50)
_FULL = _Scale(100_000, 300)


async def of_product(database: Database) -> Operations:
    queue, jobs = Queue(database), Jobs(database)
    names, percents, there = itertools.count(), _percents(), itertools.cycle(_THERE_AND_BACK)
    job = await submit(database, "Moved")

    async def move() -> None:
        nonlocal job
        job = await queue.move(job, next(there), {"progress_percent": 0, "current_operation": "Moved"})

    return {
        "submit": lambda: submit(database, f"New {next(names)}"),
        "claim": lambda: queue.next_for(WorkerName.LOCAL),
        "move": move,
        "checkpoint": lambda: queue.checkpoint(job, progress_percent=next(percents), current_operation="Copying"),
        "log line": lambda: jobs.log(job.id, LogLevel.INFO, _LINE),
    }


class Plain:
    """The statements of db/queue.py and db/jobs.py, written out for sqlite3."""

    def __init__(self, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._names, self._percents = itertools.count(), _percents()
        self._states = itertools.cycle(_THERE_AND_BACK)
        self._status: str = JobStatus.QUEUED
        self._id = self._insert("Moved")

    def operations(self) -> Operations:
        works = {
            "submit": lambda: self._insert(f"New {next(self._names)}"),
            "claim": self._claim,
            "move": self._move,
            "checkpoint": self._checkpoint,
            "log line": self._log,
        }
        return {name: _awaitable(work) for name, work in works.items()}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        yield
        self._writer.execute("COMMIT")

    def _insert(self, name: str) -> str:
        with self._transaction():
            ((seq,),) = self._writer.execute("SELECT coalesce(max(seq), 0) + 1 FROM jobs")
            row = {**job_row(name), "seq": seq, "status": JobStatus.QUEUED, "created_at": now_text()}
            marks = ", ".join(f":{key}" for key in row)
            self._writer.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", row)
            self._read(row["id"])
        return str(row["id"])

    def _read(self, job_id: str) -> None:
        self._writer.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchall()

    def _claim(self) -> None:
        self._reader.execute("BEGIN")
        for states in (list(BUSY[WorkerName.LOCAL]), [WAITING[WorkerName.LOCAL]]):
            marks = ", ".join("?" * len(states))
            query = f"SELECT {_COLUMNS} FROM jobs WHERE status IN ({marks}) ORDER BY seq LIMIT 1"
            if self._reader.execute(query, states).fetchall():
                break
        self._reader.execute("ROLLBACK")

    def _move(self) -> None:
        to = next(self._states)
        with self._transaction():
            self._writer.execute(
                "UPDATE jobs SET status = ?, step_started_at = ?, not_before = NULL, connection_retries = 0,"
                " progress_percent = 0, current_operation = 'Moved'"
                " WHERE id = ? AND status = ? AND cancel_requested_by IS NULL",
                (to, now_text(), self._id, self._status),
            )
            self._read(self._id)
        self._status = to

    def _checkpoint(self) -> None:
        with self._transaction():
            self._writer.execute(
                "UPDATE jobs SET progress_percent = ?, current_operation = 'Copying' WHERE id = ? AND status = ?",
                (next(self._percents), self._id, self._status),
            )
            self._read(self._id)

    def _log(self) -> None:
        with self._transaction():
            self._writer.execute(
                "INSERT INTO job_logs (job_id, timestamp, level, message) VALUES (?, ?, ?, ?)",
                (self._id, now_text(), LogLevel.INFO, _LINE),
            )


def _percents() -> Iterator[int]:
    """Another one each time: SQLite writes nothing where nothing changes."""
    return itertools.cycle(range(100))


def _awaitable(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return work()

    return run


@contextmanager
def plain_in(path: Path) -> Iterator[Plain]:
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        for pragma in _PRAGMAS:
            writer.execute(f"PRAGMA {pragma}")
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            yield Plain(writer, reader)


async def compared(order: Order, scale: _Scale, root: Path) -> dict[str, dict[str, list[Spent]]]:
    """Of each operation, what each side took for all its times in each round."""
    mine, bare = root / "product.db", root / "plain.db"
    seed(bare, jobs=scale.jobs, lines=scale.jobs)
    shutil.copy(bare, mine)
    database = await Database.open(mine, read_connections=2)
    try:
        with plain_in(bare) as plain:
            sides = {"product": await of_product(database), "plain": plain.operations()}
            found = {}
            for name in sides["product"]:
                turns = {side: _repeated(operations[name], scale.times) for side, operations in sides.items()}
                found[name] = await in_turns(order.rounds, turns)
                order.tell(" | ".join(_row(name, found[name], scale.times)))
    finally:
        await database.close()
    assert _left(mine) == _left(bare), "the two sides did not do the same"
    return found


def _repeated(operation: Callable[[], Awaitable[object]], times: int) -> Callable[[], Awaitable[Spent]]:
    async def run() -> Spent:
        with spent() as found:
            for _ in range(times):
                await operation()
        return found

    return run


def _left(path: Path) -> list[tuple[Any, ...]]:
    """What may be compared of a database after all operations."""
    queries = (
        "SELECT seq, folder_name, status, progress_percent, current_operation FROM jobs ORDER BY seq",
        "SELECT from_status, to_status FROM job_history ORDER BY id",
        "SELECT level, message FROM job_logs ORDER BY id",
    )
    with closing(sqlite3.connect(path)) as connection:
        return [row for query in queries for row in connection.execute(query)]


def _row(name: str, found: dict[str, list[Spent]], times: int) -> list[str]:
    mine, bare = found["product"], found["plain"]
    wall, busy = ([getattr(one, kind) for one in mine] for kind in ("wall", "busy"))
    bare_wall, bare_busy = ([getattr(one, kind) for one in bare] for kind in ("wall", "busy"))
    return [
        name,
        f"{times / median(wall):,.0f}",
        f"{times / median(bare_wall):,.0f}",
        str(ratio(wall, bare_wall)),
        f"{median(busy) / times * 1000:.2f} ms",
        f"{median(bare_busy) / times * 1000:.2f} ms",
    ]


def _share(runs: list[Spent]) -> str:
    return f"{median(run.busy / run.wall for run in runs):.0%}"


_HEADS = ("Operation", "a second", "plain sqlite3", "time, product / plain", "on a processor", "plain sqlite3")


async def _measure(order: Order) -> Findings:
    scale = _FULL if order.full else _QUICK
    with tempfile.TemporaryDirectory(prefix="bench-queue-") as root:
        found = await compared(order, scale, Path(root))
    rows = [_row(name, of_one, scale.times) for name, of_one in found.items()]
    moves = found["move"]
    wall = [[one.wall for one in moves[side]] for side in ("product", "plain")]
    claim = Claim(
        f"queue: moves of a job a second, {scale.jobs:,} jobs",
        "",
        f"{scale.times / median(wall[0]):,.0f} against {scale.times / median(wall[1]):,.0f}",
        f"{ratio(*wall)} of the time",
        None,
    )
    return Findings(
        [claim],
        f"""Baseline: the statements of the same transactions by Python's sqlite3, without SQLAlchemy, event loop and
threads, with the same pragmas (`synchronous = FULL`: each commit is durable). Both begin with {scale.jobs:,} ended
jobs, and both must leave the same rows. {scale.times} times each in every round, one after the other.

{table(_HEADS, rows)}

What bounds it: a move has a processor for {_share(moves["product"])} of its time, that of plain sqlite3 for
{_share(moves["plain"])}. The rest is the wait for the disk, which makes each commit durable on both sides, and for a
processor that other programs have.""",
    )


BENCHMARK = Benchmark("queue", "The queue", _measure, versions=("SQLite", "SQLAlchemy", "aiosqlite"))
