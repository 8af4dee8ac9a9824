"""The folders that are measured: media, which does not shrink, text, which does, and a mix of both."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_WORDS = [word * 2 for word in ("scene", "take", "lens", "camera", "sound", "light", "colour", "grade", "cut", "reel")]
_PIECE = 4096


def media(source: random.Random, size: int) -> bytes:
    return source.randbytes(size)


def text(source: random.Random, size: int) -> bytes:
    lines = []
    left = size
    while left > 0:
        words = source.choices(_WORDS, k=8)
        lines.append(f"{source.randrange(10**9)};{' '.join(words)};{source.random():.6f}\n".encode())
        left -= len(lines[-1])
    return b"".join(lines)[:size]


@dataclass(frozen=True, slots=True)
class Case:
    """A folder of so many files of that size, in bytes."""

    kind: str
    files: int
    size: int
    is_media: Callable[[int], bool]

    @property
    def name(self) -> str:
        each = f"{self.size / 1e6:g} MB" if self.size >= 1e6 else f"{self.size / 1e3:g} kB"
        return f"{self.kind}, {self.files:,} {'file' if self.files == 1 else 'files'} of {each}"

    @property
    def megabytes(self) -> float:
        return self.files * self.size / 1e6

    def plant(self, folder: Path) -> None:
        source = random.Random(7)
        sample = text(source, 1 << 20)
        for number in range(self.files):
            path = folder / f"{number // 500:03d}" / f"{number:06d}"
            path.parent.mkdir(exist_ok=True)
            if self.is_media(number):
                path.with_suffix(".mxf").write_bytes(media(source, self.size))
            else:
                path.with_suffix(".xml").write_bytes(_text(source, sample, self.size))


def _text(source: random.Random, sample: bytes, size: int) -> bytes:
    """Large files are pieces of one sample in an order of their own: to write them all would take longer than all."""
    if size <= len(sample) // 16:
        return text(source, size)
    pieces = [sample[start : start + _PIECE] for start in range(0, len(sample), _PIECE)]
    return b"".join(source.choices(pieces, k=size // _PIECE))


_KINDS: Mapping[str, Callable[[int], bool]] = {
    "media": lambda _number: True,
    "text": lambda _number: False,
    "90 % media, 10 % text": lambda number: number % 10 != 0,
}
ONE_SMALL = Case("media", 1, 10_000, _KINDS["media"])


def cases(*, full: bool) -> list[Case]:
    """The first is what a job costs by itself. The others are of 10 large files, or of very many small ones."""
    large, small = (25_000_000, 20_000) if full else (4_000_000, 2_000)
    return [
        ONE_SMALL,
        *(Case(kind, 10, large, is_media) for kind, is_media in _KINDS.items()),
        *(Case(kind, small, 10_000, is_media) for kind, is_media in _KINDS.items()),
    ]
