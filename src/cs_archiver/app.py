"""The composition root: builds every object and orders their lives; the only file that knows everyone."""

import asyncio
import gc
import getpass
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

from cs_archiver import config, logs
from cs_archiver.backend import build_services, passwords_of
from cs_archiver.bus import Bus
from cs_archiver.db import restore
from cs_archiver.db.audit import Audit
from cs_archiver.db.backups import Backups
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.db.second_factors import SecondFactors
from cs_archiver.db.soundness import Soundness
from cs_archiver.db.switches import Switches
from cs_archiver.db.users import Users
from cs_archiver.domain.checks import Checked
from cs_archiver.domain.events import QueueUpdate
from cs_archiver.domain.states import BUSY, WAITING
from cs_archiver.errors import NeedsOperator
from cs_archiver.pipeline import Parts, access_of, build_caretakers, build_workers, places_of
from cs_archiver.server.application import build
from cs_archiver.server.listening import Runner
from cs_archiver.server.site import Site
from cs_archiver.services.all_checks import round_of
from cs_archiver.services.audit import AuditService
from cs_archiver.services.host_accounts import HostAccounts
from cs_archiver.services.host_switches import HostSwitches
from cs_archiver.services.second_factor import SecondFactorService
from cs_archiver.services.users import UserService
from cs_archiver.settings import Settings
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.tls import tls_context
from cs_archiver.tools.descriptors import room_for_connections
from cs_archiver.tools.globus import Globus
from cs_archiver.tools.lock import lock_database, lock_storage
from cs_archiver.tools.mark import SentMark
from cs_archiver.tools.process import Politeness, Processes
from cs_archiver.tools.sevenzip import SevenZip
from cs_archiver.tools.systemd import Systemd
from cs_archiver.tools.threads import in_thread
from cs_archiver.workers.recovery import (
    discard_left_by_cancels,
    doubt_older_database,
    requeue_before_the_end,
    requeue_interrupted,
)

_SHUTDOWN_SECONDS = 5.0
# A full collection looks at every entry of a manifest, and with 100,000 of them holds up the loop for 100 ms:
# so full ones are made a thousand times rarer than the small ones that catch nearly all garbage.
_GC_THRESHOLDS = (5_000, 10, 1_000)

_log = logging.getLogger(__name__)


async def serve(settings: Settings, *, on_ready: Callable[[str], None], soundness: Soundness | None = None) -> None:
    """Run the service until SIGTERM or SIGINT. `on_ready` hears the address once requests are answered.

    `soundness`: a look at the database that was begun already, as for `Database.open`.

    Raises NeedsOperator when it cannot start, and whatever ended a worker, after an orderly clean-up.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    systemd = Systemd(os.environ)
    loop.add_signal_handler(signal.SIGHUP, partial(_reopen_logs, systemd))
    async with AsyncExitStack() as last, running(settings, systemd, soundness) as (address, workers):
        last.enter_context(rare_collections())
        on_ready(address)
        systemd.ready()
        alive = asyncio.create_task(systemd.stay_alive(lambda: stop.is_set() or not workers.done()), name="watchdog")
        last.push_async_callback(_cancelled, alive)
        stopping = asyncio.create_task(stop.wait(), name="wait for the signal to stop")
        await asyncio.wait({stopping, workers}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        systemd.stopping()
        if workers.done():
            raise NeedsOperator("a worker ended; the log says why: start the service again") from workers.exception()
        _log.info("stopping: tools are ended, a Globus task goes on by itself")


def _reopen_logs(systemd: Systemd) -> None:
    with systemd.reloading():
        logs.reopen()


@asynccontextmanager
async def running(
    settings: Settings, systemd: Systemd | None = None, soundness: Soundness | None = None
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """The whole service: its address, and the task of both workers, which ends only when one of them fails."""
    async with AsyncExitStack() as stack:
        if soundness is not None:
            stack.push_async_callback(soundness.close)
        storage = settings.storage
        locks = _locked(settings, stack)
        for folder in (storage.temp_dir, storage.archives_dir, storage.failed_dir):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        database = await _open_database(settings, soundness)
        stack.push_async_callback(database.close)
        polite = settings.politeness
        processes = Processes(
            inherit_fds=locks,
            politeness=Politeness(polite.nice, polite.io_class, polite.io_level),
        )
        await SevenZip(processes).version()
        globus = Globus(access_of(settings))
        stack.push_async_callback(globus.close)
        parts = Parts(settings, database, Bus(), globus, processes, await Switches.read_from(database))
        notice = await doubt_older_database(Catalogue(database), SentMark(storage.base_path))
        await requeue_interrupted(Queue(database), Jobs(database))
        await discard_left_by_cancels(Jobs(database), SetAside(places_of(settings)))
        address = await _serve_http(parts, stack, notices=[notice] if notice else [])
        await database.require_sound()  # no worker begins before
        stack.push_async_callback(requeue_before_the_end, Queue(database), Jobs(database))
        workers = asyncio.create_task(_run(parts), name="workers")
        stack.push_async_callback(_cancelled, workers)
        parts.pulse.follow(workers)
        if systemd is not None:
            status = asyncio.create_task(systemd.show(partial(_in_words, Jobs(database))), name="status for systemd")
            stack.push_async_callback(_cancelled, status)
        yield address, workers


@contextmanager
def rare_collections() -> Iterator[None]:
    """What is there now lives as long as the service, and need not be looked at by every collection until then."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def _locked(settings: Settings, stack: AsyncExitStack) -> tuple[int, ...]:
    """The descriptors of what keeps a second service out. Raises NeedsOperator when there is one."""
    storage_lock = lock_storage(settings.storage.base_path)
    stack.callback(storage_lock.release)
    database_lock = lock_database(settings.database.path)
    stack.callback(database_lock.release)
    return storage_lock.descriptor, database_lock.descriptor


async def _open_database(settings: Settings, soundness: Soundness | None) -> Database:
    """Only under its lock. A restore that was interrupted is finished first."""
    path = settings.database.path
    if restore.is_pending(path):
        kept = await in_thread(lambda _work: restore.finish(path))
        _log.warning("the restore of the database is finished; the one before it is kept as %s", kept)
    backups = Backups(path, settings.backup.folder)
    connections = settings.database.pool_size
    return await Database.open(path, read_connections=connections, backups=backups, soundness=soundness)


async def _run(parts: Parts) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for worker in build_workers(parts):
                group.create_task(worker.run(), name=f"worker {worker.name}")
            for name, caretaker in build_caretakers(parts).items():
                group.create_task(caretaker.run(), name=name)
            watch = parts.switches.watch(lambda: parts.bus.publish(QueueUpdate()))
            group.create_task(watch, name="switches")
    except BaseExceptionGroup:
        _log.critical("a worker ended: the service stops", exc_info=True)
        raise


async def _in_words(jobs: Jobs) -> str:
    counts = await jobs.counts()
    in_hand = sum(counts[state] for states in BUSY.values() for state in states)
    waiting = sum(counts[state] for state in WAITING.values())
    return f"{in_hand} in hand, {waiting} waiting"


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _serve_http(parts: Parts, stack: AsyncExitStack, *, notices: Sequence[str]) -> str:
    settings = parts.settings
    app = build(
        await build_services(parts, stack, notices),
        public_url=settings.server.public_url,
        trusted_proxies=settings.server.trusted_proxies,
        monitors=settings.metrics.allowed_networks,
        is_globus_sandbox=settings.globus.is_custom_service,
    )
    runner = Runner(app, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server, tls = settings.server, tls_context(settings)
    site = Site(runner, server.host, server.port, most=room_for_connections(), ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        raise settings.origin.wrong("server", "port", f"an address that is free ({error.strerror})") from error
    return settings.server.public_url or site.name


@asynccontextmanager
async def switches_on_host(settings: Settings) -> AsyncIterator[HostSwitches]:
    """Raises ConfigError where there is no database yet."""
    async with AsyncExitStack() as stack:
        database = await _database_on_host(settings, stack)
        audit = AuditService(Audit(database))
        yield HostSwitches(await Switches.read_from(database), audit, login=getpass.getuser())


async def _database_on_host(settings: Settings, stack: AsyncExitStack) -> Database:
    database = await Database.open(config.existing_database(settings), read_connections=1)
    stack.push_async_callback(database.close)
    return database


@asynccontextmanager
async def accounts_on_host(settings: Settings) -> AsyncIterator[HostAccounts]:
    """Raises ConfigError where there is no database yet."""
    async with AsyncExitStack() as stack:
        database = await _database_on_host(settings, stack)
        passwords = passwords_of(settings)
        stack.callback(passwords.close)
        users = UserService(Users(database), Bus(), passwords)
        factors = SecondFactorService(SecondFactors(database), Bus())
        yield HostAccounts(users, factors, AuditService(Audit(database)), login=getpass.getuser())


async def checked_on_host(settings: Settings) -> Sequence[Checked]:
    """Every check, made once, whether a service runs or not."""
    make_round = round_of(settings, access_of(settings), Processes())
    return await make_round(True)
