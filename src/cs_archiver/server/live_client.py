"""What waits to be sent to one client of the live updates, in order, bounded, and without what is out of date."""

import asyncio
import math
import time
from collections import OrderedDict
from typing import NamedTuple

from cs_archiver.domain.events import SessionEnded, UserEnded
from cs_archiver.server.contract.live import numbered

_MOST_WAITING = 2000  # messages: twice what the bus holds back, so that no burst ends who reads


class News(NamedTuple):
    """A message for all clients; what waits of the same `subject` and `stage` is out of date with it."""

    body: bytes
    subject: str | None = None
    stage: str = ""


class Closing(NamedTuple):
    """Why a connection ends: a WebSocket close code, and words for who reads them."""

    code: int
    reason: str


LEFT = Closing(1000, "")
STOPPING = Closing(1001, "the service is stopping")
NOT_UNDERSTOOD = Closing(1003, "messages from clients are not understood here")
DEFECT = Closing(1011, "a defect of the server")
TRY_AGAIN = Closing(1013, "the database is out of reach: try again later")
TOO_SLOW = Closing(4408, "too slow: messages were not read in time")


class Client:
    """One connection as the hub sees it: offering never waits, and one who lags too far behind is ended."""

    def __init__(self, user_id: int, credential: str) -> None:
        """`credential` as in services.accounts.Caller."""
        self.user_id = user_id
        self._credential = credential
        self.doubted = asyncio.Event()  # whether its session still counts must be asked anew
        self._waiting: OrderedDict[int, News] = OrderedDict()
        self._newest: dict[str, int] = {}  # of each subject, which of those that wait
        self._offered = 0
        self._seq = 0
        self._sending_since = math.inf
        self._filled = asyncio.Event()
        self._closing: Closing | None = None
        self._ended = asyncio.Event()

    def is_of(self, event: SessionEnded | UserEnded) -> bool:
        """Whether this says that the client may be signed in no longer."""
        if isinstance(event, UserEnded):
            return event.user_id == self.user_id
        return event.credential == self._credential

    @property
    def is_ended(self) -> bool:
        return self._closing is not None

    def offer(self, news: News) -> None:
        if self._closing is not None:
            return
        if news.subject is not None:
            self._leave_out_older(news.subject, news.stage)
        if len(self._waiting) >= _MOST_WAITING:
            self.end(TOO_SLOW)
            return
        self._offered += 1
        self._waiting[self._offered] = news
        if news.subject is not None:
            self._newest[news.subject] = self._offered
        self._filled.set()

    def start_over(self, snapshot: News) -> None:
        """With the snapshot, all that waits is out of date."""
        self._waiting.clear()
        self._newest.clear()
        self.offer(snapshot)

    async def next(self) -> bytes:
        """The next message as it is sent."""
        self._sending_since = math.inf
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        number, news = self._waiting.popitem(last=False)
        if news.subject is not None and self._newest[news.subject] == number:
            del self._newest[news.subject]
        self._seq += 1
        self._sending_since = time.monotonic()
        return numbered(news.body, self._seq)

    def end_if_stuck(self, since: float) -> None:
        """End it if what `next` gave was not sent since this moment of time.monotonic."""
        if self._sending_since < since:
            self.end(TOO_SLOW)

    def end(self, closing: Closing) -> None:
        """The first reason stands."""
        if self._closing is None:
            self._closing = closing
            self._waiting.clear()
            self._newest.clear()
            self._ended.set()

    async def ended(self) -> Closing:
        while self._closing is None:
            await self._ended.wait()
        return self._closing

    def _leave_out_older(self, subject: str, stage: str) -> None:
        # Only of the same stage: each state a job went through is told, however short it was.
        number = self._newest.get(subject)
        if number is not None and self._waiting[number].stage == stage:
            del self._waiting[number]
