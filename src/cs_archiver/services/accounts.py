"""Who may come in: sign-ins, the sessions they begin, and whom a session stands for."""

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.db.accounts import Accounts, Begun, SessionLine, User
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import SessionEnded, UserEnded
from cs_archiver.errors import NotAuthenticated, NotFound
from cs_archiver.services.passwords import Passwords, wrong_member
from cs_archiver.services.session_use import SessionUse
from cs_archiver.services.signing import Signer, Ticket, token_refused
from cs_archiver.services.throttle import LoginThrottle

_log = logging.getLogger(__name__)

FIRST_USERNAME = "admin"
FIRST_PASSWORD = "changeme"  # noqa: S105  known to all, and so it must be changed before anything else
_LONGEST_USER_AGENT = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and by what: `credential` is the `jti` of a session, or `token-` and the id of a personal token.

    expires_at: when that ends by itself, unless it is ended before.
    scope: what a personal token may do; None for a session, which may do whatever its user may.
    """

    user: User
    credential: str
    expires_at: str
    scope: Scope | None = None


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
    ) -> None:
        """`idle` as for SessionUse."""
        self.use = SessionUse(accounts, bus, idle)
        self._accounts = accounts
        self._bus = bus
        self._passwords = passwords
        self._signer = signer
        self._throttle = LoginThrottle()

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

    async def login(self, username: str, password: str, origin: Origin) -> Session:
        """Raises NotAuthenticated, with the same words after the same time whether the name is known or not.

        Raises TooManyAttempts when too many have failed.
        """
        self._throttle.begin(username, origin.address)
        user = await self._accounts.by_name(username)
        fits = await self._passwords.fits(None if user is None else user.password_hash, password)
        if user is None or not fits:
            raise _login_refused()
        self._throttle.succeeded(username, origin.address)
        new_hash = await self._passwords.rehashed(user.password_hash, password)
        ticket = self._signer.ticket(user.id)
        ended = await self._accounts.begin_session(user, _begun(ticket, origin), new_hash=new_hash)
        if ended is None:
            raise _login_refused()
        for jti in ended:
            self._bus.publish(SessionEnded(jti))
        return self._session(ticket, user)

    async def authenticate(self, token: str) -> Caller:
        """Whom a session's token stands for. Raises NotAuthenticated when it no longer counts, or never did."""
        claims = self._signer.claims(token)
        jti = claims["jti"]
        found = await self._accounts.by_session(jti)
        if found is None or str(found.user.id) != claims["sub"] or self.use.is_idle(jti, found.last_used_at):
            raise token_refused()
        return Caller(found.user, jti, found.expires_at)

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
            raise wrong_member("wrong-password", "current_password", "This is not your present password.")
        self._throttle.succeeded(user.username, origin.address)
        await self._passwords.require_strong(new, username=user.username, current=current)
        new_hash = await self._passwords.hash(new)
        ticket = self._signer.ticket(user.id)
        if not await self._accounts.change_password(user, new_hash, _begun(ticket, origin)):
            raise token_refused()  # another change of the password ended this session
        self._bus.publish(UserEnded(user.id))
        return self._session(ticket, replace(user, password_hash=new_hash, must_change_password=False))

    def form_token(self, credential: str) -> str:
        """What requests of this session show beside its cookie, where browsers do not say where they come from."""
        return self._signer.form_token(credential)

    def _session(self, ticket: Ticket, user: User) -> Session:
        return Session(ticket.token, user, ticket.jti, self._signer.lifetime)


def _begun(ticket: Ticket, origin: Origin) -> Begun:
    return Begun(ticket.jti, ticket.expires_at, origin.address, origin.user_agent[:_LONGEST_USER_AGENT])


def _login_refused() -> NotAuthenticated:
    return NotAuthenticated("login-failed", "The user name is unknown or the password is wrong.")
