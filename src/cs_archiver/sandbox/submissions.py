"""Submit documents, checked once at the door."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cs_archiver.sandbox.filesystem import Collection, split_path
from cs_archiver.sandbox.replies import Json, Refusal, bad_request, flag_member, parse_time, text_member

ALGORITHMS = ("MD5", "SHA1", "SHA256", "SHA512")
MAX_LABEL_LENGTH = 128


@dataclass(frozen=True, slots=True)
class TransferItem:
    """One file; `external_checksum` is the lower-case hexadecimal digest the submitter expects."""

    source_path: str
    destination_path: str
    external_checksum: str | None
    checksum_algorithm: str


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """`sync_level` 0 exists, 1 size, 2 modification time, 3 checksum; None copies always.

    `encrypt_data` and `fail_on_quota_errors` are only shown again in the task document.
    """

    sync_level: int | None
    verify_checksum: bool
    preserve_timestamp: bool
    encrypt_data: bool
    skip_source_errors: bool
    fail_on_quota_errors: bool


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A transfer as submitted."""

    submission_id: str
    label: str | None
    deadline: datetime | None
    source: Collection
    destination: Collection
    items: tuple[TransferItem, ...]
    options: TransferOptions

    @property
    def collections(self) -> tuple[Collection, ...]:
        return self.source, self.destination


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """A deletion as submitted."""

    submission_id: str
    label: str | None
    deadline: datetime | None
    source: Collection
    paths: tuple[str, ...]
    recursive: bool
    ignore_missing: bool

    @property
    def collections(self) -> tuple[Collection, ...]:
        return (self.source,)


def parse_transfer(document: Json, collections: Mapping[str, Collection]) -> TransferRequest:
    """Raises Refusal 400, or 404 for a collection the sandbox does not have."""
    _check_type(document, "transfer")
    return TransferRequest(
        submission_id=text_member(document, "submission_id"),
        label=parse_label(document.get("label")),
        deadline=_deadline(document),
        source=find_collection(collections, text_member(document, "source_endpoint")),
        destination=find_collection(collections, text_member(document, "destination_endpoint")),
        items=tuple(_transfer_item(item) for item in _items(document)),
        options=TransferOptions(
            sync_level=_sync_level(document.get("sync_level")),
            verify_checksum=flag_member(document, "verify_checksum"),
            preserve_timestamp=flag_member(document, "preserve_timestamp"),
            encrypt_data=flag_member(document, "encrypt_data"),
            skip_source_errors=flag_member(document, "skip_source_errors"),
            fail_on_quota_errors=flag_member(document, "fail_on_quota_errors"),
        ),
    )


def parse_delete(document: Json, collections: Mapping[str, Collection]) -> DeleteRequest:
    """Raises Refusal 400, or 404 for a collection the sandbox does not have."""
    _check_type(document, "delete")
    paths = tuple(text_member(item, "path") for item in _items(document))
    for path in paths:
        if not split_path(path):
            raise bad_request("The root of a collection cannot be deleted")
        if flag_member(document, "interpret_globs") and any(sign in path for sign in "*?["):
            raise bad_request("This sandbox does not expand patterns in delete paths")
    return DeleteRequest(
        submission_id=text_member(document, "submission_id"),
        label=parse_label(document.get("label")),
        deadline=_deadline(document),
        source=find_collection(collections, text_member(document, "endpoint")),
        paths=paths,
        recursive=flag_member(document, "recursive"),
        ignore_missing=flag_member(document, "ignore_missing"),
    )


def parse_label(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_LABEL_LENGTH or "\n" in value or value != value.strip():
        raise bad_request("'label' must be at most 128 characters, without line breaks or blanks around it")
    return value


def find_collection(collections: Mapping[str, Collection], collection_id: str) -> Collection:
    found = collections.get(collection_id.lower())
    if found is None:
        raise Refusal(404, "EndpointNotFound", f"No such endpoint '{collection_id}'")
    return found


def _check_type(document: Json, expected: str) -> None:
    if document.get("DATA_TYPE") != expected:
        raise bad_request(f"'DATA_TYPE' must be '{expected}'")


def _deadline(document: Json) -> datetime | None:
    value = document.get("deadline")
    return None if value is None else parse_time(value, "deadline")


def _items(document: Json) -> list[Json]:
    items: Any = document.get("DATA")
    kind = str(document["DATA_TYPE"])
    if not isinstance(items, list) or not items:
        raise bad_request(f"A {kind} requires at least one item", f"No{kind.title()}Items")
    for item in items:
        if not isinstance(item, dict) or item.get("DATA_TYPE") != f"{kind}_item":
            raise bad_request(f"Each item must be an object of DATA_TYPE '{kind}_item'")
    return items


def _transfer_item(item: Json) -> TransferItem:
    source, destination = text_member(item, "source_path"), text_member(item, "destination_path")
    split_path(source)
    split_path(destination)
    if flag_member(item, "recursive"):
        raise bad_request("This sandbox transfers single files only: 'recursive' must be false")
    if source.endswith("/") or destination.endswith("/"):
        raise bad_request("The recursive option should be used when transfering directories")
    checksum, algorithm = item.get("external_checksum"), item.get("checksum_algorithm") or "MD5"
    if checksum is not None and not isinstance(checksum, str):
        raise bad_request("'external_checksum' must be a string")
    if not isinstance(algorithm, str) or algorithm.upper().replace("-", "") not in ALGORITHMS:
        raise bad_request(f"Unsupported checksum algorithm {algorithm!r}; one of {', '.join(ALGORITHMS)}")
    expected = checksum.lower() if checksum else None
    return TransferItem(source, destination, expected, algorithm.upper().replace("-", ""))


def _sync_level(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 3:
        raise bad_request("'sync_level' must be 0, 1, 2 or 3")
    return value
