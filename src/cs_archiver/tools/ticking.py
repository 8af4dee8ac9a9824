"""Does something again and again beside what blocks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, do: Callable[[], None], *, grace_seconds: float) -> Iterator[None]:
    """Does it on a thread of its own as often as this, and once more at the end, which may take `grace_seconds`.

    One that hangs for longer, as at a NAS that does not answer, is left behind.
    """
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(seconds):
            do()
        do()

    thread = threading.Thread(target=tick, name="ticking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(grace_seconds)
