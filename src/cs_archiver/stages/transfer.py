"""Ending a Globus task: asked to stop, then watched until it really has, so that nothing writes afterwards."""

import asyncio
from datetime import timedelta

from cs_archiver.tools.globus import Globus


async def ended(globus: Globus, task_id: str, *, poll_interval: timedelta) -> str:
    """Cancel a task and wait for its end; gives back SUCCEEDED (it was quicker) or FAILED."""
    await globus.cancel(task_id)
    while True:
        status = str((await globus.task(task_id)).get("status"))
        if status in ("SUCCEEDED", "FAILED"):
            return status
        await asyncio.sleep(poll_interval.total_seconds())
