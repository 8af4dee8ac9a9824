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

# Keys that take one value only and say so when another is asked for: nothing needs to read them.
OF_ONE_VALUE = frozenset({"globus.verify_checksum", "jwt.algorithm"})


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


def is_defining(path: Path) -> bool:
    return path.name in DEFINING or path.parent.name == "sections"


def attributes(tree: ast.AST) -> Iterator[str]:
    return (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def read_by_the_product() -> set[str]:
    """The attributes used in modules that import the settings: elsewhere a `threads` is another `threads`."""
    read: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if is_defining(path):
            continue
        if re.search(r"cs_archiver(\.| import .*)\b(settings|sections|config)\b", text):
            read |= set(attributes(ast.parse(text)))
    return read


def names_that_read() -> dict[str, set[str]]:
    """For each "section.key" the attributes through which it is read: itself, and the properties that use it."""
    names = {f"{section}.{key}": {key} for section, key in keys()}
    section_of = {model.__name__: section for section, model in SECTIONS.items()}
    tree = ast.parse("\n".join(path.read_text("utf-8") for path in sorted((SOURCE / "sections").glob("*.py"))))
    for model in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for method in (node for node in model.body if isinstance(node, ast.FunctionDef)):
            if any(isinstance(mark, ast.Name) and mark.id == "property" for mark in method.decorator_list):
                for used in attributes(method):
                    names.get(f"{section_of.get(model.name)}.{used}", set()).add(method.name)
    for section, key in keys():
        if f"{section}.{key}_file" in names:  # config.load puts the content of the file there
            names[f"{section}.{key}_file"] |= names[f"{section}.{key}"]
    return names


def test_every_key_is_read_by_the_product() -> None:
    read = read_by_the_product()
    unread = {key for key, names in names_that_read().items() if not names & read}
    assert unread == OF_ONE_VALUE, "these keys do nothing: read them, or take them out of the settings"


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
