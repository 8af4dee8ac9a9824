"""Settings of the running service itself."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cs_archiver.sections.section import Section
from cs_archiver.setting_types import (
    Days,
    KeyMismatch,
    LocalFile,
    OptionalFolder,
    TrustedPeers,
)


class Checks(Section):
    interval_minutes: Annotated[float, Field(ge=0, le=10_080)] = 5.0
    timeout_seconds: Annotated[float, Field(ge=0.1, le=600)] = 20.0


class Backup(Section):
    folder: OptionalFolder = ""
    hour: Annotated[int, Field(ge=0, le=23)] = 2
    keep: Annotated[int, Field(ge=0, le=10_000)] = 14


class Retention(Section):
    completed_jobs_days: Days = 0.0
    job_logs_days: Days = 0.0


class Log(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: LocalFile = "/var/log/cs-archiver/app.log"
    max_bytes: Annotated[int, Field(ge=1024, le=1024**4)] = 104_857_600
    max_age_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    max_total_bytes: Annotated[int, Field(ge=1024, le=1024**4)] = 1_073_741_824

    @property
    def path(self) -> Path | None:
        return Path(self.file) if self.file else None

    @model_validator(mode="after")
    def _holds_a_few_files(self) -> Self:
        if not self.max_bytes <= self.max_total_bytes <= 1000 * self.max_bytes:
            raise KeyMismatch("max_total_bytes", "from 1 to 1000 times [log] max_bytes")
        return self


class Metrics(Section):
    allowed_networks: TrustedPeers = ("127.0.0.0/8", "::1/128")
