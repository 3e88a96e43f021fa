"""A world for each test, with two estates and a birth of the wife's, and one estate of a stranger's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schema.case import CaseKind
from tests.resolvers.world import BABY, FATHER, HUSBAND, STRANGER, UNCLE, WIFE, World, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.fixture
async def husbands(world: World) -> str:
    """The estate of the wife's husband."""
    return await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)


@pytest.fixture
async def fathers(world: World) -> str:
    """The estate of the wife's father."""
    return await world.opened(CaseKind.ESTATE, FATHER, WIFE)


@pytest.fixture
async def babys(world: World) -> str:
    return await world.opened(CaseKind.BIRTH, BABY, WIFE)


@pytest.fixture
async def foreign(world: World) -> str:
    """An estate of which the wife is no party, under an id that her client could have got hold of."""
    return await world.opened(CaseKind.ESTATE, UNCLE, STRANGER)
