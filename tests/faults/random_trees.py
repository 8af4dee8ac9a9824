"""Random folders as people and programs leave them, by seed or as a strategy for hypothesis; and what users do there.

Every folder holds at least five files and one sub-folder, so that it can be archived and every phase is reached.
Links are relative and lead to where they are, nowhere, up and across: what stock 7-Zip restores as it was.
"""

import mmap
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hypothesis import strategies as st

from tests.faults.oracle import Oracle, contents, is_marker
from tests.support.tampering import rewrite_in_place

_YEAR_NS = 31_556_952 * 10**9
_MOST_BYTES = 3_000_000
_STEMS = ("take", "Take", "-rf", "été", "e\u0301te\u0301", "a*b", "two words", "@list", "x:y", "a \\ b", " ", "CON.")
_ENDINGS = (".mov", ".wav", ".xml", "", ".partial", ".7z", ".DOC")
_FILE_MODES = (0o644, 0o644, 0o600, 0o400, 0o444, 0o755, 0o777, 0o640)
_FOLDER_MODES = (0o755, 0o755, 0o700, 0o775, 0o777, 0o750)


@dataclass(frozen=True, slots=True)
class Node:
    """One entry: `what` is file, sparse, folder, link or hard link; `seed` stands for its content."""

    what: str
    path: str
    size: int = 0
    seed: int = 0
    target: str = ""
    mode: int = 0o644
    mtime_ns: int = 1_300_000_000_123_456_700


@dataclass(frozen=True, slots=True)
class Tree:
    """What to plant; `crowd` is how many tiny files a folder of that name holds besides."""

    nodes: tuple[Node, ...]
    crowd: int = 0


def random_tree(random: Random, *, entries: int, most_bytes: int = _MOST_BYTES, crowd: int = 0) -> Tree:
    """`entries` random nodes beside the few that every tree has; no file is larger than `most_bytes`."""
    nodes = [Node("folder", "sub", mode=0o755)]
    nodes += [Node("file", f"{where}plain {number}.mov", 3000, number) for number, where in enumerate(["", "sub/"] * 3)]
    for number in range(entries):
        nodes.append(_random_node(random, number, nodes, most_bytes))
    return Tree(tuple(nodes), crowd)


def trees(*, most_entries: int = 30) -> st.SearchStrategy[Tree]:
    """Trees that shrink to the plainest one; now and then with thousands of tiny files."""
    return st.builds(
        random_tree,
        st.randoms(use_true_random=True),  # it draws a seed only: each tree is quite another one
        entries=st.integers(0, most_entries),
        crowd=st.integers(0, 24).map(lambda number: 2000 if number == 13 else 0),
    )


def _random_node(random: Random, number: int, nodes: list[Node], most_bytes: int) -> Node:
    folders = [node.path + "/" for node in nodes if node.what == "folder"] + [""]
    folder = folders[random.randrange(len(folders))]
    path = f"{folder}{random.choice(_STEMS)} {number}"
    what = random.choice(("file",) * 8 + ("folder",) * 4 + ("link", "link", "hard link", "sparse"))
    mtime_ns = _random_time(random)
    if what == "folder":
        return Node(what, path, mode=random.choice(_FOLDER_MODES), mtime_ns=mtime_ns)
    if what == "link":
        return Node(what, path, target=_random_target(random, folder, nodes), mtime_ns=mtime_ns)
    path += random.choice(_ENDINGS)
    if what == "hard link":
        files = [node.path for node in nodes if node.what == "file"]
        return Node(what, path, target=random.choice(files))
    size = _random_size(random, most_bytes)
    seed = random.randrange(2**32)
    return Node(what, path, size, seed, mode=random.choice(_FILE_MODES), mtime_ns=mtime_ns)


def _random_time(random: Random) -> int:
    """To the nanosecond; half of them within the years 1680 to 2260, the other half in those of films."""
    if random.random() < 0.5:
        return random.randrange(-290 * _YEAR_NS, 290 * _YEAR_NS)
    return random.randrange(30 * _YEAR_NS, 54 * _YEAR_NS)


def _random_size(random: Random, most_bytes: int) -> int:
    most = random.choice((0, 1, 100, 5000, 5000, 70_000, most_bytes))
    return random.randrange(min(most, most_bytes) + 1)


def _random_target(random: Random, folder: str, nodes: list[Node]) -> str:
    """A path from `folder` to another entry, up where need be, or to nothing."""
    node = random.choice(nodes)
    if random.random() < 0.3:
        return random.choice(("nowhere", "gone/with the -wind.mov", f"{node.path}.old"))
    return os.path.relpath(node.path, folder or ".")


def plant(folder: Path, tree: Tree) -> Path:
    """Make the tree in an existing, empty folder; times and modes come last, the deepest folders first."""
    for node in tree.nodes:
        _make(folder, node)
    for number in range(tree.crowd):
        path = folder / "crowd" / f"{number % 7}" / f"{number:05d}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"<frame n='%d'/>" % number)
    for node in sorted(tree.nodes, key=lambda node: (node.what == "folder", -node.path.count("/"))):
        if node.what != "hard link":
            _date(folder / node.path, node)
    return folder


def content(seed: int, size: int) -> bytes:
    """Noise of an odd seed, of an even one what can be compressed."""
    if seed % 2:
        return Random(seed).randbytes(size)
    line = b"line of text number %d\n" % seed
    return (line * (size // len(line) + 1))[:size]


def _make(folder: Path, node: Node) -> None:
    path = folder / node.path
    if node.what == "folder":
        path.mkdir()
    elif node.what == "link":
        path.symlink_to(node.target)
    elif node.what == "hard link":
        path.hardlink_to(folder / node.target)
    elif node.what == "sparse":
        with path.open("xb") as file:
            file.truncate(node.size)
            file.seek(node.size // 2)
            file.write(content(node.seed, min(10, node.size - node.size // 2)))
    else:
        path.write_bytes(content(node.seed, node.size))


def _date(path: Path, node: Node) -> None:
    if node.what != "link":
        path.chmod(node.mode)
    os.utime(path, ns=(0, node.mtime_ns), follow_symlinks=False)


class User:
    """Somebody at work in a folder that is being archived; the oracle learns what is left there.

    Links lead to what lies `elsewhere`. `moved_away` is what a folder held that was replaced: it lies `aside` now.
    """

    def __init__(self, folder: Path, elsewhere: Path, oracle: Oracle, random: Random) -> None:
        self.folder = folder
        self.elsewhere = elsewhere
        self.aside = elsewhere.with_name("aside")
        self.moved_away: dict[bytes, str] | None = None
        self._oracle = oracle
        self._random = random
        self._number = 0

    def do(self, what: str) -> None:
        """One of CHANGES, to a random victim; when there is none left, something is added."""
        self._number += 1
        before = {path for path, _ in contents(self.folder)}
        if what == "replace the whole folder" and self.moved_away is None:
            self._replace_whole_folder()
        elif what in OF_FILES and (files := self._paths(Path.is_file)):
            OF_FILES[what](self, self._random.choice(files))
        elif what in OF_FOLDERS and (folders := self._paths(Path.is_dir)):
            OF_FOLDERS[what](self, self._random.choice([path for path in folders if any(path.iterdir())] or folders))
        else:
            add = NEW.get(what, Path.mkdir)
            add(self._random.choice([self.folder, *self._paths(Path.is_dir)]) / f"new {self._number}")
        for path in before - {path for path, _ in contents(self.folder)}:
            self._oracle.expected.pop(path, None)
        self._oracle.note()

    def noise(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def outside(self, name: str) -> Path:
        """A new path beside what lies elsewhere."""
        return self.elsewhere.with_name(f"{name} {self._number}")

    def put_back(self) -> dict[bytes, str]:
        """The folder that was moved away stands in its place again; gives back what the other holds."""
        assert self.moved_away is not None
        self._oracle.expected, self.moved_away = self.moved_away, None
        other = self.folder.rename(self.outside("other"))
        self.aside.rename(self.folder)
        return dict(contents(other))

    def _paths(self, is_wanted: Callable[[Path], bool]) -> list[Path]:
        found = (self.folder / os.fsdecode(path) for path, _ in contents(self.folder) if not is_marker(path))
        return sorted(path for path in found if is_wanted(path) and not path.is_symlink())

    def _replace_whole_folder(self) -> None:
        self.moved_away = dict(self._oracle.expected)
        self.folder.rename(self.aside)
        subprocess.run(["cp", "-a", "--", self.aside, self.folder], check=True)
        for marker in self.folder.glob("*-ARCHIVED-TO-GLOBUS.txt"):
            marker.unlink()
        (self.folder / "of the other folder.mov").write_bytes(self.noise(1000))
        self._oracle.expected.clear()


def _edit(user: User, path: Path) -> None:
    path.write_bytes(user.noise(path.stat().st_size + 7))


def _edit_unseen(user: User, path: Path) -> None:
    rewrite_in_place(path, user.noise(path.stat().st_size))


def _edit_mapped(user: User, path: Path) -> None:
    """No call writes. Not read before: tmpfs stamps the file only when its first access is to write."""
    if size := path.stat().st_size:
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[size // 2 :] = user.noise(size - size // 2)


def _append(user: User, path: Path) -> None:
    with path.open("ab") as file:
        file.write(user.noise(100))


def _replace_by_other(user: User, path: Path) -> None:
    """Saved by a rename over the old file, in the same size and time."""
    status = path.stat()
    (staged := user.outside("staged")).write_bytes(user.noise(status.st_size))
    os.utime(staged, ns=(0, status.st_mtime_ns))
    staged.rename(path)


def _replace_by_same(user: User, path: Path) -> None:
    shutil.copy2(path, staged := user.outside("staged"))
    if user.noise(1) < b"\x80":
        staged.touch()
    staged.rename(path)


def _remove(_user: User, path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _change_case(_user: User, path: Path) -> None:
    path.rename(path.with_name(path.name.swapcase() if path.name.swapcase() != path.name else f"{path.name}X"))


def _swap_for_link(user: User, path: Path) -> None:
    """A link in its place, to what lies elsewhere: there is an entry of the same name there."""
    target = user.elsewhere / "sub" if path.is_dir() else user.elsewhere / "plain 0.mov"
    _remove(user, path)
    path.symlink_to(os.path.relpath(target, path.parent))


def _move_out_behind_link(user: User, path: Path) -> None:
    path.symlink_to(os.path.relpath(path.rename(user.outside("moved out")), path.parent))


Change = Callable[[User, Path], object]
OF_FILES: dict[str, Change] = {
    "edit": _edit,
    "edit in the same size and time": _edit_unseen,
    "edit through a mapping": _edit_mapped,
    "append": _append,
    "cut off": lambda _user, path: os.truncate(path, path.stat().st_size // 2),
    "replace by another file": _replace_by_other,
    "replace by an equal file": _replace_by_same,
    "change the mode": lambda user, path: path.chmod(0o600 | user.noise(1)[0] & 0o77),
    "touch": lambda _user, path: path.touch(),
    "remove a file": _remove,
    "rename a file": lambda _user, path: path.rename(path.with_name(f"renamed {path.name}")),
    "change the case of a file": _change_case,
    "swap a file for a link": _swap_for_link,
    "move a file out behind a link": _move_out_behind_link,
    "add a hard link": lambda user, path: user.folder.joinpath(user.outside("second").name).hardlink_to(path),
    "add a hard link elsewhere": lambda user, path: user.outside("second").hardlink_to(path),
}
OF_FOLDERS: dict[str, Change] = {
    "remove a folder": _remove,
    "rename a folder": lambda _user, path: path.rename(path.with_name(f"renamed {path.name}")),
    "change the case of a folder": _change_case,
    "swap a folder for a link": _swap_for_link,
    "move a folder out behind a link": _move_out_behind_link,
    "change the mode of a folder": lambda _user, path: path.chmod(0o777),
}
NEW: dict[str, Callable[[Path], object]] = {
    "add a file": lambda path: path.write_bytes(b"not there before\n" * 50),
    "add a folder": Path.mkdir,
    "put a FIFO in": os.mkfifo,
}
CHANGES = (*NEW, *OF_FILES, *OF_FOLDERS, "replace the whole folder")
