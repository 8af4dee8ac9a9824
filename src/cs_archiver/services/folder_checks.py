"""The checks of the folders that no job can do without: the NAS, the storage folder, and the space there."""

import os
from functools import partial
from pathlib import Path

import psutil

from cs_archiver import config
from cs_archiver.domain import checks
from cs_archiver.domain.checks import Finding
from cs_archiver.errors import NeedsOperator
from cs_archiver.services.checks import Look, on_thread
from cs_archiver.settings import Settings
from cs_archiver.tools.disk import free_bytes, mount_of, place_of
from cs_archiver.tools.nas import nas_facts

_THE_DISK = "check the disk of [storage] base_path, and that the service's user may write there"


def nas_look(settings: Settings, *, sampled_folders: int) -> Look:
    """Of so many folders it is found out whether they may be changed."""
    make = on_thread(partial(_nas, settings, sampled_folders))
    return Look(
        "nas", "NAS folder", make, "check the NAS, the network, the mount, and what the service's user may do there"
    )


def storage_look(settings: Settings) -> Look:
    return Look("storage", "Storage folder", on_thread(partial(_storage, settings)), _THE_DISK)


def space_look(settings: Settings) -> Look:
    return Look("space", "Disk space", on_thread(partial(_space, settings)), _THE_DISK)


def _nas(settings: Settings, sampled_folders: int) -> Finding:
    config.check_nas(settings)
    return checks.nas(nas_facts(settings.qnap.base_path, settings.storage.base_path, sampled_folders))


def _storage(settings: Settings) -> Finding:
    config.check_storage(settings, place_of)
    return checks.storage(mount_of(settings.storage.base_path))


def _space(settings: Settings) -> Finding:
    usage = psutil.disk_usage(os.fspath(settings.storage.base_path))
    return checks.space(
        free_bytes=usage.free,
        total_bytes=usage.free + usage.used,
        min_free_gb=settings.disk_space.min_free_gb,
        others=[(what, _free(folder, setting)) for what, folder, setting in _others(settings)],
    )


def _others(settings: Settings) -> list[tuple[str, Path, str]]:
    log, database = settings.log.path, settings.database.path
    of_log = [("the log", log.parent, "[log] file")] if log else []
    return [("the database", database.parent, "[database] url"), *of_log]


def _free(folder: Path, setting: str) -> int:
    try:
        return free_bytes(os.fspath(folder))
    except OSError as error:
        advice = f"check that the folder of {setting} is there, and that the service's user may write there"
        raise NeedsOperator(f"{folder}: {error.strerror}; {advice}") from error
