"""The list of jobs: found by words and by user, sorted, paged, and quick however long it is."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import sqlite

from cs_archiver.db import job_search, job_words, tables, word_index
from cs_archiver.db.job_search import JobSearch, SortBy, Way, page_of
from cs_archiver.domain.events import JobUpdate, StepProgress
from cs_archiver.domain.states import JobStatus
from cs_archiver.resources import resource
from cs_archiver.server.contract.jobs import JobLine
from tests.support import jobs
from tests.support.api import Api, refusal_of, running_api

FIRST_DAY = "2026-01-0{}T00:00:00.000Z"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _plant(api: Api, name: str, *states: JobStatus, **values: Any) -> str:
    """A job that went through these states, with these values in the end."""
    job = await jobs.submit(api.database, name, source_path=f"/nas/Production/2024/{name}")
    for state in states:
        job = await api.queue.move(job, state)
    if values:
        async with api.database.write() as connection:
            await connection.execute(tables.jobs.update().where(tables.jobs.c.id == job.id).values(values))
    return job.id


async def _names(api: Api, **params: Any) -> list[str]:
    response = await api.call("GET", "/api/jobs", params=params)
    assert response.status == 200, await response.text()
    names = [job["folder_name"] for job in await response.json()]
    assert "limit" in params or response.headers["X-Total-Count"] == str(len(names))
    return names


async def test_a_job_is_told_the_same_in_the_list_and_alone(api: Api) -> None:
    """The list is JSON that SQLite makes, a job alone is made of a row: they must not come to tell two stories."""
    async with api.database.write() as connection:
        for rule in ("move_as_allowed", "delete_only_what_is_proven"):
            await connection.exec_driver_sql(f"DROP TRIGGER jobs_{rule}")
    odd = 'Æ"\\ \x01\x7f\u2028 \U0001f39e </script>'
    step = StepProgress(41.26, 2**40, 2**53 + 1, 100.04, 9.02)
    for status in JobStatus:
        await _plant(api, f"Bare {status}", status=status, current_operation="")
        full = {"step_started_at": FIRST_DAY.format(2), "started_at": FIRST_DAY.format(1), "error_message": odd}
        await _plant(api, f"{odd} {status}", status=status, progress_percent=40, current_operation=odd, **full)
        for state in {status, JobStatus.QUEUED}:  # news of this state, and of one that the job has left
            told = await _plant(api, f"Told {status} {state}", status=status, progress_percent=33)
            api.bus.publish(JobUpdate(told, state, 40, f"News of {state}", step))
    listed = await api.get("/api/jobs", params={"limit": 1000})
    assert len(listed) == 4 * len(JobStatus) - 1
    assert [line["step_percent"] for line in listed].count(41.3) == len(JobStatus) - 3, "ended jobs have no news"
    for line in listed:
        alone = await api.get(f"/api/jobs/{line['job_id']}")
        assert line == {name: alone[name] for name in JobLine.model_fields}


async def test_a_state_that_is_asked_for_again_and_again_is_asked_for_once(api: Api) -> None:
    await _plant(api, "Alpha")
    await _plant(api, "Beta", JobStatus.CANCELLED)
    assert await _names(api, status=["queued", "cancelled", "queued"]) == ["Beta", "Alpha"]
    assert await _names(api, status=["queued"] * 200, sort="size", q="alpha") == ["Alpha"]
    assert await _names(api, status=["queued"] * 501) == ["Alpha"], "SQLite puts no more than 500 queries together"


async def test_words_are_looked_for_in_the_name_the_path_and_the_error(api: Api) -> None:
    await _plant(api, "Alpha")
    await _plant(api, "Beta", JobStatus.FAILED, error_message="7z ended with 100 % of nothing")
    await _plant(api, "Gamma_1")
    cases = {
        "alph": ["Alpha"],
        "ALPHA": ["Alpha"],
        "2024/Alpha": ["Alpha"],
        "production": ["Gamma_1", "Beta", "Alpha"],
        "100 %": ["Beta"],
        "ended WITH": ["Beta"],
        "a_1": ["Gamma_1"],
        "a%1": [],
        "_": ["Gamma_1"],
        "%": ["Beta"],
        "\\": [],
        "delta": [],
        "tar.7z": [],
        "' OR 1=1 --": [],
    }
    for words, expected in cases.items():
        assert await _names(api, q=words) == expected, words


async def test_words_state_and_user_narrow_the_list_together(api: Api) -> None:
    await _plant(api, "Alpha", JobStatus.FAILED, created_by="ann")
    await _plant(api, "Alpine", created_by="ann")
    await _plant(api, "Alps", JobStatus.FAILED, created_by="bob")
    await _plant(api, "Beta", JobStatus.FAILED, created_by="ann")
    assert await _names(api, created_by="ann") == ["Beta", "Alpine", "Alpha"]
    assert await _names(api, created_by="bob") == ["Alps"]
    assert await _names(api, created_by="an") == []
    assert await _names(api, q="alp", status="failed") == ["Alps", "Alpha"]
    assert await _names(api, q="alp", status="failed", created_by="ann") == ["Alpha"]
    response = await api.call("GET", "/api/jobs?status=failed&status=queued&created_by=ann&limit=1&offset=1")
    assert [job["folder_name"] for job in await response.json()] == ["Alpine"]
    assert response.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("created_at", "C A B"),
        ("started_at", "A C B"),  # one that has not started has the smallest
        ("completed_at", "A B C"),
        ("folder_name", "A B C"),
        ("status", "C B A"),
        ("size", "B C A"),
    ],
)
async def test_list_is_sorted_both_ways(api: Api, sort: str, expected: str) -> None:
    day = FIRST_DAY.format
    await _plant(api, "C", JobStatus.COPYING, created_at=day(1), started_at=day(5), folder_size_bytes=20)
    await _plant(api, "A", created_at=day(2), folder_size_bytes=None)
    await _plant(api, "B", JobStatus.FAILED, created_at=day(3), started_at=day(6), completed_at=day(7))
    async with api.database.write() as connection:
        size = tables.jobs.update().where(tables.jobs.c.folder_name == "A").values(folder_size_bytes=30)
        await connection.execute(size)
        await connection.execute(
            tables.jobs.update().where(tables.jobs.c.folder_name == "C").values(completed_at=day(8))
        )
    assert await _names(api, sort=sort) == expected.split()
    assert await _names(api, sort=f"-{sort}") == expected.split()[::-1]
    assert await _names(api, sort=f"-{sort}", q="2024") == expected.split()[::-1]


async def test_jobs_of_the_same_value_keep_the_order_of_asking_on_every_page(api: Api) -> None:
    names = [f"Job {number}" for number in range(7)]
    for name in names:
        await _plant(api, name, created_at=FIRST_DAY.format(1), created_by="ann" if name > "Job 3" else "bob")
    for search in ({}, {"q": "job"}):
        paged = [await _names(api, sort="size", limit=2, offset=start, **search) for start in range(0, 8, 2)]
        assert [name for page in paged for name in page] == names
    assert await _names(api, limit=2, offset=1, created_by="ann") == ["Job 5", "Job 4"]


async def test_total_is_told_on_a_page_beyond_the_last(api: Api) -> None:
    for name in ("Alpha", "Beta"):
        await _plant(api, name)
    for query in ("", "&q=a", "&status=queued"):
        response = await api.call("GET", f"/api/jobs?offset=5&limit=1{query}")
        assert (await response.json(), response.headers["X-Total-Count"]) == ([], "2")
        assert set(response.links) == {"first", "prev", "last"}


@pytest.mark.parametrize(
    "query",
    [
        "sort=colour",
        "sort=",
        "sort=--size",
        "sort=size,created_at",
        "sort=size&sort=status",
        "q=",
        "q=%00",
        "q=a&q=b",
        "q=" + "x" * 201,
        "created_by=",
        "created_by=a%00b",
        "created_by=ann&created_by=bob",
    ],
)
async def test_wrong_searches_are_named(api: Api, query: str) -> None:
    name = query.partition("=")[0]
    document = await refusal_of(await api.call("GET", f"/api/jobs?{query}"), 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == [f"?{name}"]


@pytest.mark.parametrize("words", ["%ED%A0%80", "%FF", "%F0%9F%98%80", "%25", "*?[", "%5C%5C"])
async def test_odd_words_find_nothing_and_harm_nothing(api: Api, words: str) -> None:
    await _plant(api, "Alpha")
    response = await api.call("GET", f"/api/jobs?q={words}&created_by={words}")
    assert response.status in {200, 422}
    if response.status == 200:
        assert await response.json() == []


@pytest.fixture
def schema() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(resource("schema.sql").read_text())
    yield connection
    connection.close()


def _plan(schema: sqlite3.Connection, search: JobSearch, way: Way = Way.WALK) -> list[str]:
    query = page_of(search, way).params(limit=100, offset=0)
    text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    plan = [row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {text}")]
    # What is on the page is read and sorted at the end, however long the list is.
    return plan[: plan.index("SCAN page")]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("statuses", [(), (JobStatus.FAILED,), (JobStatus.COMPLETED, JobStatus.FAILED)])
@pytest.mark.parametrize("sort_by", SortBy)
def test_each_way_to_sort_walks_an_index_of_its_own(
    schema: sqlite3.Connection, sort_by: SortBy, statuses: tuple[JobStatus, ...], descending: bool
) -> None:
    plan = _plan(schema, JobSearch(statuses=statuses, sort_by=sort_by, descending=descending))
    walks = [step for step in plan if step.startswith("SEARCH")]
    assert walks == [f"SEARCH jobs USING COVERING INDEX jobs_by_{sort_by} (status=?)"] * (len(statuses) or 11)
    assert not [step for step in plan if step.startswith(("SCAN", "USE TEMP B-TREE"))]


def test_jobs_of_a_user_come_from_an_index(schema: sqlite3.Connection) -> None:
    for search in (JobSearch(created_by="ann"), JobSearch(created_by="ann", statuses=(JobStatus.FAILED,))):
        walks = [step for step in _plan(schema, search) if step.startswith("SEARCH")]
        assert set(walks) == {"SEARCH jobs USING COVERING INDEX jobs_by_created_by (created_by=? AND status=?)"}
        assert "USE TEMP B-TREE FOR ORDER BY" not in _plan(schema, search)
    by_size = _plan(schema, JobSearch(created_by="ann", sort_by=SortBy.SIZE), Way.SIFT)
    assert "SEARCH jobs USING INDEX jobs_by_created_by (created_by=?)" in by_size


def test_words_take_one_walk_over_an_index_of_them_and_no_more(schema: sqlite3.Connection) -> None:
    for statuses in ((), (JobStatus.FAILED, JobStatus.COMPLETED)):
        plan = _plan(schema, JobSearch(words="alpha", statuses=statuses), Way.AMONG)
        assert [step for step in plan if "jobs" in step] == ["SEARCH jobs USING INDEX sqlite_autoindex_jobs_2 (seq=?)"]
    assert "SCAN jobs USING COVERING INDEX jobs_by_words" in _steps(schema, job_words._with("al"))
    may = _steps(schema, job_words._MAY_HOLD.bindparams(threes='"alp"'))
    walks = [step for step in may if "job" in step and "job_sums" not in step]
    assert walks == ["SCAN job_words VIRTUAL TABLE INDEX 0:M1", "SCAN jobs_unindexed"]
    assert "SEARCH jobs USING INDEX sqlite_autoindex_jobs_2 (seq=?)" in _steps(schema, job_words._of_those_with("alp"))


def _steps(schema: sqlite3.Connection, query: Any) -> list[str]:
    text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    return [row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {text}")]


@pytest.fixture
def indexed(api: Api, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Indexes the words of all jobs there are, and demands that few of them are found without a look at each."""
    monkeypatch.setattr(word_index, "_MOST_UNINDEXED", 0)

    async def index() -> None:
        await api.database.optimize()
        assert await api.database.rows(select(tables.jobs_unindexed)) == []

    return index


SOUGHT = (
    "a%b",
    'a"b',
    "a_b",
    "ÄPF",
    "äpf",
    "apfel",
    "ROUTE",
    "route 66",
    "route 6",
    "denied: mas",
    "x" * 90,
    "66",
    "é",
)


@pytest.mark.parametrize("is_indexed", [False, True])
async def test_words_are_found_the_same_with_and_without_the_index(
    api: Api, indexed: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, *, is_indexed: bool
) -> None:
    for number in range(60):
        await _plant(api, f"Other {number}")
    names = ["a%b", 'a"b', "a_b", "aXb", "Äpfel", "äpfel", "Apfel", "Route 66", "route 7", "x" * 100, "Café"]
    for name in names:
        await _plant(api, name, error_message="Permission denied: master.mov" if "6" in name else None)
    if is_indexed:
        await indexed()
    with closing(sqlite3.connect(api.database._path)) as plain:
        for words in SOUGHT:
            literal = re.sub(r"([%_\\])", r"\\\1", words)
            held = "source_path LIKE ?1 ESCAPE '\\' OR error_message LIKE ?1 ESCAPE '\\'"
            found = plain.execute(f"SELECT folder_name FROM jobs WHERE {held}", (f"%{literal}%",))
            expected = sorted(name for (name,) in found)
            assert await _names(api, q=words, sort="folder_name") == expected, words
            assert expected or words in {"ÄPF"}, words


async def test_words_that_change_and_jobs_that_come_and_go_are_found_as_they_are_now(
    api: Api, indexed: Callable[[], Awaitable[None]]
) -> None:
    for number in range(60):
        await _plant(api, f"Other {number}")
    await _plant(api, "Alpha", error_message="first trouble")
    await indexed()
    await _plant(api, "Alphabet")
    assert await _names(api, q="alpha", sort="folder_name") == ["Alpha", "Alphabet"]
    async with api.database.write() as connection:
        is_alpha = tables.jobs.c.folder_name == "Alpha"
        await connection.execute(update(tables.jobs).where(is_alpha).values(error_message="another", seq=5000))
    assert await _names(api, q="trouble") == []
    assert await _names(api, q="another") == ["Alpha"]
    assert await _names(api, q="alpha", sort="folder_name") == ["Alpha", "Alphabet"]
    await indexed()
    assert await _names(api, q="another") == ["Alpha"]
    assert await _names(api, q="trouble") == []
    async with api.database.write() as connection:
        await connection.execute(delete(tables.jobs).where(is_alpha))
    assert await _names(api, q="alpha") == ["Alphabet"]
    await _plant(api, "Omega", error_message="another")
    async with api.database.write() as connection:
        await connection.execute(delete(tables.jobs).where(tables.jobs.c.folder_name == "Omega"))
    assert await api.database.rows(select(tables.jobs_unindexed)) == []


async def test_few_new_jobs_are_looked_through_and_not_indexed_each_day(api: Api) -> None:
    await _plant(api, "Alpha")
    await api.database.optimize()
    assert len(await api.database.rows(select(tables.jobs_unindexed))) == 1


async def test_words_are_found_among_many_jobs_and_among_few(api: Api) -> None:
    for number in range(40):
        await _plant(api, f"Job {number:02}", folder_size_bytes=100 - number, created_by="ann" if number % 2 else "bob")
    assert await _names(api, q="job 3", sort="size", limit=4, offset=1) == ["Job 38", "Job 37", "Job 36", "Job 35"]
    assert await _names(api, q="job 31") == ["Job 31"]
    assert await _names(api, q="job 31", created_by="bob") == []
    assert await _names(api, q="9", sort="folder_name") == ["Job 09", "Job 19", "Job 29", "Job 39"]
    assert await _names(api, q="9", sort="-size", created_by="ann") == ["Job 09", "Job 19", "Job 29", "Job 39"]
    response = await api.call("GET", "/api/jobs?q=job%203&limit=3&offset=20")
    assert (await response.json(), response.headers["X-Total-Count"]) == ([], "10")


async def test_each_of_many_who_ask_at_once_gets_the_page_that_was_asked_for(api: Api) -> None:
    for number in range(20):
        await _plant(api, f"Job {number:02}")
    assert len(await _names(api)) == 20  # signs in
    pages = [_names(api, sort="folder_name", limit=1, offset=number) for number in range(20)]
    assert await asyncio.gather(*pages) == [[f"Job {number:02}"] for number in range(20)]


async def test_pages_by_the_time_of_asking_repeat_no_job_when_others_are_added_meanwhile(api: Api) -> None:
    for number in range(6):
        await _plant(api, f"Job {number}", created_at=FIRST_DAY.format(number + 1))
    read: list[str] = []
    while page := await _names(api, sort="created_at", limit=2, offset=len(read)):
        read += page
        if len(read) < 8:
            await _plant(api, f"Later {len(read)}")
    assert read == [*(f"Job {number}" for number in range(6)), "Later 2", "Later 4", "Later 6"]


async def test_far_pages_are_walked_to_from_the_nearer_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"Job {number:02}" for number in range(23)]
    for number, name in enumerate(names):
        await _plant(api, name, folder_size_bytes=number // 3, created_by="ann" if number % 2 else "bob")
    monkeypatch.setattr(job_search, "_DEEP", 3)
    for sort, expected in (("size", names), ("-size", names[::-1]), ("folder_name", names)):
        for limit in (1, 4, 30):
            paged = [await _names(api, sort=sort, limit=limit, offset=start) for start in range(0, 30, limit)]
            assert [name for page in paged for name in page] == expected, (sort, limit)
    of_ann = names[1::2]
    paged = [await _names(api, sort="size", created_by="ann", limit=5, offset=start) for start in range(0, 15, 5)]
    assert [name for page in paged for name in page] == of_ann
