"""What samples of real kinds of files come to: the verdict is that of 7-Zip's own method, at a tenth of its cost."""

import bz2
import math
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from cs_archiver.domain.packing import SAMPLE_BYTES, families, shrinks
from cs_archiver.tools.sampling import compressed, sample_families
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import scan_tree

_NOISE = random.Random(3)
_WORDS = ["scene", "take", "lens", "camera", "sound", "light", "colour", "grade", "cut", "reel"]


def _noise(size: int) -> bytes:
    return _NOISE.randbytes(size)


def _text(size: int) -> bytes:
    return " ".join(_NOISE.choices(_WORDS, k=size // 4)).encode()[:size]


def _sound(size: int) -> bytes:
    """PCM of 16 bit: a tone with noise in its lower bits."""
    tones = (int(9000 * math.sin(number / 17)) + _NOISE.randrange(-200, 200) for number in range(size // 2))
    return b"RIFF" + b"".join(struct.pack("<h", tone) for tone in tones)


def _picture(size: int) -> bytes:
    """An uncompressed one: a gradient with noise."""
    return b"BM" + bytes((number // 300 + _NOISE.randrange(8)) % 256 for number in range(size))


def _half_by_half(size: int) -> bytes:
    """Each byte alone may be anything, and its half is known from its place: Deflate finds nothing here."""
    high, low = (bytes(_NOISE.choices(values, k=size // 2)) for values in (range(128, 256), range(128)))
    return bytes(byte for pair in zip(high, low, strict=True) for byte in pair)


def _deflated(size: int) -> bytes:
    return zlib.compress(_text(6 * size), 9)


def _burrows_wheeler(size: int) -> bytes:
    return bz2.compress(_text(8 * size))


SHRINKING = {"notes.txt": _text, "take.wav": _sound, "frame.bmp": _picture, "raw.bin": _half_by_half}
PACKED = {"clip.mxf": _noise, "old.zip": _deflated, "old.bz2": _burrows_wheeler}


@pytest.mark.parametrize("size", [60_000, 600_000])
@pytest.mark.parametrize(("name", "content"), [*SHRINKING.items(), *PACKED.items()])
def test_what_shrinks_is_told_from_what_is_packed_already(
    tmp_path: Path, name: str, content: Callable[[int], bytes], size: int
) -> None:
    (tmp_path / name).write_bytes(content(size))
    root = bytes(tmp_path)
    found = families(scan_tree(root, threads=1, work=Work()).entries)

    (gains,) = sample_families(root, found, threads=1, work=Work()).values()

    assert gains is (name in SHRINKING)


def test_a_name_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "really text.mp4").write_bytes(_text(600_000))
    (tmp_path / "really packed.txt").write_bytes(_noise(600_000))
    root = bytes(tmp_path)
    found = families(scan_tree(root, threads=1, work=Work()).entries)

    gains = sample_families(root, found, threads=1, work=Work())

    # Each is large enough to be judged by itself.
    assert gains == {b"/really text.mp4": True, b"/really packed.txt": False}


def test_a_part_that_shrinks_counts_wherever_it_lies_in_the_sample() -> None:
    blocks = [_noise(SAMPLE_BYTES) for _ in range(32)]
    blocks[7] = bytes(SAMPLE_BYTES)

    assert shrinks(compressed(blocks))


def test_what_was_cut_off_meanwhile_says_nothing() -> None:
    assert compressed([b"", b""]) == (0, 0)
