"""kill -9 at any moment of an upgrade or a restore: the next start finishes it, and every job is there."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import schema
from cs_archiver.db.backups import Backups
from cs_archiver.db.pauses import NAMES
from cs_archiver.db.restore import finish, is_pending
from cs_archiver.db.upgrade import upgrade, upgrade_copy
from tests.faults.scale import pick
from tests.support.databases import (
    but_for_the_restore,
    layout_of,
    of_version_1,
    paused_in,
    sequence_of,
    tables_of,
    version_of,
)
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(300)

# Beyond what ships: the kinds of step that later versions will need, over rows in every table.
LATER = {
    90: "ALTER TABLE jobs ADD COLUMN note TEXT;\nUPDATE jobs SET note = 'status ' || status;\n"
    "CREATE INDEX jobs_by_note ON jobs (note);\n",
    91: "DROP TRIGGER audit_is_append_only_u;\nCREATE TABLE more (id INTEGER PRIMARY KEY, text TEXT) STRICT;\n"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)\n"
    "INSERT INTO more SELECT i, hex(zeroblob(100)) FROM n;\n",
}
WITHIN_STATEMENTS = pick(6, 2000)
EVERY = pick(8, 1)  # of the points between statements
NEVER, OFTEN = 10**9, 50  # steps of SQLite's machine

Run = Callable[[dict[str, Any]], int]


@pytest.fixture
def run() -> Iterator[Run]:
    argv = [sys.executable, "-m", "tests.faults.upgrade_zygote"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        asked, told = zygote.stdin, zygote.stdout

        def ask(plan: dict[str, Any]) -> int:
            asked.write(json.dumps(plan) + "\n")
            asked.flush()
            return int(told.readline())

        yield ask
        asked.close()


def points(run: Run, plan: Callable[[], dict[str, Any]]) -> list[dict[str, int]]:
    """Before and after statements and changes of a file, in full each; and some within statements, spread evenly."""
    last = _last(run, plan, NEVER)
    within = _last(run, plan, OFTEN)
    spread = sorted({1 + (within - 1) * number // (WITHIN_STATEMENTS - 1) for number in range(WITHIN_STATEMENTS)})
    boundaries = [{"kill": number, "steps": NEVER} for number in range(1, last + 1, EVERY)]
    return [*boundaries, *({"kill": number, "steps": OFTEN} for number in spread)]


def _last(run: Run, plan: Callable[[], dict[str, Any]], steps: int) -> int:
    low, high = 1, 2
    while run({**plan(), "kill": high, "steps": steps}) != 0:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        killed = run({**plan(), "kill": middle, "steps": steps}) != 0
        low, high = (middle, high) if killed else (low, middle)
    return low


def fresh(template: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in template.parent.glob(f"{template.name}*"):
        shutil.copyfile(path, folder / path.name)
    return folder / template.name


def test_a_killed_upgrade_is_finished_by_the_next_start_with_every_job(root: Path, run: Run, count: Count) -> None:
    (root / "template").mkdir()
    template = of_version_1(root / "template" / "cs.db")
    before = tables_of(template)
    migrations = list(schema.MIGRATIONS)
    for version, text in LATER.items():
        script = root / f"{version:04}_later.sql"
        script.write_text(text)
        migrations.append(schema.Migration(version, script))
    whole = fresh(template, root / "whole")
    upgrade(whole, Backups(whole, ""), migrations)
    expected, layout = tables_of(whole), layout_of(whole)
    steps = [1, *(migration.version for migration in migrations)]

    def plan() -> dict[str, Any]:
        database = fresh(template, root / "killed")
        told = [(migration.version, str(migration.script)) for migration in migrations]
        return {"what": "upgrade", "database": str(database), "migrations": told}

    reached: set[int] = set()
    for kill in points(run, plan):
        asked = plan()
        database = Path(asked["database"])
        assert run({**asked, **kill}) == -signal.SIGKILL
        reached.add(version_of(database))
        if version_of(database) == 1:
            assert tables_of(database) == before, "half a step was stored"
        else:
            backups = list((database.parent / "backups").glob("cs.upgrade.v1.*.db"))
            assert [tables_of(backup) for backup in backups] == [before], "changed without a sound backup"
        upgrade(database, Backups(database, str(database.parent / "again")), migrations)
        assert (tables_of(database), layout_of(database)) == (expected, layout)
        count("killed upgrades finished")
    assert reached == set(steps), "every step was killed before and after"


def test_a_killed_restore_leaves_the_one_database_or_the_other_whole(root: Path, run: Run, count: Count) -> None:
    (root / "template").mkdir()
    backup = of_version_1(root / "backup.db")
    template = of_version_1(root / "template" / "cs.db")
    upgraded = Path(shutil.copy(backup, root / "upgraded.db"))
    upgrade_copy(upgraded, schema.MIGRATIONS)
    before = but_for_the_restore(tables_of(upgraded))
    upgrade(template, Backups(template, str(root / "backups")), schema.MIGRATIONS)
    # What the service wrote last, a pause of all deletions too, stands in the -wal file alone, as after a crash.
    connection = sqlite3.connect(template)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("INSERT INTO switches VALUES ('deletions_paused', '2026-01-01T00:00:00.000Z', 'kim')")
    connection.execute("UPDATE jobs SET current_operation = 'written after the backup'")
    connection.execute("UPDATE sqlite_sequence SET seq = 1000 WHERE name = 'uploads'")
    connection.commit()
    present = tables_of(template)
    fresh(template, root / "killed")
    with_wal = root / "with wal"
    shutil.copytree(root / "killed", with_wal)
    connection.close()
    assert (with_wal / "cs.db-wal").stat().st_size > 0
    template = with_wal / "cs.db"

    def plan() -> dict[str, Any]:
        database = fresh(template, root / "killed")
        return {"what": "restore", "database": str(database), "backup": str(backup)}

    ends = set()
    for kill in points(run, plan):
        asked = plan()
        database = Path(asked["database"])
        assert run({**asked, **kill}) == -signal.SIGKILL
        if is_pending(database):
            ends.add("interrupted")
            finish(database)
        found = tables_of(database)
        is_old = found == present
        ends.add("old" if is_old else "new")
        assert is_old or but_for_the_restore(found) == before
        paused = {"deletions_paused"} if is_old else set(NAMES.values())
        assert paused_in(database) == paused, "no pause is ever lifted"
        assert sequence_of(database) == (1000 if is_old else sequence_of(backup))
        if not is_old:
            (kept,) = database.parent.glob("cs.replaced.*.db")
            assert tables_of(kept) == present, "the database before it is kept, with all that was committed"
        with closing(sqlite3.connect(database)) as check:
            assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count("killed restores survived")
    assert ends == {"old", "new", "interrupted"}
