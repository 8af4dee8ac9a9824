"""Somebody with a browser that runs no scripts: looks at pages, follows forms, keeps no more than a cookie."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder

from aiohttp import ClientResponse

from tests.support.api import Api
from tests.support.pages import HTML, origin_of

_VOID = {"meta", "link", "input", "img", "br", "hr", "use"}
_PART = re.compile(r"([#.]?)([\w-]+)|\[([\w-]+)\]")


class _Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self._builder = TreeBuilder()
        self.feed(html)
        self.root: Element = self._builder.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in _VOID:
            self._builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._builder.end(tag)

    def handle_data(self, data: str) -> None:
        self._builder.data(data)


@dataclass(frozen=True)
class Page:
    html: str
    cookies: Mapping[str, str]

    @property
    def root(self) -> Element:
        return _Reader(self.html).root

    @property
    def text(self) -> str:
        return _text(self.root)

    def texts(self, selector: str) -> list[str]:
        """What stands in each element of this selector: tags, ids, classes and attributes, one within the other."""
        return [_text(element) for element in self._all(selector)]

    def values(self, selector: str, name: str) -> list[str]:
        return [element.get(name, "") for element in self._all(selector)]

    def has(self, selector: str) -> bool:
        return bool(list(self._all(selector)))

    def form(self, path: str) -> Element:
        """The form that goes to this path."""
        (form,) = [form for form in self.root.iter("form") if form.get("action") == path]
        return form

    def _all(self, selector: str) -> Iterator[Element]:
        found = [self.root]
        for step in selector.split():
            found = [inner for outer in found for inner in outer.iter() if inner is not outer and _is(inner, step)]
        yield from dict.fromkeys(found)


@dataclass(frozen=True)
class Visitor:
    api: Api
    token: str

    async def response(
        self, method: str, path: str, *, cookies: Mapping[str, str] | None = None, **options: Any
    ) -> ClientResponse:
        cookie = "; ".join(f"{name}={value}" for name, value in {"csa": self.token, **(cookies or {})}.items())
        headers = {**HTML, "Cookie": cookie, "Origin": origin_of(self.api), **options.pop("headers", {})}
        return await self.api.call(method, path, token="", headers=headers, **options)

    async def get(self, path: str, *, status: int = 200, **options: Any) -> Page:
        response = await self.response("GET", path, **options)
        assert response.status == status, await response.text()
        return await _page(response)

    async def post(self, path: str, fields: Mapping[str, Any], *, status: int = 303) -> Page:
        """The page that the form leads to, or the one that says why it was refused."""
        response = await self.response("POST", path, data=fields)
        assert response.status == status, await response.text()
        if status != 303:
            return await _page(response)
        session = cookies_of(response).get("csa", self.token)
        return await Visitor(self.api, session).get(response.headers["Location"])

    async def submit(self, page: Page, path: str, typed: Mapping[str, str] | None = None, *, status: int = 303) -> Page:
        """Sends the form of this page that goes there, with what stands in it and what was typed."""
        return await self.post(path, {**_fields(page.form(path)), **(typed or {})}, status=status)


async def _page(response: ClientResponse) -> Page:
    return Page(await response.text(), cookies_of(response))


def cookies_of(response: ClientResponse) -> dict[str, str]:
    cookies: SimpleCookie = SimpleCookie()
    for header in response.headers.getall("Set-Cookie", []):
        cookies.load(header)
    return {name: morsel.value for name, morsel in cookies.items()}


def _fields(form: Element) -> dict[str, str]:
    fields = {}
    for field in form.iter("input"):
        if field.get("type") not in {"checkbox", "radio"} or "checked" in field.attrib:
            fields[field.get("name", "")] = field.get("value", "")
    for field in form.iter("select"):
        options = list(field.iter("option"))
        chosen = next((option for option in options if "selected" in option.attrib), options[0])
        fields[field.get("name", "")] = chosen.get("value", "")
    fields.pop("", None)
    return fields


def _is(element: Element, step: str) -> bool:
    for kind, name, attribute in _PART.findall(step):
        if attribute:
            fits = attribute in element.attrib
        elif kind == "#":
            fits = element.get("id") == name
        elif kind == ".":
            fits = name in element.get("class", "").split()
        else:
            fits = element.tag == name
        if not fits:
            return False
    return True


def _text(element: Element) -> str:
    return re.sub(r"[ \n]+", " ", "".join(element.itertext())).strip()
