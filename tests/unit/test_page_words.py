"""Spans of time and moments as the pages write them, and the addresses of a list's pages."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jinja2
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from cs_archiver.clock import to_text
from cs_archiver.domain.sizes import plural
from cs_archiver.server.keys import PUBLIC_URL
from cs_archiver.server.pages import pieces
from cs_archiver.server.pages.listing import Listing
from cs_archiver.server.pages.preferences import Preferences, Theme, Units, Zone
from cs_archiver.server.pages.words import ago_text, count_text, duration_text, exact_text, moment_text

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3599, "59 min 59 s"),
        (3600, "1 h"), (3660, "1 h 1 min"), (172_799, "47 h 59 min"), (172_800, "2 d"), (180_000, "2 d 2 h"),
    ],
)  # fmt: skip
def test_spans_of_time(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("back", "text"),
    [
        (timedelta(seconds=44), "just now"), (timedelta(seconds=-30), "just now"),
        (timedelta(minutes=-5), "in the future"),
        (timedelta(seconds=46), "1 min ago"), (timedelta(minutes=59), "59 min ago"), (timedelta(minutes=61), "1 h ago"),
        (timedelta(hours=47), "47 h ago"), (timedelta(hours=49), "2 days ago"), (timedelta(days=59), "59 days ago"),
        (timedelta(days=60), "2 months ago"), (timedelta(days=800), "2 years ago"),
    ],
)  # fmt: skip
def test_how_long_ago(back: timedelta, text: str) -> None:
    assert ago_text(to_text(NOW - back), NOW) == text


def test_moments_are_in_the_readers_zone() -> None:
    moment = "2026-07-01T22:30:15.000Z"
    here = Preferences(Theme.SYSTEM, Units.DECIMAL, Zone.BROWSER, "Europe/Berlin")
    utc = Preferences(Theme.SYSTEM, Units.DECIMAL, Zone.UTC, "Europe/Berlin")
    assert moment_text(moment, here) == "2026-07-02 00:30"
    assert exact_text(moment, here) == "2026-07-02 00:30:15 CEST"
    assert moment_text(moment, utc) == "2026-07-01 22:30"
    assert exact_text(moment, utc) == "2026-07-01 22:30:15 UTC"


def test_thousands_are_told_apart() -> None:
    assert [count_text(number) for number in (0, 999, 1000, 1234567)] == [
        "0",
        "999",
        "1\u202f000",
        "1\u202f234\u202f567",
    ]


def test_words_go_with_their_number() -> None:
    assert [plural(number, "file") for number in (0, 1, 2)] == ["files", "file", "files"]
    assert [plural(number, "entry", "entries") for number in (1, 2)] == ["entry", "entries"]


def _listing(address: str, *, total: int = 1000, page: int = 1, sort: str = "name") -> Listing:
    app = web.Application()
    app[PUBLIC_URL] = "https://a.test/x"
    request = make_mocked_request("GET", address, app=app)
    return Listing(request, total, page, 10, sort)


def test_links_of_a_list_keep_what_else_is_asked_for() -> None:
    listing = _listing("/folders?q=a%26b&sort=name&page=3&flash=abc", page=3)
    assert listing.page_link(4) == "/x/folders?q=a%26b&sort=name&page=4"
    assert listing.page_link(1) == "/x/folders?q=a%26b&sort=name"
    assert listing.sort_link("name") == "/x/folders?q=a%26b&sort=-name"
    assert listing.sort_link("size") == "/x/folders?q=a%26b&sort=size"
    assert listing.without("q") == "/x/folders?sort=name"
    assert listing.address == "/x/folders?q=a%26b&sort=name&page=3"
    assert [listing.sorted_by(key) for key in ("name", "size")] == ["ascending", None]
    assert _listing("/x/folders", sort="-name").sorted_by("name") == "descending"


@pytest.mark.parametrize(
    ("total", "page", "links"),
    [
        (0, 1, [1]),
        (10, 1, [1]),
        (11, 1, [1, 2]),
        (1000, 1, [1, 2, 3, None, 100]),
        (1000, 50, [1, None, 48, 49, 50, 51, 52, None, 100]),
        (1000, 100, [1, None, 98, 99, 100]),
        (1000, 10**9, [1, None, 100]),
    ],
)
def test_pages_to_go_to(total: int, page: int, links: list[int | None]) -> None:
    assert _listing("/", total=total, page=page).near_pages == links


def test_rows_on_the_page_are_counted() -> None:
    listing = _listing("/", total=25, page=3)
    assert (listing.pages, listing.first, listing.last) == (3, 21, 25)
    assert (_listing("/", total=0).first, _listing("/", total=0).last) == (0, 0)


def test_rows_are_remembered_by_their_values_and_by_how_the_reader_is_shown_things() -> None:
    made: list[str] = []

    def noted(text: str) -> str:
        made.append(text)
        return text

    environment = jinja2.Environment(autoescape=True)
    environment.globals.update(remembered=pieces.Remembered(3), noted=noted, size=pieces.size)
    page = environment.from_string(
        "{% macro row(text, bytes) %}{{ noted(text) }} {{ size(bytes) }}{% endmacro %}"
        "{{ remembered(row, text, bytes) }}"
    )

    def shown(text: str, units: Units) -> str:
        return page.render(
            text=text, bytes=2048, frame=SimpleNamespace(preferences=Preferences(Theme.SYSTEM, units, Zone.UTC, ""))
        )

    assert "&lt;b&gt; " in shown("<b>", Units.DECIMAL)
    assert "2.05 kB" in shown("<b>", Units.DECIMAL)
    assert made == ["<b>"]
    assert "2.00 KiB" in shown("<b>", Units.BINARY)
    assert made == ["<b>"] * 2
    for text in ("a", "b"):
        shown(text, Units.DECIMAL)
    shown("<b>", Units.DECIMAL)
    assert made == ["<b>", "<b>", "a", "b", "<b>"]
