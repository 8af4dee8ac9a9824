"""Reads config.toml and the environment into settings, and says in one line what is wrong with them."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from cs_archiver.errors import ConfigError, NeedsOperator
from cs_archiver.sections.section import Section
from cs_archiver.setting_types import Confidential, KeyMismatch
from cs_archiver.settings import CLOSED_FILE, SECTIONS, Origin, Settings, mode_if_open, variable_of
from cs_archiver.tls import tls_context

DEFAULT_FILE = Path("/etc/cs-archiver/config.toml")
_AS_THE_SERVICE = "run this as the user of the service (sudo -u cs-archiver ...)"


def load(config_file: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file, overridden by the environment; secrets given as files are read.

    Without `config_file`, /etc/cs-archiver/config.toml counts if it is there. A variable that is set but
    empty counts as not set. Raises ConfigError for whatever cannot be used.
    """
    file, tables = _read(config_file)
    names = (variable_of(section, key) for section, model in SECTIONS.items() for key in model.model_fields)
    _refuse_unknown(tables, file)
    in_file = frozenset((section, key) for section, table in tables.items() for key in table)
    origin = Origin(file, frozenset(name for name in names if environ.get(name)), in_file)
    sections: dict[str, Any] = {name: _section(name, tables.get(name, {}), environ, origin) for name in SECTIONS}
    return Settings(**sections, origin=origin)


def _read(config_file: Path | None) -> tuple[str, dict[str, Any]]:
    path = config_file or DEFAULT_FILE
    name = str(path) if str(path).isprintable() else ascii(str(path))
    try:
        with open(path, "rb") as stream:
            return name, tomllib.load(stream)
    except FileNotFoundError as error:
        if config_file is None:
            return "config.toml", {}
        raise ConfigError(f"{name}: expected a configuration file, found nothing") from error
    except OSError as error:
        raise ConfigError(f"{name}: expected a readable file: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: expected TOML in UTF-8: {error}") from error


def _refuse_unknown(tables: dict[str, Any], file: str) -> None:
    for name, table in tables.items():
        if name not in SECTIONS:
            what = "section" if isinstance(table, dict) else "key outside the sections"
            raise ConfigError(f"{file}: unknown {what} {_shown(name)}: {_instead(name, SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: [{name}]: expected a section with keys")
        keys = SECTIONS[name].model_fields
        unknown = [key for key in table if key not in keys]
        if unknown:
            raise ConfigError(f"{file}: [{name}]: unknown key {_shown(unknown[0])}: {_instead(unknown[0], keys)}")


def _instead(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f'did you mean "{close[0]}"?' if close else f"expected one of {', '.join(known)}"


def _section(name: str, table: dict[str, Any], environ: Mapping[str, str], origin: Origin) -> Section:
    values: dict[str, Any] = {}
    for key, field in SECTIONS[name].model_fields.items():
        text = environ.get(variable_of(name, key))
        if not text and key not in table:
            continue
        try:
            values[key] = _from_text(name, key, text) if text else _from_toml(name, key, table[key])
        except ValueError as error:
            found = "" if _is_confidential(field) else _shown(text or table[key])
            raise origin.wrong(name, key, _expected(field, error), found) from error
    values |= _secrets_from_files(name, values, origin)
    try:
        return SECTIONS[name](**values)
    except ValidationError as error:
        mismatch = _cause(error)
        if not isinstance(mismatch, KeyMismatch):
            raise
        found = values.get(mismatch.key, SECTIONS[name].model_fields[mismatch.key].default)
        raise origin.wrong(name, mismatch.key, str(mismatch), _shown(found)) from error


def _from_text(section: str, key: str, text: str) -> Any:
    if get_origin(SECTIONS[section].model_fields[key].annotation) is tuple:
        return _adapter(section, key).validate_json(text, strict=True)
    return _adapter(section, key).validate_strings(text)


def _from_toml(section: str, key: str, value: object) -> Any:
    # Strict JSON keeps "80" apart from 80, yet makes paths and secrets of text. Dates, which JSON does not
    # know, become null, which no key accepts.
    return _adapter(section, key).validate_json(json.dumps(value, default=lambda _: None), strict=True)


@cache
def _adapter(section: str, key: str) -> TypeAdapter[Any]:
    return TypeAdapter(SECTIONS[section].model_fields[key].rebuild_annotation(), config=Section.model_config)


def _secrets_from_files(name: str, values: dict[str, Any], origin: Origin) -> dict[str, Any]:
    secrets = {}
    for key, field in SECTIONS[name].model_fields.items():
        file_key = f"{key}_file"
        if field.annotation is not SecretStr or not values.get(file_key):
            continue
        if key in values and values[key].get_secret_value():
            raise origin.wrong(name, file_key, f"either this or {key}, not both")
        text = _secret_text(name, file_key, values[file_key], origin)
        try:
            secrets[key] = _from_text(name, key, text)
        except ValueError as error:
            raise origin.wrong(name, file_key, f"a file that holds {_expected(field, error)}") from error
    return secrets


def _secret_text(name: str, file_key: str, path: str, origin: Origin) -> str:
    try:
        mode = mode_if_open(path)
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        found = f"{_shown(path)}: {error.strerror}"
        raise origin.wrong(name, file_key, "a readable file", found) from error
    except UnicodeDecodeError as error:
        raise origin.wrong(name, file_key, "a file of text in UTF-8", _shown(path)) from error
    if mode is not None:
        raise origin.wrong(name, file_key, CLOSED_FILE, f"{_shown(path)} with the mode {mode}")
    if not text:
        raise origin.wrong(name, file_key, "a file that holds the secret", f"{_shown(path)} empty")
    return text


def _is_confidential(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or any(isinstance(item, Confidential) for item in field.metadata)


def _expected(field: FieldInfo, error: ValueError) -> str:
    cause = _cause(error)
    if cause:
        return str(cause)
    if get_origin(field.annotation) is Literal:
        return " or ".join(_shown(choice) for choice in get_args(field.annotation))
    if get_origin(field.annotation) is tuple:
        return 'a list of texts such as ["a", "b"]'
    names: dict[Any, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        Path: "a path in quotes",
    }
    bounds = {name: getattr(item, name) for item in field.metadata for name in ("ge", "le") if hasattr(item, name)}
    between = " from {ge} to {le}".format(**bounds) if bounds else ""
    return names.get(field.annotation, "text in quotes") + between


def _cause(error: ValueError) -> ValueError | None:
    """What a validator of ours raised, if that is why pydantic refused the value."""
    if not isinstance(error, ValidationError):
        return None
    cause = error.errors()[0].get("ctx", {}).get("error")
    return cause if isinstance(cause, ValueError) else None


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not text.isprintable():
        text = json.dumps(value, default=str)
    text = re.sub(r"(?<=://).*@", "...@", text)  # a name and a password
    return text if len(text) <= 80 else f"{text[:77]}..."


def existing_database(settings: Settings) -> Path:
    """Where it lies. Raises ConfigError when no service has made it yet, NeedsOperator when it is another user's."""
    path = settings.database.path
    try:
        is_there = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_there = False
    except OSError as error:
        raise NeedsOperator(f"cannot use the database {path}: {error.strerror}: {_AS_THE_SERVICE}") from error
    if not is_there:
        expected = "the database of a service that was started once"
        raise settings.origin.wrong("database", "url", expected, f"none at {path}")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        raise NeedsOperator(f"cannot use the database {path}: it belongs to another user: {_AS_THE_SERVICE}")
    return path


def open_file_of_secrets(settings: Settings) -> str | None:
    """The configuration file, if there are secrets in it and others than its owner and group may read it."""
    in_file = settings.origin.keys_in_file
    secrets = [getattr(getattr(settings, section), key) for section, key in in_file]
    holds_some = any(isinstance(value, SecretStr) and value.get_secret_value() for value in secrets)
    return settings.origin.file if holds_some and mode_if_open(settings.origin.file) else None


def check_folders(settings: Settings) -> None:
    """Whether the service can start with these settings: Globus named, every folder and certificate there as needed.

    What must exist: the NAS folder, the storage folder, the folders of the database and of the log file. The
    folders below the storage folder may be missing. Raises ConfigError. A NAS that hangs makes this hang.
    """
    check_globus(settings)
    check_nas(settings)
    check_storage(settings)
    check_files(settings)
    tls_context(settings)


def check_globus(settings: Settings) -> None:
    """Whether everything is given that Globus needs. Raises ConfigError."""
    for key in ("client_id", "client_secret", "source_endpoint", "destination_endpoint"):
        value = getattr(settings.globus, key)
        if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
            expected = f"a value, here or in {variable_of('globus', key)}"
            raise settings.origin.wrong("globus", key, expected, "nothing")


def check_nas(settings: Settings) -> None:
    """Whether the NAS folder is there and may be read. Raises ConfigError; a NAS that hangs makes this hang."""
    _check_folder(settings.origin, "qnap", "base_path", settings.qnap.base_path, os.R_OK | os.X_OK)


def check_files(settings: Settings, nas_place: Callable[[Path], str] = os.path.realpath) -> None:
    """Whether database and log file can be written, outside the NAS (at `nas_place`). Raises ConfigError."""
    nas = nas_place(settings.qnap.base_path)
    _check_file(settings, "database", "url", settings.database.path, nas)
    if settings.log.path:
        _check_file(settings, "log", "file", settings.log.path, nas)


def check_storage(settings: Settings, nas_place: Callable[[Path], str] = os.path.realpath) -> None:
    """Whether all folders of [storage] can be written, on one file system, apart from the NAS. Raises ConfigError."""
    storage, origin, nas = settings.storage, settings.origin, nas_place(settings.qnap.base_path)
    _check_folder(origin, "storage", "base_path", storage.base_path, os.W_OK | os.X_OK)
    device = storage.base_path.stat().st_dev
    folders = {
        "base_path": storage.base_path,
        "temp_path": storage.temp_dir,
        "archives_path": storage.archives_dir,
        "failed_path": storage.failed_dir,
    }
    for key, folder in folders.items():
        existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        _check_folder(origin, "storage", key, existing, os.W_OK | os.X_OK)
        if existing.stat().st_dev != device:
            expected = "a folder on the file system of [storage] base_path, as files are renamed between them"
            raise origin.wrong("storage", key, expected, _shown(str(folder)))
        real = os.path.realpath(folder)
        if _lies_in(real, nas) or _lies_in(nas, real):
            expected = "a folder apart from [qnap] base_path"
            raise origin.wrong("storage", key, expected, _shown(str(folder)))


def _check_file(settings: Settings, section: str, key: str, file: Path, nas: str) -> None:
    _check_folder(settings.origin, section, key, file.absolute().parent, os.W_OK | os.X_OK)
    if file.is_dir():
        raise settings.origin.wrong(section, key, "a file", f"a folder at {_shown(str(file))}")
    if file.is_file() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
        raise settings.origin.wrong(section, key, "a file this user may write to", _shown(str(file)))
    if file.is_symlink() and not file.exists():
        raise settings.origin.wrong(section, key, "a file", f"a link that leads nowhere at {_shown(str(file))}")
    if _lies_in(os.path.realpath(file), nas):
        raise settings.origin.wrong(section, key, "a file outside [qnap] base_path", _shown(str(file)))


def _check_folder(origin: Origin, section: str, key: str, folder: Path, access: int) -> None:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:  # not that it is missing: it may not be looked at, or what is mounted there is broken
        found = f"{_shown(str(folder))}: {error.strerror}"
        raise origin.wrong(section, key, "a folder that can be looked at", found) from error
    if not is_folder:
        raise origin.wrong(section, key, "an existing folder", f"none at {_shown(str(folder))}")
    if not os.access(folder, access, effective_ids=True):
        verb = "write to" if access & os.W_OK else "read"
        raise origin.wrong(section, key, f"a folder this user may {verb}", _shown(str(folder)))


def _lies_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder
