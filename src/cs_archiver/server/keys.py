"""What handlers reach through the application and the request."""

from aiohttp import web

from cs_archiver.db.accounts import User
from cs_archiver.server.files import File
from cs_archiver.services.accounts import AccountService
from cs_archiver.services.folders import FolderService
from cs_archiver.services.jobs import JobService
from cs_archiver.services.status import StatusService

ACCOUNTS = web.AppKey("accounts", AccountService)
FOLDERS = web.AppKey("folders", FolderService)
JOBS = web.AppKey("jobs", JobService)
STATUS = web.AppKey("status", StatusService)
PUBLIC_URL = web.AppKey("public_url", str)
IS_GLOBUS_SANDBOX = web.AppKey("is_globus_sandbox", bool)
OPENAPI = web.AppKey("openapi", File)
DOCS_PAGE = web.AppKey("docs_page", File)
STATIC_FILES = web.AppKey("static_files", dict[str, File])

USER = web.RequestKey("user", User)
TOKEN = web.RequestKey("token", str)
REQUEST_ID = web.RequestKey("request_id", str)
