"""The rules at work over one log, from entry to entry (serving/watching.py says when).

What they remember of the past is read from the log when they begin. Context comes from our records (protected lists
among them), and from roster and family register as far as they say it: the roster for the last hour only (it knows the
present), kinship of those officials who looked at somebody. Nobody tells us shifts, inspections or who asked whom:
those tables are empty, so working hours are those of the regulations. What a register does not answer is noted in the
program's own log and not waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby

import polars as pl
import structlog

from audit.findings import from_log, rules
from audit.findings.evaluation import Evaluation
from audit.findings.folding import folded
from audit.findings.holidays import holidays
from audit.findings.shapes import CONTEXT, FOLDED, SEVERITY, Context, Hit, context
from audit.findings.words import sentence
from audit.searching import Search
from audit.store import Placed, microseconds
from audit.tiles import Published
from cases.finding_steps import CLOSED, FindingRecord, Noticed
from cases.protected import ProtectedList, SealError
from cases.store import Cases
from connectors.registry import Inquiry
from connectors.transport import AgencyError
from resolvers.house import House
from resolvers.kinship import Kin, kin
from schema.case import Purpose
from schema.disclosure import Agency
from schema.identifiers import PersonId

PAST = rules.LOOK_BACK + rules.A_DAY
ROSTER_HOLDS = timedelta(hours=1)
A_DAY = timedelta(days=1)
log = structlog.get_logger()
Rows = dict[str, list[tuple[object, ...]]]
Asking = Callable[[Iterable[str]], Awaitable[Rows]]
"""What registers say of these officials: rows of `rosters` and `kinship`."""


@dataclass(slots=True)
class Judging:
    """The rules over one log, going on from entry to entry."""

    search: Search
    cases: Cases
    asking: Asking | None = None
    protected: ProtectedList | None = None
    evaluation: Evaluation = field(default_factory=lambda: Evaluation.of(from_log.TEXT))
    told: dict[str, pl.DataFrame] = field(default_factory=dict)
    organisations: dict[str, str | None] = field(default_factory=dict)

    async def went_through(self, after: int, upto: int | None = None) -> tuple[list[Hit], int]:
        """The hits of the next entries after a leaf index, and the last one looked at; at `after` there are no more."""
        placed, last = await self.search.of_offices(after)
        if last is None:
            return [], after
        if upto is not None and last > upto:
            placed, last = [each for each in placed if each.leaf_index <= upto], upto
        return await self._judged(placed) if placed else [], last

    async def remember(self, upto: int, now: datetime) -> None:
        """Read what the rules look back on, up to this entry; nothing of it is noticed again."""
        at = await self.search.first_since(microseconds(now - PAST))
        while at < upto:
            _, last = await self.went_through(at, upto)
            if last == at:
                return
            at = last

    async def _judged(self, placed: Sequence[Placed]) -> list[Hit]:
        accesses, known_then = await self.taken(placed)
        if accesses.is_empty():
            return []
        return await asyncio.to_thread(self.evaluation.judge, accesses, known_then)

    async def taken(self, placed: Sequence[Placed]) -> tuple[pl.DataFrame, Context]:
        """Entries as the rules take them, and what is known about them."""
        accesses, told = await asyncio.to_thread(lambda: (from_log.accesses(placed), from_log.told(placed)))
        if accesses.is_empty():
            return accesses, context({}, frozenset(), from_log.TEXT)
        for each in placed:
            self.organisations[each.entry.access.viewer] = each.entry.access.organisation
        for name, some in told.items():
            known = self.told.get(name)
            self.told[name] = some if known is None else pl.concat([known, some]).unique()
        persons = accesses["person"].drop_nulls().unique().to_list()
        rows: Rows = dict(
            await self.cases.finding_context().around(persons, accesses["case"].drop_nulls().unique().to_list())
        )
        if self.protected is not None:
            try:
                rows |= await self.protected.around(set(persons))
            except SealError as error:  # the other rules go on
                log.warning("protected_list_unreadable", error=error)
        if self.asking is not None:
            looked = accesses.filter(pl.col("person").is_not_null())["official"].unique().to_list()
            rows |= await self.asking(looked)
        tables = {name: from_log.table(name, each) for name, each in rows.items() if name in CONTEXT}
        for name, table in self.told.items():
            tables[name] = pl.concat([tables[name], table]).unique() if name in tables else table
        first, last = accesses["at"].min(), accesses["at"].max()
        years = {each.year for each in (first, last) if isinstance(each, datetime)}
        return accesses, context(tables, holidays(range(min(years) - 1, max(years) + 2)), from_log.TEXT)

    async def kept(self, hits: Iterable[Hit], now: datetime) -> int:
        """Keep hits as findings, folded with what is there already; how many were new."""
        store, new = self.cases.findings(), 0
        for official, theirs in groupby(sorted(hits, key=lambda hit: str(hit.official)), key=lambda hit: hit.official):
            whom = None if official is None else PersonId(str(official))
            here = None if whom is None else self.organisations.get(whom)
            about = await store.about(whom)
            # What is known already must not begin a finding, or the same hits fold otherwise the second time.
            unknown = [hit for hit in theirs if not any(_is_known(each, hit) for each in about)]
            for finding in folded(unknown):
                about = await store.about(whom)
                into = next((each for each in about if _takes(each, finding.raised_at)), None)
                things = [_noticed(hit) for hit in finding.hits if into is None or not _is_known(into, hit)]
                if things:
                    await store.keep(into.id if into else finding.id, whom, here, things, now)
                    new += len(things)
        return new


def _takes(record: FindingRecord, at: datetime) -> bool:
    """Whether a hit of this moment folds into the finding."""
    return record.state not in CLOSED and record.raised_at <= at < record.raised_at + FOLDED


def _is_known(record: FindingRecord, hit: Hit) -> bool:
    """What one access shows is said once; what several show, once a day, with the numbers it was noticed with.

    What goes on after the verdict is new.
    """
    if len(hit.entries) == 1:
        return any((each.rule, each.entries) == (hit.rule.value, hit.entries) for each in record.noticed)
    if record.state in CLOSED and hit.at > record.steps[-1].at:
        return False
    return any(
        each.rule == hit.rule.value and len(each.entries) != 1 and abs(each.at - hit.at) < A_DAY
        for each in record.noticed
    )


def _noticed(hit: Hit) -> Noticed:
    return Noticed(
        hit.rule.value, SEVERITY[hit.rule].value, hit.at, hit.entries, sentence(hit, "KO"), sentence(hit, "EN")
    )


@dataclass(slots=True)
class Registers:
    """What roster and family register say of officials; each official's family is asked for once a day."""

    house: House
    families: dict[str, tuple[date, list[Kin]]] = field(default_factory=dict)

    async def asked(self, officials: Iterable[str]) -> Rows:
        now = self.house.clock()
        found: Rows = {"rosters": [], "kinship": []}
        for official in map(PersonId, officials):
            try:
                duty = self.house.roster and await self.house.roster.duty(official, Purpose.LOG_REVIEW.name)
            except AgencyError as silent:
                log.warning("roster_silent", error=silent)
            else:
                if duty:
                    office = from_log.office_of(duty.agency, duty.office)
                    found["rosters"].append((office, official, now - ROSTER_HOLDS, None))
            found["kinship"] += [(official, *each) for each in await self._family(official, now)]
        return found

    async def _family(self, official: PersonId, now: datetime) -> list[Kin]:
        known = self.families.get(official)
        if known is None or known[0] != now.date():
            called = self.house.ids.sector_id(Agency.REGISTRY, official)
            answered = await self.house.registry.relatives(called, Inquiry(Purpose.LOG_REVIEW.name, now))
            if answered.section is None:
                log.warning("register_silent", status=answered.answer.status.name)
                return []
            known = self.families[official] = now.date(), kin(answered.section)
        return known[1]


async def log_gaps(search: Search, published: Published | None, behind: timedelta, now: datetime) -> list[Hit]:
    """What is wrong with the log: a tree that is behind, and the first entry whose receipt was not kept in time."""
    size = None if published is None else await asyncio.to_thread(published.size)
    waits = None if size is None else await search.first_from(size)
    receipts = [] if waits is None else [(*waits, None, True)]
    return rules.log_gaps(pl.DataFrame(receipts, schema=rules.RECEIPTS, orient="row"), behind, now)
