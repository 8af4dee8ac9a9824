"""Sizes for people, as in the PRD's examples: 1024-based, two decimals."""

_UNITS = ("KB", "MB", "GB", "TB", "PB")


def human_size(size_bytes: int) -> str:
    """E.g. `1.00 GB`; below one KB, `532 B`."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in _UNITS:
        size /= 1024
        if size < 1024 or unit == _UNITS[-1]:
            break
    return f"{size:.2f} {unit}"
