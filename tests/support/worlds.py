"""A plugin of pytest: the folders of one installation, and the Globus sandbox that serves them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.sandbox import Sandbox
from tests.support.service import Place, sandbox_settings


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """With nothing in it."""
    return Place(tmp_path).make()


@pytest.fixture
async def sandbox(place: Place) -> AsyncIterator[Sandbox]:
    async with Sandbox(sandbox_settings(place)) as running:
        yield running
