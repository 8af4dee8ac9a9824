"""Codes of an authenticator app (TOTP, RFC 6238), and recovery codes: how they are made, and told apart."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

import pyotp

from cs_archiver.db.second_factors import Proof, RecoveryCode, TotpStep

STEP_SECONDS = 30
_STEPS_BACK = 1  # for clocks that are behind, and for who types slowly
_RECOVERY_CODES = 10
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_RECOVERY_LETTERS = 24  # 120 bits, so that a plain hash keeps them
_GROUP = 6


def new_secret() -> str:
    """160 random bits in base32."""
    return pyotp.random_base32(32)


def address_of(secret: str, *, username: str, service: str) -> str:
    """What an authenticator app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=service)


def step_of(secret: str, code: str, *, now: float) -> int | None:
    """The newest time step of which this is the code, of the present one and the one before; `now` is Unix time."""
    totp, present, typed = pyotp.TOTP(secret), int(now) // STEP_SECONDS, _typed(code).encode(errors="replace")
    steps = range(present, present - _STEPS_BACK - 1, -1)
    found = [step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), typed)]
    return found[0] if found else None


def proof_in(code: str, secret: str, *, now: float) -> Proof | None:
    """What was typed as a code: of the app, or one for recovery. None for what is neither."""
    typed = _typed(code)
    if re.fullmatch(r"[0-9]{6}", typed, re.ASCII):
        step = step_of(secret, typed, now=now)
        return None if step is None else TotpStep(step)
    if re.fullmatch(rf"[{_LETTERS}]{{{_RECOVERY_LETTERS}}}", typed):
        return RecoveryCode(_hash(typed))
    return None


def new_recovery_codes() -> Sequence[str]:
    """`ABCDEF-GHIJKL-MNOPQR-STUVWX`, as they are shown."""
    return [_new_recovery_code() for _ in range(_RECOVERY_CODES)]


def hash_of(recovery_code: str) -> bytes:
    return _hash(recovery_code.replace("-", ""))


def _typed(code: str) -> str:
    return re.sub(r"[\s-]", "", code).upper()


def _new_recovery_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_RECOVERY_LETTERS))
    return "-".join(letters[start : start + _GROUP] for start in range(0, _RECOVERY_LETTERS, _GROUP))


def _hash(letters: str) -> bytes:
    return hashlib.sha256(letters.encode("ascii")).digest()
