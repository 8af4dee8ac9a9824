"""Settings of the copy, the archive and their verification."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cs_archiver.sections.section import Section
from cs_archiver.setting_types import (
    Gigabytes,
    KeyMismatch,
    Threads,
)

GB = 1024**3


class Copy(Section):
    small_below_gb: Gigabytes = 1.0
    medium_below_gb: Gigabytes = 100.0
    large_below_gb: Gigabytes = 1000.0
    threads: Threads = 4

    @property
    def small_below_bytes(self) -> int:
        return int(self.small_below_gb * GB)

    @property
    def medium_below_bytes(self) -> int:
        return int(self.medium_below_gb * GB)

    @property
    def large_below_bytes(self) -> int:
        return int(self.large_below_gb * GB)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.medium_below_gb < self.small_below_gb:
            raise KeyMismatch("medium_below_gb", "no less than [copy] small_below_gb")
        if self.large_below_gb < self.medium_below_gb:
            raise KeyMismatch("large_below_gb", "no less than [copy] medium_below_gb")
        return self


class Compression(Section):
    mode: Literal["fast", "auto", "store"] = "fast"
    size_estimate_ratio: Annotated[float, Field(ge=0.01, le=2)] = 0.7


class Verification(Section):
    recheck: Literal["hash", "metadata"] = "hash"
    size_tolerance_percent: Annotated[float, Field(ge=0, le=10)] = 1.0
    compare_again: bool = True
