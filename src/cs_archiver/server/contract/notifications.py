"""How the sending of notifications goes."""

from typing import Annotated, Self

from pydantic import Field

from cs_archiver.server.contract.base import Answer
from cs_archiver.services.notify.notifications import Tested


class NotificationTested(Answer):
    name: Annotated[
        str, Field(description="The number of the URL in the settings, and its scheme.", examples=["1 (mailtos)"])
    ]
    sent: bool
    error: Annotated[str | None, Field(description="Why it was not sent.")]

    @classmethod
    def of(cls, tested: Tested) -> Self:
        return cls(name=tested.name, sent=tested.error is None, error=tested.error)
