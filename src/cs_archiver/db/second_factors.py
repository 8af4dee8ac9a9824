"""The second factor of each user, and the codes for when it is lost."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.errors import NotAuthenticated

_USERS = tables.users
_SESSIONS = tables.sessions
_CODES = tables.recovery_codes


@dataclass(frozen=True, slots=True)
class TotpStep:
    """A code of this time step was shown."""

    step: int


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    sha256: bytes


Proof = TotpStep | RecoveryCode
"""What was shown of the second factor, right as far as its form goes; whether it still counts, `spend` finds out."""


class SecondFactors:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def switch_on(
        self, user_id: int, secret: str, *, step: int, codes: Iterable[bytes], but: str
    ) -> list[str] | None:
        """With recovery codes, by their SHA-256. `step`: of the code that confirmed it, which counts no second time.

        Gives back the sessions that ended: all but this one. None, and nothing is changed, where there is one already.
        """
        off = (_USERS.c.id == user_id) & _USERS.c.totp_secret.is_(None)
        async with self._database.write() as connection:
            on = _USERS.update().where(off).values(totp_secret=secret, totp_last_step=step)
            if (await connection.execute(on)).rowcount != 1:
                return None
            await _set_codes(connection, user_id, codes)
            return await _end_sessions(connection, user_id, but=but)

    async def switch_off(self, user_id: int, *, but: str | None) -> list[str] | None:
        """Gives back the sessions that ended: all, or all but this one. None where there is none to switch off."""
        on = (_USERS.c.id == user_id) & _USERS.c.totp_secret.is_not(None)
        async with self._database.write() as connection:
            if (await connection.execute(_USERS.update().where(on).values(totp_secret=None))).rowcount != 1:
                return None
            await _set_codes(connection, user_id, [])
            return await _end_sessions(connection, user_id, but=but)

    async def replace_codes(self, user_id: int, codes: Iterable[bytes]) -> None:
        async with self._database.write() as connection:
            await _set_codes(connection, user_id, codes)

    async def codes_left(self, user_id: int) -> int:
        query = select(func.count()).where(_CODES.c.user_id == user_id)
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)


async def spend(connection: Connection, user_id: int, proof: Proof) -> None:
    """Raises NotAuthenticated "wrong-code" when it was spent already, as was a later one, or never counted."""
    if isinstance(proof, TotpStep):
        later = (_USERS.c.id == user_id) & (_USERS.c.totp_last_step < proof.step) & _USERS.c.totp_secret.is_not(None)
        found = await connection.execute(_USERS.update().where(later).values(totp_last_step=proof.step))
    else:
        mine = (_CODES.c.sha256 == proof.sha256) & (_CODES.c.user_id == user_id)
        found = await connection.execute(_CODES.delete().where(mine))
    if found.rowcount != 1:
        raise wrong_code()


def wrong_code() -> NotAuthenticated:
    return NotAuthenticated("wrong-code", "This code is wrong, or was used already: wait for the next one.")


async def _set_codes(connection: Connection, user_id: int, codes: Iterable[bytes]) -> None:
    await connection.execute(_CODES.delete().where(_CODES.c.user_id == user_id))
    rows = [{"sha256": sha256, "user_id": user_id} for sha256 in codes]
    if rows:
        await connection.execute(_CODES.insert(), rows)


async def _end_sessions(connection: Connection, user_id: int, *, but: str | None) -> list[str]:
    others = (_SESSIONS.c.user_id == user_id) & (_SESSIONS.c.jti != (but or ""))
    return list((await connection.scalars(_SESSIONS.delete().where(others).returning(_SESSIONS.c.jti))).all())
