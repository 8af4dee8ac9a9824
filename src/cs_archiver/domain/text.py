"""Text of any origin made fit to be shown: names of files may hold line breaks, terminal commands, anything."""

import codecs


def escaped(text: str) -> str:
    """Each unprintable character by its escape, the backslash doubled: so that it says exactly what it stands for."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(char if char.isprintable() and char != "\\" else escape_of(char) for char in text)


def escape_of(char: str) -> str:
    """As Python writes it: `\\n`, `\\x1b`, `\\u2028`."""
    # By its name the codec is looked for among the files of Python, which may be closed to us just when it matters.
    return codecs.unicode_escape_encode(char)[0].decode()


def printable(text: str, *, instead: str = "?") -> str:
    """With `instead` in the place of each unprintable character."""
    return "".join(char if char.isprintable() else instead for char in text)
