"""The one interface through which a message leaves this machine."""

from typing import Protocol

from cs_archiver.domain.notices import Message


class NotSent(Exception):
    """A message was not taken; the text says why on one printable line, without a secret."""


class Notifier(Protocol):
    """One place that messages go to.

    The contract of `send`: it ends within a minute, whatever the other side does; it has then handed the message
    over, or raises NotSent and nothing else; cancelled, it ends within seconds and leaves nothing running; it
    takes memory and time of this process for no more than the message itself.
    """

    @property
    def name(self) -> str:
        """For logs and pages: never the same twice, and without a secret."""
        ...

    async def send(self, message: Message) -> None:
        """Try once."""
        ...
