"""The hands-off run: archives every folder over the HTTP API, shows how it goes, and proves the outcome."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import click

from cs_archiver.demo import proof
from cs_archiver.demo.client import Api, ApiError, Folder, Job, JobLine, Workers, connect
from cs_archiver.demo.compare import printable
from cs_archiver.demo.screen import Panel, Row, table, workers_panel
from cs_archiver.demo.world import World
from cs_archiver.domain.sizes import counted, human_size

_POLL_SECONDS = 0.3
_STALL_SECONDS = 300.0
_LINE_WIDTH = 120

Echo = Callable[[str], None]


class RunStopped(Exception):
    """The run cannot go on; the message says why."""


async def archive_everything(base_url: str, world: World, *, username: str, password: str, echo: Echo) -> bool:
    """Archive every folder of `world` through the server at `base_url`; True only if all of it is proven.

    `echo` writes a text and a line break. Progress is redrawn in place if standard output is a terminal, else each
    change of a job's state is a line. Nothing left to archive is success too. What failed is said, not raised.
    """
    try:
        async with connect(base_url) as api:
            await api.sign_in(username, password)
            return await _Run(api, world, echo, is_live=sys.stdout.isatty()).whole()
    except (ApiError, RunStopped, aiohttp.ClientError, OSError) as error:
        echo(f"The run stopped: {str(error) or type(error).__name__}")
        return False


class _Run:
    def __init__(self, api: Api, world: World, echo: Echo, *, is_live: bool) -> None:
        self._api = api
        self._world = world
        self._echo = echo
        self._is_live = is_live
        self._folders: dict[str, str] = {}  # job id -> folder as shown
        self._refused: list[Row] = []

    async def whole(self) -> bool:
        await self._adopt_unfinished()
        found = await self._api.folders()
        if not found and not self._folders:
            return await self._nothing_to_do()
        await self._submit(found)
        started = time.monotonic()
        await _Watch(self._api, self._folders, self._echo, is_live=self._is_live).until_all_ended()
        jobs = [await self._api.job(job_id) for job_id in self._folders]
        self._show_table(jobs, time.monotonic() - started)
        return await self._prove(jobs)

    async def _nothing_to_do(self) -> bool:
        self._echo("Nothing to archive: every folder is archived already, or left out by the rules.")
        faults = await asyncio.to_thread(proof.faults_of_emptied, self._world)
        if faults:
            self._report("archived folders", faults, good="", bad="NOT EMPTIED")
        return not faults

    async def _adopt_unfinished(self) -> None:
        """Jobs left over from a run that was broken off are followed to their end like our own."""
        for line in await self._api.jobs():
            if not line.is_final:
                job = await self._api.job(line.job_id)
                self._folders[job.job_id] = self._shown(job.source_path)

    async def _submit(self, found: list[Folder]) -> None:
        size_bytes = sum(folder.size_bytes for folder in found)
        self._echo(f"Found {counted(len(found), 'folder')} to archive, {human_size(size_bytes)}.")
        for folder in found:
            shown = self._shown(folder.path)
            if shown in self._folders.values():
                continue
            try:
                self._folders[await self._api.submit(folder.path)] = shown
            except ApiError as error:
                self._echo(f"{shown}: {error}")
                self._refused.append(Row(shown, folder.size_bytes, None, None, "refused"))

    def _show_table(self, jobs: list[Job], elapsed_seconds: float) -> None:
        rows = [
            Row(self._folders[job.job_id], job.folder_size_bytes, job.archive_size_bytes, job.seconds, job.status)
            for job in jobs
        ]
        self._echo("")
        width = shutil.get_terminal_size().columns if self._is_live else _LINE_WIDTH
        for line in table([*rows, *self._refused], width=width, colour=self._is_live):
            self._echo(line)
        self._echo(f"\nAll ended after {elapsed_seconds:.1f} s.")

    async def _prove(self, jobs: list[Job]) -> bool:
        self._echo("Comparing every archive, unpacked with stock 7-Zip, with what was there before:")
        failures = len(self._refused)
        for job in jobs:
            failures += not await self._prove_one(job)
        rest = await asyncio.to_thread(proof.faults_of_the_rest, self._world)
        self._report("everything that was to be left alone", rest, good="untouched", bad="changed")
        left = [self._shown(folder.path) for folder in await self._api.folders()]
        self._report("folders left to archive", left, good="none", bad=str(len(left)))
        total = len(jobs) + len(self._refused)
        if failures or rest or left:
            verdict, colour = f"FAILED: {total - failures} of {total} folders proven; see above.", "red"
        else:
            verdict, colour = f"All {total} folders are archived and proven equal to their originals.", "green"
        self._echo("\n" + self._styled(verdict, colour))
        return not (failures or rest or left)

    async def _prove_one(self, job: Job) -> bool:
        if job.status == "completed":
            faults = await asyncio.to_thread(proof.faults_of_archived, self._world, job)
        else:
            faults = [f"ended {job.status}: {job.error_message or 'no reason given'}"]
        good = "equal byte for byte, with names, times, modes and links; only its marker is left"
        self._report(self._folders[job.job_id], faults, good=good, bad="NOT PROVEN")
        return not faults

    def _report(self, subject: str, faults: list[str], *, good: str, bad: str) -> None:
        self._echo(f"  {subject}: {self._styled(bad, 'red') if faults else self._styled(good, 'green')}")
        for fault in faults:
            self._echo(f"      {fault}")

    def _shown(self, path: str) -> str:
        folder = Path(path)
        inside = folder.is_relative_to(self._world.nas)
        return printable(os.fsencode(folder.relative_to(self._world.nas) if inside else folder))

    def _styled(self, text: str, colour: str) -> str:
        return click.style(text, fg=colour) if self._is_live else text


class _Watch:
    """Follows jobs to their end and shows what they do."""

    def __init__(self, api: Api, folders: dict[str, str], echo: Echo, *, is_live: bool) -> None:
        self._api = api
        self._folders = folders
        self._echo = echo
        self._panel = Panel(echo) if is_live else None
        self._states: dict[str, str] = {}
        self._ticks = 0

    async def until_all_ended(self) -> None:
        seen: object = None
        changed_at = time.monotonic()
        while True:
            lines = [line for line in await self._api.jobs() if line.job_id in self._folders]
            workers = await self._api.workers()
            self._show(lines, workers)
            if len(lines) == len(self._folders) and all(line.is_final for line in lines):
                return
            if (lines, workers) != seen:
                seen, changed_at = (lines, workers), time.monotonic()
            elif time.monotonic() - changed_at > _STALL_SECONDS:
                raise RunStopped(self._stall(lines))
            await asyncio.sleep(_POLL_SECONDS)

    def _show(self, lines: list[JobLine], workers: Workers) -> None:
        self._ticks += 1
        if self._panel is None:
            for line in lines:
                if self._states.get(line.job_id) != line.status:
                    self._echo(f"{self._folders[line.job_id]}: {line.status}")
                    self._states[line.job_id] = line.status
            return
        ended = sum(line.is_final for line in lines)
        failed = sum(line.status in {"failed", "cancelled"} for line in lines)
        summary = f"{ended} of {len(self._folders)} folders ended"
        if failed:
            summary += f", {failed} of them FAILED"
        width = shutil.get_terminal_size().columns
        panel = workers_panel(workers, self._folders, summary=summary, tick=self._ticks, width=width)
        self._panel.draw(panel)

    def _stall(self, lines: list[JobLine]) -> str:
        waiting = [
            f"{self._folders[line.job_id]} is {line.status} ({line.current_operation or 'no reason given'})"
            for line in lines
            if not line.is_final
        ]
        return f"nothing has moved for {_STALL_SECONDS:.0f} s: {'; '.join(waiting) or 'the jobs are not listed'}"
