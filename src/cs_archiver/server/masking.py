"""What is written down of an address: a part of it that may be a secret, put there by mistake, is not."""

from urllib.parse import unquote

from cs_archiver.services.tokens import PREFIX

_LONGEST = 40  # a job's id has 36; tokens of sessions and personal ones have more, however they are spelled
_SHOWN = 4


def masked(path: str) -> str:
    """Each step that is longer than any of our own, or begins as a personal token does, by its beginning alone."""
    return "/".join(f"{step[:_SHOWN]}***" if _may_be_secret(step) else step for step in path.split("/"))


def _may_be_secret(step: str) -> bool:
    return len(step) > _LONGEST or unquote(step).lower().startswith(PREFIX)
