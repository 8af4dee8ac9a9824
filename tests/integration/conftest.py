"""A server over a small tree of folders, and somebody who looks at its pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api import Api, running_api
from tests.support.visitor import Visitor


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def ann(api: Api) -> Visitor:
    return Visitor(api, await api.token_of("ann"))
