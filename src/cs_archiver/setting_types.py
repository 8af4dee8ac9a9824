"""The kinds of value a setting can have: what is accepted, and the words for it when it is not."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from cs_archiver.domain.hours import Hours
from cs_archiver.domain.notices import Kind


@dataclass(frozen=True, slots=True)
class Variable:
    """Field metadata: the environment variable of a key that does not follow the rule SECTION_KEY."""

    name: str


@dataclass(frozen=True, slots=True)
class Confidential:
    """Field metadata: the value may hold a password, so no message repeats it."""


class KeyMismatch(ValueError):
    """Two keys of a section do not fit together; `key` is the one to correct, the text what it should be."""

    def __init__(self, key: str, expected: str) -> None:
        super().__init__(expected)
        self.key = key


def _expects(expected: str, holds: Callable[[Any], bool]) -> AfterValidator:
    """Refuses a value for which `holds` is false; the text follows the word "expected" in the message."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _is_path(path: str | Path) -> bool:
    return _is_utf8(str(path)) and "\0" not in str(path)


def _is_fixed_path(path: Path) -> bool:
    return _is_path(path) and ".." not in path.parts and path.parts != ()


def _is_signing_key(value: SecretStr) -> bool:
    return not value.get_secret_value() or len(value.get_secret_value().encode()) >= 32


def _is_collection_path(path: str) -> bool:
    return path.startswith("/") and _is_fixed_path(Path(path))


def _is_sqlite_url(url: str) -> bool:
    path = url.removeprefix("sqlite:///")
    return path not in {url, "", "/", ":memory:"} and "?" not in path and _is_path(path)


def _are_some_peers(networks: tuple[str, ...]) -> bool:
    try:
        return all(ip_network(text).prefixlen > 0 for text in networks)
    except ValueError:
        return False


def _are_hours(text: str) -> bool:
    try:
        Hours.parse(text)
    except ValueError:
        return not text
    return True


def _are_urls(value: SecretStr) -> bool:
    urls = value.get_secret_value().split()
    return all(re.match(r"[A-Za-z0-9]+://.", url) for url in urls) and len(set(urls)) == len(urls)


def _lower_uuid(text: str) -> str:
    try:
        return str(UUID(text)) if text else text
    except ValueError as error:
        raise ValueError("a UUID such as 01234567-89ab-cdef-0123-456789abcdef") from error


_WEB_HOST = r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"

Text = Annotated[str, _expects("text in UTF-8 that is not empty", lambda text: text.strip() and _is_utf8(text))]
Secret = Annotated[SecretStr, _expects("text in UTF-8", lambda value: _is_utf8(value.get_secret_value()))]
NoticeUrls = Annotated[
    Secret, _expects("URLs such as mailto://..., blanks or line breaks between them, none of them twice", _are_urls)
]
NoticeKinds = Annotated[
    tuple[str, ...], _expects(f"a list of some of {', '.join(Kind)}", lambda kinds: set(kinds) <= set(Kind))
]
SigningKey = Annotated[Secret, _expects("at least 32 bytes, or nothing to have one made", _is_signing_key)]
LocalFile = Annotated[str, _expects("a path in UTF-8", _is_path)]
AbsolutePath = Annotated[
    Path,
    _expects('an absolute path in UTF-8 without ".."', lambda path: path.is_absolute() and _is_fixed_path(path)),
]
OptionalFolder = Annotated[
    str,
    _expects(
        'nothing, or an absolute path in UTF-8 without ".."',
        lambda path: not path or (path.startswith("/") and _is_fixed_path(Path(path))),
    ),
]
SubFolder = Annotated[Path, _expects('a path, absolute or below [storage] base_path, without ".."', _is_fixed_path)]
CollectionPath = Annotated[
    str, _expects('a path in the collection, starting with "/", without ".."', _is_collection_path)
]
OptionalCollectionPath = Annotated[
    str,
    _expects(
        'nothing, or a path in the collection, starting with "/", without ".."',
        lambda path: not path or _is_collection_path(path),
    ),
]
AlwaysTrue = Annotated[
    bool, _expects("true, since nothing is deleted after a transfer that was not verified", lambda on: on)
]
OptionalUuid = Annotated[str, AfterValidator(_lower_uuid)]
OptionalWebAddress = Annotated[
    str,
    _expects(
        "an address such as https://archiver.example.org or https://tools.example.org/archiver, without a / at the end",
        lambda url: not url or re.fullmatch(_WEB_HOST + r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", url),
    ),
]
OptionalServiceUrl = Annotated[
    str,
    _expects(
        "an address such as http://127.0.0.1:9000/",
        lambda url: not url or re.fullmatch(_WEB_HOST + r"(/[A-Za-z0-9._~/-]*)?", url),
    ),
]
SqliteUrl = Annotated[
    str,
    _expects("sqlite:///relative/path or sqlite:////absolute/path, the only kind there is", _is_sqlite_url),
    Confidential(),
]
NamePatterns = Annotated[
    tuple[str, ...],
    _expects(
        'patterns of file names, none of them empty or with a "/"',
        lambda patterns: all(pattern and "/" not in pattern and _is_path(pattern) for pattern in patterns),
    ),
]
TrustedPeers = Annotated[
    tuple[str, ...],
    _expects('addresses and networks such as "192.0.2.7" and "2001:db8::/64", not all there are', _are_some_peers),
]
OptionalHours = Annotated[
    str, _expects('nothing, or hours of the day such as "22:00-06:00", which may go over midnight', _are_hours)
]
RetryLimit = Annotated[int, Field(ge=0, le=1000)]
Threads = Annotated[int, Field(ge=1, le=256)]
Interval = Annotated[float, Field(ge=0.01, le=86400)]
Days = Annotated[float, Field(ge=0, le=36_500)]
Gigabytes = Annotated[float, Field(ge=0, le=1_000_000_000)]
