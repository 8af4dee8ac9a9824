"""Text of any origin made fit to be shown: names of files may hold line breaks, terminal commands, anything."""


def escaped(text: str) -> str:
    """Each unprintable character by its escape, the backslash doubled: so that it says exactly what it stands for."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in text
    )


def printable(text: str, *, instead: str = "?") -> str:
    """With `instead` in the place of each unprintable character."""
    return "".join(char if char.isprintable() else instead for char in text)
