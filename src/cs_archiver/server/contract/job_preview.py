"""What archiving a folder would do."""

from typing import Annotated, Self

from pydantic import Field

from cs_archiver.domain.folders import MARKER_SUFFIX
from cs_archiver.errors import InvalidRequest
from cs_archiver.server.contract.base import Answer, ByteCount
from cs_archiver.services import preview


class Some(Answer):
    """How many there are, and the first few by name."""

    count: int
    examples: list[str]

    @classmethod
    def of(cls, some: preview.Some) -> Self:
        return cls(count=some.count, examples=some.examples)


class Obstacle(Answer):
    problem: Annotated[str, Field(description="As the last part of `type` in problem documents.")]
    detail: str

    @classmethod
    def of(cls, error: InvalidRequest) -> Self:
        return cls(problem=error.problem, detail=error.detail)


class Deletion(Answer):
    """What is deleted of the source, once the archive is proven stored. The folder itself stays, with the marker."""

    files: int
    folders: int
    links: int
    size_bytes: ByteCount
    marker_path: Annotated[str, Field(description="The text file that will say where the archive is.")]


class Plan(Answer):
    """Nothing of it is done."""

    folder_path: str
    folder_name: str
    can_be_archived: Annotated[bool, Field(description="Whether there is no obstacle.")]
    obstacles: Annotated[
        list[Obstacle], Field(description="Why the job would be refused, or fail before it copied anything.")
    ]
    files: int
    folders: int
    links: Annotated[int, Field(description="Symbolic links, which are archived as links.")]
    size_bytes: ByteCount
    links_leading_out: Annotated[Some, Field(description="Links to what will not be in the archive.")]
    unsupported: Annotated[Some, Field(description="Sockets, FIFOs and devices, which cannot be archived.")]
    unreadable: Some
    space_needed_bytes: Annotated[ByteCount, Field(description="On the local disk, for the copy and the archive.")]
    space_free_bytes: ByteCount
    waits_for_space: Annotated[bool, Field(description="Whether the job would wait in the queue for space.")]
    destination: Annotated[str, Field(description="Where the archive goes by the folder's name.")]
    destination_exists: Annotated[bool | None, Field(description="Null while Globus does not say.")]
    new_version_destination: Annotated[
        str | None, Field(description='Where it goes with `"on_existing": "new_version"`; null while unknown.')
    ]
    expected_seconds: Annotated[
        float | None,
        Field(description="Once it begins, going by the last ones; null if there were none."),
    ]
    will_delete: Deletion

    @classmethod
    def of(cls, plan: preview.Plan) -> Self:
        folder, contents, destination = plan.folder, plan.contents, plan.destination
        return cls(
            folder_path=folder.path,
            folder_name=folder.name,
            can_be_archived=not plan.obstacles,
            obstacles=[Obstacle.of(error) for error in plan.obstacles],
            files=contents.files,
            folders=contents.folders,
            links=contents.links,
            size_bytes=contents.size_bytes,
            links_leading_out=Some.of(contents.links_leading_out),
            unsupported=Some.of(contents.unsupported),
            unreadable=Some.of(contents.unreadable),
            space_needed_bytes=plan.space_needed_bytes,
            space_free_bytes=plan.space_free_bytes,
            waits_for_space=plan.space_free_bytes < plan.space_needed_bytes,
            destination=destination.path,
            destination_exists=destination.taken is not None if destination.is_known else None,
            new_version_destination=destination.new_version,
            expected_seconds=plan.expected_seconds,
            will_delete=Deletion(
                files=contents.files,
                folders=contents.folders,
                links=contents.links,
                size_bytes=contents.size_bytes,
                marker_path=f"{folder.path}/{folder.name}{MARKER_SUFFIX}",
            ),
        )
