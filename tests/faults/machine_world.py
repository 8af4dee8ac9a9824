"""The world of the state machine: the service on a host, a Globus sandbox, and users with their folders on a NAS.

All of it is driven by one event loop that stands still between two steps, and so do, with it, the sandbox and a
service in this process. A service in a process of its own goes on meanwhile, until it waits for Globus.
"""

import asyncio
import shutil
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner

from cs_archiver.cli import main
from cs_archiver.sandbox import Sandbox
from tests.faults.machine_folder import Folder
from tests.faults.machine_hosts import Host, OwnProcess, ThisProcess
from tests.faults.phases import STRATEGIES
from tests.support.databases import as_version_1
from tests.support.service import Place, environment, sandbox_settings
from tests.support.tampering import plant

SWITCHES = ("copy_compress", "upload", "deletions")
_SETTINGS = {
    "MAX_UPLOAD_RETRIES": "1",
    "MAX_CONNECTION_ERROR_RETRIES": "1",
    "RETRY_DELAY_SECONDS": "0.05",
    "UPLOAD_TASK_POLL_INTERVAL_SECONDS": "0.04",
    "DISK_SPACE_CHECK_INTERVAL_SECONDS": "0.2",
    "GLOBUS_HTTP_TIMEOUT_SECONDS": "0.3",
}
CHOICES: tuple[tuple[Mapping[str, str], ...], ...] = (
    tuple(STRATEGIES.values()),
    ({}, {"COMPRESSION_MODE": "store"}, {"COMPRESSION_MODE": "auto"}),
    ({}, {"VERIFICATION_RECHECK": "metadata"}),
    ({}, {"VERIFICATION_COMPARE_AGAIN": "false"}),
    ({}, {"STORAGE_FAILED_KEEP_DAYS": "0.000001"}),
)
"""Settings of which every run has one of each."""

_SECONDS = 120.0  # of what is under way at once, on a machine that has other things to do
T = TypeVar("T")


class World:
    """Everything outside of the product, and the product on its host; `close` ends all of it.

    `settings` are what a run is about, beside those that every run has.
    """

    def __init__(self, root: Path, names: Sequence[str], zygote: Path | None, settings: Mapping[str, str]) -> None:
        self.place = Place(root).make()
        self.settings = settings
        self.loop = asyncio.new_event_loop()
        self.sandbox = Sandbox(sandbox_settings(self.place, fault_retry_seconds=0.02))
        self.run(self.sandbox.start())
        self.host: Host
        if zygote is None:
            self.host = ThisProcess(self.place, self.sandbox)
        else:
            self.host = OwnProcess(self.place, self.sandbox, zygote)
        self.is_up = False
        self.nas_is_away = False
        self.are_hours_over = False
        self.backup = root / "backup of the database"
        self.snapshot = root / "snapshot of the host"
        self.precious = plant(root / "nas" / "precious")
        aside = root / "nas" / "aside"
        self.folders = {name: Folder(self.place.folder(name), aside, self.precious) for name in names}
        (aside / "2024").mkdir(parents=True)
        self.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, _SECONDS))

    def start(self) -> None:
        self.run(self.host.start(self._settings_now()))
        self.is_up = True

    def _settings_now(self) -> dict[str, str]:
        if not self.are_hours_over:
            return {**_SETTINGS, **self.settings}
        begin, end = (f"{datetime.now().astimezone() + timedelta(hours=hours):%H:%M}" for hours in (2, 3))
        hours = dict.fromkeys(("POLITENESS_COPY_HOURS", "POLITENESS_UPLOAD_HOURS"), f"{begin}-{end}")
        return {**_SETTINGS, **self.settings, **hours}

    @property
    def reads_content_again(self) -> bool:
        """Whether a change is noticed that leaves size and time of modification as they were."""
        return "VERIFICATION_RECHECK" not in self.settings

    @property
    def compares_again(self) -> bool:
        """Whether it is noticed that Globus lies about a file of the right size."""
        return "VERIFICATION_COMPARE_AGAIN" not in self.settings

    def command(self, *words: str) -> bool:
        """What is done by the program itself on the host of the service; whether it did it."""
        config = self.place.root / "config.toml"
        config.touch()
        where = environment(self.place, self.sandbox.url, **self._settings_now())
        done = CliRunner().invoke(main, [*words, "--config", str(config)], env=where)
        assert done.exit_code in (0, 1), (words, done.output, done.exc_info)
        return done.exit_code == 0

    def stop(self) -> None:
        self.is_up = False
        self.run(self.host.stop())

    def kill(self) -> None:
        self.is_up = False
        self.run(self.host.kill())

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        status, body = self.run(self.host.call(method, path, **arguments))
        self._require_sense(status, body)
        return status, body

    def call_twice(self, method: str, path: str, **arguments: Any) -> list[tuple[int, Any]]:
        """The same request from two people at the same moment."""

        async def both() -> list[tuple[int, Any]]:
            return await asyncio.gather(*(self.host.call(method, path, **arguments) for _ in range(2)))

        answers = self.run(both())
        for status, body in answers:
            self._require_sense(status, body)
        return answers

    def _require_sense(self, status: int, body: Any) -> None:
        assert status != 0, "the service died by itself"
        assert status < 500 or (status == 503 and self.nas_is_away), (status, body)

    def move_nas(self, *, leave_an_empty_folder: bool) -> None:
        """The NAS is not mounted: its mount point is missing, or empty."""
        self._rename_nas(self.place.nas, self._nas_away)
        if leave_an_empty_folder:
            self.place.nas.mkdir()
        self.nas_is_away = True

    def bring_nas_back(self) -> None:
        if self.place.nas.exists():
            self.place.nas.rmdir()  # fails if somebody wrote below the mount point
        self._rename_nas(self._nas_away, self.place.nas)
        self.nas_is_away = False

    @property
    def _nas_away(self) -> Path:
        return self.place.nas.with_name("away")

    def _rename_nas(self, before: Path, after: Path) -> None:
        before.rename(after)
        for folder in self.folders.values():
            folder.moved(before, after)

    def end_somehow(self) -> None:
        """As a host ends that is switched off; where the service cannot be killed it is stopped."""
        if self.is_up and self.host.can_be_killed:
            self.kill()
        elif self.is_up:
            self.stop()

    def back_up_database(self) -> bool:
        return self.command("db", "backup", str(self.backup))

    def restore_database(self) -> bool:
        done = self.command("db", "restore", str(self.backup))
        self.backup.unlink()
        return done

    def make_database_old(self) -> None:
        """As if all that it holds had been written by the first version of the program."""
        shutil.rmtree(self.place.database.parent / "backups", ignore_errors=True)
        as_version_1(self.place.database)

    def take_snapshot(self) -> None:
        """Of the disks of the host: the NAS and Globus are elsewhere."""
        for folder in (self.place.database.parent, self.place.storage):
            shutil.copytree(folder, self.snapshot / folder.name, symlinks=True)

    def go_back_to_snapshot(self) -> None:
        for folder in (self.place.database.parent, self.place.storage):
            shutil.rmtree(folder)
            (self.snapshot / folder.name).rename(folder)
        self.snapshot.rmdir()

    def heal(self) -> None:
        """All troubles end, and the service runs, with nothing paused."""
        if self.nas_is_away:
            self.bring_nas_back()
        for folder in self.folders.values():
            folder.thaw()
            if folder.is_swapped:
                folder.swap()
        self.sandbox.faults.clear()
        if self.are_hours_over:
            self.are_hours_over = False
            if self.is_up:
                self.stop()
        if not self.is_up:
            self.start()
        for switch in SWITCHES:
            assert self.call("PUT", f"/api/system/switches/{switch}", json={"paused": False})[0] == 200

    def close(self) -> None:
        try:
            self.host.close()
            for folder in self.folders.values():
                folder.thaw()
            self.sandbox.faults.clear()
            if self.is_up:
                self.stop()
            self.run(self.sandbox.stop())
            left = self.run(self.host.left_behind())
            self.run(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
        assert left == [], f"orphans: {left}"
