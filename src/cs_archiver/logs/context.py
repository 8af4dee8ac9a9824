"""What a log line is about: the job, the user and the request that are being served where it is written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})
_ORDER = ("job", "user", "request")

_fields: ContextVar[Mapping[str, str]] = ContextVar("fields of the log", default=_NOTHING)


@contextmanager
def about(*, job: str = "", user: str = "", request: str = "") -> Iterator[None]:
    """Every line that is logged within bears these fields, and those that were set around it.

    Tasks that are begun within keep them for as long as they run. Values must hold no blanks.
    """
    before = _fields.set(_with(job=job, user=user, request=request))
    try:
        yield
    finally:
        _fields.reset(before)


def from_here(*, job: str = "", user: str = "") -> None:
    """As `about`, from now on until the `about` around it ends."""
    _fields.set(_with(job=job, user=user))


def fields() -> str:
    """`job=... user=... request=... `, as far as they are known here, always in this order."""
    known = _fields.get()
    return "".join(f"{name}={known[name]} " for name in _ORDER if name in known)


def _with(**more: str) -> Mapping[str, str]:
    return {**_fields.get(), **{name: value for name, value in more.items() if value}}
