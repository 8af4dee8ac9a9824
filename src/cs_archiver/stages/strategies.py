"""Four ways to copy a folder to the local disk, each with the digests of what was copied."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator
from enum import StrEnum
from functools import partial

from cs_archiver.domain.manifest import EntryKind, Seen, file_batches, shown, totals
from cs_archiver.domain.packed import Packed, PackedTree
from cs_archiver.errors import Temporary
from cs_archiver.stages.stage import Report
from cs_archiver.tools import copier
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.fixity import BLOCK_BYTES, Digests
from cs_archiver.tools.hashing import hash_copy, hash_tree
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.threads import Pace, Work, first_error, in_thread
from cs_archiver.tools.tree import Scan


class Strategy(StrEnum):
    """How the bytes are copied, by the size of the folder (PRD 2.2).

    The first and the last are the same, by several threads: for files of a small folder a NAS is waited for as long.
    """

    SHUTIL = "shutil"
    RSYNC = "rsync"
    DD = "dd"
    PARALLEL = "parallel threads"


class Strategies:
    """`limit` is in bytes a second, None for none. `hash_source_at_once`: it is not read again before the deletion."""

    def __init__(
        self, rsync: Rsync, dd: Dd, *, threads: int, limit: float | None = None, hash_source_at_once: bool = False
    ) -> None:
        self._rsync = rsync
        self._dd = dd
        self._threads = threads
        self._limit = limit
        self._hash_source_at_once = hash_source_at_once

    async def copy(self, strategy: Strategy, source: bytes, copy: bytes, scan: Scan, report: Report) -> Digests:
        """Copy everything that was scanned in `source` into the empty folder `copy`."""
        entries = scan.entries

        def on_bytes(count: int) -> None:
            report.progress(bytes_done=count, bytes_total=scan.total.bytes)

        if strategy in (Strategy.SHUTIL, Strategy.PARALLEL):
            threads, pace = self._threads, self._pace()
            digests = await in_thread(
                lambda work: copier.copy_files(source, copy, entries, threads=threads, work=work, pace=pace), on_bytes
            )
            await in_thread(lambda work: copier.make_folders_and_links(copy, entries, work))
            await in_thread(lambda work: copier.finish_folders(copy, entries, work))
            return digests
        if strategy is Strategy.RSYNC:
            making = self._rsync.copy_tree(source, copy, on_bytes=on_bytes)
            return await self._hashed_beside(making, source, copy, entries, report, on_bytes=on_bytes)
        large = await in_thread(lambda _work: Packed.of(Seen, _files(entries, large=True)))
        of_small = await self._copy_small(source, copy, entries, on_bytes=on_bytes)
        on_large = _offset(on_bytes, scan.total.bytes - await in_thread(lambda _work: totals(large).bytes))
        making = self._copy_by_dd(source, copy, large, on_bytes=on_large)
        of_large = await self._hashed_beside(making, source, copy, large, report, on_bytes=on_large)
        await in_thread(lambda work: copier.finish_folders(copy, entries, work))
        return await in_thread(lambda _work: _in_order(entries, small=of_small, large=of_large))

    def _pace(self) -> Pace | None:
        return None if self._limit is None else Pace(self._limit)

    async def _copy_small(
        self, source: bytes, copy: bytes, entries: PackedTree, *, on_bytes: copier.OnBytes
    ) -> Digests:
        """Whatever is smaller than a block: to start dd for it costs more than the copy."""
        small, threads = _files(entries, large=False), self._threads
        digests = await in_thread(
            lambda work: copier.copy_files(source, copy, small, threads=threads, work=work), on_bytes
        )
        await in_thread(lambda work: copier.make_folders_and_links(copy, entries, work))
        return digests

    async def _copy_by_dd(self, source: bytes, copy: bytes, large: Packed[Seen], *, on_bytes: copier.OnBytes) -> None:
        done = 0
        for entry in large:
            paths = (os.path.join(source, entry.path), os.path.join(copy, entry.path))
            await self._dd.copy_file(*paths, on_bytes=_offset(on_bytes, done))
            done += entry.size
            await in_thread(partial(_give_time_and_mode, paths[1], entry))

    async def _hashed_beside(
        self,
        making: Coroutine[None, None, None],
        source: bytes,
        copy: bytes,
        entries: Packed[Seen] | PackedTree,
        report: Report,
        *,
        on_bytes: copier.OnBytes,
    ) -> Digests:
        """Digests of a copy while a tool makes it; also of its source, unless the deletion will read that again.

        What fails first ends the other.
        """
        threads, is_made = self._threads, threading.Event()

        def hash_all(work: Work) -> Digests:
            return hash_copy(copy, entries, threads=threads, work=work, is_made=is_made.is_set)

        def on_hashed(count: int) -> None:
            if is_made.is_set():
                on_bytes(count)

        with first_error():
            async with asyncio.TaskGroup() as group:
                hashing = group.create_task(in_thread(hash_all, on_hashed), name="hash the copy")
                await making
                report.operation("Computing digests")
                is_made.set()
        digests = hashing.result()
        if self._hash_source_at_once:
            of_source = await in_thread(lambda work: hash_tree(source, entries, threads=threads, work=work), on_bytes)
            await in_thread(lambda _work: _require_equal(entries, digests, of_source))
        return digests


def _give_time_and_mode(path: bytes, entry: Seen, _work: Work) -> None:
    copier.finish_file(path, mtime_ns=entry.mtime_ns, mode=entry.mode)


def _offset(on_bytes: copier.OnBytes, done: int) -> copier.OnBytes:
    return lambda count: on_bytes(done + count)


def _files(entries: PackedTree, *, large: bool) -> Iterator[Seen]:
    """In the order of `entries`, in which digests are put together."""
    return (entry for entry in entries if entry.kind is EntryKind.FILE and _is_large(entry) is large)


def _is_large(entry: Seen) -> bool:
    return entry.size >= BLOCK_BYTES


def _in_order(entries: PackedTree, *, small: Digests, large: Digests) -> Digests:
    """Those of all files, of those of the small and of the large ones among them."""
    rest = {False: iter(small), True: iter(large)}
    digests = Digests()
    for number, files in enumerate(file_batches(entries)):
        digests.put(number, [next(rest[_is_large(entry)]) for entry in files])
    return digests


def _require_equal(entries: Iterable[Seen], of_copy: Digests, of_source: Digests) -> None:
    files = (entry for entry in entries if entry.kind is EntryKind.FILE)
    for entry, one, other in zip(files, of_copy, of_source, strict=True):
        if one != other:
            raise Temporary(f"the copy of '{shown(entry.path)}' differs from the source")
