"""Who watches the log: new entries are judged within a minute, overdue explanations go to the supervisor.

One process judges at a time, under a lease. The rules stand on Polars and NumPy, a fourth of what a worker would hold,
so they are loaded (serving/evaluation.py) when there is something to judge: an entry of an organisation, or a gap.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import structlog

from audit.searching import Search
from cases.finding_steps import FindingRecord, escalated
from cases.findings import ChangedMeanwhileError
from resolvers.house import House
from schema.identifiers import PersonId
from serving.tree import BEHIND_S

if TYPE_CHECKING:
    from serving.evaluation import Judging

LEASE = timedelta(minutes=5)
GAP: Final = timedelta(seconds=BEHIND_S)
"""From here on a tree that is behind, or a receipt that was not kept, is a finding (LOG_GAP)."""
log = structlog.get_logger()


async def _loaded() -> Any:
    """The rules at work. Loading them takes a while, and those who wait for an answer are served meanwhile."""
    return await asyncio.to_thread(import_module, "serving.evaluation")


class Evaluator:
    """Judges what is new in a house's log, whenever it is this process's turn.

    `behind_s` says for how many seconds not every entry was in the tree.
    """

    def __init__(self, house: House, behind_s: Callable[[], float]) -> None:
        self._house = house
        self._behind_s = behind_s
        self._holder = secrets.token_hex(16)
        self._judging: Judging | None = None

    async def evaluate_new(self) -> int:
        """Judge the log itself and every entry that was not judged yet; how many things were noticed."""
        house = self._house
        epoch, reviews = house.log.epoch, house.cases.reviews()
        at = await reviews.turn(epoch, self._holder, house.clock(), LEASE)
        if at is None:
            self._judging = None
            return 0
        search = Search(house.log.reading.engine, house.log.reading.vault)
        noticed = await self._gaps(search, house.clock())
        if self._judging is None:
            some, last = await search.of_offices(at, 1)
            if not some:
                if last is not None:
                    await reviews.went_on(epoch, self._holder, last)
                return noticed
            rules = await _loaded()
            judging = rules.Judging(search, house.cases, protected=house.cases.protected(house.kept))
            await judging.remember(at, house.clock())
            judging.asking = rules.Registers(house).asked
            self._judging = judging
        while True:
            hits, last = await self._judging.went_through(at)
            if last == at:
                return noticed
            noticed += await self._judging.kept(hits, house.clock())
            await reviews.went_on(epoch, self._holder, last)
            at = last
            if await reviews.turn(epoch, self._holder, house.clock(), LEASE) is None:
                return noticed

    async def _gaps(self, search: Search, now: datetime) -> int:
        """How many things were noticed about the log itself."""
        published, behind = self._house.published, timedelta(seconds=self._behind_s())
        size = None if published is None else await asyncio.to_thread(published.size)
        waits = None if size is None else await search.first_from(size)
        if behind < GAP and (waits is None or now - waits[1] <= GAP):
            return 0
        rules = await _loaded()
        gaps = await rules.log_gaps(search, published, behind, now)
        return int(await rules.Judging(search, self._house.cases).kept(gaps, now))

    async def escalate_overdue(self) -> int:
        """Let every overdue explanation go over to the supervisor of the official's office, where one is named."""
        house, gone = self._house, 0
        now, store = house.clock(), house.cases.findings()
        for record in await store.overdue(now):
            step = escalated(record, await self._supervisor(record), now)
            if step is not None:
                try:
                    await store.take(record, step)
                except ChangedMeanwhileError:
                    continue  # answered or judged this moment
                gone += 1
        return gone

    async def _supervisor(self, record: FindingRecord) -> PersonId | None:
        reading, here = self._house.log.reading, record.organisation
        if here is None:
            return None
        placed = await Search(reading.engine, reading.vault).at(record.noticed[-1].entries, here)
        office = next((each.entry.access.office for each in placed), None)
        return None if office is None else await self._house.cases.reviews().supervisor(here, office)


async def evaluate_forever(house: House, every_s: float, behind_s: Callable[[], float]) -> None:
    """Judge and escalate, again and again; a failing round is told and the next one tries again."""
    evaluator = Evaluator(house, behind_s)
    while True:
        try:
            await evaluator.evaluate_new()
            await evaluator.escalate_overdue()
        except Exception as error:
            log.warning("evaluation_failed", error=error)
        await asyncio.sleep(every_s)
