"""What is shipped beside the code: both ways of packing name it, and it is there."""

import re
import tomllib
from pathlib import Path

from cs_archiver.resources import resource

ROOT = Path(__file__).parents[2]
SHIPPED = ("web", "schema.sql", "config.toml")


def test_the_wheel_holds_what_the_program_reads_beside_its_code() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert settings["force-include"] == {name: f"cs_archiver/_bundled/{name}" for name in SHIPPED}
    assert settings["packages"] == ["src/cs_archiver"]
    assert all((ROOT / name).exists() for name in SHIPPED)


def test_the_single_file_holds_the_same_at_the_same_places() -> None:
    recipe = (ROOT / ".ci/single_file.spec").read_text()
    data = re.findall(r'\(os\.path\.join\(ROOT, "([a-z.]+)"\), "cs_archiver/_bundled(/web)?"\)', recipe)
    assert {name for name, _ in data} == set(SHIPPED)
    assert ("web", "/web") in data


def test_the_code_asks_for_nothing_that_is_not_shipped() -> None:
    asked = {
        name
        for file in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'\bresource\("([^"]+)"\)', file.read_text(encoding="utf-8"))
    }
    assert asked
    assert {name.split("/")[0] for name in asked} <= set(SHIPPED)
    assert all(resource(name).exists() for name in asked)
