"""Protected lists hold from change to change, stay as entered, and do not tell the database who is on them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cases.protected import Change, Deed, ProtectedList, SealError, UnchangedError, protection
from cases.store import Cases
from schema.identifiers import PersonId

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACTOR, KIM, OFFICER = PersonId("a" * 26), PersonId("k" * 26), PersonId("o" * 26)
CIPHER = AESGCM(bytes(range(32)))
ADD = Change(
    at=NOW, deed=Deed.ADD, organisation="Jongno", person=ACTOR, official=None, actor=OFFICER, reason="On the stage."
)
ALLOW = replace(ADD, at=NOW + HOUR, deed=Deed.ALLOW, official=KIM)
DISALLOW = replace(ALLOW, at=NOW + 2 * HOUR, deed=Deed.DISALLOW)
REMOVE = replace(ADD, at=NOW + 3 * HOUR, deed=Deed.REMOVE)


@pytest.fixture
def kept(cases: Cases) -> ProtectedList:
    return cases.protected(CIPHER)


async def test_a_list_is_what_it_was_at_each_time(kept: ProtectedList) -> None:
    again = [replace(each, at=each.at + 4 * HOUR) for each in (ADD, ALLOW, REMOVE)]
    for each in (ADD, ALLOW, DISALLOW, REMOVE, *again):
        await kept.change(each)
    assert await kept.changes("Jongno") == [ADD, ALLOW, DISALLOW, REMOVE, *again]
    assert await kept.around({ACTOR}) == {
        "protected": [(ACTOR, NOW, NOW + 3 * HOUR), (ACTOR, NOW + 4 * HOUR, NOW + 7 * HOUR)],
        "admitted": [
            (ACTOR, KIM, "Jongno", NOW + HOUR, NOW + 2 * HOUR),
            (ACTOR, KIM, "Jongno", NOW + 5 * HOUR, NOW + 7 * HOUR),
        ],
    }
    assert await kept.around({KIM}) == {"protected": [], "admitted": []}


async def test_each_organisation_keeps_a_list_of_its_own(kept: ProtectedList) -> None:
    for each in (ADD, replace(ADD, organisation="Jungnang"), ALLOW, REMOVE):
        await kept.change(each)
    assert (await kept.around({ACTOR}))["protected"] == [(ACTOR, NOW, NOW + 3 * HOUR), (ACTOR, NOW, None)]
    assert await kept.changes("Jungnang") == [replace(ADD, organisation="Jungnang")]


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ([ADD], ADD),
        ([], REMOVE),
        ([], ALLOW),
        ([replace(ADD, organisation="Jungnang")], ALLOW),
        ([ADD], DISALLOW),
        ([ADD, ALLOW], ALLOW),
    ],
)
async def test_what_changes_nothing_is_not_noted(kept: ProtectedList, before: list[Change], change: Change) -> None:
    for each in before:
        await kept.change(each)
    with pytest.raises(UnchangedError):
        await kept.change(change)
    assert await kept.changes() == before


async def test_the_database_does_not_tell_who_is_protected(cases: Cases, kept: ProtectedList) -> None:
    await kept.change(ADD)
    await kept.change(ALLOW)
    async with cases._engine.connect() as connection:
        rows = (await connection.execute(protection.select())).all()
    assert ACTOR not in str(rows)
    assert KIM not in str(rows)
    with pytest.raises(SealError, match="row 1 of the protected list"):
        await cases.protected(AESGCM(bytes(32))).changes()


@pytest.mark.parametrize("deed", ["update protection set deed = 'REMOVE'", "delete from protection"])
async def test_a_change_is_never_changed_or_deleted(cases: Cases, kept: ProtectedList, deed: str) -> None:
    await kept.change(ADD)
    with pytest.raises(DBAPIError, match="rows of protection stay as they are"):
        async with cases._engine.begin() as connection:
            await connection.execute(text(deed))


async def test_a_row_that_was_made_to_say_something_else_does_not_open(cases: Cases, kept: ProtectedList) -> None:
    await kept.change(ADD)
    async with cases._engine.begin() as connection:
        row = (await connection.execute(protection.select())).one()._asdict()
        await connection.execute(protection.insert().values(**row | {"number": 2, "deed": "REMOVE"}))
    with pytest.raises(SealError, match="row 2"):
        await kept.changes()
