"""Checks the whole installation: each look has its time, and what was found is kept for whoever asks."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from cs_archiver.clock import now_text
from cs_archiver.domain.checks import Checked, Finding, Verdict
from cs_archiver.errors import ArchiverError
from cs_archiver.tools.threads import OneAtATime, begin

_SECONDS_OF_A_DAY = 24 * 60 * 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """One check and how it is made; `advice` is given where it fails without saying what to do.

    `advice_on_silence` is given instead where no answer comes, if that calls for something else.
    """

    name: str
    title: str
    make: Callable[[], Awaitable[Finding]]
    advice: str
    advice_on_silence: str = ""

    async def checked(self, timeout_seconds: float) -> Checked:
        """Never raises, and takes little longer than the time it is given."""
        try:
            async with asyncio.timeout(timeout_seconds):
                finding = await self.make()
        except TimeoutError:
            advice = self.advice_on_silence or self.advice
            finding = Finding(Verdict.UNKNOWN, f"no answer within {timeout_seconds:g} s", advice)
        except ArchiverError as error:
            found, _, advice = str(error).rpartition("; ")
            finding = Finding(Verdict.FAILED, found or advice, advice if found else self.advice)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
            finding = Finding(Verdict.FAILED, what, self.advice)
        except Exception as error:  # noqa: BLE001  (one defect must not hide what the other checks find)
            _log.exception("the check %r is defective", self.name)
            finding = Finding(Verdict.UNKNOWN, f"the check itself failed ({type(error).__name__})", "see the log")
        return Checked(self.name, self.title, finding, now_text())

    def not_made(self, why: str) -> Checked:
        return Checked(self.name, self.title, Finding(Verdict.UNKNOWN, f"not checked, because {why}"), now_text())


def on_thread(function: Callable[[], Finding]) -> Callable[[], Awaitable[Finding]]:
    """As `make` of a look: a function that may hang for good, on a thread; only one of it hangs."""
    return asked(OneAtATime(lambda: begin(function)))


def asked(question: OneAtATime[Finding]) -> Callable[[], Awaitable[Finding]]:
    """As `make` of a look: it goes on being answered when the time of the look is over."""

    async def make() -> Finding:
        return await asyncio.shield(question.answer())

    return make


MakeRound = Callable[[bool], Awaitable[Sequence[Checked]]]
"""Makes every check once and never raises; told whether to take the time for a thorough look."""


class Checks:
    """The newest results; made in the background, or when somebody asks for new ones."""

    def __init__(self, make_round: MakeRound) -> None:
        self.latest: Sequence[Checked] = ()
        self._make_round = make_round
        self._round: asyncio.Task[Sequence[Checked]] | None = None
        self._background: asyncio.Task[None] | None = None

    @property
    def troubles(self) -> list[Checked]:
        return [check for check in self.latest if check.is_trouble]

    async def renew(self, *, is_thorough: bool = True) -> Sequence[Checked]:
        """New results; those of the round that is being made, if there is one."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._renewed(is_thorough), name="checks")
        return await asyncio.shield(self._round)

    def start(self, interval_seconds: float) -> Self:
        """Look once now and then every so often, until `close`."""
        self._background = asyncio.create_task(self._keep_looking(interval_seconds), name="checks in the background")
        return self

    async def close(self) -> None:
        tasks = {task for task in (self._background, self._round) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _renewed(self, is_thorough: bool) -> Sequence[Checked]:
        before = {check.name: check.finding.verdict for check in self.latest}
        self.latest = await self._make_round(is_thorough)
        for check in self.latest:
            if check.is_trouble and check.finding.verdict is not before.get(check.name):
                _log.warning("check: %s", check.warning)
        return self.latest

    async def _keep_looking(self, interval_seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        thorough_next = clock() + _SECONDS_OF_A_DAY  # the start was thorough with the database
        while True:
            is_thorough = clock() >= thorough_next
            if is_thorough:
                thorough_next = clock() + _SECONDS_OF_A_DAY
            await self.renew(is_thorough=is_thorough)
            await asyncio.sleep(interval_seconds)
