"""Where a symbolic link leads, by its text alone: links are archived as they are, never followed."""


def leads_out(link: bytes, target: bytes, *, folder: bytes) -> bool:
    """Whether what the link names lies outside the folder, and so not in its archive.

    `link` is its path within the folder, `folder` the absolute path of that one.
    """
    if target.startswith(b"/"):
        steps, inside = _resolved([], target), _resolved([], folder)
        return steps is None or inside is None or steps[: len(inside)] != inside
    return _resolved(link.split(b"/")[:-1], target) is None


def _resolved(start: list[bytes], path: bytes) -> list[bytes] | None:
    """The steps from the top once every `..` is taken; None when one leads above it."""
    steps = list(start)
    for step in path.split(b"/"):
        if step == b"..":
            if not steps:
                return None
            steps.pop()
        elif step not in (b"", b"."):
            steps.append(step)
    return steps
