"""Whether a destination at Globus is free: an archive there is never overwritten."""

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.tools.globus import Globus


async def why_taken(
    globus: Globus, catalogue: Catalogue, *, collection: str, path: str, own_job_id: str | None = None
) -> str | None:
    """Why nothing may be written to this destination, or None when it is free.

    What an earlier attempt of ours sent there without it ever being verified does not count (decisions, 7), nor
    what `own_job_id` itself sent: it is only sent again after a later verification found it wrong.
    """
    owner = await catalogue.owner_of(collection, path)
    if owner is not None and owner != own_job_id:
        return f"the destination {path} holds the verified archive of job {owner}"
    remote = await globus.stat(collection, path)
    if remote is None or owner is not None or await catalogue.was_sent(path):
        return None
    return f"the destination {path} already holds a {remote.get('type', 'file')} that is not ours"
