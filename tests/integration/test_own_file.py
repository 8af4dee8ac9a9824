"""A file of our own among those of others: durable, whole, and in nobody's place, however late that one came."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.tools.own_file import write_durably
from tests.support.trees import write

OLD, NEW = b"ours: an older text, which is longer\n", b"ours: the new text\n"
PATCHED = NEW + OLD[len(NEW) :]
THEIRS = b"notes of a person\n"


def write_ours(folder: Path, content: bytes = NEW) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return write_durably(
            descriptor,
            b"marker",
            content,
            temporary_name=b".tmp",
            patch=lambda held: (0, content) if held.startswith(b"ours") else None,
        )
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("content", [b"", NEW, b"ours" * 750_000])
@pytest.mark.parametrize("before", [None, OLD])
def test_it_holds_the_new_content_or_what_is_patched_and_nothing_else_is_there(
    tmp_path: Path, content: bytes, before: bytes | None
) -> None:
    if before is not None:
        write(tmp_path, b"marker", before)
    assert write_ours(tmp_path, content) == (before is None)
    assert (tmp_path / "marker").read_bytes() == content + (before or b"")[len(content) :]
    assert os.listdir(tmp_path) == ["marker"]
    assert stat.S_IMODE((tmp_path / "marker").stat().st_mode) & 0o600 == 0o600


def a_file(path: Path) -> None:
    path.write_bytes(THEIRS)


def an_empty_file(path: Path) -> None:
    path.touch()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_a_file(path: Path) -> None:
    path.symlink_to(path.parent / "precious")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("put", [a_file, an_empty_file, a_folder, a_pipe, a_link_to_a_file, a_link_to_nothing])
@pytest.mark.parametrize("late", [False, True])
def test_what_somebody_else_put_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None], late: bool
) -> None:
    """`late`: right before ours would appear."""
    (tmp_path / "precious").write_bytes(THEIRS)
    really = os.link

    def link(*paths: Any, **options: Any) -> None:
        put(tmp_path / "marker")
        really(*paths, **options)

    if late:
        monkeypatch.setattr(os, "link", link)
    else:
        put(tmp_path / "marker")
    with pytest.raises(FileExistsError):
        write_ours(tmp_path)
    there = (tmp_path / "marker").lstat()
    (tmp_path / "compared").mkdir()
    put(tmp_path / "compared" / "marker")
    assert stat.S_IFMT(there.st_mode) == stat.S_IFMT((tmp_path / "compared" / "marker").lstat().st_mode)
    assert put is not a_file or (tmp_path / "marker").read_bytes() == THEIRS
    assert (tmp_path / "precious").read_bytes() == THEIRS
    assert sorted(os.listdir(tmp_path)) == ["compared", "marker", "precious"]


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_what_takes_its_place_while_it_is_written_anew_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write(tmp_path, b"marker", OLD)
    really = getattr(os, call)

    def after_a_replacement(*arguments: Any) -> Any:
        (tmp_path / "theirs").write_bytes(THEIRS)
        (tmp_path / "theirs").rename(tmp_path / "marker")
        monkeypatch.setattr(os, call, really)
        return really(*arguments)

    monkeypatch.setattr(os, call, after_a_replacement)
    write_ours(tmp_path)
    assert (tmp_path / "marker").read_bytes() == THEIRS


def test_what_takes_its_place_between_the_look_and_the_writing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, b"marker", OLD)
    really = os.open

    def open_after_a_replacement(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & os.O_WRONLY:
            (tmp_path / "marker").unlink()
            a_file_opened = really(tmp_path / "marker", os.O_WRONLY | os.O_CREAT)
            os.write(a_file_opened, THEIRS)
            os.close(a_file_opened)
        return really(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", open_after_a_replacement)
    with pytest.raises(FileExistsError):
        write_ours(tmp_path)
    assert (tmp_path / "marker").read_bytes() == THEIRS


def test_one_that_vanishes_while_it_is_looked_at_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, b"marker", OLD)
    really = os.read

    def read(descriptor: int, size: int) -> bytes:
        (tmp_path / "marker").unlink(missing_ok=True)
        return really(descriptor, size)

    monkeypatch.setattr(os, "read", read)
    write_ours(tmp_path)
    assert (tmp_path / "marker").read_bytes() == NEW


@pytest.mark.parametrize("call", ["fstat", "read", "pwrite", "fsync"])
def test_an_error_at_an_open_one_is_not_read_as_if_there_were_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_arguments: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    write(tmp_path, b"marker", OLD)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(FileNotFoundError):  # and not that somebody's file is in the way
            write_ours(tmp_path)
    assert os.listdir(tmp_path) == ["marker"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.parametrize("is_theirs", [False, True])
def test_a_file_system_without_links_is_written_to_all_the_same_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_theirs: bool
) -> None:
    def link(*_paths: Any, **_options: Any) -> None:
        if is_theirs:
            (tmp_path / "marker").write_bytes(THEIRS)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    if is_theirs:
        with pytest.raises(FileExistsError):
            write_ours(tmp_path)
    else:
        write_ours(tmp_path)
    assert (tmp_path / "marker").read_bytes() == (THEIRS if is_theirs else NEW)
    assert os.listdir(tmp_path) == ["marker"]


def test_a_link_that_was_made_although_it_is_said_to_be_there_already_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over NFS, when the answer is lost and the request is sent again."""
    really = os.link

    def link(*paths: Any, **options: Any) -> None:
        really(*paths, **options)
        really(*paths, **options)

    monkeypatch.setattr(os, "link", link)
    write_ours(tmp_path)
    assert (tmp_path / "marker").read_bytes() == NEW
    assert os.listdir(tmp_path) == ["marker"]


def test_what_a_crash_left_under_the_temporary_name_is_given_up(tmp_path: Path) -> None:
    write(tmp_path, b".tmp", b"ours: half of a longer text that was never finish")
    write_ours(tmp_path)
    assert os.listdir(tmp_path) == ["marker"]
    assert (tmp_path / "marker").read_bytes() == NEW


@pytest.mark.parametrize("plant", [os.symlink, os.link])
def test_no_other_name_of_a_file_is_spoilt(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    write(tmp_path, b"precious", b"ours: only copy")
    plant(tmp_path / "precious", tmp_path / ".tmp")
    write_ours(tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"ours: only copy"
    assert sorted(os.listdir(tmp_path)) == ["marker", "precious"]


def test_one_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(*_arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        write_ours(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_is_written_a_few_bytes_at_a_time_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, content, offset: really(descriptor, content[:5], offset))
    write(tmp_path, b"marker", OLD)
    write_ours(tmp_path)
    assert (tmp_path / "marker").read_bytes() == PATCHED
