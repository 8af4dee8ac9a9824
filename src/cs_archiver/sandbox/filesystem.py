"""A collection: a folder seen through virtual paths that cannot leave it."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from cs_archiver.sandbox.replies import Json, Refusal, bad_request
from cs_archiver.sandbox.settings import CollectionTraits


class OutsideCollection(Exception):
    """The path leads out of the collection."""


class Collection:
    """One folder served as a Globus collection. `traits` may be replaced while the sandbox runs."""

    def __init__(self, collection_id: str, folder: Path, traits: CollectionTraits) -> None:
        self.id = collection_id
        self.root = os.path.realpath(folder)
        self.traits = traits

    @property
    def display_name(self) -> str:
        return self.traits.display_name or os.path.basename(self.root)

    def locate(self, path: str, *, follow: bool = True) -> str:
        """The place on disk of a virtual path; raises OutsideCollection, also for `..` and links that leave.

        With `follow` false a link in the last place is meant itself.
        """
        parts = split_path(path)
        if ".." in parts:
            raise OutsideCollection(path)
        place = os.path.join(self.root, *parts)
        if not follow and parts:
            place = os.path.join(os.path.realpath(os.path.dirname(place)), parts[-1])
            resolved = place
        else:
            resolved = os.path.realpath(place)
        if resolved != self.root and not resolved.startswith(self.root.rstrip("/") + "/"):
            raise OutsideCollection(path)
        return place


def split_path(path: str) -> list[str]:
    """The parts of a virtual path; `/~/` is the root. Raises Refusal 400 for one that is not absolute."""
    if any(sign in path for sign in "\r\n\0"):
        raise bad_request(f"Invalid path {path!r}: line breaks and NUL are not allowed", "InvalidPath")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise bad_request(f"Invalid path {path!r}: not a name a file can have", "InvalidPath") from error
    if path == "~" or path.startswith("~/"):
        path = "/" + path
    if not path.startswith("/"):
        raise bad_request(f"Invalid path '{path}': it must start with '/'", "InvalidPath")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return parts[1:] if parts[:1] == ["~"] else parts


def checked_place(collection: Collection, path: str, verb: str, *, follow: bool = True) -> str:
    """As `locate`, with the refusal a directory operation answers."""
    traits = collection.traits
    if traits.is_personal and not traits.gcp_connected:
        raise _external(collection, "DirListingFailed.GCDisconnected", verb, "Globus Connect is not connected")
    if traits.is_personal and traits.gcp_paused:
        raise _external(collection, "DirListingFailed.GCPaused", verb, "Globus Connect is paused")
    try:
        return collection.locate(path, follow=follow)
    except OutsideCollection as error:
        raise _not_allowed(collection, path, verb) from error


def list_folder(collection: Collection, path: str, *, show_hidden: bool) -> list[Json]:
    place = checked_place(collection, path, "list")
    with _refusals(collection, path, "list", failed="DirListingFailed", absent="ClientError.NotFound"):
        if not stat.S_ISDIR(os.stat(place).st_mode):
            message = f"'{path}' is not a directory"
            raise _external(collection, "DirListingFailed.NotDirectory", "list", message)
        names = [name for name in sorted(os.listdir(place)) if show_hidden or not name.startswith(".")]
        return list(_described(collection, place, names))


def _described(collection: Collection, place: str, names: list[str]) -> Iterator[Json]:
    for name in names:
        # A name that went away since it was listed is no reason to call the whole folder absent.
        with suppress(FileNotFoundError):
            yield describe(collection, place, name)


def stat_path(collection: Collection, path: str) -> Json:
    place = checked_place(collection, path, "list")
    with _refusals(collection, path, "list", failed="DirListingFailed", absent="NotFound"):
        return describe(collection, os.path.dirname(place), os.path.basename(place))


def make_folder(collection: Collection, path: str) -> None:
    place = checked_place(collection, path, "mkdir")
    with _refusals(collection, path, "mkdir", failed="MkdirFailed"):
        os.mkdir(place)


def rename_path(collection: Collection, old_path: str, new_path: str) -> None:
    old = checked_place(collection, old_path, "rename", follow=False)
    new = checked_place(collection, new_path, "rename", follow=False)
    with _refusals(collection, old_path, "rename", failed="RenameFailed", absent="ClientError.NotFound"):
        if os.path.lexists(new):
            raise _external(collection, "RenameFailed.Exists", "rename", f"Path already exists: {new_path}")
        os.rename(old, new)


@contextmanager
def _refusals(
    collection: Collection, path: str, verb: str, *, failed: str, absent: str | None = None
) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise _not_allowed(collection, path, verb) from error
    except FileExistsError as error:
        raise _external(collection, f"{failed}.Exists", verb, f"Path already exists: {path}") from error
    except OSError as error:
        if absent is not None and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise _absent(collection, absent, path) from error
        raise _external(collection, failed, verb, error.strerror or "failed") from error


def describe(collection: Collection, folder: str, name: str) -> Json:
    """The file document of one name, links resolved; raises OSError when it is gone."""
    place = os.path.join(folder, name)
    found = os.lstat(place)
    document = {
        "DATA_TYPE": "file",
        "name": shown_name(name),
        **_attributes(found, ""),
        "link_target": None,
        "link_size": None,
        "link_user": None,
        "link_group": None,
        "link_last_modified": None,
    }
    if stat.S_ISLNK(found.st_mode):
        link = _attributes(found, "link_")
        document |= {key: link[key] for key in link if key in document}
        document["link_target"] = shown_name(os.readlink(place))
        document |= _link_target(collection, place)
    return document


def _link_target(collection: Collection, place: str) -> Json:
    inside = os.path.realpath(place).startswith(collection.root.rstrip("/") + "/")
    if not inside or not os.path.exists(place):
        return {"type": "invalid_symlink"}
    return _attributes(os.stat(place), "")


def _attributes(found: os.stat_result, prefix: str) -> Json:
    modified = datetime.fromtimestamp(int(found.st_mtime), UTC)
    return {
        f"{prefix}type": _kind(found.st_mode),
        f"{prefix}size": found.st_size,
        f"{prefix}last_modified": str(modified),
        f"{prefix}permissions": f"{stat.S_IMODE(found.st_mode):04o}",
        f"{prefix}user": str(found.st_uid),
        f"{prefix}group": str(found.st_gid),
    }


_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "dir"),
    (stat.S_ISREG, "file"),
    (stat.S_ISCHR, "chr"),
    (stat.S_ISBLK, "blk"),
    (stat.S_ISFIFO, "pipe"),
)


def _kind(mode: int) -> str:
    return next((name for matches, name in _KINDS if matches(mode)), "other")


def shown_name(name: str) -> str:
    """The name as Globus shows it: bytes that are not UTF-8 as Latin-1 behind U+FFFD."""
    raw = os.fsencode(name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "\ufffd" + raw.decode("latin-1")


def _origin(collection: Collection, verb: str) -> str:
    return f"Error ({verb})\nEndpoint: {collection.display_name} ({collection.id})\nServer: 127.0.0.1"


def _absent(collection: Collection, code: str, path: str) -> Refusal:
    details = f"Message: No such file or directory\n---\nDetails: Error: '{path}' not found\\r\\n"
    return Refusal(404, code, f"Path not found, {_origin(collection, 'list')}\n{details}\n")


def _not_allowed(collection: Collection, path: str, verb: str) -> Refusal:
    details = "Message: Fatal FTP Response\n---\nDetails: 500 Command failed : Path not allowed."
    origin = f"{_origin(collection, verb)}\nCommand: {verb} {path}"
    return Refusal(403, "EndpointPermissionDenied", f"Denied by endpoint, {origin}\n{details}\n")


def _external(collection: Collection, code: str, verb: str, message: str) -> Refusal:
    return Refusal(502, f"ExternalError.{code}", f"{_origin(collection, verb)}\nMessage: {message}\n")
