"""The settings as they may be shown to people: each with where it comes from, and no secret among them."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cs_archiver.setting_types import Confidential
from cs_archiver.settings import SECTIONS, Settings, variable_of

_SET, _NOT_SET = "(set)", "(not set)"


class Shown(NamedTuple):
    """`where` is the file or the variable that `source` means, empty for a default; `value` is plain JSON."""

    section: str
    key: str
    value: Any
    is_secret: bool
    source: Literal["default", "file", "environment", "secret_file"]
    where: str
    variable: str


def shown_settings(settings: Settings) -> list[Shown]:
    """Every setting there is, in the order of config.toml."""
    return [
        _shown(settings, section, key, field)
        for section, model in SECTIONS.items()
        for key, field in model.model_fields.items()
    ]


def _shown(settings: Settings, section: str, key: str, field: FieldInfo) -> Shown:
    value = getattr(getattr(settings, section), key)
    is_secret = _is_secret(field, value)
    source, where = _source(settings, section, key)
    plain = (_SET if _is_set(value) else _NOT_SET) if is_secret else _plain(value)
    return Shown(section, key, plain, is_secret, source, where, variable_of(section, key))


def _source(
    settings: Settings, section: str, key: str
) -> tuple[Literal["default", "file", "environment", "secret_file"], str]:
    variable, origin = variable_of(section, key), settings.origin
    given_file = getattr(getattr(settings, section), f"{key}_file", "")
    if given_file:  # the key itself is empty then
        return "secret_file", str(given_file)
    if variable in origin.variables:
        return "environment", f"variable {variable}"
    if (section, key) in origin.keys_in_file:
        return "file", origin.file
    return "default", ""


def _is_secret(field: FieldInfo, value: object) -> bool:
    # What is confidential may hold a password, but the address of a database that was accepted is the path of a file.
    is_confidential = any(isinstance(item, Confidential) for item in field.metadata)
    return "SecretStr" in str(field.annotation) or (is_confidential and not str(value).startswith("sqlite:///"))


def _is_set(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
