"""Every problem a client can meet by name, with its status and meaning, and which of them a route can answer with."""

from typing import NamedTuple

from cs_archiver.server.route import Route, Who


class Kind(NamedTuple):
    status: int
    meaning: str


PROBLEMS = {
    "malformed-json": Kind(400, "The body is not valid JSON."),
    "malformed-body": Kind(400, "The body cannot be read: it was cut short, or is not packed as its header says."),
    "malformed-request": Kind(400, "This is no valid HTTP, or a header of a proxy cannot be read."),
    "login-failed": Kind(401, "The user name is unknown or the password is wrong."),
    "not-authenticated": Kind(401, "No token, or one that no longer counts: sign in again."),
    "password-expired": Kind(401, "The password was given by somebody else, and not changed in time."),
    "second-factor-required": Kind(401, "The password is right: send the code of the second factor as `code` too."),
    "wrong-code": Kind(401, "The code of the second factor is wrong, or was used already."),
    "admins-only": Kind(403, "Only an administrator may do this."),
    "cross-site-request": Kind(403, "With a cookie, only pages of this service may change something."),
    "password-change-required": Kind(403, "The first password must be changed before anything else."),
    "reauthentication-required": Kind(403, "This needs a recent sign-in: sign in again, and do it with the new token."),
    "scope-too-narrow": Kind(403, "This needs a personal API token of a wider scope."),
    "second-factor-needed": Kind(403, "Administrators must switch on a second factor before anything else."),
    "token-not-accepted": Kind(403, "Personal API tokens may not do this."),
    "not-found": Kind(404, "There is nothing at this path."),
    "folder-not-found": Kind(404, "No folder of this path was found by the last scan."),
    "job-not-found": Kind(404, "There is no job of this id."),
    "session-not-found": Kind(404, "You have no session of this id."),
    "switch-not-found": Kind(404, "There is no switch of this name."),
    "token-not-found": Kind(404, "You have no token of this id."),
    "user-not-found": Kind(404, "There is no user of this id."),
    "method-not-allowed": Kind(
        405, "The path is there, but does not understand this method; `Allow` names those it does."
    ),
    "already-archived": Kind(409, "The folder holds a marker file."),
    "already-ended": Kind(409, "The job is completed, failed or cancelled already."),
    "already-queued": Kind(409, "The folder has an active job, named by `job_id` and `job_url`."),
    "changed-meanwhile": Kind(409, "The password was changed, or the account deleted, at this very moment."),
    "deletion-has-begun": Kind(409, "The deletion of the source has begun, so this is no longer possible."),
    "destination-exists": Kind(409, "The destination has an archive of this name already."),
    "folder-not-archivable": Kind(409, "The folder cannot be archived; the detail says why."),
    "job-not-accepted": Kind(409, "The database refused the job."),
    "last-admin": Kind(409, "Without the last administrator, nobody could manage users."),
    "not-failed": Kind(409, "Only a failed job can be retried."),
    "notifications-off": Kind(409, "No place is set to which notifications could be sent."),
    "nothing-to-archive": Kind(409, "The folder is empty, or holds nothing but a single .txt file."),
    "own-account": Kind(409, "Nobody can do this to the account they are signed in with."),
    "second-factor-kept": Kind(409, "Administrators must have a second factor, so it stays switched on."),
    "second-factor-not-begun": Kind(409, "There is nothing to confirm, or it was begun too long ago."),
    "second-factor-off": Kind(409, "The account has no second factor."),
    "second-factor-on": Kind(409, "The account has a second factor already."),
    "too-many-tokens": Kind(409, "You have as many personal API tokens as there may be."),
    "username-taken": Kind(409, "There is a user of this name already."),
    "body-too-large": Kind(413, "The body is longer than 64 KiB."),
    "unsupported-media-type": Kind(415, "The body must be sent as application/json; by pages, as a form."),
    "expectation-failed": Kind(417, "`Expect` may hold nothing but `100-continue`."),
    "invalid-value": Kind(422, "Values are wrong or not known; `errors` says which."),
    "weak-password": Kind(422, "The new password is too short, in a list of stolen ones, or too easy to guess."),
    "wrong-password": Kind(422, "The present password is another one."),
    "too-many-attempts": Kind(429, "Too many attempts to sign in have failed; `retry_after` says how long to wait."),
    "too-many-waits": Kind(429, "You wait for as many jobs as you may: ask without `wait`."),
    "upgrade-required": Kind(426, "This path speaks the WebSocket protocol only."),
    "too-many-connections": Kind(429, "There are as many live connections as there may be, of one user or in all."),
    "internal-error": Kind(500, "A defect of the server; its log says more under the request id."),
    "database-unhealthy": Kind(503, "The database cannot be read or written just now."),
    "disk-full": Kind(503, "The local disk has no room for this."),
    "discovery-stopped": Kind(503, "The scan of the NAS was stopped, or the service is."),
    "nas-unreachable": Kind(503, "The NAS is out of reach, or in trouble."),
    "not-ready": Kind(503, "The service cannot do its work just now; `checks` says why."),
    "preview-too-long": Kind(503, "The folder could not be looked at within the time there is for an answer."),
    "sign-in-busy": Kind(503, "Too many are signing in at this moment; `retry_after` says how long to wait."),
    "source-unavailable": Kind(503, "The NAS is out of reach."),
    "source-unreadable": Kind(503, "The folder changed while it was read, or cannot be read just now."),
    "storage-error": Kind(503, "The local disk failed at this."),
    "storage-unusable": Kind(503, "The local disk cannot be used."),
}

_OF_A_BODY = ("malformed-json", "malformed-body", "body-too-large", "unsupported-media-type", "invalid-value")
_OF_A_FORM = ("malformed-body", "body-too-large", "unsupported-media-type", "invalid-value")
_OF_A_SIGN_IN = ("not-authenticated", "database-unhealthy")

# What several routes can be refused for, in the API and on the pages.
LOGIN = (
    "login-failed", "password-expired", "second-factor-required", "wrong-code", "too-many-attempts", "sign-in-busy",
    "cross-site-request", "database-unhealthy",
)  # fmt: skip
_STORAGE = ("disk-full", "storage-error", "storage-unusable")
SCAN = ("source-unavailable", "nas-unreachable", "discovery-stopped")
SUBMIT = (
    "folder-not-found", "already-archived", "nothing-to-archive", "folder-not-archivable", "already-queued",
    "destination-exists", "job-not-accepted", *SCAN,
)  # fmt: skip
PREVIEW = (
    "folder-not-found", "already-archived", "nothing-to-archive", "folder-not-archivable", "preview-too-long",
    "source-unreadable", *_STORAGE, *SCAN,
)  # fmt: skip

CANCEL = ("job-not-found", "already-ended", "deletion-has-begun", *_STORAGE)
RETRY = ("job-not-found", "not-failed", "deletion-has-begun", "already-queued")


_OF_ROLES: dict[Who, tuple[str, ...]] = {
    Who.ANYONE: (),
    Who.NEWCOMER: (),
    Who.ENROLLING: ("password-change-required",),
    Who.USER: ("password-change-required", "second-factor-needed"),
    Who.ADMIN: ("password-change-required", "second-factor-needed", "admins-only"),
}


def problems_of(route: Route) -> list[str]:
    """The names of every problem the route can answer with, but for those that any path has and a defect of ours."""
    names = set(route.problems)
    if route.query is not None:
        names.add("invalid-value")
    if route.body is not None:
        names.update(_OF_A_FORM if route.takes_form else _OF_A_BODY)
    if route.takes_no_body:
        names.update(_OF_A_BODY)
    if route.who is not Who.ANYONE:
        names.update(_OF_A_SIGN_IN)
        names.add("token-not-accepted" if route.scope is None else "scope-too-narrow")
        if not route.is_safe or route.takes_token_in_query:
            names.add("cross-site-request")
    if route.is_sensitive:
        names.add("reauthentication-required")
    names.update(_OF_ROLES[route.who])
    return [name for name in PROBLEMS if name in names]
