"""What signals do before the service listens to them itself, in the second that it takes to import."""

import os
import signal
from threading import Thread


def expect() -> None:
    """Until an event loop takes the signals over: SIGTERM and SIGINT end the process with 0, SIGHUP does nothing.

    A thread does it, as Python calls no handler while the main thread waits, for a NAS that hangs say. Nothing has
    begun by then that `kill -9` would harm.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever rotates logs sends it; there is no log yet to open anew
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)  # an event loop puts its own there
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Thread(target=_end, args=(reading,), name="a signal while starting", daemon=True).start()


def _end(reading: int) -> None:
    os.read(reading, 1)
    os._exit(0)
