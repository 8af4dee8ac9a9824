"""One Chromium for all tests of the dashboard, and for each a service of its own with a real Globus sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import Desk, chromium
from tests.support.service import Service, running_service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All on one event loop, since the browser lives on it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def desk(browser: Browser, service: Service) -> AsyncIterator[Desk]:
    """At the end of each test, nothing may have been complained of."""
    desk = Desk(browser, service)
    yield desk
    await desk.close()
    assert desk.complaints == []
