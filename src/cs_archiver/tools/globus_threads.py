"""A few threads with Globus clients of their own, so that blocking SDK calls can be awaited and left behind."""

import asyncio
import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from globus_sdk import ClientCredentialsAuthorizer, ConfidentialAppAuthClient, TransferAPIError, TransferClient
from globus_sdk.transport import RequestsTransport, RetryConfig

from cs_archiver.errors import ConnectionTrouble, JobError
from cs_archiver.tools.globus_errors import is_consent_missing, translated

APP_NAME: Final = "cs-archiver"
THREADS: Final = 3
MAX_RETRIES: Final = 2
CLOSE_GRACE_SECONDS: Final = 1.0
_TASKS_REMEMBERED: Final = 100

T = TypeVar("T")
Question = Callable[[TransferClient], T]


@dataclass(frozen=True, slots=True)
class GlobusAccess:
    """Who signs in, and where. A URL of None is the real Globus, or what the SDK's environment says.

    `http_timeout_seconds` bounds the connecting and every silence while an answer is awaited; a request is
    tried three times, with at most `retry_sleep_limit_seconds` in between.
    """

    client_id: str
    client_secret: str = field(repr=False)
    auth_url: str | None
    transfer_url: str | None
    http_timeout_seconds: float
    retry_sleep_limit_seconds: float = 5.0


class Tally:
    """Questions to Globus by what came of them, and the faults of its tasks; counted by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._faults = 0
        self._faults_of: dict[str, int] = {}

    def note(self, result: str) -> None:
        """`result` is "ok", or the name of the problem."""
        with self._lock:
            self._asked[result] += 1

    def note_faults(self, task_id: str, faults: object) -> None:
        """`faults` are those of the task up to now, if Globus says so."""
        if not isinstance(faults, int):
            return
        with self._lock:
            self._faults += max(0, faults - self._faults_of.pop(task_id, 0))
            self._faults_of[task_id] = faults
            if len(self._faults_of) > _TASKS_REMEMBERED:
                del self._faults_of[next(iter(self._faults_of))]

    def take(self) -> tuple[Counter[str], int]:
        """What was counted since this was last called."""
        with self._lock:
            taken, self._asked, self._faults = (self._asked, self._faults), Counter(), 0
        return taken


class GlobusThreads:
    """Answers questions to Globus one per thread; nothing starts and nothing is sent before the first."""

    def __init__(self, access: GlobusAccess) -> None:
        self.tally = Tally()
        self._access = access
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    async def ask(self, doing: str, question: Question[T]) -> T:
        """What `question` returns; raises the JobError that says what to do, with `doing` in its message.

        When the caller is cancelled, a question that is being asked goes on, and its answer is dropped.
        """
        call = _Call(doing, question, Future())
        if self._is_closed:
            raise call.refusal()
        if not self._threads:
            self._start()
        self._calls.put(call)
        answer: T = await asyncio.wrap_future(call.future)
        return answer

    async def close(self) -> None:
        """Ends the threads and their connections. One that hangs in a call follows when the call ends."""
        self._is_closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None and call.future.set_running_or_notify_cancel():
                    call.future.set_exception(call.refusal())
        for _ in self._threads:
            self._calls.put(None)
        await asyncio.to_thread(_join, self._threads, CLOSE_GRACE_SECONDS)

    def _start(self) -> None:
        # Daemons: a ThreadPoolExecutor's threads hold up the end of the process for as long as a call hangs.
        self._threads = [
            threading.Thread(
                target=_serve, args=(self._access, self._calls, self.tally), name=f"globus-client-{number}", daemon=True
            )
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()


@dataclass(frozen=True, slots=True)
class _Call:
    doing: str
    question: Question[Any]
    future: Future[Any]

    def perform(self, clients: "_Clients", tally: Tally) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            answer = self._answer(clients)
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            tally.note(error.problem if isinstance(error, JobError) else type(error).__name__)
            self.future.set_exception(error)
        else:
            tally.note("ok")
            self.future.set_result(answer)

    def refusal(self) -> ConnectionTrouble:
        return ConnectionTrouble(f"{self.doing}: the connection to Globus is closed", problem="globus-unreachable")

    def _answer(self, clients: "_Clients") -> Any:
        try:
            return clients.ask(self.question)
        except Exception as error:
            raise translated(self.doing, error) from error


def _serve(access: GlobusAccess, calls: "queue.SimpleQueue[_Call | None]", tally: Tally) -> None:
    with contextlib.closing(_Clients(access)) as clients:
        while (call := calls.get()) is not None:
            call.perform(clients, tally)
            del call


def _join(threads: Sequence[threading.Thread], grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


class _Clients:
    """The SDK clients of one thread, which may not be shared. Its token is in memory and nowhere else."""

    def __init__(self, access: GlobusAccess) -> None:
        self._access = access
        self._transports: list[RequestsTransport] = []
        self._auth: ConfidentialAppAuthClient | None = None
        self._transfer: TransferClient | None = None

    def ask(self, question: Question[T]) -> T:
        """Gives the consents Globus asks for, each once: a client consents by requesting the scope."""
        requested: set[str] = set()
        while True:
            try:
                return question(self._signed_in())
            except TransferAPIError as error:
                wanted = set(error.info.consent_required.required_scopes) - requested
                if not (is_consent_missing(error) and wanted):
                    raise
            self._auth_client().oauth2_client_credentials_tokens(requested_scopes=sorted(wanted))
            requested |= wanted

    def close(self) -> None:
        for transport in self._transports:
            transport.close()

    def _signed_in(self) -> TransferClient:
        if self._transfer is None:
            # Fetches a token at once; when that fails the next question tries again.
            authorizer = ClientCredentialsAuthorizer(self._auth_client(), TransferClient.scopes.all)
            self._transfer = TransferClient(
                authorizer=authorizer,
                base_url=self._access.transfer_url,
                app_name=APP_NAME,
                retry_config=self._retry_config(),
                transport=self._transport(),
            )
        return self._transfer

    def _auth_client(self) -> ConfidentialAppAuthClient:
        if self._auth is None:
            self._auth = ConfidentialAppAuthClient(
                self._access.client_id,
                self._access.client_secret,
                base_url=self._access.auth_url,
                app_name=APP_NAME,
                retry_config=self._retry_config(),
                transport=self._transport(),
            )
        return self._auth

    def _retry_config(self) -> RetryConfig:
        # One for each client: a client adds checks of its own to the object it is given.
        return RetryConfig(max_retries=MAX_RETRIES, max_sleep=self._access.retry_sleep_limit_seconds)

    def _transport(self) -> RequestsTransport:
        transport = RequestsTransport(http_timeout=self._access.http_timeout_seconds)
        self._transports.append(transport)
        return transport
