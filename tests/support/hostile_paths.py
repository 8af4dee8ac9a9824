"""Strings by which somebody may try to have something else archived than a folder of the list."""

import unicodedata
from collections.abc import Callable
from random import Random
from urllib.parse import quote

Change = Callable[[Random, str], str]

_ODD = (
    "\0", "\n", "\r\n", "\t", " ", "\u00a0", "\u200b", "\u200d", "\u202e", "\ufeff", "\u00ad", "\x1b[31m", "\x7f",
    "\ud800", "\udcff", "\uffff", "\U0001f600", "\\", "'", '"', "`", ";", "|", "&", "$", "*", "?", "%", "_", ":", "#",
)  # fmt: skip
_SLASHES = (
    "\\",
    "\u2215",
    "\u2044",
    "\u29f8",
    "\uff0f",
    "%2f",
    "%252F",
    "%c0%af",
    "\xc0\xaf",
    "\\/",
    "//",
    "/./",
    ";/",
)
_DOTS = (
    "..", "../..", "%2e%2e", "%252e%252e", "%c0%ae%c0%ae", "\xc0\xae\xc0\xae", "\uff0e\uff0e", "\u2024\u2024", "..;",
    ". .", "...", "....//", "..%00", "..\\", "%u002e%u002e", "\\u002e\\u002e",
)  # fmt: skip
_PREFIXES = (
    "file://", "//", "\\\\", "\\\\server\\share", "C:", "~", "~root", "$HOME", "${PWD}", "$(id)", "/proc/self/root",
    "/proc/self/cwd", "/proc/1/root", "/dev/fd/3", "/./", "/../", ".", "host:", "rsync://host/", "-sdel ", "@",
)  # fmt: skip
_SUFFIXES = (
    "/", "//", "/.", "/..", "/*", "/media", "/media/one.bin", "/two.bin", "\0", "%00", "\0.mov", " ", ".", "~", ":",
    "#", "?refresh=true", "::$DATA", ".tar.7z", "\n", "/../Beta", "/../../2023/Old", "/link", "/media/..", ".lnk",
)  # fmt: skip
_LOOKALIKES = str.maketrans("AaeoPcxi", "\u0410\u0430\u0435\u043e\u0420\u0441\u0445\u0456")
_WHOLE = (
    "", "/", ".", "..", "*", "-sdel", "@list", "a*b", "host:x", "/etc/passwd", "/etc", "/root", "/dev/zero", "/proc",
    "/dev/shm", "/tmp", "/sys", "null", "{}", "[]", "0", "-1", "' OR '1'='1", "%", "_", "../" * 40 + "etc/passwd",
)  # fmt: skip


def hostile_path(random: Random, seeds: list[str]) -> str:
    """A path that is like one of the seeds, and changed in one to three ways; rarely something else altogether."""
    if random.random() < 0.05:
        return random.choice(_WHOLE)
    path = random.choice(seeds)
    for change in random.choices(_CHANGES, k=random.choice((1, 1, 2, 3))):
        path = change(random, path)
    return path


def _with_odd_character(random: Random, path: str) -> str:
    place = random.randint(0, len(path))
    return path[:place] + random.choice(_ODD) + path[place + random.randint(0, 1) :]


def _with_other_slash(random: Random, path: str) -> str:
    return "/".join(path.split("/")).replace("/", random.choice(_SLASHES), random.choice((-1, 1, 3)))


def _with_dots(random: Random, path: str) -> str:
    steps = path.split("/")
    place = random.randint(0, len(steps))
    return "/".join([*steps[:place], random.choice(_DOTS), *steps[place:]])


def _there_and_back(random: Random, path: str) -> str:
    """The same place by another way."""
    steps = path.split("/")
    place = random.randint(1, len(steps))
    return "/".join([*steps[:place], random.choice((steps[place - 1] or "x", "media", "x")), "..", *steps[place:]])


def _encoded(random: Random, path: str) -> str:
    raw = path.encode("utf-8", "surrogatepass")
    once = random.choice((quote(raw), quote(raw, safe=""), quote(raw).replace("a", "%61"), raw.hex()))
    return quote(once) if random.random() < 0.4 else once


def _otherwise_decoded(random: Random, path: str) -> str:
    raw = path.encode("utf-8", "surrogatepass")
    return raw.decode(random.choice(("latin-1", "cp1252", "utf-16-le", "utf-7")), random.choice(("replace", "ignore")))


def _in_other_case(random: Random, path: str) -> str:
    return random.choice((str.upper, str.lower, str.swapcase, str.title, str.casefold))(path)


def _normalised(random: Random, path: str) -> str:
    return unicodedata.normalize(random.choice(("NFC", "NFD", "NFKC", "NFKD")), path)


def _like(random: Random, path: str) -> str:
    return path.translate(_LOOKALIKES)


def _longer(random: Random, path: str) -> str:
    size = random.choice((300, 4000, 4097, 9000))
    return random.choice((path + "x" * size, path + "/x" * (size // 2), "../" * (size // 3) + path, "/" * size + path))


def _cut(random: Random, path: str) -> str:
    return path[: random.randint(0, len(path))] if random.random() < 0.5 else path[random.randint(0, len(path)) :]


def _prefixed(random: Random, path: str) -> str:
    return random.choice(_PREFIXES) + path


def _suffixed(random: Random, path: str) -> str:
    return path + random.choice(_SUFFIXES)


def _with_pattern(random: Random, path: str) -> str:
    """Each of these means the same path to a shell, to SQL's LIKE or to a regular expression."""
    place = random.randrange(max(len(path), 1))
    letter = path[place : place + 1]
    other = random.choice(
        ("?", "*", "%", "_", ".", ".*", f"[{letter}]", f"{{{letter},x}}", f"({letter})", f"\\{letter}")
    )
    return path[:place] + other + path[place + 1 :]


def _steps_changed(random: Random, path: str) -> str:
    steps = path.split("/")
    place = random.randrange(len(steps))
    change = random.randrange(3)
    if change == 0:
        steps[place : place + 1] = [steps[place], steps[place]]
    elif change == 1:
        del steps[place]
    else:
        other = random.randrange(len(steps))
        steps[place], steps[other] = steps[other], steps[place]
    return "/".join(steps)


_CHANGES: tuple[Change, ...] = (
    _with_odd_character,
    _with_other_slash,
    _with_dots,
    _there_and_back,
    _encoded,
    _otherwise_decoded,
    _in_other_case,
    _normalised,
    _like,
    _longer,
    _cut,
    _prefixed,
    _suffixed,
    _with_pattern,
    _steps_changed,
)
