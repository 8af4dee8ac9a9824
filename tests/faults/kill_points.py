"""Every system call that changes something, who makes it, and the end of a process right before one of them.

A life that is watched runs under a seccomp filter: the kernel stops each call that changes something, and the watch
lets it go on, or kills the process that is about to make it. Calls are counted over all processes and threads of a
role, so that the first call of the last thread is a point as well: strace, which counts for every thread anew, never
gets there, because an earlier thread dies first. All other calls run at full speed.
"""

import errno
import fcntl
import os
import platform
import select
import signal
import struct
import threading
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

# Numbers of x86-64. Reading calls are left out, and so is sending: what follows it is recorded by a call below.
CALLS = {
    "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "msync": 26, "sendfile": 40, "execve": 59, "fsync": 74,
    "fdatasync": 75, "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86,
    "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "utime": 132,
    "mknod": 133, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "utimes": 235, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260,
    "futimesat": 261, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268,
    "splice": 275, "sync_file_range": 277, "utimensat": 280, "fallocate": 285, "pwritev": 296, "syncfs": 306,
    "renameat2": 316, "execveat": 322, "copy_file_range": 326, "pwritev2": 328, "openat2": 437, "fchmodat2": 452,
}  # fmt: skip
TO_A_FILE = frozenset({"write", "writev", "sendfile", "splice"})  # they speak to pipes and sockets too
STARTER = "starter"  # what becomes a tool: the fork of the service, setpriv, a shell script around it

# How many points each kind of call has at full scale in each canonical job: all that there are, or a spread of them.
_JOBS = (
    "one tree rsync dd parallel failed-and-retried cancelled two again-copying again-packing again-named "
    "again-submitted again-stored again-marked again-deleting again-deleted wide again-wide"
)
_TABLE = """
7z       mkdir       0   0   0   0   0   0   0   1   0   0   0   0   0   0   0   0   0   0
7z       openat      1   1   1   1   1   1   1   2   1   1   1   0   0   0   0   0   1   0
7z       write       6   6   9   7   6   9   9  12   9   9   9   0   0   0   0   0   6   0
dd       openat      0   0   0   2   0   0   0   0   0   0   0   0   0   0   0   0   0   0
dd       write       0   0   0   4   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    fchmod      0   0  11   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    mkdirat     0   0   3   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    openat      0   0   5   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    renameat    0   0   5   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    symlinkat   0   0   1   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    utimensat   0   0  13   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
rsync    write       0   0   5   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
service  chmod       3  23   6  11  23   9   9   6  14  14  14   0   0   0   0   0   3   0
service  fchmod      1  50   0   5  40   5   5   2   5   5   5   0   0   0   0   0  10   0
service  fchown      5   5   5   4   4   5   5   5   3   4   3   4   3   3   3   3   4   3
service  fdatasync  35  35  35  35  35  35  33  35  27  27  27  13  13   4   4   4   6   4
service  fsync      18  18  18  18  18  26  12  32  16  15  19   7   7   6   6   6  20   6
service  ftruncate   4   4   4   4   4   4   2   6   3   3   3   3   3   3   3   3   2   3
service  linkat      2   2   2   2   2   4   1   4   2   2   3   1   1   0   0   0   2   0
service  mkdir       7  17   7  10  17  11  10   9  10   8  10   3   3   3   3   3   5   3
service  openat     17  60  16  19  40  24  17  23  18  20  18  13  11  10  10  10  10   8
service  pwrite64   60  60  60  60  40  60  60  60  40  40  40  40  40  40  40  40  20  20
service  rmdir       4  14   7   7  14   7   5   7  12  12  12   2   2   2   2   2   7   2
service  symlink     0   2   0   1   2   1   1   0   1   1   1   0   0   0   0   0   0   0
service  unlink      5  56  10  12  40  13  10   9  12  16  17   1   1   1   1   1  60   2
service  unlinkat    4  60  12  14  40  12   0   8  12  12  12  12  12  11   8   2 156  74
service  utimensat   2  60   1  12  40  10  10   4  10  10  10   0   0   0   0   0  10   0
service  write       4  53   3   8  40  10   7   6   8   8   8   2   2   2   2   2  10   2
starter  execve      8   8   9  10   8   8   8  14   8   8   8   2   2   2   2   2   6   2
"""
# Which of the table's calls rsync 3.5 makes for what 3.2, that of Debian 12, does by these.
_OF_OLDER_RSYNC = {
    "chmod": "fchmod",
    "mkdir": "mkdirat",
    "openat2": "openat",
    "rename": "renameat",
    "symlink": "symlinkat",
}

_NAMES = {number: name for name, number in CALLS.items()}
_RECEIVE, _SEND, _GO_ON = 0xC0502100, 0xC0182101, 1
_POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Point:
    """Right before the `ordinal`-th `call` of all processes of a role; `each`: before that of every one of them."""

    role: str
    call: str
    ordinal: int
    each: bool = False

    def __str__(self) -> str:
        return f"{self.call} number {self.ordinal} of {self.role}"


@dataclass(frozen=True, slots=True)
class Case:
    """The `share`-th of `of` points that are spread evenly over the calls of one kind, the first and last included."""

    job: str
    role: str
    call: str
    share: int
    of: int

    def __str__(self) -> str:
        return f"{self.job}-{self.role}-{self.call}-{self.share}of{self.of}"

    @property
    def lot(self) -> int:
        return zlib.crc32(str(self).encode())

    def as_made(self, calls: Counter[tuple[str, str]]) -> "Case":
        """With the call that this machine's tool makes instead, if it makes no such one."""
        made = [call for role, call in calls if role == self.role and _in_table(role, call) == self.call]
        return self if not made or self.call in made else replace(self, call=made[0])

    def point(self, made: int) -> Point | None:
        """Where that is when so many calls are made; no two shares are the same, and some may be beyond the last."""
        spread = 1 + (self.share - 1) * (made - 1) // max(1, self.of - 1)
        ordinal = self.share if made < self.of else spread
        return Point(self.role, self.call, ordinal) if ordinal <= made else None


def _shares() -> dict[str, dict[tuple[str, str], int]]:
    shares: dict[str, dict[tuple[str, str], int]] = {job: {} for job in _JOBS.split()}
    for line in _TABLE.strip().splitlines():
        role, call, *numbers = line.split()
        for of_job, number in zip(shares.values(), numbers, strict=True):
            of_job[role, call] = int(number)
    return shares


SHARES = _shares()


def shares_of(job: str, role: str, call: str) -> int:
    """How many points this kind of call has."""
    return SHARES[job].get((role, _in_table(role, call)), 0)


def _in_table(role: str, call: str) -> str:
    return _OF_OLDER_RSYNC.get(call, call) if role == "rsync" else call


def cases(most: int) -> list[Case]:
    """The first `most` of all: each kind of call once before any a second time, in an order that is drawn by lot."""
    ranked: list[tuple[int, int, Case]] = []
    for job, kinds in SHARES.items():
        for (role, call), of in kinds.items():
            drawn = sorted((Case(job, role, call, share + 1, of) for share in range(of)), key=lambda case: case.lot)
            ranked += [(rank, case.lot, case) for rank, case in enumerate(drawn)]
    return [case for _, _, case in sorted(ranked, key=lambda entry: entry[:2])[:most]]


class Watch:
    """Lets the calls of one life happen one by one, until `blow` is dealt at the point: true if the call is not done.

    `counts` has how often each role made each call, `by_thread` how often each thread did, `victims` who was ended.
    `moment` is asked before each call of the service: the first for which it is true is a point too.
    """

    def __init__(
        self,
        listener: int,
        service: int,
        world: Path,
        *,
        point: Point | None = None,
        moment: Callable[[], bool] | None = None,
        blow: Callable[[int], bool] | None = None,
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.by_thread: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        self.victims: list[tuple[str, int]] = []
        self.point = point
        self._moment = moment
        self._blow = blow or _kill
        self._of_each: Counter[tuple[int, str, str]] = Counter()
        self._listener = listener
        self._service = service
        self._world = str(world)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> set[int]:
        """Every process that was seen."""
        return {pid for pid, _role, _call in list(self._of_each)} | {self._service}

    def disarm(self) -> None:
        self.point = self._moment = None

    def close(self) -> None:
        """To be called when no process of the life is left: one that is would get stuck."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        try:
            while not self._closed.is_set():
                for _, event in poll.poll(_POLL_MS):
                    if event & select.POLLIN:
                        self._serve()
                    elif event & select.POLLHUP:
                        return
        finally:
            os.close(self._listener)

    def _serve(self) -> None:
        request = bytearray(80)
        if not self._told(_RECEIVE, request):
            return
        number, thread, _flags, call, _arch, _at, *arguments = struct.unpack("QIIiIQ6Q", request)
        if not self._is_the_end(thread, _NAMES[call], arguments):
            self._told(_SEND, bytearray(struct.pack("QqiI", number, 0, 0, _GO_ON)))

    def _told(self, request: int, message: bytearray) -> bool:
        try:
            fcntl.ioctl(self._listener, request, message)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):  # the process died meanwhile
                raise
            return False
        return True

    def _is_the_end(self, thread: int, call: str, arguments: list[int]) -> bool:
        try:
            process, role = self._who(thread)
            if call in TO_A_FILE and not self._is_to_a_file(thread, call, arguments):
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False
        self.counts[role, call] += 1
        self.by_thread[role, call][thread] += 1
        self._of_each[process, role, call] += 1
        if not self._strikes(process, role, call):
            return False
        if not (self.point and self.point.each):
            self.disarm()
        self.victims.append((role, process))
        return self._blow(process)

    def _strikes(self, process: int, role: str, call: str) -> bool:
        if self._moment is not None and role == "service":
            return self._moment()
        point = self.point
        if point is None or (point.role, point.call) != (role, call):
            return False
        made = self._of_each[process, role, call] if point.each else self.counts[role, call]
        return made == point.ordinal

    def _who(self, thread: int) -> tuple[int, str]:
        with open(f"/proc/{thread}/status") as file:
            process = next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
        return process, "service" if process == self._service else _role_of(os.readlink(f"/proc/{thread}/exe"))

    def _is_to_a_file(self, thread: int, call: str, arguments: list[int]) -> bool:
        descriptor = arguments[2] if call == "splice" else arguments[0]
        target = os.readlink(f"/proc/{thread}/fd/{descriptor & 0xFFFFFFFF}")
        return target.startswith(self._world) and not target.endswith(("/app.log", "/printed.txt"))


def _role_of(executable: str) -> str:
    name = os.path.basename(executable)
    if name.startswith("7z"):
        return "7z"
    return name if name in ("rsync", "dd") else STARTER


def _kill(process: int) -> bool:
    os.kill(process, signal.SIGKILL)
    return True


def why_not() -> str | None:
    """Why no life can be watched on this machine; None if it can."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "the kill points are known for Linux on x86-64 only"
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists() or "user_notif" not in actions.read_text().split():
        return "this kernel has no seccomp user notification"
    return None
