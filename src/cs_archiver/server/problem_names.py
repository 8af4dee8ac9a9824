"""Every problem a client can meet by name, with its status and meaning, and which of them a route can answer with."""

from typing import NamedTuple

from cs_archiver.server.route import Route, Who


class Kind(NamedTuple):
    status: int
    meaning: str


PROBLEMS = {
    "malformed-json": Kind(400, "The body is not valid JSON."),
    "malformed-body": Kind(400, "The body cannot be read: it was cut short, or is not packed as its header says."),
    "login-failed": Kind(401, "The user name is unknown or the password is wrong."),
    "not-authenticated": Kind(401, "No token, or one that no longer counts: sign in again."),
    "admins-only": Kind(403, "Only an administrator may do this."),
    "password-change-required": Kind(403, "The first password must be changed before anything else."),
    "not-found": Kind(404, "There is nothing at this path."),
    "folder-not-found": Kind(404, "No folder of this path was found by the last scan."),
    "job-not-found": Kind(404, "There is no job of this id."),
    "method-not-allowed": Kind(
        405, "The path is there, but does not understand this method; `Allow` names those it does."
    ),
    "already-archived": Kind(409, "The folder holds a marker file."),
    "already-ended": Kind(409, "The job is completed, failed or cancelled already."),
    "already-queued": Kind(409, "The folder has an active job, named by `job_id` and `job_url`."),
    "deletion-has-begun": Kind(409, "The deletion of the source has begun, so this is no longer possible."),
    "destination-exists": Kind(409, "The destination has an archive of this name already."),
    "folder-not-archivable": Kind(409, "The folder cannot be archived; the detail says why."),
    "job-not-accepted": Kind(409, "The database refused the job."),
    "not-failed": Kind(409, "Only a failed job can be retried."),
    "nothing-to-archive": Kind(409, "The folder is empty, or holds nothing but a single .txt file."),
    "body-too-large": Kind(413, "The body is longer than 64 KiB."),
    "unsupported-media-type": Kind(415, "The body must be sent as application/json."),
    "invalid-value": Kind(422, "Values are wrong or not known; `errors` says which."),
    "weak-password": Kind(422, "The new password is too short or among those that are tried first."),
    "wrong-password": Kind(422, "The present password is another one."),
    "internal-error": Kind(500, "A defect of the server; its log says more under the request id."),
    "database-unhealthy": Kind(503, "The database cannot be read or written just now."),
    "discovery-stopped": Kind(503, "The service is being stopped."),
    "source-unavailable": Kind(503, "The NAS is out of reach."),
    "storage-error": Kind(503, "The local disk failed at this."),
    "storage-unusable": Kind(503, "The local disk cannot be written."),
}

_OF_A_BODY = ("malformed-json", "malformed-body", "body-too-large", "unsupported-media-type", "invalid-value")
_OF_A_SIGN_IN = ("not-authenticated", "database-unhealthy")


def problems_of(route: Route) -> list[str]:
    """The names of every problem the route can answer with, but for those that any path has and a defect of ours."""
    names = set(route.problems)
    if route.query is not None:
        names.add("invalid-value")
    if route.body is not None:
        names.update(_OF_A_BODY)
    if route.who is not Who.ANYONE:
        names.update(_OF_A_SIGN_IN)
    if route.who in {Who.USER, Who.ADMIN}:
        names.add("password-change-required")
    if route.who is Who.ADMIN:
        names.add("admins-only")
    return [name for name in PROBLEMS if name in names]
