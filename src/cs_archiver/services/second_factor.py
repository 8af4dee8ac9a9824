"""The second factor of an account: switched on with a code that shows it works, and off again."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cs_archiver.bus import Bus
from cs_archiver.db.accounts import User
from cs_archiver.db.second_factors import SecondFactors
from cs_archiver.domain.events import SessionEnded, UserEnded
from cs_archiver.errors import Conflict
from cs_archiver.services import totp
from cs_archiver.services.accounts import Caller
from cs_archiver.services.kept import Kept
from cs_archiver.services.passwords import wrong_member

SERVICE_NAME = "CS Archiver"
_ENROLMENT_SECONDS = 600.0


class Status(NamedTuple):
    is_on: bool
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """`secret` is for who cannot scan `address`, which a QR code shows."""

    secret: str = field(repr=False)
    address: str = field(repr=False)


class SecondFactorService:
    def __init__(
        self,
        factors: SecondFactors,
        bus: Bus,
        *,
        admins_need_one: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix time."""
        self._factors = factors
        self._bus = bus
        self._admins_need_one = admins_need_one
        self._clock = clock
        self._enrolments: Kept[str, Enrolment] = Kept(_ENROLMENT_SECONDS)

    def is_missing(self, user: User) -> bool:
        """Whether this user may do nothing else before switching one on."""
        return self._admins_need_one and user.is_admin and not user.has_second_factor

    async def status(self, user: User) -> Status:
        left = await self._factors.codes_left(user.id) if user.has_second_factor else 0
        return Status(user.has_second_factor, left)

    def begin(self, caller: Caller) -> Enrolment:
        """The same again in this session, for ten minutes or until confirmed. Raises Conflict "second-factor-on"."""
        user = caller.user
        if user.has_second_factor:
            raise _is_on()
        begun = self.begun(caller)
        if begun is None:
            secret = totp.new_secret()
            begun = Enrolment(secret, totp.address_of(secret, username=user.username, service=SERVICE_NAME))
            self._enrolments.put(caller.credential, begun)
        return begun

    def begun(self, caller: Caller) -> Enrolment | None:
        """What is to be confirmed, if anything is: who has seen a secret in another session must not know this one."""
        return self._enrolments.get(caller.credential)

    async def confirm(self, caller: Caller, code: str) -> list[str]:
        """Switch it on: from now on each sign-in needs it, and every other session ends. Gives back recovery codes.

        Raises InvalidRequest for a wrong code, and Conflict "second-factor-on" and "second-factor-not-begun".
        """
        user = caller.user
        if user.has_second_factor:
            raise _is_on()
        begun = self.begun(caller)
        if begun is None:
            raise Conflict("second-factor-not-begun", "Begin anew: what was begun counts for ten minutes.")
        step = totp.step_of(begun.secret, code.replace(" ", ""), now=self._clock())
        if step is None:
            detail = "This is not the present code: wait for the next one, and see that the clock of the app is right."
            raise wrong_member("invalid-value", "code", detail)
        codes = totp.new_recovery_codes()
        hashes = map(totp.hash_of, codes)
        ended = await self._factors.switch_on(user.id, begun.secret, step=step, codes=hashes, but=caller.credential)
        if ended is None:
            raise _is_on()
        self._enrolments.drop(caller.credential)
        self._tell(ended)
        return list(codes)

    async def new_codes(self, user: User) -> list[str]:
        """In place of those that are left. Raises Conflict "second-factor-off"."""
        if not user.has_second_factor:
            raise _is_off()
        codes = totp.new_recovery_codes()
        await self._factors.replace_codes(user.id, map(totp.hash_of, codes))
        return list(codes)

    async def switch_off(self, caller: Caller) -> None:
        """Every other session ends.

        Raises Conflict "second-factor-off", and "second-factor-kept" where there must be one.
        """
        if self._admins_need_one and caller.user.is_admin:
            raise Conflict("second-factor-kept", "Administrators need a second factor here: it stays switched on.")
        await self._switch_off(caller.user, but=caller.credential)

    async def remove(self, user: User, *, by: User | None) -> None:
        """For somebody who lost it: every session ends. `by` nobody who is signed in: from the host.

        Raises Conflict "own-account" and "second-factor-off".
        """
        if by is not None and user.id == by.id:
            raise Conflict("own-account", "Switch off your own at DELETE /api/auth/second-factor.")
        await self._switch_off(user, but=None)
        self._bus.publish(UserEnded(user.id))

    async def _switch_off(self, user: User, *, but: str | None) -> None:
        ended = await self._factors.switch_off(user.id, but=but)
        if ended is None:
            raise _is_off()
        self._tell(ended)

    def _tell(self, ended: Iterable[str]) -> None:
        for jti in ended:
            self._bus.publish(SessionEnded(jti))


def _is_on() -> Conflict:
    return Conflict("second-factor-on", "This account has a second factor already.")


def _is_off() -> Conflict:
    return Conflict("second-factor-off", "This account has no second factor.")
