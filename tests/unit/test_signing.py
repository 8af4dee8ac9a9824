"""What a signed token says is looked at once, but for its time, which goes on."""

import time
from datetime import timedelta
from typing import Any

import jwt
import pytest

from cs_archiver.errors import NotAuthenticated
from cs_archiver.services.signing import Signer

SECRET = "a secret of at least thirty-two bytes"


def test_a_token_that_was_valid_is_refused_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, now = Signer(SECRET, timedelta(minutes=5)), time.time()
    ticket = signer.ticket(7)
    for later in (0, 0, 325):  # the clocks of others may be 30 s behind
        monkeypatch.setattr(time, "time", lambda moment=now + later: moment)
        assert signer.claims(ticket.token)["jti"] == ticket.jti
    monkeypatch.setattr(time, "time", lambda: now + 331)
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            signer.claims(ticket.token)


def test_what_is_refused_is_looked_at_again_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, looked_at = jwt.decode, []

    def noted(token: str, *arguments: Any, **more: Any) -> Any:
        looked_at.append(token)
        return decode(token, *arguments, **more)

    monkeypatch.setattr(jwt, "decode", noted)
    signer = Signer(SECRET, timedelta(minutes=5))
    own, foreign = signer.ticket(7).token, Signer(SECRET[::-1], timedelta(minutes=5)).ticket(7).token
    for _ in range(3):
        assert signer.claims(own)["sub"] == "7"
        with pytest.raises(NotAuthenticated):
            signer.claims(foreign)
    assert looked_at == [own, foreign, foreign, foreign]
