"""What follows a failure: which limit counts, and when it is used up."""

import pytest

from cs_archiver.domain.retry import Again, Operation, RetryPolicy, after_failure, operation_of
from cs_archiver.domain.states import ACTIVE, JobStatus

POLICY = RetryPolicy({Operation.COMPRESSION: 3, Operation.UPLOAD: 5, Operation.CONNECTION: 0}, 300.0)
LOCAL = {JobStatus.QUEUED, JobStatus.COPYING, JobStatus.COMPRESSING, JobStatus.VERIFYING}


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_each_state_has_the_limit_of_its_kind_of_operation(status: JobStatus) -> None:
    expected = Operation.COMPRESSION if status in LOCAL else Operation.UPLOAD
    assert operation_of(status, connection_trouble=False) is expected


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_trouble_with_the_connection_has_a_limit_of_its_own_in_every_state(status: JobStatus) -> None:
    assert operation_of(status, connection_trouble=True) is Operation.CONNECTION


@pytest.mark.parametrize(
    ("operation", "retries_so_far", "again"),
    [
        (Operation.COMPRESSION, 0, Again(1, 3, 300.0)),
        (Operation.COMPRESSION, 2, Again(3, 3, 300.0)),
        (Operation.COMPRESSION, 3, None),
        (Operation.COMPRESSION, 4, None),
        (Operation.UPLOAD, 4, Again(5, 5, 300.0)),
        (Operation.UPLOAD, 5, None),
        (Operation.CONNECTION, 0, None),
    ],
)
def test_retries_are_counted_up_to_the_limit(operation: Operation, retries_so_far: int, again: Again | None) -> None:
    assert after_failure(POLICY, operation, retries_so_far=retries_so_far) == again


@pytest.mark.parametrize(("operation", "limit"), [(Operation.COMPRESSION, 3), (Operation.UPLOAD, 5)])
def test_a_failure_that_stays_ends_after_exactly_the_limit(operation: Operation, limit: int) -> None:
    retries = 0
    while (again := after_failure(POLICY, operation, retries_so_far=retries)) is not None:
        assert again.number == retries + 1
        retries = again.number
    assert retries == limit
