"""What the checks of the whole installation conclude from what was found: facts in, a finding with advice out."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.space import GIB

Version = tuple[int, ...]

RESTORE: Final = "check the disk, then restore the last backup (cs-archiver db restore FILE)"
TOOL_IS_SILENT: Final = (
    "call it by hand as the service's user: if that hangs too, look at its disk and at the machine's load"
)

INSTALL_SEVEN_ZIP: Final = "install 7-Zip, 25.01 or newer (the package 7zip; p7zip-full on Debian 12 and older)"
_SEVEN_ZIP_NEEDED: Final = (23, 1)
_SEVEN_ZIP_WANTED: Final = (25, 1)  # older ones let an archive write outside its folder when it is unpacked
_RSYNC_WANTED: Final = (3, 4, 1)
_DD_WANTED: Final = (8, 24)  # the first that tells its progress
_MOST_SKEW_SECONDS: Final = 60.0
_MOST_PERCENT_USED: Final = 80.0
_LITTLE_BYTES: Final = GIB
_MOST_DAYS_WITHOUT_BACKUP: Final = 2

_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs",
        "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs",
    }
)  # fmt: skip


class Verdict(StrEnum):
    """UNKNOWN: it could not be checked, so nobody knows."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """`advice` is what to do; empty where there is nothing, or nothing but what another check advises."""

    verdict: Verdict
    found: str
    advice: str = ""


class Checked(NamedTuple):
    """One check as it came out. `name` is for programs and never changes, `title` is for people."""

    name: str
    title: str
    finding: Finding
    checked_at: str

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should hear of it now; what merely follows from another check's trouble is none."""
        verdict, _, advice = self.finding
        return verdict is Verdict.FAILED or (verdict is Verdict.UNKNOWN and bool(advice))

    @property
    def warning(self) -> str:
        """The trouble in one sentence or two, for lists of warnings."""
        _, found, advice = self.finding
        return f"{self.title}: {found}; {advice}." if advice else f"{self.title}: {found}."


class Mount(NamedTuple):
    """What a folder lies on: where that is mounted, and the kind of its file system as the kernel calls it."""

    point: str
    kind: str
    is_read_only: bool

    @property
    def is_network(self) -> bool:
        return self.kind in _NETWORK_FILE_SYSTEMS

    def __str__(self) -> str:
        return f"{self.kind} mounted at {self.point}"


class NasFacts(NamedTuple):
    """`closed` are those folders of a small sample in which this user may change nothing, `sampled` its size."""

    mount: Mount
    storage_mount: Mount
    is_empty: bool
    sampled: int
    closed: Sequence[str]


class DatabaseFacts(NamedTuple):
    """`version` of the schema, None where there is no database yet; `known` is that of this program.

    `is_whole`: every page of it was looked at. `is_private`: nobody but its owner may read it. `is_shown`: it lies
    where the source collection shows it.
    """

    mount: Mount
    known: int
    version: int | None = None
    damage: str | None = None
    is_whole: bool = False
    is_private: bool = True
    is_shown: bool = False


class BackupFacts(NamedTuple):
    """`obstacle`: why none can be made in the folder. `missing_bytes`: of the room for another, not above 0 for enough.

    The age of the newest nightly one, and for how long the database is in use; None where there is none.
    """

    folder: str
    are_nightly: bool
    obstacle: str | None = None
    missing_bytes: int = 0
    newest_days: float | None = None
    in_use_days: float | None = None


def all_is_well(checks: Sequence[Checked]) -> bool:
    """Whether nothing failed and nothing stayed unknown; warnings are not that bad."""
    return all(check.finding.verdict in (Verdict.OK, Verdict.WARNING) for check in checks)


def seven_zip(version: Version | None) -> Finding:
    if version is None or version < _SEVEN_ZIP_NEEDED:
        return Finding(Verdict.FAILED, f"{_said(version)}, and 23.01 is the oldest that can be used", INSTALL_SEVEN_ZIP)
    if version < _SEVEN_ZIP_WANTED:
        return Finding(Verdict.WARNING, f"{_said(version)}, which has known security defects", INSTALL_SEVEN_ZIP)
    return Finding(Verdict.OK, _said(version))


def rsync(version: Version) -> Finding:
    if version < _RSYNC_WANTED:
        found = f"{_said(version)}, which has known security defects"
        return Finding(Verdict.WARNING, found, "install the package rsync, 3.4.1 or newer")
    return Finding(Verdict.OK, _said(version))


def dd(version: Version | None) -> Finding:
    """`version` is that of GNU coreutils; None for any other make."""
    if version is None or version < _DD_WANTED:
        found = "not the dd of GNU coreutils" if version is None else _said(version)
        advice = "install GNU coreutils 8.24 or newer: folders of huge files are copied with it"
        return Finding(Verdict.WARNING, found, advice)
    return Finding(Verdict.OK, _said(version))


def _said(version: Version | None) -> str:
    if version is None:
        return "it reports no version"
    major, *rest = version
    return f"version {major}.{rest[0]:02}" if major > 10 and rest else "version " + ".".join(map(str, version))


def user(name: str, *, is_root: bool) -> Finding:
    if is_root:
        found = "made as root, to whom no permission is denied: what the service's user may do is not known"
        return Finding(Verdict.WARNING, found, "run the checks and the service as the user of the service")
    return Finding(Verdict.OK, f"made as {name}")


def nas(facts: NasFacts) -> Finding:
    mount, mounting = facts.mount, "mount the NAS there, and have it mounted before the service starts"
    is_mounted = mount.point not in ("/", facts.storage_mount.point)
    if facts.is_empty:
        verdict = Verdict.WARNING if is_mounted else Verdict.FAILED
        return Finding(verdict, f"the folder is empty ({mount})", f"check what is mounted: {mounting}")
    if mount.is_read_only:
        return Finding(Verdict.FAILED, f"it is read-only ({mount})", "mount it for writing: sources are deleted there")
    if facts.closed:
        found = (
            f"{len(facts.closed)} of {facts.sampled} folders looked at may not be changed, such as {facts.closed[0]}"
        )
        return Finding(Verdict.WARNING, found, "let the service's user write there: what is archived is deleted")
    if not is_mounted:
        return Finding(Verdict.WARNING, f"no mount of its own ({mount})", f"if that is not meant, {mounting}")
    return Finding(Verdict.OK, str(mount))


def storage(mount: Mount) -> Finding:
    if mount.is_read_only:
        return Finding(Verdict.FAILED, f"it is read-only ({mount})", "mount it for writing")
    if mount.is_network:
        return Finding(Verdict.WARNING, str(mount), "put [storage] base_path on a local disk: copies are made there")
    return Finding(Verdict.OK, f"all of its folders can be written and lie on one file system ({mount})")


def space(*, free_bytes: int, total_bytes: int, min_free_gb: float, others: Sequence[tuple[str, int]]) -> Finding:
    """Of the storage folder; `others` are further folders that the service writes to, with the bytes free there."""
    free, needed = human_size(free_bytes), human_size(min_free_gb * GIB)
    if free_bytes < min_free_gb * GIB:
        found = f"{free} free, and no job starts with less than {needed}"
        return Finding(Verdict.FAILED, found, "make room on the disk of [storage] base_path")
    for folder, bytes_there in others:
        if bytes_there < _LITTLE_BYTES:
            return Finding(Verdict.WARNING, f"{human_size(bytes_there)} free for {folder}", "make room on that disk")
    if free_bytes < total_bytes * (1 - _MOST_PERCENT_USED / 100):
        return Finding(Verdict.WARNING, f"{free} free of {human_size(total_bytes)}", "large folders may have to wait")
    return Finding(Verdict.OK, f"{free} free of {human_size(total_bytes)}")


def database(facts: DatabaseFacts) -> Finding:
    version, known = facts.version, facts.known
    if facts.mount.is_network:
        found = f"it lies on {facts.mount}"
        return Finding(Verdict.FAILED, found, "move it to a local disk: SQLite breaks on a network's")
    if facts.damage is not None:
        found = f"it is damaged ({facts.damage})"
        return Finding(Verdict.FAILED, found, RESTORE)
    if version is not None and version > known:
        found = f"schema version {version}, and this program knows {known}"
        return Finding(Verdict.FAILED, found, "start the newer program, or restore a backup from before the upgrade")
    return _exposed(facts) or Finding(Verdict.OK, _database_in_words(facts))


def _exposed(facts: DatabaseFacts) -> Finding | None:
    if facts.is_shown:
        advice = "put it elsewhere: stop the service, move all of its files, and set [database] url"
        return Finding(Verdict.WARNING, "it lies in the storage folder, which the source collection shows", advice)
    if not facts.is_private:
        found = "others than its owner may read it, and it holds the hashes of passwords"
        return Finding(Verdict.WARNING, found, "chmod 0600 the file, and those of its name with -wal and -shm")
    return None


def _database_in_words(facts: DatabaseFacts) -> str:
    if facts.version is None:
        return "none yet: the first start makes it"
    looked = "sound" if facts.is_whole else "it answers"
    older = f", {facts.known} after the next start" if facts.version < facts.known else ""
    return f"{looked}, schema version {facts.version}{older} ({facts.mount})"


def backups(facts: BackupFacts) -> Finding:
    folder, age = facts.folder, facts.newest_days
    if facts.obstacle is not None:
        advice = "let the service's user make and write it, or set [backup] folder to one on another local disk"
        return Finding(Verdict.FAILED, f"none can be made in {folder}: {facts.obstacle}", advice)
    if facts.missing_bytes > 0:
        found = f"no room for another in {folder}: {human_size(facts.missing_bytes)} are missing"
        return Finding(Verdict.FAILED, found, "make room there, or set [backup] folder to one on another disk")
    if not facts.are_nightly:
        return Finding(Verdict.OK, f"none is made by itself, as [backup] keep is 0 ({folder})")
    advice = "one is made each night while the service runs: if it does, its log says why there is none"
    if age is None:
        is_late = facts.in_use_days is not None and facts.in_use_days > _MOST_DAYS_WITHOUT_BACKUP
        found = f"no nightly one was made yet ({folder})"
        return Finding(Verdict.WARNING, found, advice) if is_late else Finding(Verdict.OK, found)
    if age > _MOST_DAYS_WITHOUT_BACKUP:
        found = f"the newest nightly one is {age:.0f} days old ({folder})"
        return Finding(Verdict.WARNING, found, advice)
    return Finding(Verdict.OK, f"the newest nightly one is {max(0.0, age) * 24:.0f} hours old ({folder})")


def first_account(username: str, *, has_known_password: bool) -> Finding:
    if has_known_password:
        found = f"{username} still has the password that everybody knows"
        return Finding(Verdict.WARNING, found, f"sign in as {username} and choose another")
    return Finding(Verdict.OK, "nobody has the password that everybody knows")


def clock(*, asked_at: float, answered_at: float, globus: float | None) -> Finding:
    """All in seconds of Unix time; `globus` is what the answer says, to the second."""
    if globus is None:
        return Finding(Verdict.UNKNOWN, "the answers of Globus bear no time", "compare the clock with another one")
    skew = max(asked_at - globus - 1, globus - answered_at, 0.0)
    if skew > _MOST_SKEW_SECONDS:
        which = "ahead of" if globus < asked_at else "behind"
        found = f"this machine's clock is {skew:.0f} s {which} that of Globus"
        return Finding(Verdict.WARNING, found, "let it be set by NTP: sign-ins, and all times on record, rest on it")
    return Finding(Verdict.OK, "within a minute of that of Globus")
