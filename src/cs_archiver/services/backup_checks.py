"""The check of the backups: whether another can be made, and whether the nightly ones are."""

from datetime import UTC, datetime, timedelta
from functools import partial

from cs_archiver.db.backups import Backups, nights_of
from cs_archiver.db.database import DatabaseUnhealthy
from cs_archiver.db.health import usage_of
from cs_archiver.domain import checks
from cs_archiver.domain.checks import BackupFacts, Finding, Verdict
from cs_archiver.services.checks import Look, on_thread
from cs_archiver.settings import Settings

_THE_FOLDER = "check the disk and the mount of [backup] folder, and that the service's user may write there"


def backups_look(settings: Settings) -> Look:
    return Look("backups", "Backups", on_thread(partial(_backups, settings)), _THE_FOLDER)


def _backups(settings: Settings) -> Finding:
    now = datetime.now(UTC)
    backups = Backups(settings.database.path, settings.backup.folder)
    facts = BackupFacts(str(backups.folder), settings.backup.keep > 0, backups.obstacle())
    if facts.obstacle is not None:
        return checks.backups(facts)
    try:
        usage = usage_of(settings.database.path)
    except DatabaseUnhealthy:  # which its own check tells, with what to do
        return Finding(Verdict.UNKNOWN, "not checked, because the database cannot be read")
    newest = next((backup.moment for backup in nights_of(backups.nightly(), now).past), None)
    facts = facts._replace(
        missing_bytes=backups.missing_bytes(usage.size_bytes),
        newest_days=_days(newest, now),
        in_use_days=_days(usage.since, now),
    )
    return checks.backups(facts)


def _days(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else (now - since) / timedelta(days=1)
