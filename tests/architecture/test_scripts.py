"""Our own scripts: nothing in them writes to a member whose name comes from elsewhere, or makes markup of text."""

import re

import pytest

from cs_archiver.resources import resource

SCRIPTS = sorted(resource("web/static").glob("*.js"))
FORBIDDEN = {
    "a member by a name that is worked out": r"[\w)\]]\[[^\]'\"`]*[A-Za-z_$][^\]]*\]\s*(=(?!=)|\+=|\?\?=|\|\|=)",
    "merging of objects": r"\bObject\.assign\b|\bstructuredClone\b",
    "a walk along the prototypes": r"\bfor\s*\(\s*(const|let|var)\s+\w+\s+in\b",
    "the prototype itself": r"__proto__\b(?!\")|setPrototypeOf",
    "markup of text": r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser)\b",
    "code of text": r"\beval\b|\bFunction\(|\bimport\(",
    "storage of the browser": r"\b(localStorage|sessionStorage|indexedDB|caches|serviceWorker)\b",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_scripts_do_without(what: str) -> None:
    found = [
        f"{script.name}: {line.strip()}"
        for script in SCRIPTS
        for line in script.read_text(encoding="utf-8").splitlines()
        if re.search(FORBIDDEN[what], line.partition("// ")[0])
    ]
    assert found == []


def test_what_is_looked_for_would_be_found() -> None:
    for what, line in (
        ("a member by a name that is worked out", "table[name] = 1;"),
        ("a member by a name that is worked out", "(given)[row.id] ??= [];"),
        ("a walk along the prototypes", "for (const key in given) {"),
        ("the prototype itself", "x.__proto__ = y;"),
    ):
        assert re.search(FORBIDDEN[what], line), line
    for harmless in ("if (names[unit] === 1) {", 'find("[data-x]") = 1', "list[0] = 1;"):
        assert not re.search(FORBIDDEN["a member by a name that is worked out"], harmless), harmless


def test_every_page_begins_with_the_script_that_shuts_the_prototypes() -> None:
    base = (resource("web/templates") / "base.html").read_text(encoding="utf-8")
    first = re.search(r"<script[^>]*>", base)
    assert first is not None
    assert first[0] == '<script src="{{ asset("early.js") }}">'
    assert "Object.freeze(Object.prototype);" in (resource("web/static") / "early.js").read_text(encoding="utf-8")
