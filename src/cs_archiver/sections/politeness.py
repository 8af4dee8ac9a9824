"""Settings of what the service leaves to others on this machine and on the NAS."""

from typing import Annotated, Literal

from pydantic import Field

from cs_archiver.domain.hours import Hours
from cs_archiver.sections.section import Section
from cs_archiver.setting_types import OptionalHours

_MB = 1024**2


class Politeness(Section):
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    io_class: Literal["", "best-effort", "idle"] = ""
    io_level: Annotated[int, Field(ge=0, le=7)] = 7
    copy_limit_mb_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    copy_hours: OptionalHours = ""
    upload_hours: OptionalHours = ""

    @property
    def copy_limit(self) -> float | None:
        """Bytes a second; None: as fast as it goes."""
        return self.copy_limit_mb_per_second * _MB or None

    @property
    def hours_of_copies(self) -> Hours | None:
        return Hours.parse(self.copy_hours) if self.copy_hours else None

    @property
    def hours_of_uploads(self) -> Hours | None:
        return Hours.parse(self.upload_hours) if self.upload_hours else None
