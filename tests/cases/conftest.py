"""The store on either database, empty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cases.store import Cases


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a test both databases in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/cases.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def cases(url: str) -> AsyncIterator[Cases]:
    async with Cases.opened(url) as store:
        yield store
