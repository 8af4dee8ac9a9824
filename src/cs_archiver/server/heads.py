"""How much of a head is kept before it is whole: the library bounds its lines, and how many, which makes a megabyte."""

from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader
from aiohttp.http_exceptions import BadHttpMessage

LONGEST_HEAD_BYTES = 32 * 1024

_END = b"\r\n\r\n"


class BoundedHeads:
    """The parser of one connection, with this bound."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._body: StreamReader = EMPTY_PAYLOAD  # of the newest request
        self._kept = 0

    def feed_data(self, data: bytes) -> Any:
        """Raises BadHttpMessage as the parser does, and where a head becomes too long."""
        begun, of_the_body = self._body.is_eof(), _fed(self._body)
        messages, upgraded, tail = self._parser.feed_data(data)
        if messages:
            self._body = messages[-1][1]
            self._kept = len(data) - (data.rfind(_END) + len(_END)) - _fed(self._body)
        elif begun:
            self._kept += len(data)
        else:
            self._kept = len(data) - (_fed(self._body) - of_the_body)
        if self._kept > LONGEST_HEAD_BYTES and self._body.is_eof() and not upgraded:
            raise BadHttpMessage("the head of a request is too long")
        return messages, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def _fed(body: StreamReader) -> int:
    return 0 if body is EMPTY_PAYLOAD else body.total_raw_bytes
