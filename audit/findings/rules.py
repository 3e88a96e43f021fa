"""The thirteen rules, with the thresholds of the access log's specification. Each gives hits; none of them judges.

Two kinds: what one access shows by itself, and what shows in several accesses of one official. The second kind gets
`past` too, the accesses before those that are judged, and speaks only when a judged one completes the picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audit.findings.shapes import INSTANT, KOREA, Context, Hit, Rule

VOLUME_Z = 4.0
VOLUME_PERSONS = 20
VOLUME_DAYS = 28
VOLUME_FEWEST = 5
"""Own days, or peers, below which there is nothing to compare with."""
OFF_HOURS_GRACE = timedelta(minutes=60)
OFF_HOURS_PERSONS = 3
REFUSED_CELLS = 10
REFUSED_PERSONS = 5
RARE_SHARE = 0.01
RARE_DAYS = 28
"""Days up to the access, its own included, over which the coordinates that a purpose reads are counted."""
REPEAT_DAYS = 3
REPEAT_WITHIN = timedelta(days=30)
A_DAY = timedelta(hours=24)
INTEGRATED_WITHIN = timedelta(seconds=60)
LOOK_BACK = REPEAT_WITHIN
"""How far `past` has to reach."""

FRIDAY = 5
OFFICE_HOURS = (9, 18)
"""Of officials without a roster: State Public Officials Service Regulations (국가공무원 복무규정), article 9."""

NORMAL = 1.482602218505602
"""Median absolute deviation to standard deviation, for normal figures."""
NORMAL_MEAN = 1.2533141373155001
"""Mean absolute deviation to standard deviation, for normal figures."""


# ---------------------------------------------------------------- what one access shows


def by_itself(accesses: pl.DataFrame, known: Context) -> list[Hit]:
    """Hits of the rules about single accesses, each with the one entry. Takes what `explained` gave."""
    of_somebody = accesses.filter(pl.col("person").is_not_null())
    unexplained = of_somebody.filter(pl.col("explained_by").is_null())
    parties = known["parties"].unique()
    named = unexplained.filter(pl.col("case").is_not_null())
    closed = named.join(known["cases"].select("case", "closed"), on="case").filter(pl.col("closed") <= pl.col("at"))
    no_party = named.join(parties, on=["case", "person"], how="anti")
    own = of_somebody.join(known["officials"].select("official", "person"), on=["official", "person"])
    kin = of_somebody.join(known["kinship"], on=["official", "person"]).filter(
        pl.col("degree") <= pl.when(pl.col("of_spouse")).then(1).otherwise(2)
    )
    colleagues = (
        of_somebody.join(known["employment"], on=["person", "organisation"])
        .filter(_in_force())
        .join(own.select("entry"), on="entry", how="anti")
    )
    admitted = of_somebody.join(known["admitted"], on=["person", "official", "organisation"]).filter(_in_force())
    figures = (
        of_somebody.join(known["protected"], on="person")
        .filter(_in_force())
        .join(admitted.select("entry"), on="entry", how="anti")
    )
    return [
        *_single(Rule.NO_OPEN_CASE, unexplained.filter(~pl.col("open_case"))),
        *_single(Rule.CASE_ALREADY_CLOSED, closed.with_columns(why=pl.lit("closed")), "why"),
        *_single(Rule.CASE_ALREADY_CLOSED, no_party.with_columns(why=pl.lit("no party")), "why"),
        *_single(Rule.OWN_RECORD, own),
        *_single(Rule.FAMILY_MEMBER, kin.sort("degree"), "degree", "of_spouse"),
        *_single(Rule.COLLEAGUE, colleagues, "explained_by"),
        *_single(Rule.PUBLIC_FIGURE, figures, "explained_by"),
        *_single(Rule.BREAK_GLASS, accesses.filter("break_glass")),
    ]


def _in_force() -> pl.Expr:
    return (pl.col("since") <= pl.col("at")) & (pl.col("until").is_null() | (pl.col("at") < pl.col("until")))


def _single(rule: Rule, found: pl.DataFrame, *numbers: str) -> Iterable[Hit]:
    for row in found.unique("entry", keep="first", maintain_order=True).iter_rows(named=True):
        told = {name: row[name] for name in numbers if row[name] is not None}
        yield Hit(rule, row["official"], row["at"], (row["entry"],), told)


# ---------------------------------------------------------------- what several show


def off_hours(accesses: pl.DataFrame, past: pl.DataFrame, known: Context) -> list[Hit]:
    """Three persons in 24 hours outside the roster (an hour before and after still counts as inside) or on a holiday.

    Duty that was ordered for the holiday is the roster of that day.
    """
    seen = pl.concat([past.select(accesses.columns), accesses]).filter(pl.col("person").is_not_null())
    outside = _outside_the_roster(seen, known)
    together = _within_a_day(outside, pl.col("person").n_unique().alias("persons")).filter(
        pl.col("persons") >= OFF_HOURS_PERSONS
    )
    return _one_a_day(Rule.OFF_HOURS, together, accesses, "persons")


def _outside_the_roster(seen: pl.DataFrame, known: Context) -> pl.DataFrame:
    shifts = known["shifts"].sort("start")
    korean = pl.col("at").dt.convert_time_zone(KOREA)
    first, last = (pl.duration(hours=hour) for hour in OFFICE_HOURS)
    of_day = korean - korean.dt.truncate("1d")
    on_holiday = korean.dt.date().is_in(list(known.holidays))
    in_office_hours = (
        ~pl.col("official").is_in(shifts["official"].unique().implode())
        & (korean.dt.weekday() <= FRIDAY)
        & of_day.is_between(first - OFF_HOURS_GRACE, last + OFF_HOURS_GRACE)
    )
    return (
        _covered(_covered(seen, shifts, "on_duty"), shifts.filter("for_holiday"), "ordered")
        .filter(pl.when(on_holiday).then(~pl.col("ordered")).otherwise(~(pl.col("on_duty") | in_office_hours)))
        .drop("on_duty", "ordered")
    )


def _covered(seen: pl.DataFrame, shifts: pl.DataFrame, name: str) -> pl.DataFrame:
    """The accesses with a column that says whether some shift, with an hour on either side, covers them."""
    until = shifts.select(
        "official",
        begins=pl.col("start") - OFF_HOURS_GRACE,
        # The latest end of those that began: enough to know whether any of them still runs.
        ends=pl.col("end").cum_max().over("official") + OFF_HOURS_GRACE,
    )
    return (
        seen.sort("at")
        .join_asof(until, left_on="at", right_on="begins", by="official", strategy="backward", check_sortedness=False)
        .with_columns((pl.col("at") <= pl.col("ends")).fill_null(value=False).alias(name))
        .drop("begins", "ends")
    )


def refusals_in_a_row(accesses: pl.DataFrame, past: pl.DataFrame) -> list[Hit]:
    """Ten cells refused over five persons in 24 hours."""
    refused = pl.concat([past.select(accesses.columns), accesses]).filter(
        pl.col("person").is_not_null() & (pl.col("refused") > 0)
    )
    together = _within_a_day(
        refused, pl.col("person").n_unique().alias("persons"), pl.col("refused").sum().alias("cells")
    ).filter((pl.col("persons") >= REFUSED_PERSONS) & (pl.col("cells") >= REFUSED_CELLS))
    return _one_a_day(Rule.REFUSALS_IN_A_ROW, together, accesses, "persons", "cells")


def _within_a_day(seen: pl.DataFrame, *measures: pl.Expr) -> pl.DataFrame:
    """For each access, what this official did in the 24 hours that end with it."""
    ordered = seen.sort("official", "at", "entry")
    return ordered.rolling("at", period=A_DAY, group_by="official").agg(pl.col("entry").alias("entries"), *measures)


def _one_a_day(rule: Rule, together: pl.DataFrame, judged: pl.DataFrame, *numbers: str) -> list[Hit]:
    """One hit an official and day: since the first access that completed the picture, with all that belong to it."""
    found = (
        together.join(judged.select("official", "at").unique(), on=["official", "at"], how="semi")
        .group_by("official", _day().alias("day"))
        .agg(pl.col("entries").explode().unique().sort(), pl.col("at").min(), pl.col(*numbers).max())
        .sort("official", "at")
    )
    return [
        Hit(rule, row["official"], row["at"], tuple(row["entries"]), {number: row[number] for number in numbers})
        for row in found.iter_rows(named=True)
    ]


def repeat_interest(accesses: pl.DataFrame, past: pl.DataFrame, known: Context) -> list[Hit]:
    """The same person on three days of 30, while nothing happened in any case of theirs."""
    columns = ["entry", "at", "official", "person"]
    recent = past.select(columns).join(accesses.select("official", "person"), on=["official", "person"], how="semi")
    seen = pl.concat([recent, accesses.select(columns)]).filter(pl.col("person").is_not_null())
    often = (
        seen.with_columns(day=_day())
        .group_by("official", "person")
        .agg(pl.col("day").n_unique())
        .filter(pl.col("day") >= REPEAT_DAYS)
    )
    seen = seen.join(often.select("official", "person"), on=["official", "person"], how="semi")
    activity = (
        known["activity"]
        .join(known["parties"].join(seen.select("person").unique(), on="person", how="semi"), on="case")
        .select("person", happened="at")
        .sort("happened")
    )
    together = (
        seen.sort("at")
        .join_asof(activity, left_on="at", right_on="happened", by="person", check_sortedness=False)
        .with_columns(day=_day(), on=_day(), quiet_since=pl.col("happened").fill_null(datetime.min.replace(tzinfo=UTC)))
        .sort("official", "person", "quiet_since", "day", "at", "entry")
        .rolling("day", period=REPEAT_WITHIN, group_by=["official", "person", "quiet_since"])
        .agg(
            pl.col("entry").alias("entries"),
            pl.col("on").n_unique().alias("days"),
            pl.col("at").filter(pl.col("on") == pl.col("on").max()).min(),
        )
        .filter(pl.col("days") >= REPEAT_DAYS)
        .unique(["official", "person", "quiet_since", "day"], keep="last", maintain_order=True)
        .join(accesses.select("official", "person", day=_day()).unique(), on=["official", "person", "day"], how="semi")
        .sort("official", "at", "person")
    )
    return [
        Hit(Rule.REPEAT_INTEREST, row["official"], row["at"], tuple(sorted(row["entries"])), {"days": row["days"]})
        for row in together.iter_rows(named=True)
    ]


def over_broad(accesses: pl.DataFrame, reads: pl.DataFrame, known: Context) -> list[Hit]:
    """The selection reads a coordinate that fewer than one in a hundred accesses with this purpose read.

    `reads` counts accesses by day, purpose and selection, over the 28 days up to each judged access.
    """
    hits: list[Hit] = []
    dated = accesses.filter(pl.col("purpose").is_not_null()).with_columns(day=_day())
    for (day,), of_day in dated.partition_by("day", as_dict=True).items():
        rare = rare_reads(reads, day, known["selections"])
        found = of_day.join(rare, on=["purpose", "selection"])
        hits += [
            Hit(
                Rule.OVER_BROAD,
                row["official"],
                row["at"],
                (row["entry"],),
                {"coordinates": row["coordinates"], "share": row["share"]},
            )
            for row in found.sort("at", "entry").iter_rows(named=True)
        ]
    return hits


def rare_reads(reads: pl.DataFrame, day: date, selections: pl.DataFrame) -> pl.DataFrame:
    """Purpose and selection, with the rare coordinates that it reads and the smallest share of them."""
    counted = (
        reads.filter(pl.col("day").is_between(day - timedelta(days=RARE_DAYS - 1), day))
        .group_by("purpose", "selection")
        .agg(pl.col("accesses").sum())
    )
    spelled = counted.join(selections, on="selection")
    share = pl.col("accesses").sum().over("purpose", "coordinate") / pl.col("total")
    return (
        spelled.join(counted.group_by("purpose").agg(pl.col("accesses").sum().alias("total")), on="purpose")
        .with_columns(share=share)
        .filter(pl.col("share") < RARE_SHARE)
        .group_by("purpose", "selection")
        .agg(pl.col("coordinate").sort().str.join(", ").alias("coordinates"), pl.col("share").min())
    )


def daily_reads(accesses: pl.DataFrame) -> pl.DataFrame:
    """Accesses by Korean day, purpose and selection."""
    return accesses.group_by(_day().alias("day"), "purpose", "selection").agg(pl.len().cast(pl.Int64).alias("accesses"))


def daily_persons(accesses: pl.DataFrame) -> pl.DataFrame:
    """How many persons each official looked at on each Korean day, but for those whose case was handed to them.

    A day with nobody else is a working day with 0.
    """
    return (
        accesses.filter(pl.col("person").is_not_null())
        .group_by("official", _day().alias("day"))
        .agg(pl.col("person").filter(~pl.col("handed_over")).n_unique().cast(pl.Int64).alias("persons"))
    )


def unusual_volume(accesses: pl.DataFrame, past: pl.DataFrame, days: pl.DataFrame, known: Context) -> list[Hit]:
    """A day with 20 persons or more, far above the own last 28 working days and above the peers' same day.

    Persons whose case was handed to the official (see `explained`) are not counted. `days` are the figures of every
    official and day so far, those of the judged accesses included. A working day is one with an access, and the peers'
    day is as far as it has gone. With fewer than five own days, or five peers, the rule is silent: it asks for both.
    """
    group_of = known["officials"].select("official", "peers")
    days = days.join(group_of, on="official", how="left").sort("official", "day")
    judged = accesses.select("official", day=_day()).unique()
    many = days.filter(pl.col("persons") >= VOLUME_PERSONS).join(judged, on=["official", "day"], how="semi")
    own = days.join(many, on="official", how="semi").partition_by("official", as_dict=True)
    # No group equals no group nowhere: who is in none has no peers.
    peers = days.join(many, on=["day", "peers"], how="semi").partition_by("day", "peers", as_dict=True)
    found: list[tuple[Any, date, dict[str, int | float | str]]] = []
    for row in many.iter_rows(named=True):
        of_own = own[(row["official"],)]
        before = of_own["day"].search_sorted(row["day"])
        mine = of_own["persons"].to_numpy()[max(0, before - VOLUME_DAYS) : before]
        group = peers.get((row["day"], row["peers"]))
        theirs = (
            group.filter(pl.col("official") != row["official"])["persons"].to_numpy() if group is not None else mine[:0]
        )
        numbers = _compared(row["persons"], mine, theirs)
        if numbers is not None:
            found.append((row["official"], row["day"], numbers))
    return _with_entries(found, pl.concat([past.select(accesses.columns), accesses]))


def _compared(persons: int, mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> dict[str, int | float | str] | None:
    """The numbers of a day that stands out both against one's own days and against the peers'."""
    numbers: dict[str, int | float | str] = {"persons": persons}
    for whose, figures in (("own", mine), ("peers", theirs)):
        if len(figures) < VOLUME_FEWEST or (z := robust_z(persons, figures)) < VOLUME_Z:
            return None
        numbers |= {f"{whose}_median": float(np.median(figures)), f"{whose}_z": z, f"{whose}_number": len(figures)}
    return numbers


def robust_z(value: float, figures: NDArray[np.int64]) -> float:
    """How many robust standard deviations the value lies above the median of the figures.

    Where more than half of the figures are the same (MAD 0), their mean absolute deviation stands in (Iglewicz and
    Hoaglin, 1993); where all are, anything above them is infinitely far.
    """
    median = float(np.median(figures))
    away = np.abs(figures - median)
    scale = NORMAL * float(np.median(away)) or NORMAL_MEAN * float(np.mean(away))
    if scale:
        return (value - median) / scale
    return float("inf") if value > median else 0.0


def _with_entries(found: Sequence[tuple[Any, date, dict[str, int | float | str]]], seen: pl.DataFrame) -> list[Hit]:
    those = pl.DataFrame(
        {"official": [each[0] for each in found], "day": [each[1] for each in found]},
        schema={"official": seen.schema["official"], "day": pl.Date},
    )
    entries = (
        seen.filter(pl.col("person").is_not_null() & ~pl.col("handed_over"))
        .select("entry", "at", "official", day=_day())
        .join(those, on=["official", "day"], how="semi")
        .group_by("official", "day")
        .agg(pl.col("entry").sort(), pl.col("at").min())
    )
    of = {(row["official"], row["day"]): row for row in entries.iter_rows(named=True)}
    return [
        Hit(Rule.UNUSUAL_VOLUME, who, of[who, day]["at"], tuple(of[who, day]["entry"]), numbers)
        for who, day, numbers in found
    ]


# ---------------------------------------------------------------- the log itself

RECEIPTS: Mapping[str, Any] = {
    "entry": pl.Int64,
    "issued": INSTANT,
    "integrated": INSTANT,  # null: not in the tree yet
    "recorded": pl.Boolean,  # the leaf has its record
}


def log_gaps(receipts: pl.DataFrame, sequencer_behind: timedelta, now: datetime) -> list[Hit]:
    """A receipt that was not in the tree 60 s after it was given, a leaf without record, a sequencer 60 s behind."""
    waited = pl.coalesce("integrated", pl.lit(now, INSTANT)) - pl.col("issued")
    late = receipts.filter(waited > INTEGRATED_WITHIN).with_columns(seconds=waited.dt.total_seconds())
    bare = receipts.filter(~pl.col("recorded"))
    return [
        *(
            Hit(Rule.LOG_GAP, None, row["issued"], (row["entry"],), {"why": "late", "seconds": row["seconds"]})
            for row in late.sort("entry").iter_rows(named=True)
        ),
        *(
            Hit(Rule.LOG_GAP, None, row["issued"], (row["entry"],), {"why": "no record"})
            for row in bare.sort("entry").iter_rows(named=True)
        ),
        *(
            [Hit(Rule.LOG_GAP, None, now, (), {"why": "behind", "seconds": int(sequencer_behind.total_seconds())})]
            if sequencer_behind >= INTEGRATED_WITHIN
            else []
        ),
    ]


def _day() -> pl.Expr:
    return pl.col("at").dt.convert_time_zone(KOREA).dt.date()
