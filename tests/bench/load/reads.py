"""How fast each address is read: alone by a hundred connections without a pause, and all in turn as people read."""

import random
from dataclasses import dataclass
from statistics import median

from tests.bench.frame.rounds import Ratio, in_turns, percentiles, ratio
from tests.bench.load.asks import Ask, Asker
from tests.bench.load.generator import Generator, Outcome
from tests.bench.load.world import Measured

_TURNS = 5  # different addresses that each connection asks for in turn
_WARM_SHARE = 0.1
_BARE_SHARE = 0.4
_PER_SECOND = 0.5  # of each connection, where all addresses are read in turn


@dataclass(frozen=True, slots=True)
class Spread:
    p50_ms: float
    p99_ms: float
    count: int

    @classmethod
    def of(cls, took: list[float]) -> "Spread":
        p50, p99 = percentiles(took, 0.5, 0.99)
        return cls(p50, p99, len(took))


@dataclass(frozen=True, slots=True)
class Alone:
    """One address that a hundred connections ask for without a pause, as milliseconds until the last byte.

    closed: each asks again as soon as it is answered; bare: the same of a handler that does nothing, with as many
    bytes, in turns. `times` is how many requests the bare one answers for one of the service's. cpu_ms is the service's
    time on a processor for each request.
    """

    name: str
    closed: Spread
    bare: Spread
    per_second: float
    times: Ratio
    cpu_ms: float
    length: int


@dataclass(frozen=True, slots=True)
class InTurn:
    """Each address as it is read among all others; and the p99 of all of them together, of either side."""

    of_each: list[Spread]
    p99_ms: float
    bare_p99_ms: float
    ratio: Ratio


class Reader:
    """A hundred connections of the generator, each of a user of its own."""

    def __init__(self, service: Measured, generator: Generator, bare_port: int, askers: list[Asker]) -> None:
        self._service = service
        self._generator = generator
        self._bare_port = bare_port
        self._askers = askers

    async def alone(self, ask: Ask, *, seconds: float, rounds: int) -> Alone:
        """`seconds` are those of all rounds together."""
        length = (await self._run(ask, seconds=seconds * _WARM_SHARE)).length
        busy = [0.0]

        async def of_service() -> Outcome:
            before = self._service.cpu_seconds
            outcome = await self._run(ask, seconds=seconds / rounds)
            busy[0] += self._service.cpu_seconds - before
            return outcome

        async def of_bare() -> Outcome:
            return await self._of_bare(length, seconds * _BARE_SHARE / rounds)

        found = await in_turns(rounds, {"service": of_service, "bare": of_bare})
        mine, bare = found["service"], found["bare"]
        count = sum(len(outcome.took) for outcome in mine)
        return Alone(
            ask.name,
            _spread(mine),
            _spread(bare),
            count / sum(outcome.seconds for outcome in mine),
            ratio([outcome.per_second for outcome in bare], [outcome.per_second for outcome in mine]),
            busy[0] * 1000 / count,
            length,
        )

    async def in_turn(self, asks: list[Ask], lengths: list[int], *, times: int, rounds: int) -> InTurn:
        """All connections ask for all addresses so often, each in an order of its own, a part of it in each round.

        `lengths` are those of the answers, which the bare handler gives too.
        """
        orders = [
            random.Random(number).sample(range(len(asks)), len(asks)) * times for number in range(len(self._askers))
        ]
        each = -(-len(asks) * times // rounds)
        rounds = -(-len(asks) * times // each)  # fewer where there are too few addresses
        took: list[list[float]] = [[] for _ in asks]
        parts = iter(range(rounds)), iter(range(rounds))

        def part_of(number: int) -> list[list[int]]:
            return [order[number * each : (number + 1) * each] for order in orders]

        async def of_service() -> Spread:
            part = part_of(next(parts[0]))
            requests = [
                [asks[which].request(number, self._askers[number]) for which in of_one]
                for number, of_one in enumerate(part)
            ]
            statuses = [[asks[which].status for which in of_one] for of_one in part]
            outcome = await self._in_time(self._service.port, requests, statuses)
            for connection, place, milliseconds in outcome.took:
                took[part[connection][place]].append(milliseconds)
            return _spread([outcome])

        async def of_bare() -> Spread:
            part = part_of(next(parts[1]))
            requests = [[_bare_request(lengths[which]) for which in of_one] for of_one in part]
            statuses = [[200] * len(of_one) for of_one in part]
            return _spread([await self._in_time(self._bare_port, requests, statuses)])

        found = await in_turns(rounds, {"service": of_service, "bare": of_bare})
        mine, bare = ([spread.p99_ms for spread in found[side]] for side in ("service", "bare"))
        return InTurn([Spread.of(of_one) for of_one in took], median(mine), median(bare), ratio(mine, bare))

    async def _in_time(self, port: int, requests: list[list[bytes]], statuses: list[list[int]]) -> Outcome:
        seconds = len(requests[0]) / _PER_SECOND
        return await self._generator.run(port, requests, statuses, seconds=seconds, per_second=_PER_SECOND)

    async def _run(self, ask: Ask, *, seconds: float) -> Outcome:
        requests = [
            [ask.request(number * _TURNS + turn, asker) for turn in range(_TURNS)]
            for number, asker in enumerate(self._askers)
        ]
        statuses = [[ask.status] * _TURNS for _ in self._askers]
        return await self._generator.run(self._service.port, requests, statuses, seconds=seconds)

    async def _of_bare(self, length: int, seconds: float) -> Outcome:
        connections = len(self._askers)
        requests = [[_bare_request(length)]] * connections
        return await self._generator.run(self._bare_port, requests, [[200]] * connections, seconds=seconds)


def _bare_request(length: int) -> bytes:
    return f"GET /{length} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _spread(outcomes: list[Outcome]) -> Spread:
    return Spread.of([took for outcome in outcomes for _, _, took in outcome.took])
