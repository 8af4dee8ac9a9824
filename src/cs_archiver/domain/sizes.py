"""Sizes for people, as in the PRD's examples: 1024-based, two decimals."""

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def human_size(size_bytes: int) -> str:
    """E.g. `1.00 GB`; below one KB, `532 B`."""
    size, unit = float(size_bytes), 0
    while round(size, 2) >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.2f} {_UNITS[unit]}" if unit else f"{size_bytes} B"
