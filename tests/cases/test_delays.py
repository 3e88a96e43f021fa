"""Orders that somebody is told only later hold for a person, an organisation and a time, and stay as entered."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cases.delays import Delay
from cases.store import Cases
from schema.identifiers import PersonId

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
PERSON = PersonId("a" * 26)


def order(days: int, organisation: str = "Jongno", person: PersonId = PERSON) -> Delay:
    return Delay(
        person=person,
        organisation=organisation,
        since=NOW,
        until=NOW + timedelta(days=days),
        authority="Seoul Central District Court",
        order=f"2026-{days}",
        reason="An inquiry",
        entered_by="o" * 26,
    )


async def test_an_order_holds_from_its_moment_until_it_ends(cases: Cases) -> None:
    delays = cases.delays()
    for each in (order(1), order(9), order(5), order(9, "Jungnang"), order(9, person=PersonId("b" * 26))):
        await delays.add(each)

    async def held(now: datetime) -> list[str]:
        return [each.order for each in await delays.in_force({PERSON}, "Jongno", now)]

    assert await held(NOW - timedelta(seconds=1)) == []
    assert await held(NOW) == ["2026-9", "2026-5", "2026-1"]
    assert await held(NOW + timedelta(days=5)) == ["2026-9"]
    assert await held(NOW + timedelta(days=9)) == []
    assert order(5) in await delays.all()


@pytest.mark.parametrize("deed", ["update delay set reason = 'x'", "delete from delay"])
async def test_an_order_is_never_changed_or_deleted(cases: Cases, deed: str) -> None:
    await cases.delays().add(order(1))
    with pytest.raises(DBAPIError, match="rows of delay stay as they are"):
        async with cases._engine.begin() as connection:
            await connection.execute(text(deed))


async def test_an_order_that_ended_before_it_began_is_none(cases: Cases) -> None:
    with pytest.raises(DBAPIError):
        await cases.delays().add(order(0))
