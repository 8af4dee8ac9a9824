"""Small decisions of the server: who is admitted, how sizes read, where an archive goes."""

import pytest

from cs_archiver.db.accounts import User
from cs_archiver.domain.folders import Folder
from cs_archiver.server.auth import reason_to_refuse
from cs_archiver.server.route import Who
from cs_archiver.services.jobs import destination_of


def _user(*, is_admin: bool, must_change: bool) -> User:
    return User(1, "ann", "hash", is_admin, must_change, "2026-01-01T00:00:00.000Z", None, None)


@pytest.mark.parametrize(
    ("who", "is_admin", "must_change", "problem"),
    [
        (Who.NEWCOMER, False, True, None),
        (Who.NEWCOMER, True, False, None),
        (Who.USER, False, False, None),
        (Who.USER, True, False, None),
        (Who.USER, True, True, "password-change-required"),
        (Who.ADMIN, True, False, None),
        (Who.ADMIN, False, False, "admins-only"),
        (Who.ADMIN, True, True, "password-change-required"),
        (Who.ADMIN, False, True, "password-change-required"),
    ],
)
def test_who_is_refused_and_why(who: Who, is_admin: bool, must_change: bool, problem: str | None) -> None:
    refusal = reason_to_refuse(_user(is_admin=is_admin, must_change=must_change), who)
    assert (refusal and refusal.problem) == problem
    assert refusal is None or refusal.status == 403


def test_hash_of_a_password_is_not_shown_with_its_user() -> None:
    assert "hash" not in repr(_user(is_admin=False, must_change=False)).replace("password_hash", "")


@pytest.mark.parametrize(
    ("base_path", "expected"),
    [
        ("/", "/Prod/2024/Alpha.tar.7z"),
        ("", "/Prod/2024/Alpha.tar.7z"),
        ("/Archive", "/Archive/Prod/2024/Alpha.tar.7z"),
        ("/Archive//media/", "/Archive/media/Prod/2024/Alpha.tar.7z"),
        ("/~/", "/~/Prod/2024/Alpha.tar.7z"),
    ],
)
def test_archive_goes_below_the_base_path_with_single_slashes(base_path: str, expected: str) -> None:
    folder = Folder("/nas/Prod/2024/Alpha", "Prod", "2024", "Alpha", 1, 1, None, None)
    assert destination_of(folder, base_path) == expected
