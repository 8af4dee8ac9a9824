"""The checks of this machine: configuration, tools, folders, space, database and its backups."""

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from cs_archiver import config
from cs_archiver.db import schema
from cs_archiver.db.health import hash_to_be_changed, health_of
from cs_archiver.domain import checks
from cs_archiver.domain.checks import INSTALL_SEVEN_ZIP, TOOL_IS_SILENT, DatabaseFacts, Finding, Verdict
from cs_archiver.services.accounts import FIRST_PASSWORD, FIRST_USERNAME
from cs_archiver.services.backup_checks import backups_look
from cs_archiver.services.checks import Look, on_thread
from cs_archiver.services.folder_checks import nas_look, space_look, storage_look
from cs_archiver.services.passwords import matches
from cs_archiver.settings import Settings
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.disk import mount_of, place_of
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.sevenzip import SevenZip

_SAMPLED_FOLDERS = 20
_CONFIGURATION = "correct the configuration file or the environment variable"


class HostChecks:
    """One for the life of the process, so that what hangs is not asked twice."""

    def __init__(self, settings: Settings, processes: Processes) -> None:
        self._settings = settings
        self._processes = processes
        self._is_thorough = True
        self._looks = (
            Look("configuration", "Configuration", on_thread(self._configuration), _CONFIGURATION),
            Look("user", "User", on_thread(_user), "run it as the user of the service"),
            Look("seven_zip", "7-Zip", self._seven_zip, INSTALL_SEVEN_ZIP, TOOL_IS_SILENT),
            Look("rsync", "rsync", self._rsync, "install the package rsync, 3.4.1 or newer", TOOL_IS_SILENT),
            Look("dd", "dd", self._dd, "install the package coreutils", TOOL_IS_SILENT),
            nas_look(settings, sampled_folders=_SAMPLED_FOLDERS),
            storage_look(settings),
            space_look(settings),
            Look("database", "Database", on_thread(self._database), "check the disk of [database] url"),
            backups_look(settings),
            Look("first_account", "First account", on_thread(self._first_account), "check the disk of [database] url"),
        )

    def looks(self, *, is_thorough: bool) -> Sequence[Look]:
        """`is_thorough`: with a look at every page of the database."""
        self._is_thorough = is_thorough
        return self._looks

    def _configuration(self) -> Finding:
        config.check_globus(self._settings)
        config.check_files(self._settings, place_of)
        found = config.open_file_of_secrets(self._settings)
        if found is not None:
            return Finding(Verdict.WARNING, f"others may read the secrets in {found}", "chmod o= on it")
        return Finding(Verdict.OK, f"complete ({self._settings.origin.file})")

    async def _seven_zip(self) -> Finding:
        return checks.seven_zip(await SevenZip(self._processes).reported_version())

    async def _rsync(self) -> Finding:
        return checks.rsync(await Rsync(self._processes).version())

    async def _dd(self) -> Finding:
        return checks.dd(await Dd(self._processes).version())

    def _database(self) -> Finding:
        path = self._settings.database.path
        mount = mount_of(path.parent)
        facts = DatabaseFacts(mount, schema.VERSION, is_whole=self._is_thorough, is_shown=self._is_shown(path))
        if not mount.is_network:  # nothing is read there that may hang or lie
            health = health_of(path, is_whole=self._is_thorough)
            facts = facts._replace(version=health.version, damage=health.damage, is_private=health.is_private)
        return checks.database(facts)

    def _is_shown(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._settings.storage.base_path))

    def _first_account(self) -> Finding:
        path = self._settings.database.path
        if mount_of(path.parent).is_network:
            return Finding(Verdict.UNKNOWN, "not checked, because the database lies on a network")
        known = hash_to_be_changed(path, FIRST_USERNAME)
        return checks.first_account(
            FIRST_USERNAME, has_known_password=known is not None and matches(known, FIRST_PASSWORD)
        )


def _user() -> Finding:
    return checks.user(psutil.Process().username(), is_root=os.geteuid() == 0)
