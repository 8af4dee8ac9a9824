"""Settings of what is told to people who do not watch."""

from typing import Annotated

from pydantic import Field, SecretStr

from cs_archiver.domain.notices import Kind
from cs_archiver.sections.section import Section
from cs_archiver.setting_types import LocalFile, NoticeKinds, NoticeUrls


class Notify(Section):
    """`urls` holds what stands in `urls_file`, if that is given."""

    urls: NoticeUrls = SecretStr("")
    urls_file: LocalFile = ""
    events: NoticeKinds = ("failed", "needs_attention", "disk_low", "queue_stuck", "digest")
    queue_stuck_hours: Annotated[float, Field(ge=0.0001, le=8760)] = 12.0
    digest_hour: Annotated[int, Field(ge=0, le=23)] = 7

    @property
    def targets(self) -> tuple[str, ...]:
        """The URLs one by one, as apprise takes them."""
        return tuple(self.urls.get_secret_value().split())

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(Kind(event) for event in self.events)
