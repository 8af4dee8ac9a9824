"""Every page of the dashboard and every form on one: who may see or send it, what goes in, how it can be refused.

A page is answered to GET with 200, a form to POST with 303 to the page that shows what came of it. Personal API tokens
may do neither. `deed` is what the audit trail calls what a form does: the same as for the API.
"""

from typing import Any

from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.files import MEDIA_TYPES
from cs_archiver.server.negotiation import HTML
from cs_archiver.server.pages import (
    admin,
    admin_audit,
    admin_notifications,
    archive,
    checks,
    folders,
    history,
    job,
    job_log,
    queue,
    reauthenticate,
    second_factor,
    settings,
    settings_tokens,
    sign_in,
    static,
    switches,
)
from cs_archiver.server.pages.history_query import HistoryQuery
from cs_archiver.server.problem_names import CANCEL, LOGIN, PREVIEW, RETRY, SUBMIT
from cs_archiver.server.route import Handler, Route, Who


def page(
    path: str,
    handler: Handler,
    who: Who,
    summary: str,
    *,
    query: type[Query] | None = PageQuery,
    problems: tuple[str, ...] = (),
    is_sensitive: bool = False,
) -> Route:
    more: dict[str, Any] = {"query": query, "problems": problems, "is_sensitive": is_sensitive}
    return Route("GET", path, handler, who, None, summary, answer=str, media=(HTML,), **more)


def form(
    path: str,
    handler: Handler,
    who: Who,
    summary: str,
    *,
    body: type[Form] = Form,
    deed: str,
    problems: tuple[str, ...] = (),
    is_sensitive: bool = False,
) -> Route:
    more: dict[str, Any] = {"query": None, "status": 303, "problems": problems, "deed": deed}
    more["is_sensitive"] = is_sensitive
    return Route("POST", path, handler, who, None, summary, body=body, **more)


_NO_JOB = ("job-not-found",)

# fmt: off
PAGES = (
    Route("GET", "/", sign_in.home, Who.ANYONE, None, "To the folders", query=None, status=303),
    Route("GET", "/static/{name:.+}", static.static, Who.ANYONE, None, "What the pages need",
          query=None, answer=str, media=tuple(MEDIA_TYPES.values()), problems=("not-found",)),

    page("/login", sign_in.form, Who.ANYONE, "Sign in", query=sign_in.NextQuery),
    form("/login", sign_in.login, Who.ANYONE, "Sign in", body=sign_in.SignInForm, deed="auth_login",
         problems=LOGIN),
    form("/login/code", sign_in.finish, Who.ANYONE, "Sign in with a code", body=sign_in.CodeForm, deed="auth_login",
         problems=LOGIN),
    form("/logout", sign_in.logout, Who.NEWCOMER, "Sign out", deed="auth_logout"),
    page("/password", sign_in.password_form, Who.NEWCOMER, "Choose another password", query=sign_in.NextQuery),
    form("/password", sign_in.change_password, Who.NEWCOMER, "Change the password",
         body=sign_in.PasswordForm, deed="auth_change_password",
         problems=("wrong-password", "weak-password", "password-expired", "too-many-attempts")),

    page("/folders", folders.listed, Who.USER, "The folders that can be archived", query=folders.FolderPageQuery),
    page("/folders/left-out", folders.left_out, Who.USER, "The folders that cannot be archived, and why",
         query=folders.LeftOutPageQuery),
    form("/folders/refresh", folders.refresh, Who.USER, "Scan the NAS again",
         body=folders.RefreshForm, deed="folders_refresh"),
    form("/folders/scan/stop", folders.stop, Who.USER, "Stop the scan of the NAS",
         body=folders.RefreshForm, deed="folders_stop_scan"),
    page("/folders/archive", archive.ask, Who.USER, "What archiving a folder would do",
         query=archive.ArchiveQuery, problems=PREVIEW),
    Route("POST", "/folders/plan", archive.ask_for_several, Who.USER, None, "What archiving several folders would do",
          query=None, body=archive.SelectionForm, answer=str, media=(HTML,), deed="job_wishes_preview"),
    form("/folders/archive", archive.archive, Who.USER, "Ask for folders to be archived",
         body=archive.ArchiveForm, deed="job_wishes_bulk", problems=SUBMIT),

    page("/queue", queue.show, Who.USER, "What is in hand, and what stands in line"),
    form("/queue/switches/{switch}/pause", switches.pause, Who.USER, "Pause a worker, or all deletions",
         deed="switches_change", problems=("switch-not-found",)),
    form("/queue/switches/{switch}/resume", switches.resume, Who.USER, "Resume a worker, or all deletions",
         deed="switches_change", problems=("switch-not-found", "admins-only")),
    page("/jobs/{job_id}", job.show, Who.USER, "Everything about one job", query=job.JobPageQuery, problems=_NO_JOB),
    page("/jobs/{job_id}/files", job.files, Who.USER, "What the folder held when it was copied",
         query=job.FilesPageQuery, problems=_NO_JOB),
    Route("GET", "/jobs/{job_id}/log.txt", job_log.download, Who.USER, None, "The whole log as text",
          query=PageQuery, answer=str, media=("text/plain",), problems=_NO_JOB),
    page("/jobs/{job_id}/cancel", job.ask_to_cancel, Who.USER, "What cancelling a job would do",
         query=job.CancelQuery, problems=_NO_JOB),
    form("/jobs/{job_id}/cancel", job.cancel, Who.USER, "Cancel a job",
         body=job.CancelForm, deed="jobs_cancel", problems=CANCEL),
    form("/jobs/{job_id}/retry", job.retry, Who.USER, "Try a failed job again", deed="jobs_retry", problems=RETRY),

    page("/checks", checks.show, Who.USER, "What the checks of the installation found"),
    form("/checks", checks.again, Who.USER, "Check tools, folders, database and Globus now", deed="system_check"),

    page("/history", history.show, Who.USER, "The jobs that have ended", query=HistoryQuery),
    Route("GET", "/history/export.csv", history.export, Who.USER, None, "The same jobs as a table for spreadsheets",
          query=HistoryQuery, answer=str, media=("text/csv",)),
    page("/history/clear", history.ask_to_clear, Who.USER, "Whether to clear the completed jobs from the list"),
    form("/history/clear", history.clear, Who.USER, "Clear the completed jobs from the list",
         body=history.ClearForm, deed="jobs_clear_completed"),

    page("/reauthenticate", reauthenticate.ask, Who.ENROLLING, "The password once more", query=sign_in.NextQuery),
    form("/reauthenticate", reauthenticate.confirm, Who.ENROLLING, "Show the password once more",
         body=reauthenticate.ReauthenticateForm, deed="auth_reauthenticate",
         problems=("wrong-password", "wrong-code", "too-many-attempts")),
    page("/second-factor", second_factor.show, Who.ENROLLING, "Your second factor", is_sensitive=True),
    form("/second-factor", second_factor.begin, Who.ENROLLING, "Begin to switch on a second factor",
         deed="second_factor_begin", problems=("second-factor-on",), is_sensitive=True),
    form("/second-factor/confirm", second_factor.confirm, Who.ENROLLING, "Switch it on with a first code",
         body=second_factor.CodeForm, deed="second_factor_confirm",
         problems=("second-factor-on", "second-factor-not-begun"), is_sensitive=True),
    form("/second-factor/recovery-codes", second_factor.new_codes, Who.USER, "Make new recovery codes",
         deed="second_factor_new_codes", problems=("second-factor-off",), is_sensitive=True),
    page("/second-factor/codes", second_factor.codes, Who.USER, "New recovery codes, shown once",
         query=second_factor.CodesQuery),
    page("/second-factor/off", second_factor.ask_to_switch_off, Who.USER, "Whether to switch off the second factor",
         is_sensitive=True),
    form("/second-factor/off", second_factor.switch_off, Who.USER, "Switch off the second factor",
         deed="second_factor_switch_off", problems=("second-factor-off", "second-factor-kept"), is_sensitive=True),

    page("/settings", settings.show, Who.USER, "What a person sets for themselves"),
    form("/settings/display", settings.display, Who.USER, "How this browser is shown things",
         body=settings.DisplayForm, deed="settings_display"),
    form("/settings/password", settings.change_password, Who.USER, "Change the password",
         body=sign_in.PasswordForm, deed="auth_change_password",
         problems=("wrong-password", "weak-password", "password-expired", "too-many-attempts")),
    form("/settings/sessions/{session_id}/end", settings.end_session, Who.USER, "End one of your sessions",
         deed="auth_end_session", problems=("session-not-found",), is_sensitive=True),
    form("/settings/sessions/end-others", settings.end_other_sessions, Who.USER, "End your other sessions",
         deed="auth_end_session", is_sensitive=True),
    page("/settings/tokens/new", settings_tokens.ask, Who.USER, "What a new API token is for", is_sensitive=True),
    form("/settings/tokens", settings_tokens.create, Who.USER, "Make a personal API token",
         body=settings_tokens.TokenForm, deed="tokens_create", problems=("admins-only", "too-many-tokens"),
         is_sensitive=True),
    page("/settings/tokens/created", settings_tokens.created, Who.USER, "A new API token, shown once",
         query=settings_tokens.CreatedQuery),
    page("/settings/tokens/{token_id}/revoke", settings_tokens.ask_to_revoke, Who.USER, "Whether to revoke a token",
         problems=("token-not-found",)),
    form("/settings/tokens/{token_id}/revoke", settings_tokens.revoke, Who.USER, "Revoke one of your tokens",
         deed="tokens_revoke", problems=("token-not-found",)),

    page("/admin/users", admin.users, Who.ADMIN, "The users"),
    page("/admin/users/new", admin.ask_for_user, Who.ADMIN, "Who is to be added", is_sensitive=True),
    form("/admin/users", admin.add, Who.ADMIN, "Add a user",
         body=admin.NewUserForm, deed="users_add", problems=("username-taken", "weak-password"), is_sensitive=True),
    page("/admin/users/{user_id}/delete", admin.ask_to_delete, Who.ADMIN, "Whether to delete a user",
         problems=("user-not-found",), is_sensitive=True),
    form("/admin/users/{user_id}/delete", admin.delete, Who.ADMIN, "Delete a user",
         deed="users_remove", problems=("user-not-found", "own-account", "last-admin"), is_sensitive=True),
    page("/admin/users/{user_id}/password", admin.ask_to_reset, Who.ADMIN, "A new password for a user",
         problems=("user-not-found",), is_sensitive=True),
    form("/admin/users/{user_id}/password", admin.reset_password, Who.ADMIN, "Give a user a new password",
         body=admin.ResetForm, deed="users_reset_password",
         problems=("user-not-found", "own-account", "weak-password", "changed-meanwhile"), is_sensitive=True),
    page("/admin/users/{user_id}/second-factor", admin.ask_to_remove_factor, Who.ADMIN,
         "Whether to remove the second factor of a user", problems=("user-not-found",), is_sensitive=True),
    form("/admin/users/{user_id}/second-factor", admin.remove_factor, Who.ADMIN, "Remove the second factor of a user",
         deed="users_remove_second_factor", problems=("user-not-found", "own-account", "second-factor-off"),
         is_sensitive=True),
    page("/admin/notifications", admin_notifications.show, Who.ADMIN, "What is told to people, and where"),
    form("/admin/notifications/test", admin_notifications.test, Who.ADMIN, "Send a test to every place",
         deed="notifications_test", problems=("notifications-off",)),
    page("/admin/audit", admin_audit.show, Who.ADMIN, "Who did what, the newest first",
         query=admin_audit.AuditPageQuery),
)
# fmt: on
