"""What a route is: who may call it, what goes in, what comes out, and how it can be refused."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from aiohttp import web

from cs_archiver.db.accounts import User
from cs_archiver.server.contract.base import Body, Query
from cs_archiver.server.keys import TOKEN, USER

JSON = "application/json"

_Query = TypeVar("_Query", bound=Query | None)
_Body = TypeVar("_Body", bound=Body | None)
_Service = TypeVar("_Service")


class Who(StrEnum):
    """Who may call a route; each includes those below it."""

    ANYONE = "anyone"
    NEWCOMER = "newcomer"  # signed in, also with a password that must be changed first
    USER = "user"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a personal API token needs; each includes those above it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Call(Generic[_Query, _Body]):
    """A request whose sender was admitted, with its query and body as the route's models made them."""

    request: web.Request
    query: _Query
    body: _Body

    @property
    def user(self) -> User:
        """Who calls. Only on routes that are not open to anyone."""
        return self.request[USER]

    @property
    def token(self) -> str:
        """What the caller showed. Only on routes that are not open to anyone."""
        return self.request[TOKEN]

    def service(self, key: web.AppKey[_Service]) -> _Service:
        return self.request.app[key]

    def in_path(self, name: str) -> str:
        """What stands in the path for `{name}`."""
        return self.request.match_info[name]


Bare = Call[Query, None]
"""A call that takes neither parameters nor a body."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`value` as the route's answer declares it; None for no content."""

    value: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call[Any, Any]], Awaitable[Reply | web.StreamResponse]]
"""A StreamResponse is sent as it is: for pages, files, and answers of another media type than JSON."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the URL table.

    scope: what a personal API token needs; None where tokens may not call.
    query: None where any parameter is let pass, as on pages for people.
    answer: the type of the JSON in the answer; None for no content.
    problems: what this route can be refused for beyond what follows from `who`, `query` and `body`.
    """

    method: str
    path: str
    handler: Handler
    who: Who
    scope: Scope | None
    summary: str
    query: type[Query] | None = Query
    body: type[Body] | None = None
    answer: Any = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    problems: tuple[str, ...] = ()

    @property
    def operation_id(self) -> str:
        return f"{self.tag}_{self.handler.__name__}"

    @property
    def tag(self) -> str:
        return self.handler.__module__.rpartition(".")[2]
