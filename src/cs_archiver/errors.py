"""The few kinds of failure a caller can act on, told apart where the outside world is touched.

Catch by what to do next: correct the request, try again, give up, or call the operator. The message
always says what happened, to what, and what to do.
"""


class ArchiverError(Exception):
    """Root of everything this package raises on purpose."""


class InvalidRequest(ArchiverError):
    """The request must be corrected; nothing was changed.

    `problem` is the stable name of the failure: the last part of the `type` in RFC 9457 answers.
    """

    status = 422

    def __init__(self, problem: str, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.members = members


class NotFound(InvalidRequest):
    """What was named is not there, or is not a discovered folder."""

    status = 404


class Conflict(InvalidRequest):
    """The request is sound, but the present state forbids it."""

    status = 409


class NotAuthenticated(InvalidRequest):
    """No token, or one that no longer counts."""

    status = 401


class Forbidden(InvalidRequest):
    """Known, but not allowed."""

    status = 403


class ConfigError(ArchiverError):
    """The configuration cannot be used; the message is one line that names the key and what is expected."""


class JobError(ArchiverError):
    """A stage of a job failed; what follows depends on the subclass. `problem` as in InvalidRequest."""

    def __init__(self, detail: str, *, problem: str = "job-failed") -> None:
        super().__init__(detail)
        self.problem = problem


class Temporary(JobError):
    """The same attempt may succeed later; counts against the retries of its kind of operation.

    `start_over`: what this stage was given is itself in doubt, so the attempt begins further back.
    """

    def __init__(self, detail: str, *, problem: str = "job-failed", start_over: bool = False) -> None:
        super().__init__(detail, problem=problem)
        self.start_over = start_over


class ConnectionTrouble(Temporary):
    """Network or service out of reach: retried under the limit for connection errors."""


class Permanent(JobError):
    """Trying again would fail again: the job fails at once, the source stays as it is."""


class NeedsOperator(JobError):
    """Only a person can mend this; the job keeps its state, burns no retry and goes on when it is mended."""


class NotYet(JobError):
    """Nothing went wrong, but the stage cannot begin now: the job waits, and `detail` says for what."""


class Halted(NotYet):
    """Somebody told it to wait, or the hours do: `until`, a moment in UTC, or None for as long as they say."""

    def __init__(self, detail: str, *, problem: str, until: str | None = None) -> None:
        super().__init__(detail, problem=problem)
        self.until = until


class DiskFull(JobError):
    """The local disk filled up: no failure of the job, which waits in the queue for space."""


class NoRoom(DiskFull):
    """The same, seen before anything was written: the job has filled nothing."""


class JobMovedMeanwhile(ArchiverError):
    """A compare-and-set found the job in another state than expected; nothing was changed."""
