"""What is told to people who do not watch: the kinds of news, and one piece of it as plain text."""

from dataclasses import dataclass
from enum import StrEnum

from cs_archiver.domain.text import escaped

_LONGEST_NAME = 200


class Kind(StrEnum):
    """What can be told; each can be switched off in the settings."""

    FAILED = "failed"
    NEEDS_ATTENTION = "needs_attention"
    DISK_LOW = "disk_low"
    QUEUE_STUCK = "queue_stuck"
    COMPLETED = "completed"
    DIGEST = "digest"


class Tone(StrEnum):
    """How grave it is, in the words that notification services have for it."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """`subject` is one line; both are text that anything can show, made of `shown` names."""

    subject: str
    body: str
    tone: Tone = Tone.INFO


def shown(text: str) -> str:
    """A name or a reason on one line: no character of it can break a mail, or pass for another text."""
    line = escaped(text)
    return line if len(line) <= _LONGEST_NAME else f"{line[:_LONGEST_NAME]}..."
