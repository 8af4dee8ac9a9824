"""The sandbox's lists, paths and listings, through the real globus-sdk."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from tests.support.globus_sandbox import DESTINATION, SOURCE, Site, refused, running_site, transfer


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file()
        yield running


async def test_task_list_filters_orders_and_pages(site: Site) -> None:
    ids = [(await site.done(transfer(destination=f"/{n}", label=f"job/{n}")))["task_id"] for n in range(3)]

    def listed(client: globus_sdk.TransferClient, **options: Any) -> tuple[list[str], int]:
        answer = client.task_list(**options)
        return [row["task_id"] for row in answer["DATA"]], answer["total"]

    async def ask(**options: Any) -> Any:
        return await site.run(lambda client: listed(client, **options))

    assert await ask() == (ids[::-1], 3)
    assert await ask(orderby="label ASC") == (ids, 3)
    assert await ask(orderby="label", limit=1, offset=1) == ([ids[1]], 3)
    assert await ask(filter={"task_id": [ids[0], ids[2]]}) == ([ids[2], ids[0]], 2)
    assert await ask(filter={"status": ["SUCCEEDED"], "label": "job/1"}) == ([ids[1]], 1)
    assert await ask(filter={"status": ["ACTIVE", "INACTIVE"]}) == ([], 0)
    assert await ask(filter="type:TRANSFER/label:~job/2") == ([ids[2]], 1)
    with pytest.raises(globus_sdk.TransferAPIError, match="Unsupported filter"):
        await ask(filter="color:red")


async def test_foreign_and_unknown_tasks_are_not_found(site: Site) -> None:
    task_id = await site.submit()
    site.sandbox.tasks[task_id].owner = "somebody-else"
    foreign = await refused(site, lambda client: client.get_task(task_id))
    unknown = await refused(site, lambda client: client.get_task(SOURCE))
    assert (foreign.http_status, foreign.code) == (404, "TaskNotFound")
    assert (unknown.http_status, unknown.code) == (404, "TaskNotFound")


async def test_listing_filters_hides_and_orders(site: Site) -> None:
    (site.source / ".hidden").touch()
    (site.source / "sub").mkdir()
    (site.source / "y.tar").write_bytes(b"longer" * 20_000)

    async def names(**options: Any) -> list[str]:
        answer = await site.run(lambda client: client.operation_ls(SOURCE, "/", **options))
        return [row["name"] for row in answer["DATA"]]

    assert await names() == [".hidden", "sub", "x.tar", "y.tar"]
    assert await names(show_hidden=False) == ["sub", "x.tar", "y.tar"]
    assert await names(filter={"name": "=x.tar"}) == ["x.tar"]
    assert await names(filter={"name": "~*.tar", "type": "file"}, orderby="size DESC") == ["y.tar", "x.tar"]
    assert await names(filter={"name": "!~*.tar", "type": "dir"}) == ["sub"]


async def test_absent_paths_have_the_codes_that_prove_absence(site: Site) -> None:
    stat = await refused(site, lambda client: client.operation_stat(SOURCE, "/none"))
    ls = await refused(site, lambda client: client.operation_ls(SOURCE, "/none"))
    on_a_file = await refused(site, lambda client: client.operation_ls(SOURCE, "/x.tar"))
    assert (stat.http_status, stat.code) == (404, "NotFound")
    assert (ls.http_status, ls.code) == (404, "ClientError.NotFound")
    assert (on_a_file.http_status, on_a_file.code) == (502, "ExternalError.DirListingFailed.NotDirectory")


async def test_mkdir_and_rename_work_and_overwrite_nothing(site: Site) -> None:
    def work(client: globus_sdk.TransferClient) -> None:
        client.operation_mkdir(SOURCE, "/new")
        client.operation_rename(SOURCE, "/x.tar", "/new/y.tar")

    await site.run(work)
    assert (site.source / "new/y.tar").is_file()
    again = await refused(site, lambda client: client.operation_mkdir(SOURCE, "/new"))
    assert (again.http_status, again.code) == (502, "ExternalError.MkdirFailed.Exists")
    site.make_file()
    await refused(site, lambda client: client.operation_rename(SOURCE, "/x.tar", "/new/y.tar"))
    gone = await refused(site, lambda client: client.operation_rename(SOURCE, "/none", "/other"))
    assert gone.http_status == 404


@pytest.mark.parametrize("path", ["/../outside", "/link/secret", "/~/../outside", "/sub/../../outside", "/sub/../y"])
async def test_paths_that_leave_the_collection_are_denied(site: Site, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("x")
    (site.source / "link").symlink_to(tmp_path)
    for work in (
        lambda client: client.operation_stat(SOURCE, path),
        lambda client: client.operation_ls(SOURCE, path),
        lambda client: client.operation_mkdir(SOURCE, path),
        lambda client: client.operation_rename(SOURCE, path, "/here"),
        lambda client: client.operation_rename(SOURCE, "/x.tar", path),
    ):
        error = await refused(site, work)
        assert (error.http_status, error.code) == (403, "EndpointPermissionDenied")
    data = globus_sdk.TransferData(SOURCE, DESTINATION)
    data.add_item(path, "/stolen")
    await site.task_when(await site.submit(data), lambda task: task["nice_status"] == "PERMISSION_DENIED")
    assert not (site.destination / "stolen").exists()


async def test_links_are_listed_and_deleted_as_links(site: Site) -> None:
    (site.source / "good").symlink_to("x.tar")
    (site.source / "leaving").symlink_to("/etc/hostname")
    rows = (await site.run(lambda client: client.operation_ls(SOURCE, "/", filter="name:good,leaving")))["DATA"]
    assert [(row["type"], row["link_target"]) for row in rows] == [
        ("file", "x.tar"),
        ("invalid_symlink", "/etc/hostname"),
    ]
    (site.source / "folder").mkdir()
    (site.source / "folder link").symlink_to("folder")
    data = globus_sdk.DeleteData(SOURCE, recursive=True)
    data.add_item("/good")
    data.add_item("/folder link")
    answer = await site.run(lambda client: client.submit_delete(data))
    assert (await site.finished(answer["task_id"]))["status"] == "SUCCEEDED"
    assert (site.source / "x.tar").exists()
    assert (site.source / "folder").exists()
    assert not (site.source / "good").is_symlink()
    assert not (site.source / "folder link").is_symlink()


async def test_delete_task_removes_a_tree_only_when_recursive(site: Site) -> None:
    (site.source / "sub").mkdir()
    (site.source / "sub/file").touch()

    async def delete(path: str = "/sub", **options: Any) -> str:
        data = globus_sdk.DeleteData(SOURCE, **options)
        data.add_item(path)
        return str((await site.run(lambda client: client.submit_delete(data)))["task_id"])

    task_id = await delete()
    task = await site.task_when(task_id, lambda task: task["faults"] > 0)
    assert (task["type"], task["nice_status"]) == ("DELETE", "IS_A_DIRECTORY")
    await site.run(lambda client: client.cancel_task(task_id))
    assert (await site.finished(await delete(recursive=True)))["status"] == "SUCCEEDED"
    assert not (site.source / "sub").exists()
    ignoring = await delete("/none", additional_fields={"ignore_missing": True})
    assert (await site.finished(ignoring))["status"] == "SUCCEEDED"
    faulting = await site.task_when(await delete("/none"), lambda task: task["faults"] > 0)
    assert faulting["nice_status"] == "FILE_NOT_FOUND"
