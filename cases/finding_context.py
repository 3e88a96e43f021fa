"""What our own records know that explains an access: cases, their parties, to whom they were given, and mandates.

Rows of plain values, by the names of the rules' tables. A case that exists only because somebody declared an emergency
explains nothing, and neither does the mandate that the emergency gave.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cases.pool import reader
from cases.tables import case, case_event, inquiry, mandate
from schema.case import MandateRole

OF_AN_OFFICE = {MandateRole.CASE_OFFICER.name, MandateRole.WELFARE_OFFICER.name, MandateRole.BREAK_GLASS.name}
EMERGENCY = MandateRole.BREAK_GLASS.name
Rows = dict[str, list[tuple[Any, ...]]]
CHUNK = 500


class FindingContext:
    """Reads it from the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = reader(engine)

    async def around(self, persons: Iterable[str], case_ids: Iterable[str]) -> Rows:
        """Tables about the cases of these persons, and about these cases."""
        found: Rows = defaultdict(list)
        async with self._engine.connect() as connection:
            ids = set(case_ids)
            for some in _chunks(persons):
                ids |= set((await connection.execute(select(case.c.id).where(case.c.subject.in_(some)))).scalars())
                held = select(mandate.c.case_id).where(mandate.c.holder.in_(some) | mandate.c.on_behalf_of.in_(some))
                ids |= set((await connection.execute(held)).scalars())
            for some in _chunks(ids):
                records = (await connection.execute(select(case).where(case.c.id.in_(some)))).all()
                mandates = (await connection.execute(select(mandate).where(mandate.c.case_id.in_(some)))).all()
                in_order = case_event.c.case_id, case_event.c.number
                of_cases = select(case_event).where(case_event.c.case_id.in_(some)).order_by(*in_order)
                events = (await connection.execute(of_cases)).all()
                answers = select(inquiry.c.case_id, inquiry.c.retrieved_at).where(
                    inquiry.c.case_id.in_(some), inquiry.c.retrieved_at.is_not(None)
                )
                _add(found, records, mandates, events)
                found["activity"] += [(row.case_id, row.retrieved_at) for row in await connection.execute(answers)]
        return found


def _add(found: Rows, records: Sequence[Any], mandates: Sequence[Any], events: Sequence[Any]) -> None:
    applied_for = {each.case_id for each in mandates if each.role != EMERGENCY}
    for record in records:
        if record.id not in applied_for:
            continue
        office = None if record.office is None else f"{record.agency}/{record.office}"
        found["cases"].append((record.id, office, record.opened_at, record.closed_at))
        found["parties"] += [(record.id, each) for each in (record.subject, record.applicant) if each]
    for each in mandates:
        if each.role in OF_AN_OFFICE:
            continue
        found["parties"] += [(each.case_id, whom) for whom in (each.holder, each.on_behalf_of) if whom]
        ends = [moment for moment in (each.valid_until, each.revoked_at) if moment is not None]
        found["mandates"].append((each.case_id, each.holder, each.valid_from, min(ends, default=None)))
    given: dict[str, tuple[str, datetime]] = {}
    for event in events:
        found["activity"].append((event.case_id, event.at))
        before = given.pop(event.case_id, None)
        if before is not None:
            found["assignments"].append((event.case_id, *before, event.at))
        if event.officer is not None:
            given[event.case_id] = (event.officer, event.at)
    found["assignments"] += [(case_id, *since, None) for case_id, since in given.items()]


def _chunks(values: Iterable[str]) -> Iterable[list[str]]:
    ordered = sorted(set(values))
    return (ordered[begin : begin + CHUNK] for begin in range(0, len(ordered), CHUNK))
