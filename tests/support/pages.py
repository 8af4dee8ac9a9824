"""Asks for pages and sends forms as a browser does, and looks at what comes."""

from html.parser import HTMLParser
from typing import Any

from aiohttp import ClientResponse

from tests.support.api import Api

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def origin_of(api: Api) -> str:
    return str(api.client.make_url("/")).rstrip("/")


class Parsed(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def addresses(self) -> list[str]:
        names = ("href", "src", "action")
        return [value for _, attributes in self.tags for name in names if (value := attributes.get(name)) is not None]

    def field(self, name: str) -> str:
        """What the first hidden field of this name holds."""
        return next(str(held["value"]) for tag, held in self.tags if tag == "input" and held.get("name") == name)


async def show(api: Api, path: str, *, username: str = "root", **options: Any) -> ClientResponse:
    """As a browser asks for a page."""
    headers = {**HTML, **options.pop("headers", {})}
    return await api.call("GET", path, username=username, headers=headers, **options)


async def parsed(api: Api, path: str, **options: Any) -> Parsed:
    response = await show(api, path, **options)
    assert response.status == 200, await response.text()
    return Parsed(await response.text())


async def send(api: Api, path: str, fields: Any, *, username: str = "root", **options: Any) -> ClientResponse:
    """As a browser sends a form, signed in by its cookie."""
    cookie = f"csa={await api.token_of(username)}" if username else ""
    headers = {
        **HTML,
        "Cookie": cookie,
        "Origin": str(api.client.make_url("/")).rstrip("/"),
        **options.pop("headers", {}),
    }
    return await api.call("POST", path, token="", data=fields, headers=headers, **options)
