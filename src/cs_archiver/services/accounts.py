"""Who may come in: sign-ins, the sessions they begin, and whom a session stands for."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.clock import now_text
from cs_archiver.db.accounts import Accounts, Begun, SessionLine, User
from cs_archiver.db.second_factors import Proof, RecoveryCode, wrong_code
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import SessionEnded, UserEnded
from cs_archiver.errors import InvalidRequest, NotAuthenticated, NotFound
from cs_archiver.services import totp
from cs_archiver.services.kept import Kept
from cs_archiver.services.passwords import Passwords, wrong_member
from cs_archiver.services.session_use import SessionUse
from cs_archiver.services.sign_in_queue import SignInQueue
from cs_archiver.services.signing import Signer, Ticket, token_refused
from cs_archiver.services.throttle import LoginThrottle

_log = logging.getLogger(__name__)

FIRST_USERNAME = "admin"
FIRST_PASSWORD = "changeme"  # noqa: S105  known to all, and so it must be changed before anything else
_LONGEST_USER_AGENT = 200
_HALF_DONE_SECONDS = 300.0
_TICKET_BYTES = 32

RECENT = timedelta(minutes=15)
"""For so long after the password was shown, what concerns accounts may be changed without showing it again."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and by what: `credential` is the `jti` of a session, or `token-` and the id of a personal token.

    expires_at: when that ends by itself, unless it is ended before.
    begun_at: when its user showed who they are.
    scope: what a personal token may do; None for a session, which may do whatever its user may.
    """

    user: User
    credential: str
    expires_at: str
    begun_at: str
    scope: Scope | None = None

    @property
    def is_recent(self) -> bool:
        return self.begun_at > now_text(after=-RECENT)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sign-in comes from."""

    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in: `token` is what the client shows from now on, for `lifetime`."""

    token: str = field(repr=False)
    user: User
    jti: str
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class HalfDone:
    """A sign-in whose password was right, and whose code is missing; `new_hash` if the old one is to be replaced."""

    user: User
    new_hash: str | None = field(repr=False)


class CodeNeeded(NotAuthenticated):
    """The password is right; `ticket` stands for it for some minutes."""

    def __init__(self, ticket: str) -> None:
        detail = "This account has a second factor: send its code, or a recovery code, as `code`."
        super().__init__("second-factor-required", detail)
        self.ticket = ticket


class AccountService:
    """Sign-in and sign-out. Every token stands for a row of `sessions`, so ending one counts at once."""

    def __init__(
        self,
        accounts: Accounts,
        bus: Bus,
        passwords: Passwords,
        signer: Signer,
        *,
        idle: timedelta | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`idle` as for SessionUse; `clock` gives Unix time."""
        self.use = SessionUse(accounts, bus, idle)
        self._accounts = accounts
        self._bus = bus
        self._passwords = passwords
        self._signer = signer
        self._throttle = LoginThrottle()
        self._queue = SignInQueue()
        self._clock = clock
        self._half_done: Kept[str, HalfDone] = Kept(_HALF_DONE_SECONDS)

    async def ensure_first_admin(self, initial_password: str) -> None:
        """Create the first account if there is none.

        Without `initial_password` it gets the well-known one, which must be changed before anything else.
        """
        if not await self._accounts.is_empty():
            return
        password_hash = await self._passwords.hash(initial_password or FIRST_PASSWORD)
        await self._accounts.add(
            FIRST_USERNAME, password_hash, is_admin=True, must_change_password=not initial_password
        )
        _log.info("the first account is created: %s", FIRST_USERNAME)

    async def known_name(self, username: str) -> str | None:
        """The name as the account has it; None where there is none: what was typed may be a password."""
        user = await self._accounts.by_name(username)
        return None if user is None else user.username

    async def login(self, username: str, password: str, origin: Origin, *, code: str | None = None) -> Session:
        """Raises NotAuthenticated, with the same words after the same time whether the name is known or not.

        So it does, with other words, for a password that was given by somebody else and is too old, and for a wrong
        code of the second factor. Raises CodeNeeded where that is missing, TooManyAttempts when too many failed, and
        SignInBusy when too many others are at it.
        """
        with self._queue.place(origin.address):
            self._throttle.begin(username, origin.address)
            user = await self._accounts.by_name(username)
            fits = await self._passwords.fits(None if user is None else user.password_hash, password)
            if user is None or not fits:
                raise _login_refused()
            _require_not_expired(user)
            new_hash = await self._passwords.rehashed(user.password_hash, password)
        if user.has_second_factor and code is None:
            self._throttle.undecided(username, origin.address)
            ticket = secrets.token_urlsafe(_TICKET_BYTES)
            self._half_done.put(ticket, HalfDone(user, new_hash))
            raise CodeNeeded(ticket)
        return await self._begin(user, origin, code=code, new_hash=new_hash)

    async def finish_login(self, ticket: str, code: str, origin: Origin) -> Session:
        """What `login` left half done, with the ticket of CodeNeeded. Raises NotAuthenticated and TooManyAttempts."""
        half = self.half_done(ticket)
        self._throttle.begin(half.user.username, origin.address)
        session = await self._begin(half.user, origin, code=code, new_hash=half.new_hash)
        self._half_done.drop(ticket)
        return session

    def half_done(self, ticket: str) -> HalfDone:
        """Raises NotAuthenticated for a ticket that counts no longer."""
        half = self._half_done.get(ticket)
        if half is None:
            raise NotAuthenticated("login-failed", "This took too long: sign in from the beginning.")
        return half

    async def reauthenticate(self, caller: Caller, password: str, origin: Origin, *, code: str | None) -> Session:
        """A new session takes the place of the caller's. Raises as `change_password` and `login` do."""
        user = caller.user
        self._throttle.begin(user.username, origin.address)
        if not await self._passwords.fits(user.password_hash, password):
            raise _wrong_password("password")
        return await self._begin(user, origin, code=code, instead_of=caller.credential)

    async def _begin(
        self,
        user: User,
        origin: Origin,
        *,
        code: str | None,
        new_hash: str | None = None,
        instead_of: str | None = None,
    ) -> Session:
        ticket = self._signer.ticket(user.id)
        ended = await self._accounts.begin_session(
            user, _begun(ticket, origin), new_hash=new_hash, instead_of=instead_of, proof=self._proof(user, code)
        )
        if ended is None:
            raise _login_refused()
        self._throttle.succeeded(user.username, origin.address)
        for jti in ended:
            self._bus.publish(SessionEnded(jti))
        return self._session(ticket, user)

    def _proof(self, user: User, code: str | None) -> Proof | None:
        if user.totp_secret is None:
            return None
        proof = totp.proof_in(code or "", user.totp_secret, now=self._clock())
        if proof is None:
            raise wrong_code()
        if isinstance(proof, RecoveryCode):
            _log.warning("a recovery code of %s is used", user.username)
        return proof

    async def authenticate(self, token: str) -> Caller:
        """Whom a session's token stands for. Raises NotAuthenticated when it no longer counts, or never did."""
        claims = self._signer.claims(token)
        jti = claims["jti"]
        found = await self._accounts.by_session(jti)
        if found is None or str(found.user.id) != claims["sub"] or self.use.is_idle(jti, found.last_used_at):
            raise token_refused()
        return Caller(found.user, jti, found.expires_at, found.begun_at)

    async def sessions(self, user: User) -> list[SessionLine]:
        """Those that count, the newest first."""
        return self.use.current(await self._accounts.sessions(user))

    async def end_session(self, user: User, jti: str) -> None:
        """Raises NotFound when the user has no such session."""
        if not await self._accounts.end_session(user, jti):
            raise NotFound("session-not-found", "You have no session of this id.")
        self._bus.publish(SessionEnded(jti))

    async def logout(self, caller: Caller) -> None:
        await self._accounts.end_session(caller.user, caller.credential)
        self._bus.publish(SessionEnded(caller.credential))

    async def change_password(self, user: User, current: str, new: str, origin: Origin) -> Session:
        """Every session of the user ends and a new one begins.

        Raises InvalidRequest when `current` is wrong or `new` is too weak, and TooManyAttempts as `login` does.
        """
        self._throttle.begin(user.username, origin.address)
        if not await self._passwords.fits(user.password_hash, current):
            raise _wrong_password("current_password")
        self._throttle.succeeded(user.username, origin.address)
        _require_not_expired(user)
        await self._passwords.require_strong(new, username=user.username, current=current)
        new_hash = await self._passwords.hash(new)
        ticket = self._signer.ticket(user.id)
        if not await self._accounts.change_password(user, new_hash, _begun(ticket, origin)):
            raise token_refused()  # another change of the password ended this session
        self._bus.publish(UserEnded(user.id))
        return self._session(
            ticket, replace(user, password_hash=new_hash, must_change_password=False, password_expires_at=None)
        )

    def form_token(self, credential: str) -> str:
        """What requests of this session show beside its cookie, where browsers do not say where they come from."""
        return self._signer.form_token(credential)

    def _session(self, ticket: Ticket, user: User) -> Session:
        return Session(ticket.token, user, ticket.jti, self._signer.lifetime)


def _begun(ticket: Ticket, origin: Origin) -> Begun:
    return Begun(ticket.jti, ticket.expires_at, origin.address, origin.user_agent[:_LONGEST_USER_AGENT])


def _wrong_password(member: str) -> InvalidRequest:
    return wrong_member("wrong-password", member, "This is not your present password.")


def _require_not_expired(user: User) -> None:
    if user.password_expires_at is not None and user.password_expires_at <= now_text():
        detail = "This first password counts no longer: ask an administrator for another one."
        raise NotAuthenticated("password-expired", detail)


def _login_refused() -> NotAuthenticated:
    return NotAuthenticated("login-failed", "The user name is unknown or the password is wrong.")
