"""How much free disk a job needs before it starts (PRD 4.1; decisions, data loss point 2)."""

GIB = 1024**3


def required_bytes(folder_bytes: int, *, ratio: float, min_free_gb: float) -> int:
    """The copy, plus the archive as estimated, and never less than the minimum beside the copy."""
    return folder_bytes + max(int(folder_bytes * ratio), int(min_free_gb * GIB))
