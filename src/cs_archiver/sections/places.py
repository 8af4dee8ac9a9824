"""Settings of the folders on the NAS and on this machine."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from cs_archiver.sections.section import Section
from cs_archiver.setting_types import (
    AbsolutePath,
    Gigabytes,
    Interval,
    KeyMismatch,
    NamePatterns,
    SubFolder,
    Threads,
    Variable,
)


class Qnap(Section):
    base_path: AbsolutePath = Path("/mnt/qnap/CitySpace Tech Team")
    timeout_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 20.0


class Storage(Section):
    base_path: AbsolutePath = Path("/storage")
    temp_path: SubFolder = Path("temp")
    archives_path: SubFolder = Path("archives")
    failed_path: SubFolder = Path("failed")
    failed_keep_days: Annotated[float, Field(ge=0, le=36_500)] = 30.0

    @property
    def temp_dir(self) -> Path:
        return self.base_path / self.temp_path

    @property
    def archives_dir(self) -> Path:
        return self.base_path / self.archives_path

    @property
    def failed_dir(self) -> Path:
        return self.base_path / self.failed_path

    @model_validator(mode="after")
    def _apart_and_below(self) -> Self:
        if self.base_path not in self.archives_dir.parents:
            raise KeyMismatch("archives_path", "a folder below [storage] base_path, which is what Globus shows")
        folders = {
            "temp_path": self.temp_dir,
            "archives_path": self.archives_dir,
            "failed_path": self.failed_dir,
        }
        for key, folder in folders.items():
            others = [other for name, other in folders.items() if name != key]
            if folder == self.base_path or any(folder in (other, *other.parents) for other in others):
                raise KeyMismatch(key, "a folder of its own, in which no other folder of [storage] lies")
        return self


class DiskSpace(Section):
    min_free_gb: Annotated[Gigabytes, Variable("MIN_FREE_SPACE_GB")] = 10.0
    check_interval_seconds: Interval = 60.0


class Discovery(Section):
    threads: Threads = 32
    marker_patterns: NamePatterns = (".archived", "*-ARCHIVED-TO-GLOBUS.txt")
    litter_patterns: NamePatterns = (".@__thumb", "@eaDir", ".DS_Store", "Thumbs.db", "._*")
