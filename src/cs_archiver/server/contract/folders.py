"""The folders that can be archived, and those that cannot."""

from typing import Annotated, Self

from pydantic import Field

from cs_archiver.domain import folders
from cs_archiver.domain.sizes import human_size
from cs_archiver.server.contract.base import Answer, ByteCount, Flag, Moment, Query


class FoldersQuery(Query):
    refresh: Annotated[Flag, Field(description="Scan the NAS again first.")] = False


class Folder(Answer):
    path: str
    name: str
    level1: str
    level2: str
    size_bytes: ByteCount
    size_human: Annotated[str, Field(examples=["1.00 GB"])]
    modified_at: Annotated[Moment | None, Field(description="The newest change of a file in it.")]
    file_count: int
    is_archived: Annotated[bool, Field(description="Always false: what was archived is no longer listed.")]

    @classmethod
    def of(cls, found: folders.Folder) -> Self:
        return cls(
            path=found.path,
            name=found.name,
            level1=found.level1,
            level2=found.level2,
            size_bytes=found.size_bytes,
            size_human=human_size(found.size_bytes),
            modified_at=found.modified_at,
            file_count=found.file_count,
            is_archived=False,
        )


class LeftOutFolder(Answer):
    path: str
    name: str
    level1: str
    level2: str
    reason: Annotated[str | None, Field(description="Why it cannot be archived.")]

    @classmethod
    def of(cls, found: folders.Folder) -> Self:
        return cls(path=found.path, name=found.name, level1=found.level1, level2=found.level2, reason=found.left_out)
