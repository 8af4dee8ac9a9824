"""The history: found by state, person, days and words; added up truly; exported, and cleared, without a script."""

import csv
import io
from typing import Any

import pytest

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.domain.states import FINAL, JobStatus
from tests.support import jobs
from tests.support.api import Api
from tests.support.visitor import Page, Visitor


async def _plant(api: Api, name: str, state: JobStatus = JobStatus.FAILED, **values: Any) -> str:
    """A job that has ended; what leads there is for other tests."""
    row = {"source_path": f"/nas/Production/2024/{name}", "created_by": "ann"}
    job = await jobs.submit(api.database, name, **row)
    if state in FINAL:
        job = await api.queue.move(job, JobStatus.FAILED)
    async with api.database.write() as connection:
        if state is JobStatus.COMPLETED:
            await connection.exec_driver_sql("DROP TRIGGER IF EXISTS jobs_move_as_allowed")
        change = tables.jobs.update().where(tables.jobs.c.id == job.id)
        await connection.execute(change.values(status=state, **values))
    return job.id


def _names(page: Page) -> list[str]:
    return page.texts("#history-table td.name a")


async def test_list_shows_what_has_ended_the_last_first(api: Api, ann: Visitor) -> None:
    await _plant(api, "Under way", JobStatus.QUEUED)
    await _plant(
        api, "Done", JobStatus.COMPLETED,
        started_at="2026-01-02T10:00:00.000Z", completed_at="2026-01-02T11:23:00.000Z",
        folder_size_bytes=2_000_000_000, archive_size_bytes=1_500_000_000, created_by="kim",
    )  # fmt: skip
    await _plant(api, "Broken", completed_at="2026-01-03T00:00:00.000Z", error_message="7z ended with 2")
    await _plant(api, "Given up", JobStatus.CANCELLED, completed_at="2026-01-01T00:00:00.000Z")
    page = await ann.get("/history")
    assert _names(page) == ["Broken", "Done", "Given up"]
    assert page.texts("#history-table .state") == ["Failed", "Completed", "Cancelled"]
    row = page.texts("#history-table tbody tr")[1]
    on_a_phone = "2026-01-02 11:23, 1 h 23 min, by kim"
    columns = "Completed kim 2026-01-02 11:23 1 h 23 min 1.86 GiB 1.40 GiB 75\u202f%"
    assert row == f"Done Production / 2024 {on_a_phone} {columns}"
    assert page.texts(".why") == ["7z ended with 2"]
    assert "3 jobs · 1.86 GiB freed, 1.40 GiB at Globus (75\u202f%)" in page.text
    assert page.texts(".choices a") == ["All 3", "Completed 1", "Failed 1", "Cancelled 1"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=failed", ["Broken"]),
        ("status=", ["Broken", "Done"]),
        ("by=kim", ["Done"]),
        ("by=ann&status=completed", []),
        ("q=brok", ["Broken"]),
        ("q=7Z", ["Broken"]),
        ("since=2026-01-03", ["Broken"]),
        ("until=2026-01-02", ["Done"]),
        ("since=2026-01-02&until=2026-01-03", ["Broken", "Done"]),
        ("since=2026-01-04", []),
        ("since=&until=&q=&by=", ["Broken", "Done"]),
        ("sort=folder_name", ["Broken", "Done"]),
        ("sort=-size", ["Done", "Broken"]),
        ("page=2", []),
        ("utm_source=mail", ["Broken", "Done"]),
    ],
)
async def test_filters_stand_in_the_address(api: Api, ann: Visitor, query: str, names: list[str]) -> None:
    moment = "2026-01-0{}T23:59:59.999Z".format
    await _plant(api, "Done", JobStatus.COMPLETED, completed_at=moment(2), created_by="kim", folder_size_bytes=9)
    await _plant(api, "Broken", completed_at="2026-01-03T00:00:00.000Z", error_message="7z ended")
    assert _names(await ann.get(f"/history?{query}")) == names


async def test_days_are_those_of_the_reader(api: Api, ann: Visitor) -> None:
    await _plant(api, "Late", completed_at="2026-01-01T23:30:00.000Z")
    there = {"csa_browser_zone": "Europe/Berlin"}  # where it was half past midnight already
    assert _names(await ann.get("/history?since=2026-01-02", cookies=there)) == ["Late"]
    assert _names(await ann.get("/history?until=2026-01-01", cookies=there)) == []
    assert _names(await ann.get("/history?until=2026-01-01", cookies={**there, "csa_zone": "utc"})) == ["Late"]


@pytest.mark.parametrize(
    "query",
    ["status=queued", "status=failed&status=completed", "since=yesterday", "since=0001-01-01", "until=9999-12-31",
     "sort=colour", "page=0", "per=9999", "q=%00", "by=" + "x" * 201],
)  # fmt: skip
async def test_wrong_values_are_told_on_a_page(ann: Visitor, query: str) -> None:
    for path in ("/history", "/history/export.csv"):
        page = await ann.get(f"{path}?{query}", status=422)
        assert query.partition("=")[0] in page.text


async def test_states_sorting_and_export_keep_the_filters(api: Api, ann: Visitor) -> None:
    await _plant(api, "Broken", completed_at="2026-01-03T00:00:00.000Z")
    page = await ann.get("/history?by=ann&since=2026-01-01&q=o&sort=size")
    assert page.values(".choices a", "href")[0] == "/history?by=ann&since=2026-01-01&q=o&sort=size"
    assert page.values(".choices a", "href")[2] == "/history?status=failed&by=ann&since=2026-01-01&q=o&sort=size"
    assert page.values("#head a", "href")[0] == "/history/export.csv?by=ann&since=2026-01-01&q=o"


async def test_texts_from_outside_are_texts(api: Api, ann: Visitor) -> None:
    evil = "<img src=x onerror=alert(1)>"
    await _plant(api, evil, error_message=f"{evil} {{{{ 7 * 7 }}}}", created_by=evil)
    page = await ann.get("/history", params={"q": evil, "by": evil})
    assert _names(page) == [evil]
    assert "<img src=x" not in page.html
    assert page.texts(".why") == [f"{evil} {{{{ 7 * 7 }}}}"]


async def test_failures_count_as_seen_once_they_were_shown(api: Api, ann: Visitor) -> None:
    await _plant(api, "Broken")
    for query in ("", "?status=completed", "?status=failed&page=2", "?status=failed&q=x", "?status=failed&sort=size"):
        assert "csa_seen" not in (await ann.get(f"/history{query}")).cookies
    before = now_text()
    seen = (await ann.get("/history?status=failed")).cookies["csa_seen"]
    assert before <= seen <= now_text()
    page = await ann.get("/history", cookies={"csa_seen": seen})
    assert page.has("#failures[hidden]")


async def test_totals_of_all_time_outlive_the_list(api: Api, ann: Visitor) -> None:
    async with api.database.write() as connection:
        for number in (1, 2, 3):
            job = f"job {number}"
            await connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            await connection.execute(
                tables.manifests.insert().values(
                    id=number, job_id=job, attempt=1, sealed_at=now_text(), files=1, bytes=4_000
                )
            )
            await connection.execute(
                tables.uploads.insert().values(
                    id=number, job_id=job, destination_path=job, archive_size=1_000, archive_sha256="ab",
                    submission_id=job, request="{}", created_at=now_text(),
                )
            )  # fmt: skip
            await connection.execute(
                tables.verifications.insert().values(
                    id=number, job_id=job, upload_id=number, at=now_text(), passed=1, checks="[]"
                )
            )
            await connection.execute(
                tables.archives.insert().values(
                    job_id=job, level1="a", level2="b", folder_name=job, source_path=job, globus_collection="c",
                    globus_path=job, globus_task_id="t", archive_size_bytes=1_000, archive_sha256="ab",
                    manifest_id=number, verification_id=number, created_by="ann", archived_at=now_text(),
                    source_deleted_at=None if number == 3 else now_text(),
                )
            )  # fmt: skip
    figures = (await ann.get("/history")).texts("#figures dd")
    assert figures == ["2", "7.81 KiB", "1.95 KiB", "25\u202f%"]  # the third was not deleted yet


async def test_without_jobs_it_is_told_what_will_stand_there(ann: Visitor) -> None:
    page = await ann.get("/history")
    assert "Nothing has ended yet" in page.text
    assert page.texts("#figures dd") == ["0", "0 B", "0 B", "–"]
    assert "No job matches" in (await ann.get("/history?q=nothing")).text


async def _rows(ann: Visitor, query: str = "") -> list[dict[str, str]]:
    response = await ann.response("GET", f"/history/export.csv{query}")
    assert response.status == 200
    assert (response.content_type, response.charset) == ("text/csv", "utf-8")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="cs-archiver-history-20')
    text = (await response.read()).decode("utf-8")
    assert text.startswith("\ufeff")
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


async def test_export_has_every_job_of_the_filters_in_exact_numbers(
    api: Api, ann: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cs_archiver.db.ended_jobs._BATCH", 2)
    same = "2026-01-05T00:00:00.000Z"
    ids = [await _plant(api, f"Broken {number}", completed_at=same) for number in range(5)]
    done = await _plant(
        api, "Done", JobStatus.COMPLETED,
        started_at="2026-01-02T10:00:00.000Z", completed_at="2026-01-02T11:23:00.400Z",
        folder_size_bytes=2_000_000_001, archive_size_bytes=1_500_000_000, archive_sha256="ab" * 32,
    )  # fmt: skip
    await _plant(api, "Under way", JobStatus.QUEUED)
    rows = await _rows(ann)
    assert [row["job_id"] for row in rows] == [*ids[::-1], done]
    assert rows[-1]["duration_seconds"] == "4980"
    assert (rows[-1]["folder_size_bytes"], rows[-1]["archive_size_bytes"]) == ("2000000001", "1500000000")
    assert (rows[-1]["completed_at"], rows[-1]["archive_sha256"]) == ("2026-01-02T11:23:00.400Z", "ab" * 32)
    assert [row["folder_name"] for row in await _rows(ann, "?status=completed")] == ["Done"]
    assert [row["folder_name"] for row in await _rows(ann, "?q=broken%203&sort=size")] == ["Broken 3"]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1"])
async def test_no_text_in_the_export_can_pass_for_a_formula(api: Api, ann: Visitor, formula: str) -> None:
    await _plant(api, formula, error_message=f'{formula}, "quoted"; \'\n=cmd|x', created_by=formula)
    (row,) = await _rows(ann)
    assert (row["folder_name"], row["created_by"]) == (f"'{formula}", f"'{formula}")
    assert row["error_message"] == f"'{formula}, \"quoted\"; '\n=cmd|x"
    assert row["source_path"] == f"/nas/Production/2024/{formula}"


async def test_clearing_asks_first_and_names_the_count(api: Api, ann: Visitor) -> None:
    for name in ("One", "Two"):
        await _plant(api, name, JobStatus.COMPLETED)
    await _plant(api, "Broken")
    question = await ann.get("/history/clear")
    assert "Clear 2 completed jobs?" in question.text
    await _plant(api, "Meanwhile", JobStatus.COMPLETED, completed_at="2999-01-01T00:00:00.000Z")
    page = await ann.submit(question, "/history/clear")
    assert "Cleared 2 completed jobs from the list." in page.text
    assert _names(page) == ["Meanwhile", "Broken"]
    trail = await api.get("/api/audit?action=jobs_clear_completed", username="root")
    assert [(line["user"], line["result"]) for line in trail] == [("ann", "ok")]


async def test_nothing_to_clear_is_said(ann: Visitor) -> None:
    question = await ann.get("/history/clear")
    assert "No completed jobs" in question.text
    assert question.values("form", "action") == ["/logout"]
    page = await ann.post("/history/clear", {"until": now_text()})
    assert "There was no completed job to clear." in page.text
