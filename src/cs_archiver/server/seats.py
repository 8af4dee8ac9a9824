"""Which connections are open, and which of them wait for a whole request: whoever asks for nothing has to go first."""

from collections.abc import Callable


class Seat:
    """The place of one connection; `hang_up` ends it at once, whatever was still to be sent."""

    def __init__(self, hang_up: Callable[[], object]) -> None:
        self.hang_up = hang_up


class Seats:
    """Those that wait are kept in the order in which they began to."""

    def __init__(self) -> None:
        self._taken: set[Seat] = set()
        self._waiting: dict[Seat, None] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, hang_up: Callable[[], object]) -> Seat:
        """For a connection that is new, and so waits for its first request."""
        seat = Seat(hang_up)
        self._taken.add(seat)
        self._waiting[seat] = None
        return seat

    def works(self, seat: Seat) -> None:
        """A request has come whole and is being answered."""
        self._waiting.pop(seat, None)

    def waits(self, seat: Seat) -> None:
        """It is answered, and the next may come; or its head has come, and its body may."""
        self._waiting.pop(seat, None)
        if seat in self._taken:
            self._waiting[seat] = None

    def leave(self, seat: Seat) -> None:
        self._taken.discard(seat)
        self._waiting.pop(seat, None)

    def free_one(self) -> bool:
        """Hang up on who has waited longest for a request; False where everybody is being answered."""
        seat = next(iter(self._waiting), None)
        if seat is None:
            return False
        self.leave(seat)
        seat.hang_up()
        return True
