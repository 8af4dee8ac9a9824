"""The mark beside the archives: a database that is older than what was sent is noticed, and believed nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database
from cs_archiver.db.queue import Queue
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus
from cs_archiver.tools.mark import SentMark
from cs_archiver.workers.recovery import doubt_older_database
from tests.integration.test_queue import bring_to
from tests.support.jobs import submit


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield database
    await database.close()


async def uploading(database: Database) -> Job:
    queue = Queue(database)
    job = await bring_to(queue, await submit(database), JobStatus.UPLOADING)
    return await queue.checkpoint(job, archive_sha256="aa", archive_size_bytes=32)


def test_the_mark_only_rises_and_a_torn_one_counts_as_none(tmp_path: Path) -> None:
    mark = SentMark(tmp_path)
    assert mark.read() is None
    mark.raise_to(7)
    mark.raise_to(3)
    assert mark.read() == 7
    (tmp_path / ".cs-archiver.sent").write_bytes(b"00000000000000000")
    assert mark.read() is None


async def test_a_database_that_knows_all_that_was_sent_is_believed(database: Database, tmp_path: Path) -> None:
    catalogue, mark = Catalogue(database), SentMark(tmp_path)
    assert await doubt_older_database(catalogue, mark) is None
    assert mark.read() == 0
    job = await uploading(database)
    upload = await catalogue.add_upload(job, submission_id="one", request={}, compares=None)
    assert await doubt_older_database(catalogue, mark) is None, "a crash before the very first one was marked"
    mark.raise_to(upload.id)
    assert await doubt_older_database(catalogue, mark) is None
    await catalogue.add_upload(job, submission_id="stored, not sent yet", request={}, compares=None)
    assert await doubt_older_database(catalogue, mark) is None
    assert len(await catalogue.open_uploads(job.id)) == 2


@pytest.mark.parametrize("newest_sent", [5, None])
async def test_an_older_database_forgets_what_it_left_and_what_it_was_sending(
    database: Database, tmp_path: Path, newest_sent: int | None
) -> None:
    catalogue, mark = Catalogue(database), SentMark(tmp_path)
    job = await uploading(database)
    first = await catalogue.add_upload(job, submission_id="one", request={}, compares=None)
    second = await catalogue.add_upload(job, submission_id="two", request={}, compares=None)
    await catalogue.set_failed(first, left_behind="what a failed task left")
    if newest_sent is not None:
        mark.raise_to(newest_sent)

    notice = await doubt_older_database(catalogue, mark)

    assert notice is not None
    assert "older than what was already sent" in notice
    assert not await catalogue.left_by(first.destination_path, "what a failed task left")
    assert [upload.doubted for upload in await catalogue.open_uploads(job.id)] == [1], "to be ended before another"
    third = await catalogue.add_upload(job, submission_id="three", request={}, compares=None)
    assert third.id > max(second.id, newest_sent or 0)
    mark.raise_to(third.id)
    assert await doubt_older_database(catalogue, mark) is None, "it is older only once"


async def test_a_new_attempt_forgets_what_earlier_ones_left_at_its_destination(database: Database) -> None:
    catalogue, job = Catalogue(database), await uploading(database)
    first = await catalogue.add_upload(job, submission_id="one", request={}, compares=None)
    await catalogue.set_failed(first, left_behind="half of it")
    assert await catalogue.left_by(job.globus_destination_path, "half of it")
    comparison = await catalogue.add_upload(job, submission_id="a comparison", request={}, compares=first)
    await catalogue.set_task(comparison, "a task that only compares")
    second = await catalogue.add_upload(job, submission_id="two", request={}, compares=None)
    assert await catalogue.left_by(job.globus_destination_path, "half of it"), "nothing was sent yet"
    await catalogue.set_task(second, "a task that may write there")
    assert not await catalogue.left_by(job.globus_destination_path, "half of it")
