"""An evaluation: accesses go in batch by batch, in the order of time, and hits come out.

Used by the minute and over history alike. It remembers what the rules look back on and no more: the accesses of the
last 30 days, and figures by day of persons and of selections.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import polars as pl

from audit.findings import rules
from audit.findings.explanations import explained
from audit.findings.shapes import ACCESSES, Context, Hit, empty, type_

REMEMBERED_DAYS = timedelta(days=180)
"""Of the figures by day: 28 working days of somebody who works one day a week lie within."""


@dataclass(slots=True)
class Evaluation:
    """Make one with `Evaluation.of(ids)`; `accesses` and `explained` count what went through."""

    past: pl.DataFrame
    days: pl.DataFrame
    reads: pl.DataFrame
    accesses: int = 0
    explained: int = 0

    @classmethod
    def of(cls, ids: type_) -> Self:
        """An evaluation that has seen nothing; `ids` is the type of identifiers."""
        return cls(
            empty(ACCESSES, ids).with_columns(handed_over=pl.lit(value=False)),
            pl.DataFrame(schema={"official": ids, "day": pl.Date, "persons": pl.Int64}),
            pl.DataFrame(schema={"day": pl.Date, "purpose": ids, "selection": ids, "accesses": pl.Int64}),
        )

    def judge(self, accesses: pl.DataFrame, known: Context) -> list[Hit]:
        """Hits that the accesses complete. An entry that was judged before is not judged again."""
        new = accesses.unique("entry").join(self.past.select("entry"), on="entry", how="anti").sort("at", "entry")
        if new.is_empty():
            return []
        told = explained(new, known)
        self.accesses += len(told)
        self.explained += len(told) - told["explained_by"].null_count()
        first, last = new["at"][0], new["at"][-1]
        recent = self.past.filter(pl.col("at") > first - rules.A_DAY)
        counted = told.select(recent.columns)
        self._count(counted, recent)
        hits = [
            *rules.by_itself(told, known),
            *rules.off_hours(new, recent, known),
            *rules.refusals_in_a_row(new, recent),
            *rules.repeat_interest(new, self.past, known),
            *rules.over_broad(new, self.reads, known),
            *rules.unusual_volume(counted, recent, self.days, known),
        ]
        self.past = pl.concat([self.past, counted]).filter(pl.col("at") > last - rules.LOOK_BACK - rules.A_DAY)
        return hits

    def _count(self, new: pl.DataFrame, recent: pl.DataFrame) -> None:
        """Bring the figures by day up to date; the batch may go on with a day that was begun before."""
        figures = rules.daily_persons(pl.concat([recent, new]))
        touched = rules.daily_persons(new).select("official", "day")
        self.days = pl.concat(
            [
                self.days.join(touched, on=["official", "day"], how="anti"),
                figures.join(touched, on=["official", "day"], how="semi"),
            ]
        )
        self.reads = pl.concat([self.reads, rules.daily_reads(new)])
        oldest = new["at"][-1].date() - REMEMBERED_DAYS
        self.days = self.days.filter(pl.col("day") > oldest)
        self.reads = self.reads.filter(pl.col("day") > oldest)
