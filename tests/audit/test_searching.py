"""Searching through the finding aid finds what looking at every entry finds, in the same order, on both stores."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from audit import store
from audit.aid import ENTRY_FACET
from audit.entry import Access, Outcome, selection
from audit.keys import Keys
from audit.reading import Filter
from audit.searching import Search, Wanted
from audit.writer import AccessLog
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]
READ = [selection("5c" * 32, [Coordinate("A.x"), Coordinate(f"B.{name}")]) for name in ("one", "two", "three")]
PURPOSES = ("ESTATE_DISCOVERY", "BIRTH_BENEFITS")


LITTLE: dict[str, Any] = {"looked_at": ((0, 5), (0, 40)), "of_one": (3, 20)}
"""In a small log, the ways that are for large ones."""


def drawn(access: Accesses, clock: Clock, chance: random.Random, number: int) -> Access:
    read = chance.choice(READ)
    return access(
        at=clock() + timedelta(minutes=2 * number, seconds=chance.randrange(-1500, 1500)),
        selection=read,
        disclosed=frozenset(read.coordinates),
        null=frozenset(),
        withheld=frozenset(),
        failed=frozenset(),
        derived=frozenset(),
        answers=dict.fromkeys(chance.choice((("LAND",), ("LAND", "TAX"), ())), "COMPLETE"),
        outcome=chance.choice(list(Outcome)),
        purpose=chance.choice((*PURPOSES, None)),
        sensitivity=chance.choice((None, "PRESENCE", "AMOUNT")),
        subject=PersonId(f"person-{chance.randrange(4)}"),
        viewer=f"official-{chance.randrange(3)}",
        case_id=chance.choice((None, CaseId("case-1"), CaseId("case-2"))),
        organisation=chance.choice((None, "here", "here", "there")),
    )


def fits(access: Access, wanted: Wanted) -> bool:
    where = wanted.where
    levels = ("PRESENCE", "IDENTITY", "INVENTORY", "AMOUNT", "SPECIAL")
    return (
        access.organisation == wanted.organisation
        and where.purpose in {None, access.purpose}
        and where.outcome in {None, access.outcome}
        and where.agency in {None, *access.answers}
        and where.case_id in {None, access.case_id}
        and wanted.subject in {None, access.subject}
        and wanted.viewer in {None, access.viewer}
        and (where.coordinate is None or where.coordinate in access.selection.coordinates)
        and (where.since is None or access.at >= where.since)
        and (where.until is None or access.at < where.until)
        and (
            where.min_sensitivity is None
            or (
                access.sensitivity is not None
                and levels.index(access.sensitivity) >= levels.index(where.min_sensitivity)
            )
        )
    )


@pytest.mark.parametrize(
    "effort", [{}, LITTLE, LITTLE | {"looked_at": ((3, 5), (6, 40))}], ids=["as-it-is", "large", "some-large"]
)
async def test_it_finds_what_looking_at_every_entry_finds(
    url: str, keys: Keys, clock: Clock, access: Accesses, effort: dict[str, Any]
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same log every time
    made = [drawn(access, clock, chance, number) for number in range(400)]
    async with AccessLog.open(url, keys, clock) as log:
        indexes = [receipt.leaf_index for receipt in await log.append(made)]
        search = Search(log.reading.engine, log.reading.vault, **effort)
        for _ in range(40):
            maybe = [None, None, *range(3)]
            wanted = Wanted(
                organisation=chance.choice(("here", "there", "nowhere")),
                where=Filter(
                    since=chance.choice((None, None, clock() + timedelta(hours=4))),
                    until=chance.choice((None, None, clock() + timedelta(hours=9, seconds=10))),
                    agency=chance.choice((None, None, "TAX")),
                    coordinate=chance.choice((None, None, Coordinate("B.two"))),
                    purpose=chance.choice((None, None, *PURPOSES)),
                    outcome=chance.choice((None, None, Outcome.REFUSED)),
                    min_sensitivity=chance.choice((None, None, "IDENTITY")),
                    case_id=chance.choice((None, None, None, CaseId("case-1"))),
                ),
                subject=PersonId("person-1") if chance.choice(maybe) else None,
                viewer=PersonId("official-1") if chance.choice(maybe) else None,
            )
            right = [(each.at, index) for each, index in zip(made, indexes, strict=True) if fits(each, wanted)]
            found, before = [], None
            while True:
                page = await search.page(wanted, first=7, before=before)
                found += [(placed.entry.access.at, placed.leaf_index) for placed in page.entries]
                before = page.next
                if before is None:
                    break
            assert found == sorted(right, reverse=True)


@pytest.mark.parametrize("effort", [{}, LITTLE])
async def test_entries_of_one_moment_are_in_the_order_of_their_places(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, effort: dict[str, Any]
) -> None:
    """Every one in a facet of its own: facets are named by a key, so their order says nothing of the entries'."""
    made = [
        access(organisation="here", outcome=outcome, purpose=purpose, sensitivity=sensitivity)
        for outcome in Outcome
        for purpose in (*PURPOSES, None)
        for sensitivity in (None, "PRESENCE", "AMOUNT")
    ]
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        indexes = [receipt.leaf_index for receipt in await log.append(made)]
        page = await Search(log.reading.engine, log.reading.vault, **effort).page(Wanted(organisation="here"), first=3)

    assert [placed.leaf_index for placed in page.entries] == sorted(indexes, reverse=True)[:3]


async def test_a_log_that_was_written_without_the_aid_gets_it_when_it_is_opened(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access(organisation="here"), access(organisation="there")])
    engine = store.writing_engine(url, 1000)
    async with engine.connect() as connection, store.writing(connection):
        for table in ("facet", "entry_facet"):
            await connection.execute(text(f"DROP TABLE {table}"))
    await engine.dispose()

    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access(organisation="here")])
        page = await Search(log.reading.engine, log.reading.vault).page(Wanted(organisation="here"))
        async with log.reading.engine.connect() as connection:
            assert len((await connection.execute(ENTRY_FACET.select())).all()) == 3

    assert len(page.entries) == 2
