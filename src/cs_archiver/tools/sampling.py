"""Tries on a few blocks of files whether compressing them would gain anything."""

import lzma
import os
from collections.abc import Iterable, Sequence

from cs_archiver.domain.manifest import Seen, shown
from cs_archiver.domain.packing import BLOCK_BYTES, Family, Sample, block_offsets, shrinks
from cs_archiver.errors import Temporary
from cs_archiver.tools.disk import open_regular
from cs_archiver.tools.threads import Work, for_each

# As 7-Zip compresses at its quickest: the same method with the same dictionary.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 * 1024}]


def sample_families(root: bytes, families: Iterable[Family], *, threads: int, work: Work) -> dict[bytes, bool]:
    """Whether compressing would gain anything, for each family, by name, as a sample of it tells, read below `root`.

    Raises Temporary when it cannot be read.
    """
    gains: dict[bytes, bool] = {}

    def look(family: Family) -> tuple[bytes, bool]:
        work.add(0)
        return family.name, shrinks(_sample(root, family.probes))

    for_each(families, look, threads=threads, done=lambda found: gains.update([found]))
    return gains


def _sample(root: bytes, probes: Sequence[Seen]) -> Sample:
    taken = b"".join(_blocks(os.path.join(root, entry.path), entry.size) for entry in probes)
    return Sample(len(taken), len(lzma.compress(taken, format=lzma.FORMAT_RAW, filters=_FILTERS)))


def _blocks(path: bytes, size: int) -> bytes:
    try:
        descriptor = open_regular(path)
        try:
            return b"".join(os.pread(descriptor, BLOCK_BYTES, offset) for offset in block_offsets(size))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Temporary(f"the copy of '{shown(path)}' cannot be read: {error.strerror}") from error
