"""Sizes and counts for people: the one way in which logs, pages and the terminal write sizes, as static/format.js.

Powers of 1024, as in the settings, and named so; who looks at pages may prefer thousands there.
"""

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def human_size(size_bytes: float, unit: int = 1024) -> str:
    """Three digits that count, as in `1.15 GiB`, or `1.23 GB` for a `unit` of 1000; whole bytes as they are."""
    names = _DECIMAL if unit == 1000 else _BINARY
    value, power = float(size_bytes), 0
    while round(value, 2) >= unit and power < len(names) - 1:
        value, power = value / unit, power + 1
    if power == 0:
        return f"{value:.0f} B"
    digits = 2 if round(value, 2) < 10 else 1 if round(value, 1) < 100 else 0
    return f"{value:.{digits}f} {names[power]}"


def plural(number: int, one: str, many: str = "") -> str:
    """The word that goes with the number; `many` where it is not `one` with an s."""
    return one if number == 1 else many or f"{one}s"


def counted(number: int, one: str, many: str = "") -> str:
    """The number and its word, as in `1 file`."""
    return f"{number} {plural(number, one, many)}"
