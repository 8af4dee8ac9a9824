"""The triple verification: every single deviation of what Globus and the disk say must fail it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cs_archiver.domain.verification import (
    Check,
    Expected,
    Observed,
    failures,
    passed,
    size_difference,
    verify,
    verify_comparison,
)

SHA256 = "ab" * 32
PATH = "/Production/2024/Alpha.tar.7z"
EXPECTED = Expected(
    task_id="0a1b",
    label="CS Archiver job 7",
    source_collection="source-id",
    destination_collection="destination-id",
    source_path="/archives/Production/2024/Alpha.tar.7z",
    destination_path=PATH,
    size=1_000_000,
    sha256=SHA256,
    size_tolerance_percent=1.0,
)
TASK: dict[str, Any] = {
    "status": "SUCCEEDED",
    "type": "TRANSFER",
    "verify_checksum": True,
    "files": 1,
    "files_transferred": 1,
    "files_skipped": 0,
    "subtasks_failed": 0,
    "subtasks_expired": 0,
    "subtasks_canceled": 0,
    "subtasks_skipped_errors": 0,
    "fatal_error": None,
    "canceled_by_admin": None,
    "task_id": "0a1b",
    "label": "CS Archiver job 7",
    "source_endpoint_id": "source-id",
    "destination_endpoint_id": "destination-id",
    "bytes_transferred": 1_000_000,
}
TRANSFER: dict[str, Any] = {
    "source_path": "/archives/Production/2024/Alpha.tar.7z",
    "destination_path": PATH,
    "size": 1_000_000,
    "checksum_algorithm": "SHA256",
    "checksum": SHA256,
}
REMOTE: dict[str, Any] = {"name": "Alpha.tar.7z", "type": "file", "size": 1_000_000}
COMPARISON = {**TASK, "files_transferred": 0, "files_skipped": 1, "bytes_transferred": 0}
OBSERVED = Observed(TASK, [TRANSFER], REMOTE, (), 1_000_000, SHA256)

LOOKALIKES: list[tuple[object, list[object]]] = [
    (1, ["1", True, 1.0, 0, 2, None]),
    (0, [None, False, "0", 0.0, 1, -1]),
    (True, [1, "true", "True", False, None]),
    (None, [0, False, "None", "", {}, {"code": "X"}]),
    (1_000_000, ["1000000", 1_000_000.0, 999_999, 1_000_001, 0, None, True]),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def wrong_values(right: object) -> list[object]:
    for known, others in LOOKALIKES:
        if known == right and type(known) is type(right):
            return others
    assert isinstance(right, str)
    return [right.lower() if right != right.lower() else right.upper(), right + " ", "", None, [right], True]


def without(document: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != field}


def with_task(task: Mapping[str, Any]) -> list[Check]:
    return verify(EXPECTED, replace(OBSERVED, task=task))


def with_transfers(transfers: Sequence[Mapping[str, Any]]) -> list[Check]:
    return verify(EXPECTED, replace(OBSERVED, transfers=transfers))


def with_remote(remote: Mapping[str, Any] | None) -> list[Check]:
    return verify(EXPECTED, replace(OBSERVED, remote=remote))


def failed_names(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_a_transfer_as_it_should_be_passes_all_three_verifications() -> None:
    checks = verify(EXPECTED, OBSERVED)
    assert passed(checks), failures(checks)
    assert {check.number for check in checks} == {1, 2, 3}
    assert failures(checks) == ""
    assert size_difference(checks) is None


def test_nothing_checked_is_not_passed() -> None:
    assert not passed([])


def test_one_failed_check_among_many_is_not_passed() -> None:
    checks = verify(EXPECTED, OBSERVED)
    for index, check in enumerate(checks):
        assert not passed([*checks[:index], replace(check, passed=False), *checks[index + 1 :]])


@pytest.mark.parametrize("field", TASK)
def test_a_field_missing_from_the_task_document_proves_nothing(field: str) -> None:
    assert failed_names(with_task(without(TASK, field))) == [f"task {field}"]


@pytest.mark.parametrize(("field", "value"), [(field, bad) for field in TASK for bad in wrong_values(TASK[field])])
def test_one_wrong_value_in_the_task_document_fails_that_check_alone(field: str, value: object) -> None:
    checks = with_task({**TASK, field: value})
    assert failed_names(checks) == [f"task {field}"]
    assert not passed([check for check in checks if check.number == 1])


@given(field=st.sampled_from(sorted(TASK)), value=JSON)
def test_no_other_value_than_the_expected_one_passes_in_the_task_document(field: str, value: object) -> None:
    assume(type(value) is not type(TASK[field]) or value != TASK[field])
    assert failed_names(with_task({**TASK, field: value})) == [f"task {field}"]


def test_a_comparison_that_found_nothing_to_send_passes() -> None:
    assert passed(verify_comparison(EXPECTED, COMPARISON))


def test_a_comparison_that_had_to_send_the_file_fails() -> None:
    names = failed_names(verify_comparison(EXPECTED, TASK))
    assert names == ["comparison files_transferred", "comparison files_skipped", "comparison bytes_transferred"]


@pytest.mark.parametrize(
    ("field", "value"), [(field, bad) for field in COMPARISON for bad in wrong_values(COMPARISON[field])]
)
def test_one_wrong_value_in_the_comparison_fails_that_check_alone(field: str, value: object) -> None:
    assert failed_names(verify_comparison(EXPECTED, {**COMPARISON, field: value})) == [f"comparison {field}"]
    assert failed_names(verify_comparison(EXPECTED, without(COMPARISON, field))) == [f"comparison {field}"]


def test_other_fields_of_the_task_document_do_not_matter() -> None:
    assert passed(with_task({**TASK, "faults": 3, "nice_status": "OK", "directories": None}))


@pytest.mark.parametrize("names", [("DTN",), ("DTN", "Lab"), ("none",), ("none", "none"), ("",)])
def test_a_collection_with_checksums_switched_off_fails_whatever_its_name(names: tuple[str, ...]) -> None:
    checks = verify(EXPECTED, replace(OBSERVED, verification_disabled=names))
    assert failed_names(checks) == ["collections with checksums switched off"]


@pytest.mark.parametrize(
    "transfers",
    [
        [],
        [TRANSFER, TRANSFER],
        [TRANSFER, {**TRANSFER, "destination_path": "/elsewhere"}],
        [{**TRANSFER, "destination_path": "/elsewhere"}],
        [{**TRANSFER, "destination_path": PATH + "/"}],
        [{**TRANSFER, "destination_path": PATH.lower()}],
        [without(TRANSFER, "destination_path")],
        [{}],
    ],
)
def test_globus_must_list_exactly_the_one_file_at_its_destination(transfers: list[dict[str, Any]]) -> None:
    checks = with_transfers(transfers)
    assert not passed(checks)
    here = [row for row in transfers if row.get("destination_path") == PATH]
    named = failed_names(checks)
    assert ("files Globus lists as transferred" in named) == (len(transfers) != 1)
    assert ("of them at the destination path" in named) == (len(here) != 1)


@pytest.mark.parametrize("value", [None, "", "/archives/other.tar.7z", ["/archives"], 1])
def test_a_transfer_from_another_source_path_fails(value: object) -> None:
    assert failed_names(with_transfers([{**TRANSFER, "source_path": value}])) == ["source path of the transfer"]
    assert failed_names(with_transfers([without(TRANSFER, "source_path")])) == ["source path of the transfer"]


@pytest.mark.parametrize("size", [999_999, 1_000_001, 0, "1000000", 1_000_000.0, True])
def test_a_transfer_of_another_size_fails(size: object) -> None:
    assert failed_names(with_transfers([{**TRANSFER, "size": size}])) == ["size Globus transferred"]


@pytest.mark.parametrize("algorithm", ["SHA256", "sha256", "SHA-256", "sha-256"])
def test_a_digest_that_globus_computed_otherwise_fails(algorithm: str) -> None:
    row = {**TRANSFER, "checksum_algorithm": algorithm, "checksum": "cd" * 32}
    assert failed_names(with_transfers([row])) == ["SHA-256 Globus computed"]


def test_a_digest_in_capitals_is_the_same_digest() -> None:
    assert passed(with_transfers([{**TRANSFER, "checksum": SHA256.upper()}]))


@pytest.mark.parametrize("row", [without(TRANSFER, "checksum"), {**TRANSFER, "checksum_algorithm": "MD5"}])
def test_a_collection_that_tells_no_sha256_is_judged_by_the_rest(row: dict[str, Any]) -> None:
    checks = with_transfers([row])
    assert passed(checks)
    assert "SHA-256 Globus computed" not in [check.name for check in checks]


@pytest.mark.parametrize(("size", "sha256"), [(999_999, SHA256), (0, SHA256), (-1, SHA256)])
def test_a_local_archive_of_another_size_fails(size: int, sha256: str) -> None:
    checks = verify(EXPECTED, replace(OBSERVED, local_size=size, local_sha256=sha256))
    assert failed_names(checks) == ["local archive size"]


@pytest.mark.parametrize("sha256", ["", "cd" * 32, SHA256.upper(), SHA256[:-1]])
def test_a_local_archive_of_another_digest_fails(sha256: str) -> None:
    checks = verify(EXPECTED, replace(OBSERVED, local_sha256=sha256))
    assert failed_names(checks) == ["local archive SHA-256"]


def test_a_remote_file_that_is_not_there_fails_verification_2() -> None:
    checks = with_remote(None)
    assert failed_names(checks) == ["remote file"]
    assert [check.number for check in checks if not check.passed] == [2]


@pytest.mark.parametrize("value", ["alpha.tar.7z", "", None, PATH, 1])
def test_a_remote_entry_of_another_name_fails(value: object) -> None:
    assert failed_names(with_remote({**REMOTE, "name": value})) == ["remote name"]


@pytest.mark.parametrize("value", ["dir", "link", "FILE", "", None, True])
def test_a_remote_entry_that_is_no_file_fails(value: object) -> None:
    assert failed_names(with_remote({**REMOTE, "type": value})) == ["remote type"]


@pytest.mark.parametrize(
    ("field", "checks"),
    [("name", ["remote name"]), ("type", ["remote type"]), ("size", ["bytes at the destination", "remote size"])],
)
def test_a_field_missing_from_the_remote_entry_fails(field: str, checks: list[str]) -> None:
    assert failed_names(with_remote(without(REMOTE, field))) == checks


@pytest.mark.parametrize("size", [None, "1000000", 1_000_000.0, True, [1_000_000]])
def test_a_remote_size_that_is_no_whole_number_fails(size: object) -> None:
    checks = with_remote({**REMOTE, "size": size})
    assert failed_names(checks) == ["bytes at the destination", "remote size"]
    assert [check.number for check in checks if not check.passed] == [1, 3]


@pytest.mark.parametrize("difference", [9_999, -9_999, 1, -1])
def test_a_remote_size_within_the_tolerance_is_warned_of_and_still_refused(difference: int) -> None:
    checks = with_remote({**REMOTE, "size": 1_000_000 + difference})
    assert failed_names(checks) == ["bytes at the destination"]
    warning = size_difference(checks)
    assert warning is not None
    assert "1000000 bytes" in warning
    assert f"{1_000_000 + difference} bytes" in warning


@pytest.mark.parametrize("difference", [10_000, -10_000, 10_001, 10**9, -1_000_000])
def test_a_remote_size_at_or_beyond_the_tolerance_fails(difference: int) -> None:
    checks = with_remote({**REMOTE, "size": 1_000_000 + difference})
    assert failed_names(checks) == ["bytes at the destination", "remote size"]


@pytest.mark.parametrize("tolerance", [0.0, math.nan, -1.0])
def test_without_a_tolerance_only_the_exact_size_passes(tolerance: float) -> None:
    expected = replace(EXPECTED, size_tolerance_percent=tolerance)
    assert passed(verify(expected, OBSERVED))
    for size in (999_999, 1_000_001):
        assert not passed(verify(expected, replace(OBSERVED, remote={**REMOTE, "size": size})))


@given(size=st.integers(0, 2**50), found=st.integers(0, 2**50), tolerance=st.floats(0, 100))
def test_the_size_passes_only_if_equal_or_nearer_than_the_tolerance(size: int, found: int, tolerance: float) -> None:
    expected = replace(EXPECTED, size=size, size_tolerance_percent=tolerance)
    checks = verify(expected, replace(OBSERVED, remote={**REMOTE, "size": found}))
    check = next(check for check in checks if check.number == 3)
    if check.passed:
        assert found == size or abs(found - size) * 100 <= tolerance * max(size, 1) * 1.000001
    else:
        assert found != size
    assert (size_difference(checks) is None) == (found == size)


def test_the_failures_are_named_with_both_values() -> None:
    checks = verify(EXPECTED, replace(OBSERVED, task={**TASK, "files": 2}, local_size=7))
    assert failures(checks) == ("task files: expected 1, found 2; local archive size: expected 1000000, found 7")


def test_an_absent_field_is_named_as_absent_and_not_as_none() -> None:
    assert failures(with_task(without(TASK, "fatal_error"))) == "task fatal_error: expected None, found (absent)"


def test_the_evidence_survives_being_stored_as_json() -> None:
    checks = verify(EXPECTED, replace(OBSERVED, remote={**REMOTE, "size": 5}))
    assert [Check(**row) for row in json.loads(json.dumps([check.as_dict() for check in checks]))] == checks
