"""The manifest of a job: what its folder held when it was copied, entry by entry."""

from base64 import b64encode
from typing import Annotated, Self

from pydantic import Field

from cs_archiver.clock import from_ns
from cs_archiver.domain.manifest import Entry, EntryKind, shown
from cs_archiver.server.contract.base import Answer, ByteCount, Limit, Moment, Offset, Query
from cs_archiver.server.contract.text import Words


class FilesQuery(Query):
    q: Annotated[Words | None, Field(description="Only entries whose path holds this.")] = None
    limit: Limit = 100
    offset: Offset = 0


class ManifestEntry(Answer):
    """A file, a folder or a link. Names on Linux are bytes: the path for people escapes what is no text."""

    path: Annotated[str, Field(description="Within the folder; what is no text, or unprintable, is escaped.")]
    path_base64: Annotated[str, Field(description="The path as it is, byte for byte.")]
    kind: EntryKind
    size_bytes: ByteCount
    modified_at: Moment
    mode: Annotated[str, Field(description="The permissions in octal.", examples=["0644"])]
    link_target: Annotated[str | None, Field(description="Of a link; escaped as the path is.")]
    link_target_base64: str | None
    sha256: Annotated[str | None, Field(description="Of a file's content, in hexadecimal.")]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        target = entry.target
        return cls(
            path=shown(entry.path),
            path_base64=b64encode(entry.path).decode(),
            kind=entry.kind,
            size_bytes=entry.size,
            modified_at=from_ns(entry.mtime_ns),
            mode=f"{entry.mode:04o}",
            link_target=None if target is None else shown(target),
            link_target_base64=None if target is None else b64encode(target).decode(),
            sha256=None if entry.sha256 is None else entry.sha256.hex(),
        )
