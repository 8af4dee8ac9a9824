"""`cs-archiver user`: the accounts from the host, beside a service that may be running."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cs_archiver.cli import main
from tests.support.databases import of_today
from tests.support.service import NOWHERE, PASSWORD, Place, environment, running_service

NEW_PASSWORD = "seven lamps in the harbour"
OWN_PASSWORD = "nine boats on the river"


@pytest.fixture(name="place")
def _place(place: Place) -> Place:
    of_today(place.database)
    return place


def _user(place: Place, *arguments: str, stdin: str = "") -> Result:
    config = place.root / "config.toml"
    config.touch()
    env = environment(place, NOWHERE)
    return CliRunner().invoke(main, ["user", *arguments, "--config", str(config)], input=stdin, env=env)


def _rows(place: Place, statement: str) -> list[Any]:
    with closing(sqlite3.connect(place.database)) as connection:
        return connection.execute(statement).fetchall()


def test_user_is_added_and_listed(place: Place) -> None:
    added = _user(place, "add", "ann", "--admin", stdin=f"{NEW_PASSWORD}\n")
    assert (added.exit_code, added.output) == (0, "Added ann, who must choose another password at the first sign-in.\n")
    assert _user(place, "add", "bob", stdin=f"{NEW_PASSWORD}\r\n").exit_code == 0
    listed = _user(place, "list")
    assert listed.exit_code == 0
    ann, bob = listed.output.splitlines()
    assert ann.startswith("ann  admin, created 2")
    assert ", never signed in, must change the password until 2" in ann
    assert bob.startswith("bob  user, created 2")
    (line,) = _rows(place, "SELECT action, result, target, username, detail FROM audit WHERE target = 'ann'")
    assert line[:4] == ("users_add", "ok", "ann", None)
    assert line[4].startswith("on the host, as ")


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("add", "ann"), "short\n", "at least 12 characters"),
        (("add", "ann"), "", "at least 12 characters"),
        (("add", "a b"), f"{NEW_PASSWORD}\n", "user name has"),
        (("add", "KNOWN"), f"{NEW_PASSWORD}\n", "already"),
        (("reset-password", "nobody"), f"{NEW_PASSWORD}\n", "no such user"),
        (("reset-password", "known"), "changeme\n", "at least 12 characters"),
    ],
)
def test_what_is_refused_is_one_line_and_changes_nothing(
    place: Place, arguments: tuple[str, ...], stdin: str, words: str
) -> None:
    assert _user(place, "add", "known", stdin=f"{NEW_PASSWORD}\n").exit_code == 0
    before = _rows(place, "SELECT * FROM users")
    refused = _user(place, *arguments, stdin=stdin)
    assert refused.exit_code == 1
    assert refused.output.startswith("cs-archiver: ")
    assert words in refused.output
    assert refused.output.count("\n") == 1
    assert _rows(place, "SELECT * FROM users") == before


def test_without_a_database_none_is_made(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    for arguments in (("list",), ("add", "ann"), ("reset-password", "ann")):
        refused = _user(place, *arguments, stdin=f"{NEW_PASSWORD}\n")
        assert refused.exit_code == 2
        assert "[database] url: expected the database of a service that was started once" in refused.output
    assert list(place.database.parent.iterdir()) == []


def test_password_is_asked_for_twice_at_a_terminal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.commands.user._at_terminal", lambda: True)
    differing = _user(place, "add", "ann", stdin=f"{NEW_PASSWORD}\nanother one\n{NEW_PASSWORD}\n{NEW_PASSWORD}\n")
    assert differing.exit_code == 0
    assert "do not match" in differing.output
    assert NEW_PASSWORD not in differing.output


def test_second_factor_of_who_lost_it_is_removed_and_noted(place: Place) -> None:
    assert _user(place, "add", "ann", stdin=f"{NEW_PASSWORD}\n").exit_code == 0
    none = _user(place, "remove-second-factor", "ann")
    assert (none.exit_code, none.output) == (1, "cs-archiver: This account has no second factor.\n")
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE users SET totp_secret = 'x'")
        connection.execute("INSERT INTO recovery_codes SELECT x'00', id FROM users")
    assert ", second factor, must change the password until" in _user(place, "list").output
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE users SET must_change_password = 0")
    assert _user(place, "list").output.rstrip().endswith("second factor")
    removed = _user(place, "remove-second-factor", "ANN")
    assert (removed.exit_code, removed.output) == (0, "ann signs in with the password alone now.\n")
    assert _rows(place, "SELECT totp_secret FROM users") == [(None,)]
    assert _rows(place, "SELECT * FROM recovery_codes") == []
    query = "SELECT result, target FROM audit WHERE action = 'users_remove_second_factor' ORDER BY id"
    assert _rows(place, query) == [("second-factor-off", "ann"), ("ok", "ann")]


async def test_users_are_managed_while_the_service_runs(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        added = await asyncio.to_thread(_user, service.place, "add", "ann", stdin=f"{NEW_PASSWORD}\n")
        assert added.exit_code == 0, added.output
        login = {"username": "ann", "password": NEW_PASSWORD}
        status, body = await service.call("POST", "/api/auth/login", json=login)
        assert status == 200
        change = {"current_password": NEW_PASSWORD, "new_password": OWN_PASSWORD}
        ann = {"Authorization": f"Bearer {body['access_token']}"}
        status, body = await service.call("POST", "/api/auth/password", json=change, headers=ann)
        assert status == 200
        ann = {"Authorization": f"Bearer {body['access_token']}"}
        wish = {"name": "report", "scope": "read"}
        _, created = await service.call("POST", "/api/auth/tokens", json=wish, headers=ann)
        token = {"Authorization": f"Bearer {created['token']}"}
        assert (await service.call("GET", "/api/auth/me", headers=token))[0] == 200
        reset = await asyncio.to_thread(_user, service.place, "reset-password", "ANN", stdin=f"{PASSWORD}\n")
        assert (reset.exit_code, reset.output) == (
            0,
            "ann has a new password, to be changed at the next sign-in.\n",
        )
        for shown in (ann, token):
            assert (await service.call("GET", "/api/auth/me", headers=shown))[0] == 401
        status, body = await service.call("POST", "/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert status == 200
        ann = {"Authorization": f"Bearer {body['access_token']}"}
        assert (await service.call("GET", "/api/queue", headers=ann))[0] == 403
        assert (await service.call("GET", "/api/queue"))[0] == 200
