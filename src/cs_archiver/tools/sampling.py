"""Tries on a few blocks of files whether compressing them would gain anything."""

import lzma
import os
import zlib
from collections.abc import Iterable, Sequence

from cs_archiver.domain.manifest import Seen, shown
from cs_archiver.domain.packing import SAMPLE_BYTES, Family, Sample, block_offsets, shrinks
from cs_archiver.errors import Temporary
from cs_archiver.tools.crowd import for_each
from cs_archiver.tools.disk import open_regular
from cs_archiver.tools.threads import Work

# As 7-Zip compresses at its quickest: the same method with the same dictionary.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 * 1024}]
# Deflate is ten times as quick on what does not shrink. It never finds much where 7-Zip's method finds nothing; but
# that one also finds order where Deflate finds none, so it is tried on a part of the sample where little was found.
_MUCH = 0.95
_BLOCKS_IN_DOUBT = 4


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
    return compressed([block for entry in probes for block in _blocks(os.path.join(root, entry.path), entry.size)])


def compressed(blocks: Sequence[bytes]) -> Sample:
    """What is left of these blocks; where that is little less, estimated from a few of them."""
    taken = b"".join(blocks)
    if not taken:
        return Sample(0, 0)
    left = len(zlib.compress(taken, 1))
    if left > len(taken) * _MUCH:
        some = b"".join(blocks[:: -(-len(blocks) // _BLOCKS_IN_DOUBT)])
        share = len(lzma.compress(some, format=lzma.FORMAT_RAW, filters=_FILTERS)) / len(some)
        left = min(left, int(share * len(taken)))
    return Sample(len(taken), left)


def _blocks(path: bytes, size: int) -> list[bytes]:
    try:
        descriptor = open_regular(path)
        try:
            return [os.pread(descriptor, SAMPLE_BYTES, offset) for offset in block_offsets(size)]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Temporary(f"the copy of '{shown(path)}' cannot be read: {error.strerror}") from error
