"""A file system that shows a real folder through /dev/fuse, and on demand errs or stops answering, as a NAS does.

`python -m tests.faults.hanging_fuse FOLDER MOUNT_POINT` speaks the kernel's protocol itself and nothing is cached,
so that every look at the mount is a request. It is told what to do by lines on standard input, each answered:

    hang AFTER SECONDS         stop reading requests once AFTER more are answered; at the latest SECONDS later go on
    hang AFTER SECONDS KIND    the same, counting only requests of one KIND (of KINDS); the one it strikes has been read
    fail ERRNO AFTER WORD...   answer ERRNO to changes of files whose name has one of the WORDs, after AFTER of them;
                               without a WORD, to every request
    heal                       answer everything again
    asked                      how many requests there were so far

When a fault strikes for the first time it says `fired`. A request that waits has not been read (but for the one of a
KIND), so whoever made it can be killed, as with a hard NFS mount. It ends, and unmounts, when standard input does.
"""

import ctypes
import errno
import itertools
import os
import select
import struct
import sys
import time
from collections.abc import Callable

_HEADER = struct.Struct("<IIQQIIII")
_ATTR = struct.Struct("<6Q10I")
_SETATTR = struct.Struct("<2I6Q8I")
_IO = struct.Struct("<QQIIQII")
_MNT_DETACH = 2
_BUFFER = 1024 * 1024 + 4096
KINDS = {
    "lookup": 1, "unlink": 10, "rmdir": 11, "link": 13, "open": 14, "write": 16, "fsync": 20, "opendir": 27,
    "fsyncdir": 30, "create": 35,
}  # fmt: skip
_SILENT = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET: never answered
_CHANGES = (4, 16, 20, 35)  # SETATTR, WRITE, FSYNC, CREATE
_SIZE, _MODE, _TIMES = 8, 1, 16 | 32

Handler = Callable[[int, bytes], bytes]


class Passthrough:
    """Answers requests from a real folder; a node is a path with the inode that was found there."""

    def __init__(self, folder: bytes) -> None:
        self._folder = folder
        self._paths = {1: b""}
        self._numbers = itertools.count(2)
        self._nodes: dict[tuple[bytes, int], int] = {}
        self._handlers: dict[int, Handler] = {
            1: self._lookup, 3: self._getattr, 4: self._setattr, 5: self._readlink, 6: self._symlink,
            9: self._mkdir, 10: self._unlink, 11: self._rmdir, 12: self._rename, 13: self._link, 14: self._open,
            15: self._read, 16: self._write, 17: self._statfs, 18: self._release, 20: self._fsync,
            25: self._nothing, 26: self._init, 27: self._open, 28: self._readdir, 29: self._release,
            30: self._fsync, 35: self._create, 38: self._nothing,
        }  # fmt: skip

    def answer(self, opcode: int, node: int, body: bytes) -> bytes:
        """Raises OSError, whose number is the answer then."""
        handler = self._handlers.get(opcode)
        if handler is None:
            raise OSError(errno.ENOSYS, "not needed here")
        return handler(node, body)

    def name(self, node: int) -> bytes:
        return os.path.basename(self._paths.get(node, b""))

    def _path(self, node: int, name: bytes = b"") -> bytes:
        return os.path.join(self._folder, self._paths[node], name).rstrip(b"/")

    def _entry(self, node: int, name: bytes) -> bytes:
        status = os.lstat(self._path(node, name))
        key = (os.path.join(self._paths[node], name), status.st_ino)
        number = self._nodes.get(key) or next(self._numbers)
        self._nodes[key] = number
        self._paths[number] = key[0]
        return struct.pack("<4Q2I", number, 0, 0, 0, 0, 0) + _attributes(status)

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(node, body[:-1])

    def _getattr(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        status = os.fstat(handle) if flags & 1 else os.lstat(self._path(node))
        return bytes(16) + _attributes(status)

    def _setattr(self, node: int, body: bytes) -> bytes:
        valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, *_ = _SETATTR.unpack_from(body)
        path = self._path(node)
        if valid & _SIZE:
            os.truncate(path, size)
        if valid & _MODE:
            os.chmod(path, mode & 0o7777)
        if valid & _TIMES:
            os.utime(path, ns=(atime * 10**9 + atime_ns, mtime * 10**9 + mtime_ns), follow_symlinks=False)
        return bytes(16) + _attributes(os.lstat(path))

    def _readlink(self, node: int, body: bytes) -> bytes:
        return os.readlink(self._path(node))

    def _symlink(self, node: int, body: bytes) -> bytes:
        name, target = body[:-1].split(b"\0")
        os.symlink(target, self._path(node, name))
        return self._entry(node, name)

    def _mkdir(self, node: int, body: bytes) -> bytes:
        os.mkdir(self._path(node, body[8:-1]), struct.unpack_from("<I", body)[0] & 0o7777)
        return self._entry(node, body[8:-1])

    def _unlink(self, node: int, body: bytes) -> bytes:
        os.unlink(self._path(node, body[:-1]))
        return b""

    def _rmdir(self, node: int, body: bytes) -> bytes:
        os.rmdir(self._path(node, body[:-1]))
        return b""

    def _rename(self, node: int, body: bytes) -> bytes:
        (new_node,) = struct.unpack_from("<Q", body)
        old, new = body[8:-1].split(b"\0")
        source, target = os.path.join(self._paths[node], old), os.path.join(self._paths[new_node], new)
        os.rename(os.path.join(self._folder, source), os.path.join(self._folder, target))
        for (path, inode), number in list(self._nodes.items()):
            if path == source or path.startswith(source + b"/"):
                del self._nodes[path, inode]
                moved = target + path[len(source) :]
                self._nodes[moved, inode] = number
                self._paths[number] = moved
        return b""

    def _link(self, node: int, body: bytes) -> bytes:
        os.link(self._path(struct.unpack_from("<Q", body)[0]), self._path(node, body[8:-1]), follow_symlinks=False)
        return self._entry(node, body[8:-1])

    def _open(self, node: int, body: bytes) -> bytes:
        flags = struct.unpack_from("<I", body)[0] & ~(os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL)
        return struct.pack("<QII", os.open(self._path(node), flags), 0, 0)

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("<II", body)
        handle = os.open(self._path(node, body[16:-1]), flags | os.O_CREAT, mode & 0o7777)
        return self._entry(node, body[16:-1]) + struct.pack("<QII", handle, 0, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        handle, offset, size, *_ = _IO.unpack_from(body)
        return os.pread(handle, size, offset)

    def _write(self, node: int, body: bytes) -> bytes:
        handle, offset, size, *_ = _IO.unpack_from(body)
        return struct.pack("<II", os.pwrite(handle, body[_IO.size : _IO.size + size], offset), 0)

    def _readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size, *_ = _IO.unpack_from(body)
        found = b""
        for number, entry in enumerate(sorted(os.scandir(self._path(node)), key=lambda entry: entry.name)):
            row = struct.pack("<QQII", entry.inode(), number + 1, len(entry.name), 0) + entry.name
            row += bytes(-len(row) % 8)
            if len(found) + len(row) > size:
                break
            found += row if number >= offset else b""
        return found

    def _release(self, node: int, body: bytes) -> bytes:
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def _fsync(self, node: int, body: bytes) -> bytes:
        os.fsync(struct.unpack_from("<Q", body)[0])
        return b""

    def _nothing(self, node: int, body: bytes) -> bytes:
        return b""

    def _statfs(self, node: int, body: bytes) -> bytes:
        found = os.statvfs(self._folder)
        counts = (found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
        return struct.pack("<5Q4I24x", *counts, found.f_bsize, found.f_namemax, found.f_frsize, 0)

    def _init(self, node: int, body: bytes) -> bytes:
        return struct.pack("<4I2H2I36x", 7, 31, 0, 0, 12, 9, 128 * 1024, 1)


def _attributes(status: os.stat_result) -> bytes:
    times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    seconds, rests = [time_ns // 10**9 for time_ns in times], [time_ns % 10**9 for time_ns in times]
    owner = (status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0)
    return _ATTR.pack(status.st_ino, status.st_size, status.st_blocks, *seconds, *rests, status.st_mode, *owner)


class Server:
    """Reads the kernel's requests and the orders of whoever started it, one at a time."""

    def __init__(self, device: int, files: Passthrough) -> None:
        self._device = device
        self._files = files
        self._asked = 0
        self._withheld = b""
        self._heal()

    def _heal(self) -> None:
        if self._withheld:
            self._answer(self._withheld)
        self._withheld = b""
        self._hang_after: int | None = None
        self._hang_at: int | None = None
        self._hang_until = 0.0
        self._error = 0
        self._after = 0
        self._words: list[bytes] = []
        self._told = False

    def run(self) -> None:
        orders = b""
        while True:
            hangs = self._hang_after == 0 and (self._hang_at is None or bool(self._withheld))
            if hangs and time.monotonic() > self._hang_until:
                self._heal()
                continue
            watched = [sys.stdin.fileno()] if hangs and self._told else [sys.stdin.fileno(), self._device]
            ready, _, _ = select.select(watched, [], [], 1.0)
            if sys.stdin.fileno() in ready:
                orders += (more := os.read(sys.stdin.fileno(), 4096))
                if not more:
                    return
                *lines, orders = orders.split(b"\n")
                for line in lines:
                    self._obey(*line.split())
            elif self._device in ready and hangs:
                self._fired()
            elif self._device in ready and not self._serve():
                return

    def _obey(self, verb: bytes, *words: bytes) -> None:
        if verb == b"asked":
            _say(str(self._asked))
            return
        self._heal()
        if verb == b"hang":
            self._hang_after, self._hang_until = int(words[0]), time.monotonic() + float(words[1])
            self._hang_at = KINDS[words[2].decode()] if len(words) > 2 else None
        elif verb == b"fail":
            self._error, self._after, self._words = int(words[0]), int(words[1]), list(words[2:])
        _say("done")

    def _serve(self) -> bool:
        try:
            request = os.read(self._device, _BUFFER)
        except OSError as error:
            return error.errno == errno.ENOENT  # the request was interrupted; anything else: it is unmounted
        self._asked += 1
        _, opcode, *_ = _HEADER.unpack_from(request)
        if self._hang_after == 0 and self._hang_at == opcode:
            self._withheld = request
            self._fired()
            return True
        if self._hang_after and self._hang_at in (None, opcode):
            self._hang_after -= 1
        return self._answer(request)

    def _answer(self, request: bytes) -> bool:
        _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
        if opcode in _SILENT:
            return True
        try:
            self._err(opcode, node, request)
            number, answer = 0, self._files.answer(opcode, node, request[_HEADER.size :])
        except OSError as error:
            number, answer = -(error.errno or errno.EIO), b""
        try:
            os.write(self._device, struct.pack("<IiQ", 16 + len(answer), number, unique) + answer)
        except OSError as error:
            return error.errno == errno.ENOENT
        return True

    def _err(self, opcode: int, node: int, request: bytes) -> None:
        if not self._error or opcode in (18, 26, 29):
            return
        if self._words:
            name = self._files.name(node) if opcode != 35 else request[_HEADER.size + 16 : -1]
            if opcode not in _CHANGES or not any(name.endswith(word) for word in self._words):
                return
        if self._after > 0:
            self._after -= 1
            return
        self._fired()
        raise OSError(self._error, "as ordered")

    def _fired(self) -> None:
        if not self._told:
            self._told = True
            _say("fired")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(folder: bytes, mount_point: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
    if libc.mount(b"cs-archiver-test", mount_point, b"fuse", 0, options) != 0:
        _say(f"refused: {os.strerror(ctypes.get_errno())}")
        return
    _say("mounted")
    try:
        Server(device, Passthrough(folder)).run()
    finally:
        libc.umount2(mount_point, _MNT_DETACH)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]))
