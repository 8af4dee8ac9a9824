"""Small decisions of the server: who is admitted, how sizes read, where an archive goes."""

import pytest

from cs_archiver.db.accounts import User
from cs_archiver.domain.folders import Folder
from cs_archiver.server.auth import reason_to_refuse
from cs_archiver.server.route import Who
from cs_archiver.services.submissions import destination_of


def _user(*, is_admin: bool, must_change: bool) -> User:
    return User(1, "ann", "hash", is_admin, must_change, "2026-01-01T00:00:00.000Z", None, None, "a secret")


@pytest.mark.parametrize(
    ("who", "is_admin", "must_change", "lacks_factor", "problem"),
    [
        (Who.NEWCOMER, False, True, False, None),
        (Who.NEWCOMER, True, False, True, None),
        (Who.ENROLLING, True, True, True, "password-change-required"),
        (Who.ENROLLING, True, False, True, None),
        (Who.USER, False, False, False, None),
        (Who.USER, True, False, False, None),
        (Who.USER, True, False, True, "second-factor-needed"),
        (Who.USER, True, True, True, "password-change-required"),
        (Who.ADMIN, True, False, False, None),
        (Who.ADMIN, True, False, True, "second-factor-needed"),
        (Who.ADMIN, False, False, False, "admins-only"),
        (Who.ADMIN, True, True, False, "password-change-required"),
        (Who.ADMIN, False, True, False, "password-change-required"),
    ],
)
def test_who_is_refused_and_why(
    who: Who, is_admin: bool, must_change: bool, lacks_factor: bool, problem: str | None
) -> None:
    refusal = reason_to_refuse(_user(is_admin=is_admin, must_change=must_change), who, lacks_factor=lacks_factor)
    assert (refusal and refusal.problem) == problem
    assert refusal is None or refusal.status == 403


def test_hash_of_a_password_is_not_shown_with_its_user() -> None:
    shown = repr(_user(is_admin=False, must_change=False))
    assert "hash" not in shown.replace("password_hash", "")
    assert "secret" not in shown


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
