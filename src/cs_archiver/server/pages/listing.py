"""A list that is shown a page at a time and can be sorted; where in it one is, stands in the address."""

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field

from cs_archiver.server.contract.base import whole_number
from cs_archiver.server.links import called
from cs_archiver.server.pages.flash import FLASH

PageNumber = Annotated[int, Field(ge=1, le=10**9), whole_number]
PerPage = Annotated[int, Field(ge=10, le=500), whole_number]

_NEAR = 2


@dataclass(frozen=True, slots=True)
class Listing:
    """Page number `page` of `total` rows, `per_page` on each; `sort` names a column, behind `-` from the end."""

    request: web.Request
    total: int
    page: int
    per_page: int
    sort: str

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def first(self) -> int:
        """The number of the first row on this page, counted from 1; 0 if there is none."""
        return (self.page - 1) * self.per_page + 1 if self.total else 0

    @property
    def last(self) -> int:
        return min(self.page * self.per_page, self.total)

    @property
    def near_pages(self) -> list[int | None]:
        """The pages to link to: both ends, and those around this one; None stands for what is left out."""
        around = range(max(1, self.page - _NEAR), min(self.pages, self.page + _NEAR) + 1)
        shown = sorted({1, *around, self.pages})
        links: list[int | None] = []
        for number in shown:
            if links and links[-1] != number - 1:
                links.append(None)
            links.append(number)
        return links

    @property
    def address(self) -> str:
        """This very list."""
        return self._link()

    def page_link(self, page: int) -> str:
        return self._link(page=None if page == 1 else str(page))

    def sort_link(self, key: str) -> str:
        """Sorts by this column, and the other way round if it does already."""
        return self._link(sort=f"-{key}" if self.sort == key else key, page=None)

    def sorted_by(self, key: str) -> str | None:
        """As aria-sort says it."""
        return {key: "ascending", f"-{key}": "descending"}.get(self.sort)

    def without(self, *names: str) -> str:
        """This address without these parameters."""
        return self._link(**dict.fromkeys((*names, "page")))

    def _link(self, **changed: str | None) -> str:
        address = called(self.request)
        kept = {name: value for name, value in changed.items() if value is not None}
        return str(address.without_query_params(FLASH, *changed).update_query(kept))
