"""The officers' finding aid: what lets one organisation's entries be found by any filter, whatever the log's size.

Entries that agree in everything coarse (organisation, agencies, outcome, purpose, sensitivity, selection) share a
*facet*. There are few facets and many entries, so a filter picks facets first, and each facet has its entries in the
order of time. Both tables are written in the transaction of the entry and follow from it: they are no evidence, have no
leaf, and are made anew from the log where they are missing. Names of organisations are keyed references.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.entry import SENSITIVITIES, Entry, canonical
from audit.keys import Vault

BIG = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()
FACET = Table(
    "facet",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("organisation_ref", LargeBinary),
    Column("agencies", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("purpose", Text),
    Column("max_sensitivity", Integer),
    Column("selection", Text, nullable=False),
    Index("facet_by_organisation", "organisation_ref"),
)
ENTRY_FACET = Table(
    "entry_facet",
    metadata,
    Column("leaf_index", BIG, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("facet", BIG, nullable=False),
    Index("entry_facet_by_time", "facet", "at_us", "leaf_index"),
)
LAST = select(func.max(ENTRY_FACET.c.leaf_index))
Rows = Sequence[tuple[Table, list[dict[str, Any]]]]


class AidMissingError(Exception):
    """This role may not make the tables."""


async def make(connection: AsyncConnection) -> None:
    """Make the tables where they are missing. Raise AidMissingError where this role may not."""
    try:
        await connection.run_sync(metadata.create_all)
    except ProgrammingError as error:
        raise AidMissingError from error


async def last(connection: AsyncConnection) -> int:
    """Leaf index of the newest entry that the aid knows, -1 for none."""
    found = (await connection.execute(LAST)).scalar_one()
    return -1 if found is None else int(found)


def rows(placed: Iterable[tuple[int, int, Entry]], vault: Vault) -> Rows:
    """The aid's rows of entries, each with leaf index and moment in microseconds."""
    facets: dict[int, dict[str, Any]] = {}
    entries: list[dict[str, Any]] = []
    for leaf_index, at_us, entry in placed:
        said = facet_of(entry, vault)
        facets[said["id"]] = said
        entries.append({"leaf_index": leaf_index, "at_us": at_us, "facet": said["id"]})
    return (FACET, list(facets.values())), (ENTRY_FACET, entries)


async def note(connection: AsyncConnection, noted: Rows) -> None:
    """Add rows; what is there already stays."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for into, columns in noted:
        if columns:
            await connection.execute(dialect.insert(into).on_conflict_do_nothing(), columns)


def facet_of(entry: Entry, vault: Vault) -> dict[str, Any]:
    """The row of an entry's facet; its id is a keyed hash of the rest."""
    access = entry.access
    sensitivity = None if access.sensitivity is None else SENSITIVITIES.index(access.sensitivity)
    coarse = (agencies_text(access.answers), access.outcome.value, access.purpose, sensitivity, access.selection.id)
    return _facet(vault, access.organisation, *coarse)


@lru_cache(maxsize=1024)
def _facet(
    vault: Vault,
    organisation: str | None,
    agencies: str,
    outcome: str,
    purpose: str | None,
    max_sensitivity: int | None,
    selection: str,
) -> dict[str, Any]:
    """Remembered: what most entries have in common with those before, and no person's."""
    said: dict[str, Any] = {
        "agencies": agencies,
        "outcome": outcome,
        "purpose": purpose,
        "max_sensitivity": max_sensitivity,
        "selection": selection,
    }
    named = vault.reference("facet", canonical({**said, "organisation": organisation}).decode())
    return said | {
        "id": int.from_bytes(named[:8], "big", signed=True),
        "organisation_ref": None if organisation is None else vault.reference("organisation", organisation),
    }


def agencies_text(agencies: Iterable[str]) -> str:
    """Names with bars around, sorted: `|HEALTH|LAND|`."""
    return "|".join(("", *sorted(agencies), ""))
