"""What a route is: who may call it, what goes in, what comes out, and how it can be refused."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from aiohttp import hdrs, web

from cs_archiver.db.accounts import User
from cs_archiver.domain.access import Scope
from cs_archiver.errors import NotFound
from cs_archiver.server.contract.base import Body, Query
from cs_archiver.server.contract.forms import Form
from cs_archiver.server.keys import CALLER, IS_BY_COOKIE, OUTCOMES, TARGET, TOKEN, USER
from cs_archiver.services.accounts import Caller

JSON = "application/json"

_Query = TypeVar("_Query", bound=Query | None)
_Body = TypeVar("_Body", bound=Body | Form | None)
_Service = TypeVar("_Service")


class Who(StrEnum):
    """Who may call a route; each includes those below it."""

    ANYONE = "anyone"
    NEWCOMER = "newcomer"  # signed in, also with a password that must be changed first
    ENROLLING = "enrolling"  # with a password of one's own, also where a second factor is needed and missing
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Call(Generic[_Query, _Body]):
    """A request whose sender was admitted, with its query and body as the route's models made them.

    who: whom the route is for.
    """

    request: web.Request
    query: _Query
    body: _Body
    who: Who

    @property
    def user(self) -> User:
        """Who calls. Only on routes that are not open to anyone."""
        return self.request[USER]

    @property
    def token(self) -> str:
        """What the caller showed. Only on routes that are not open to anyone."""
        return self.request[TOKEN]

    @property
    def caller(self) -> Caller:
        """By what the user calls. Only on routes that are not open to anyone."""
        return self.request[CALLER]

    @property
    def is_by_cookie(self) -> bool:
        """Whether a browser's cookie says who calls. Only on routes that are not open to anyone."""
        return self.request[IS_BY_COOKIE]

    def concerns(self, target: str) -> None:
        """What the audit trail says this was done to; without it, what stands in the path."""
        self.request[TARGET] = target

    def came_out(self, outcomes: Sequence[tuple[str, str]]) -> None:
        """What came of each of several targets, "ok" or a problem's name: each is a line of the audit trail."""
        self.request[OUTCOMES] = outcomes

    def service(self, key: web.AppKey[_Service]) -> _Service:
        return self.request.app[key]

    def in_path(self, name: str) -> str:
        """What stands in the path for `{name}`."""
        return self.request.match_info[name]

    def number_in_path(self, name: str) -> int:
        """Raises NotFound, named after the parameter, for what cannot be an id."""
        text = self.in_path(name)
        if not re.fullmatch(r"[0-9]{1,18}", text):
            kind = name.removesuffix("_id")
            raise NotFound(f"{kind}-not-found", f"There is no {kind} of this id.")
        return int(text)


Bare = Call[Query, None]
"""A call that takes neither parameters nor a body."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the route's answer declares, as JSON already: for long lists, since to check each line would hold up others.

    Tests hold every answer against what is declared.
    """

    content: bytes

    @classmethod
    def list_of(cls, lines: Iterable[str]) -> "Made":
        return cls(f"[{','.join(lines)}]".encode())


@dataclass(frozen=True, slots=True)
class Reply:
    """`value` as the route's answer declares it, or Made of it; None for no content."""

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
    deed: how the audit trail calls it, where that is not its operation id: a page does what the API does.
    is_sensitive: whoever is signed in must have shown the password within the last minutes (services.accounts.RECENT).
    is_for_monitors: the addresses of [metrics] allowed_networks may call it without signing in.
    is_for_all: whoever may call it gets the same, at the same address and as JSON: those who ask at once share it.
    """

    method: str
    path: str
    handler: Handler
    who: Who
    scope: Scope | None
    summary: str
    query: type[Query] | None = Query
    body: type[Body | Form] | None = None
    answer: Any = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    problems: tuple[str, ...] = ()
    deed: str = ""
    is_sensitive: bool = False
    is_for_monitors: bool = False
    is_for_all: bool = False

    @property
    def takes_form(self) -> bool:
        return self.body is not None and issubclass(self.body, Form)

    @property
    def takes_no_body(self) -> bool:
        """Whether a body is refused. Pages for people let it pass, as they do with parameters they do not know."""
        is_for_people = self.query is None or self.query.model_config.get("extra") == "ignore"
        return self.body is None and not is_for_people

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing. What is not safe stands in the audit trail, and is closed to other sites."""
        return self.method == hdrs.METH_GET

    @property
    def takes_token_in_query(self) -> bool:
        return self.query is not None and "token" in self.query.model_fields

    @property
    def operation_id(self) -> str:
        return f"{self.tag}_{self.handler.__name__}"

    @property
    def tag(self) -> str:
        return self.handler.__module__.rpartition(".")[2]
