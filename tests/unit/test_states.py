"""The states of a job: who serves which, and that nothing moves where it must not."""

import pytest

from cs_archiver.domain.states import (
    ACTIVE,
    BUSY,
    FINAL,
    MOVES,
    WAITING,
    JobStatus,
    WorkerName,
    restart_of,
    step_name,
    worker_of,
)


def test_every_state_is_active_or_final_and_none_is_both() -> None:
    assert {*ACTIVE, *FINAL} == set(JobStatus)
    assert not ACTIVE & FINAL


def test_every_active_state_belongs_to_exactly_one_worker() -> None:
    served = [status for worker in WorkerName for status in (*BUSY[worker], WAITING[worker])]
    assert sorted(served) == sorted(ACTIVE)


@pytest.mark.parametrize("status", sorted(JobStatus))
def test_a_worker_has_a_job_in_hand_only_in_its_busy_states(status: JobStatus) -> None:
    worker = worker_of(status)
    assert (worker is None) == (status in FINAL or status in WAITING.values())
    assert worker is None or status in BUSY[worker]


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_starting_over_is_a_move_that_is_allowed(status: JobStatus) -> None:
    start = restart_of(status)
    assert start is status or (status, start) in MOVES


def test_starting_over_goes_back_to_where_the_doubtful_thing_was_made() -> None:
    for status in (JobStatus.COPYING, JobStatus.COMPRESSING, JobStatus.VERIFYING):
        assert restart_of(status) is JobStatus.QUEUED
    assert restart_of(JobStatus.UPLOAD_VERIFYING) is JobStatus.UPLOADING
    assert restart_of(JobStatus.DELETING_SOURCE) is JobStatus.DELETING_SOURCE


def test_a_job_on_this_machine_can_always_go_back_to_the_queue() -> None:
    assert {(status, JobStatus.QUEUED) for status in BUSY[WorkerName.LOCAL]} <= MOVES


def test_the_deletion_is_reached_only_from_the_verification_and_never_cancelled() -> None:
    assert [start for start, end in MOVES if end is JobStatus.DELETING_SOURCE] == [JobStatus.UPLOAD_VERIFYING]
    assert {end for start, end in MOVES if start is JobStatus.DELETING_SOURCE} == {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
    }


def test_only_the_deletion_leads_to_completed() -> None:
    assert [start for start, end in MOVES if end is JobStatus.COMPLETED] == [JobStatus.DELETING_SOURCE]


def test_every_active_state_can_fail_and_all_but_the_deletion_can_be_cancelled() -> None:
    assert {start for start, end in MOVES if end is JobStatus.FAILED} == ACTIVE
    assert {start for start, end in MOVES if end is JobStatus.CANCELLED} == ACTIVE - {JobStatus.DELETING_SOURCE}


def test_nothing_leaves_completed_or_cancelled() -> None:
    assert not [start for start, _end in MOVES if start in (JobStatus.COMPLETED, JobStatus.CANCELLED)]


def test_every_state_has_a_name_for_people() -> None:
    names = [step_name(status) for status in JobStatus]
    assert len(set(names)) == len(names)
    assert step_name(JobStatus.COMPRESSING) == "Step 2/3: Compressing"
