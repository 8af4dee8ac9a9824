"""What was told already, in a small file beside the database: after a restart nothing is told twice."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cs_archiver.domain.notices import Kind, Message


class Told(BaseModel):
    """A condition of which people know that it has begun: what to call it, and since when."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    what: str
    since: str


class State(BaseModel):
    """`outcomes`: of each kind the number of the last end of a job that was told; `conditions` by their keys.

    `unsent`: by the names of notifiers, the oldest first.
    """

    model_config = ConfigDict(extra="forbid")

    outcomes: dict[Kind, int] = {}
    conditions: dict[str, Told] = {}
    digest_at: str | None = None
    unsent: dict[str, list[Message]] = {}


class StateFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> State | None:
        """None when there is none yet. Raises OSError, and ValueError when it cannot be understood."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return State.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(f"{self._path} is not a file of what was told") from error

    def write(self, content: bytes) -> None:
        """In one piece, so that whatever ends the service leaves the old content or the new. Raises OSError."""
        new = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, self._path)
