"""The task engine: accepts submissions, runs a few tasks at a time, lets them be canceled or expire."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from cs_archiver.sandbox.copying import RateLimit
from cs_archiver.sandbox.deleting import delete_path
from cs_archiver.sandbox.faults import CancelByAdmin, Fail, FaultScript, Hold, TaskEffect
from cs_archiver.sandbox.filesystem import split_path
from cs_archiver.sandbox.replies import Refusal, bad_request, now
from cs_archiver.sandbox.settings import SandboxSettings
from cs_archiver.sandbox.submissions import DeleteRequest, TransferItem, TransferRequest
from cs_archiver.sandbox.tasks import (
    DEFAULT_LIFE,
    SkippedError,
    Status,
    Task,
    TaskFailure,
    TaskFault,
    TransferredFile,
)
from cs_archiver.sandbox.transferring import transfer_item

CANCEL_WAIT_SECONDS = 10.0
R = TypeVar("R")
logger = logging.getLogger(__name__)


class TaskEngine:
    """Owns every task record and every runner; `close` leaves none running."""

    def __init__(self, settings: SandboxSettings, faults: FaultScript) -> None:
        self.tasks: dict[str, Task] = {}
        self._settings = settings
        self._faults = faults
        self._rate = RateLimit(settings.rate_bytes_per_second)
        self._submissions: dict[str, tuple[str, str | None]] = {}
        self._runners: dict[str, asyncio.Task[None]] = {}
        self._slots: dict[bool, asyncio.Semaphore] = {}
        self._threads: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Starts; tasks a former `close` left unfinished go on from their beginning."""
        size = 2 * self._settings.max_active_tasks + 2
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="globus-sandbox")
        self._slots = {kind: asyncio.Semaphore(self._settings.max_active_tasks) for kind in (True, False)}
        for task in self.tasks.values():
            if task.is_unfinished:
                self._start(task)

    async def close(self) -> None:
        runners = list(self._runners.values())
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
            self._threads = None

    async def in_thread(self, work: Callable[..., R], *arguments: object) -> R:
        """Runs in the sandbox's own threads; raises Refusal 503 when it is closed."""
        if self._threads is None:
            raise Refusal(503, "ServiceUnavailable", "The sandbox is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def issue_submission_id(self, owner: str) -> str:
        submission_id = str(uuid.uuid4())
        self._submissions[submission_id] = (owner, None)
        return submission_id

    def task_of_submission(self, submission_id: str, owner: str) -> str | None:
        """The task accepted under this id, None when unused; raises Refusal 400 for one never issued."""
        issued_to, task_id = self._submissions.get(submission_id, ("", None))
        if issued_to != owner:
            raise bad_request(f"Invalid submission id '{submission_id}': it was never issued")
        return task_id

    def accept(self, request: TransferRequest | DeleteRequest, owner: str) -> Task:
        """Creates and queues the task; raises Refusal 409 while one with the same paths is unfinished."""
        if self._threads is None:
            raise Refusal(503, "ServiceUnavailable", "The sandbox is stopping")
        if isinstance(request, TransferRequest):
            self._refuse_identical(request, owner)
        effects = self._faults.task_effects(_fault_text(request))
        task = Task(
            task_id=str(uuid.uuid4()),
            owner=owner,
            request=request,
            effects=effects,
            verify_checksum=False,
            label=request.label,
            deadline=request.deadline or now() + DEFAULT_LIFE,
        )
        if isinstance(request, TransferRequest) and not task.has_outcome("VERIFY_OFF"):
            forced = any(collection.traits.force_verify for collection in request.collections)
            task.verify_checksum = request.options.verify_checksum or forced
        self.tasks[task.task_id] = task
        self._submissions[request.submission_id] = (owner, task.task_id)
        self._start(task)
        return task

    def update(self, task: Task, *, label: str | None, deadline: datetime | None) -> None:
        task.label = label
        if deadline is not None:
            task.deadline = deadline
            if task.timeout is not None:
                task.timeout.reschedule(_loop_time(deadline))

    async def cancel(self, task: Task) -> bool:
        """Asks the task to end; true when it has ended, false when that is still under way."""
        task.cancel_requested = True
        runner = self._runners.get(task.task_id)
        if runner is None:
            return True
        slow = task.slow_cancel
        if slow is None:
            runner.cancel()
            await asyncio.wait([runner], timeout=CANCEL_WAIT_SECONDS)
        elif f"cancel {task.task_id}" not in self._runners:
            self._keep(f"cancel {task.task_id}", self._cancel_later(runner, slow.seconds))
        return not task.is_unfinished

    async def _cancel_later(self, runner: asyncio.Task[None], seconds: float | None) -> None:
        await self._until_cleared(seconds)
        runner.cancel()

    def _refuse_identical(self, request: TransferRequest, owner: str) -> None:
        wanted = _path_pairs(request)
        for task in self.tasks.values():
            same_owner = task.owner == owner and task.is_unfinished
            if same_owner and isinstance(task.request, TransferRequest) and wanted & _path_pairs(task.request):
                raise Refusal(409, "Conflict", "A transfer with identical paths has not yet completed")

    def _start(self, task: Task) -> None:
        task.stopping.clear()
        task.is_queued = True
        self._keep(task.task_id, self._run(task))

    def _keep(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        runner = asyncio.create_task(work, name=f"globus-sandbox {name}")
        self._runners[name] = runner
        runner.add_done_callback(lambda done: self._forget(name, done))

    def _forget(self, name: str, runner: asyncio.Task[None]) -> None:
        self._runners.pop(name, None)
        error = None if runner.cancelled() else runner.exception()
        if error is not None:
            logger.error("sandbox runner %s died", name, exc_info=error)
            if name in self.tasks:
                self.tasks[name].fail("INTERNAL_ERROR", "internal error of the sandbox")

    async def _run(self, task: Task) -> None:
        try:
            async with asyncio.timeout_at(_loop_time(task.deadline)) as task.timeout:
                async with self._slots[task.is_transfer]:
                    await self._work(task)
        except TimeoutError:
            task.fail("EXPIRED", "deadline expired")
        except TaskFailure as failure:
            task.fail(failure.code, failure.description)
        except asyncio.CancelledError:
            if not task.cancel_requested:
                raise
            task.fail("CANCELED", "canceled")

    async def _work(self, task: Task) -> None:
        task.is_queued = False
        task.note("STARTED", "started", {"type": "TRANSFER" if task.is_transfer else "DELETE"})
        for effect in task.effects:
            await self._suffer(task, effect)
        if isinstance(task.request, TransferRequest):
            for item in task.request.items[task.files_done :]:
                await self._transfer_item(task, task.request, item)
        else:
            for path in task.request.paths[task.files_done :]:
                await self._until_done(task, delete_path, task.request, path)
                task.files_done += 1
        task.succeed()

    async def _transfer_item(self, task: Task, request: TransferRequest, item: TransferItem) -> None:
        row = await self._until_done(task, transfer_item, task, request, item, self._rate)
        task.files_done += 1
        if isinstance(row, TransferredFile):
            task.transferred.append(row)
        elif isinstance(row, SkippedError):
            task.skipped_errors.append(row)
        else:
            task.files_skipped += 1
        task.note("PROGRESS", "progress", {"bytes_transferred": task.bytes_transferred})

    async def _until_done(self, task: Task, work: Callable[..., R], *arguments: object) -> R:
        """Tries until it works, as Globus does, with the fault shown meanwhile."""
        while True:
            try:
                done = await self._watched_thread(task, work, *arguments)
            except TaskFailure:
                raise
            except TaskFault as fault:
                task.meet_fault(fault)
                await asyncio.sleep(self._settings.fault_retry_seconds)
            else:
                task.recover()
                return done

    async def _watched_thread(self, task: Task, work: Callable[..., R], *arguments: object) -> R:
        future = asyncio.ensure_future(self.in_thread(work, *arguments))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread must have let go of the destination before the task is shown as ended.
            task.stopping.set()
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # asked for: that it was told to stop is no error that nobody handled
            raise

    async def _suffer(self, task: Task, effect: TaskEffect) -> None:
        if isinstance(effect, Fail):
            raise TaskFailure(effect.code, effect.description)
        if isinstance(effect, CancelByAdmin):
            task.canceled_by_admin, task.canceled_by_admin_message = effect.side, effect.message
            raise TaskFailure("CANCELED", "canceled")
        if isinstance(effect, Hold):
            await self._hold(task, effect)

    async def _hold(self, task: Task, hold: Hold) -> None:
        if hold.look == "FAULTING":
            task.meet_fault(TaskFault(hold.code, hold.description))
        elif hold.look == "INACTIVE":
            task.status = Status.INACTIVE
            task.note("NO_CREDENTIALS", "credentials expired", is_error=True)
        elif hold.look == "PAUSED":
            task.is_paused = True
            task.note("PAUSED", "paused", "scripted by the sandbox")
        await self._until_cleared(hold.seconds)
        task.recover()

    async def _until_cleared(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._faults.cleared()


def _loop_time(moment: datetime) -> float:
    return asyncio.get_running_loop().time() + (moment - now()).total_seconds()


def _path_pairs(request: TransferRequest) -> set[tuple[str, str, str, str]]:
    source, destination = request.source.id, request.destination.id
    return {
        (source, "/".join(split_path(item.source_path)), destination, "/".join(split_path(item.destination_path)))
        for item in request.items
    }


def _fault_text(request: TransferRequest | DeleteRequest) -> str:
    words = [request.label or ""]
    if isinstance(request, TransferRequest):
        words += [f"{item.source_path}\n{item.destination_path}" for item in request.items]
    else:
        words += request.paths
    return "\n".join(words)
