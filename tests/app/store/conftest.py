"""A migrated database in a folder of its own, open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.database import migrate
from app.store.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    migrate(tmp_path)
    opened = await Store.open(tmp_path)
    yield opened
    await opened.aclose()
