"""Moving and reading bytes in threads: in chunks, at a shared rate, stoppable between chunks."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

CHUNK_BYTES = 1 << 20
SMALLEST_CHUNK_BYTES = 4096
STEPS_PER_SECOND = 20


class Stopped(Exception):
    """The task was canceled, or the sandbox is stopping."""


class RateLimit:
    """Bytes per second shared by all threads that copy; None is no limit."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def chunk_bytes(self) -> int:
        if self._bytes_per_second is None:
            return CHUNK_BYTES
        return min(CHUNK_BYTES, max(SMALLEST_CHUNK_BYTES, self._bytes_per_second // STEPS_PER_SECOND))

    def wait_for(self, size_bytes: int, stopping: threading.Event) -> None:
        """Blocks until these bytes may pass; raises Stopped when told to stop meanwhile."""
        delay = 0.0
        if self._bytes_per_second is not None:
            with self._lock:
                start = max(self._free_at, time.monotonic())
                self._free_at = start + size_bytes / self._bytes_per_second
                delay = self._free_at - time.monotonic()
        if stopping.wait(delay) if delay > 0 else stopping.is_set():
            raise Stopped


def copy_file(
    source: str,
    destination: str,
    *,
    rate: RateLimit,
    stopping: threading.Event,
    progress: Callable[[int], None],
    flip_a_bit: bool = False,
) -> int:
    """Copies under the final name, as Globus does, and returns the size in bytes.

    Raises Stopped, leaving what was written so far, and OSError. With `flip_a_bit` the copy is wrong.
    """
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    copied_bytes = 0
    with open(source, "rb") as reader, open(destination, "wb") as writer:
        for chunk in _chunks(reader.read, rate.chunk_bytes):
            rate.wait_for(len(chunk), stopping)
            writer.write(flipped(chunk) if flip_a_bit else chunk)
            flip_a_bit = False
            copied_bytes += len(chunk)
            progress(len(chunk))
    return copied_bytes


def digest_file(path: str, algorithm: str, stopping: threading.Event) -> str:
    """The digest read from the file now, in lower-case hexadecimal; raises Stopped and OSError."""
    digest = hashlib.new(algorithm.lower(), usedforsecurity=False)
    with open(path, "rb") as reader:
        for chunk in _chunks(reader.read, CHUNK_BYTES):
            if stopping.is_set():
                raise Stopped
            digest.update(chunk)
    return digest.hexdigest()


def digests_of_both(source: str, destination: str, algorithm: str, stopping: threading.Event) -> tuple[str, str]:
    """As digest_file of each; both at the same time, since the endpoint of either side reads its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="globus-sandbox") as other_side:
        arrived = other_side.submit(digest_file, destination, algorithm, stopping)
        return digest_file(source, algorithm, stopping), arrived.result()


def flip_bit_in_place(path: str) -> None:
    with open(path, "r+b") as file:
        middle = os.fstat(file.fileno()).st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(flipped(byte))


def flipped(chunk: bytes) -> bytes:
    return bytes([chunk[0] ^ 1]) + chunk[1:] if chunk else chunk


def _chunks(read: Callable[[int], bytes], size_bytes: int) -> Iterator[bytes]:
    while chunk := read(size_bytes):
        yield chunk
