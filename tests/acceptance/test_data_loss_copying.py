"""Decisions, data loss 4, first half: a source that changes while it is copied is copied again, or kept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.demo.compare import compare, extract
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Hold
from tests.support.service import Place, Service, running_service, sandbox_settings, service_in
from tests.support.tampering import Kept, Wrapper, files_in, plant

BY_RSYNC = {"COPY_SMALL_BELOW_GB": "0", "MAX_COMPRESSION_RETRIES": "1"}
EDIT = 'echo edited >> "$first/one.mov"'
ADD = 'echo added > "$first/sub/added.mov"'
REMOVE = 'rm "$first/sub/two.mov"'
EDIT_UNSEEN = (
    'touch -r "$first/one.mov" "$0.time"; printf X | dd of="$first/one.mov" conv=notrunc 2>/dev/null; '
    'touch -r "$0.time" "$first/one.mov"'
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path, **BY_RSYNC) as running:
        yield running


@pytest.fixture
def rsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wrapper:
    return Wrapper(monkeypatch, tmp_path / "bin", "rsync")


@pytest.mark.parametrize("change", [EDIT, ADD, REMOVE], ids=["edited", "added", "removed"])
async def test_a_source_that_changed_once_is_copied_again(
    change: str, service: Service, rsync: Wrapper, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    rsync.set(after=f'once change && {{ {change}; cp -a "$first" "{tmp_path}/as changed"; }}')

    job = await service.archive(folder)

    assert job["status"] == "completed", job
    log = "\n".join(await service.log_of(job["job_id"]))
    assert "the source changed while it was copied" in log
    extract(service.place.archive_of(folder), tmp_path / "scratch")
    assert compare(tmp_path / "as changed", tmp_path / "scratch" / "Project_Alpha") == []


async def test_a_source_that_never_rests_is_not_archived(service: Service, rsync: Wrapper) -> None:
    folder = plant(service.place.folder())
    rsync.set(after=EDIT)

    job = await service.archive(folder)

    assert job["status"] == "failed"
    assert "the source changed while it was copied: 'one.mov' size" in job["error_message"]
    assert files_in(folder) == ["one.mov", "sub/three.mov", "sub/two.mov"]
    assert files_in(service.place.remote) == []


async def test_an_unseen_edit_while_copying_is_found_by_reading_twice(tmp_path: Path, rsync: Wrapper) -> None:
    async with running_service(tmp_path, **BY_RSYNC, VERIFICATION_RECHECK="metadata") as service:
        folder = plant(service.place.folder())
        rsync.set(after=f"once change && {{ {EDIT_UNSEEN}; }}")

        job = await service.archive(folder)

        assert job["status"] == "completed", job
        log = "\n".join(await service.log_of(job["job_id"]))
        assert "the copy of 'one.mov' differs from the source" in log
        extract(service.place.archive_of(folder), tmp_path / "scratch")
        archived = tmp_path / "scratch" / "Project_Alpha" / "one.mov"
        assert archived.read_text().startswith("Xontent 0 of one.mov")


async def test_a_copy_that_was_to_be_read_later_is_read_although_that_is_switched_off_meanwhile(
    tmp_path: Path, rsync: Wrapper
) -> None:
    """The digests of what rsync copied are those of the copy: nobody has compared it with the source yet."""
    place = Place(tmp_path).make()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, **BY_RSYNC) as service:
            folder = plant(place.folder())
            rsync.set(after=f"once change && {{ {EDIT_UNSEEN}; }}")
            sandbox.faults.add(Operation.RUN, Hold("STUCK"))
            await service.discover()
            job_id = await service.submit(folder)
            await service.until(job_id, "uploading")
            kept = Kept(folder, tmp_path / "as edited")
        sandbox.faults.clear()
        async with service_in(place, sandbox, **BY_RSYNC, VERIFICATION_RECHECK="metadata") as service:
            job = await service.until(job_id)
    assert job["status"] == "failed"
    assert "'one.mov' content changed, although size and time did not" in job["error_message"]
    assert kept.losses() == []


TORN = {
    "lacks a file": 'rm "$second/sub/two.mov"',
    "lacks a folder": 'rm -r "$second/sub"',
    "holds a file more": 'echo more > "$second/more.mov"',
    "holds less of a file": 'touch -r "$second/one.mov" "$0.time"; : > "$second/one.mov"; '
    'touch -r "$0.time" "$second/one.mov"',
    "was given up": "code=23",
}


@pytest.mark.parametrize("torn", TORN)
async def test_a_copy_does_not_count_that(torn: str, service: Service, rsync: Wrapper, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    rsync.set(after=TORN[torn])

    job = await service.archive(folder)

    log = "\n".join(await service.log_of(job["job_id"]))
    assert job["status"] == "failed", log
    assert log.count("Copying from the NAS") == 2
    assert "Copy complete" not in log
    assert kept.losses() == []


async def test_a_copy_with_other_content_of_the_same_size_and_time_never_costs_the_source(
    service: Service, rsync: Wrapper, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    # It copies a twin that differs: what was changed after the copy might have been hashed before.
    twin = 'rm -rf "$0.twin"; cp -a "$first." "$0.twin"'
    argv = 'set -- -a --modify-window=-1 -- "$0.twin/" "$second"'
    rsync.set(before="; ".join([twin, EDIT_UNSEEN.replace("$first", "$0.twin"), argv]))

    job = await service.archive(folder)

    assert job["status"] == "failed"
    assert "'one.mov' content changed" in job["error_message"]
    assert kept.losses() == []
