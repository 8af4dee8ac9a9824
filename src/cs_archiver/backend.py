"""Builds what the server offers, from the settings: one service for each kind of wish."""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from cs_archiver.db.accounts import Accounts
from cs_archiver.db.audit import Audit
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.folders import Folders
from cs_archiver.db.second_factors import SecondFactors
from cs_archiver.db.tokens import Tokens
from cs_archiver.db.users import Users
from cs_archiver.domain.folders import Patterns
from cs_archiver.errors import JobError
from cs_archiver.pipeline import Parts, access_of, places_of
from cs_archiver.server.application import Services
from cs_archiver.server.live_hub import Limits, Live
from cs_archiver.services.accounts import AccountService
from cs_archiver.services.all_checks import round_of
from cs_archiver.services.audit import AuditService
from cs_archiver.services.checks import Checks
from cs_archiver.services.ended_jobs import EndedJobs
from cs_archiver.services.folders import FolderService
from cs_archiver.services.job_records import JobRecords
from cs_archiver.services.job_waits import JobWaits
from cs_archiver.services.jobs import JobService
from cs_archiver.services.markers import Markers
from cs_archiver.services.metrics import Elsewhere, Metrics
from cs_archiver.services.notify.life import notifications_of, telling
from cs_archiver.services.passwords import HashCost, Passwords
from cs_archiver.services.preview import Previews, PreviewSettings, WhyTaken
from cs_archiver.services.readiness import Readiness, quick_looks
from cs_archiver.services.second_factor import SecondFactorService
from cs_archiver.services.signing import Signer, load_or_create_secret
from cs_archiver.services.status import StatusService
from cs_archiver.services.submissions import DestinationIsTaken, Submissions
from cs_archiver.services.switches import SwitchService
from cs_archiver.services.tokens import TokenService
from cs_archiver.services.users import UserService
from cs_archiver.settings import Settings
from cs_archiver.stages.destination import why_taken
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.tools.discovery import Discovery
from cs_archiver.tools.globus import Globus

_log = logging.getLogger(__name__)


async def build_services(parts: Parts, stack: AsyncExitStack, notices: Sequence[str]) -> Services:
    settings, database = parts.settings, parts.database
    passwords = passwords_of(settings)
    stack.callback(passwords.close)
    minutes = settings.security.session_idle_minutes
    idle = timedelta(minutes=minutes) if minutes else None
    accounts = AccountService(Accounts(database), parts.bus, passwords, _signer(settings), idle=idle)
    await stack.enter_async_context(accounts.use.running())
    await accounts.ensure_first_admin(settings.security.admin_initial_password.get_secret_value())
    patterns = Patterns(settings.discovery.marker_patterns, settings.discovery.litter_patterns)
    discovery = Discovery(
        bytes(settings.qnap.base_path),
        patterns,
        threads=settings.discovery.threads,
        timeout_seconds=settings.qnap.timeout_seconds,
    )
    folders = FolderService(discovery, Folders(database), parts.bus)
    stack.push_async_callback(folders.close)
    submissions = Submissions(
        database,
        folders,
        parts.bus,
        destination_base_path=settings.globus.destination_base_path,
        destination_is_taken=_destination_is_taken(parts),
    )
    jobs = JobService(
        database,
        parts.bus,
        discard_files=SetAside(places_of(settings)).discard,
        sends_again_on_retry=not settings.verification.compare_again,
    )
    checks = _running_checks(parts)
    stack.push_async_callback(checks.close)
    notifications = notifications_of(settings)
    status = StatusService(
        database,
        checks,
        parts.switches,
        storage_path=settings.storage.base_path,
        is_globus_sandbox=settings.globus.is_custom_service,
        notices=notices,
        of_notifications=notifications.troubles,
    )
    await stack.enter_async_context(telling(notifications, settings, database, parts.bus, status))
    users = UserService(Users(database), parts.bus, passwords)
    tokens = TokenService(Tokens(database), parts.bus)
    factors = SecondFactorService(
        SecondFactors(database), parts.bus, admins_need_one=settings.security.admins_need_second_factor
    )
    live = Live(parts.bus, jobs, Limits())
    elsewhere = Elsewhere(lambda: live.count, status.disk, parts.globus.tally)
    return Services(
        accounts,
        users,
        factors,
        tokens,
        AuditService(Audit(database)),
        folders,
        submissions,
        jobs,
        JobRecords(database),
        EndedJobs(database),
        JobWaits(jobs, parts.bus),
        Markers(),
        _previews(parts, folders),
        status,
        SwitchService(parts.switches, parts.bus),
        _readiness(parts, stack),
        await Metrics.open(database, parts.bus, elsewhere),
        live,
        notifications,
    )


def _readiness(parts: Parts, stack: AsyncExitStack) -> Readiness:
    readiness = Readiness(quick_looks(parts.settings, parts.database, are_workers_there=parts.pulse.is_beating))
    stack.callback(readiness.close)
    return readiness


def _running_checks(parts: Parts) -> Checks:
    settings = parts.settings
    checks = Checks(round_of(settings, access_of(settings), parts.processes))
    minutes = settings.checks.interval_minutes
    return checks.start(minutes * 60) if minutes else checks


def _previews(parts: Parts, folders: FolderService) -> Previews:
    settings = parts.settings
    found_out_with = PreviewSettings(
        storage=settings.storage.base_path,
        destination_base_path=settings.globus.destination_base_path,
        min_free_gb=settings.disk_space.min_free_gb,
        size_estimate_ratio=settings.compression.size_estimate_ratio,
        threads=settings.copy.threads,
    )
    return Previews(parts.database, folders, found_out_with, why_taken=_why_taken(parts))


def passwords_of(settings: Settings) -> Passwords:
    security = settings.security
    return Passwords(HashCost(security.argon2_time_cost, security.argon2_memory_kib, security.argon2_parallelism))


def _signer(settings: Settings) -> Signer:
    jwt = settings.jwt
    secret = jwt.secret_key.get_secret_value() or load_or_create_secret(
        settings.database.path.with_suffix(".jwt-secret")
    )
    return Signer(secret, timedelta(minutes=jwt.access_token_expire_minutes))


def _why_taken(parts: Parts) -> WhyTaken:
    collection = parts.settings.globus.destination_endpoint
    return partial(_ask_why_taken, parts.globus, Catalogue(parts.database), collection)


async def _ask_why_taken(globus: Globus, catalogue: Catalogue, collection: str, path: str) -> str | None:
    return await why_taken(globus, catalogue, collection=collection, path=path)


def _destination_is_taken(parts: Parts) -> DestinationIsTaken:
    why = _why_taken(parts)

    async def ask(path: str) -> str | None:
        try:
            return await why(path)
        except JobError as error:  # Globus out of reach: the job asks again before it copies anything
            _log.warning("cannot tell whether the destination %s is free: %s", path, error)
            return None

    return ask
