"""config.toml is the reference of the settings: complete, true and commented; the product reads every key."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cs_archiver.config import load
from cs_archiver.resources import _root, resource
from cs_archiver.settings import SECTIONS, Settings, variable_of

CONFIG = resource("config.toml")
SOURCE = resource("src") / "cs_archiver"
DEFINING = ("config.py", "settings.py", "setting_types.py")

# Keys that no code reads yet. The list may only shrink: whoever reads one takes it out.
NOT_YET_READ: frozenset[str] = frozenset(
    {
        "server.host",
        "server.port",
        "server.public_url",
        "database.pool_size",
        "jwt.secret_key",
        "jwt.secret_key_file",
        "jwt.algorithm",
        "jwt.access_token_expire_minutes",
        "security.admin_initial_password",
        "security.argon2_time_cost",
        "security.argon2_memory_kib",
        "security.argon2_parallelism",
        "qnap.base_path",
        "storage.base_path",
        "storage.temp_path",
        "storage.archives_path",
        "storage.failed_path",
        "globus.client_id",
        "globus.client_secret",
        "globus.client_secret_file",
        "globus.source_endpoint",
        "globus.destination_endpoint",
        "globus.source_base_path",
        "globus.destination_base_path",
        "globus.verify_checksum",
        "globus.sync_level",
        "globus.external_checksum",
        "globus.http_timeout_seconds",
        "globus.service_url_auth",
        "globus.service_url_transfer",
        "retry.compression",
        "retry.upload",
        "retry.connection_error",
        "retry.delay_seconds",
        "upload.task_timeout_hours",
        "upload.task_deadline_hours",
        "upload.task_poll_interval_seconds",
        "copy.small_below_gb",
        "copy.medium_below_gb",
        "copy.large_below_gb",
        "copy.threads",
        "compression.mode",
        "compression.size_estimate_ratio",
        "verification.recheck",
        "verification.size_tolerance_percent",
        "disk_space.min_free_gb",
        "disk_space.check_interval_seconds",
        "discovery.threads",
        "discovery.marker_patterns",
        "discovery.litter_patterns",
    }
)


def keys() -> list[tuple[str, str]]:
    return [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]


def comments() -> dict[tuple[str, str], str]:
    """The comment lines right above each key."""
    found, section, above = {}, "", ""
    for line in CONFIG.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            above += line.removeprefix("#")
            continue
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"(\w+) =", line):
            found[section, match[1]] = above
        above = ""
    return found


def test_config_toml_repeats_every_default() -> None:
    assert load(CONFIG, {}) == Settings()


def test_config_toml_has_every_key_in_the_order_of_the_settings() -> None:
    tables = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    assert [(section, key) for section, table in tables.items() for key in table] == keys()


def test_every_key_has_a_comment_above_it() -> None:
    assert [key for key in keys() if len(comments()[key].split()) < 4] == []


def test_a_variable_that_does_not_follow_the_rule_is_named_in_the_comment() -> None:
    named = {key: re.findall(r"Variable: (\w+)", comment) for key, comment in comments().items()}
    expected = {
        (section, key): [] if (name := variable_of(section, key)) == f"{section}_{key}".upper() else [name]
        for section, key in keys()
    }
    assert named == expected


def attributes(tree: ast.AST) -> Iterator[str]:
    return (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def read_by_the_product() -> set[str]:
    """The attributes used in modules that import the settings: elsewhere a `threads` is another `threads`."""
    read: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name not in DEFINING and re.search(r"cs_archiver(\.| import .*)\b(settings|config)\b", text):
            read |= set(attributes(ast.parse(text)))
    return read


def names_that_read() -> dict[str, set[str]]:
    """For each "section.key" the attributes through which it is read: itself, and the properties that use it."""
    names = {f"{section}.{key}": {key} for section, key in keys()}
    section_of = {model.__name__: section for section, model in SECTIONS.items()}
    tree = ast.parse((SOURCE / "settings.py").read_text(encoding="utf-8"))
    for model in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for method in (node for node in model.body if isinstance(node, ast.FunctionDef)):
            if any(isinstance(mark, ast.Name) and mark.id == "property" for mark in method.decorator_list):
                for used in attributes(method):
                    names.get(f"{section_of.get(model.name)}.{used}", set()).add(method.name)
    for section, key in keys():
        if f"{section}.{key}_file" in names:  # config.load puts the content of the file there
            names[f"{section}.{key}_file"] |= names[f"{section}.{key}"]
    return names


def test_every_key_is_read_somewhere_or_known_not_to_be_yet() -> None:
    read = read_by_the_product()
    unread = {key for key, names in names_that_read().items() if not names & read}
    assert unread - NOT_YET_READ == set(), "these keys do nothing: read them, or take them out of the settings"


def test_the_list_of_keys_not_yet_read_only_shrinks() -> None:
    read = read_by_the_product()
    by_now_read = {key for key in NOT_YET_READ if names_that_read()[key] & read}
    assert by_now_read == set(), "take these out of NOT_YET_READ"


def test_resources_are_found_beside_the_package_first_and_in_the_checkout_otherwise(tmp_path: Path) -> None:
    package = tmp_path / "src" / "cs_archiver"
    package.mkdir(parents=True)
    assert _root(package) == tmp_path
    (package / "_bundled").mkdir()
    assert _root(package) == package / "_bundled"


def test_everything_that_ships_is_there() -> None:
    assert resource("config.toml").is_file()
    assert resource("schema.sql").is_file()
    assert resource("web").is_dir()
