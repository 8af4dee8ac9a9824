"""Whether Globus is out of reach for everybody, or only one job has trouble with it."""

from collections.abc import Sequence

from cs_archiver.errors import JobError
from cs_archiver.tools.globus import Globus


async def why_out_of_reach(globus: Globus, places: Sequence[tuple[str, str]]) -> str | None:
    """Why no transfer can be expected to work now; None when Globus and these places (collection, path) answer."""
    try:
        await globus.new_submission_id()
        for collection, path in places:
            await globus.stat(collection, path)
    except JobError as error:
        return str(error)
    return None
