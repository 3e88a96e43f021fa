"""Made-up traffic: the same from the same seed, with what was planted kept apart."""

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl
import pytest

from audit.findings.holidays import holidays
from audit.findings.scoring import measured, table
from audit.findings.shapes import ACCESSES, CONTEXT, Rule
from sandbox.traffic import KINDS, Month, Traffic

HOLIDAYS = holidays([2025, 2026])
DIGEST = "d9ceca244b4c7c3f5ea9c0308b4b258c461206474d009711be9da1097e825524"


def traffic(seed: int = 7) -> Iterator[Month]:
    return Traffic(250, 75, seed, HOLIDAYS).months()


def digest(months: Iterator[Month]) -> str:
    written = hashlib.sha256()
    for month in months:
        written.update(month.accesses.write_csv().encode())
        written.update(month.planted.write_csv().encode())
        for name, rows in sorted(month.tables.items()):
            written.update(f"{name}\n{rows.write_csv()}".encode())
    return written.hexdigest()


def test_a_seed_makes_the_traffic_that_it_always_made() -> None:
    assert digest(traffic()) == DIGEST


def test_another_seed_makes_another() -> None:
    assert not next(traffic(8)).accesses.equals(next(traffic()).accesses)


def test_accesses_come_in_the_order_of_time_and_say_nothing_of_what_was_planted() -> None:
    months = list(traffic())
    accesses = pl.concat([month.accesses for month in months])
    assert set(accesses.columns) == set(ACCESSES)
    assert accesses["entry"].to_list() == list(range(len(accesses)))
    assert accesses["at"].is_sorted()
    assert all(set(month.tables) <= set(CONTEXT) for month in months)


def test_every_kind_of_snooper_is_a_kind_of_rule_and_is_planted() -> None:
    planted = {kind for month in Traffic(500, 200, 7, HOLIDAYS).months() for kind in month.planted["kind"]}
    assert planted == set(KINDS) | {"LOG_GAP"} == {rule.value for rule in Rule}


def test_snoopers_do_honest_work_too() -> None:
    months = list(traffic())
    accesses = pl.concat([month.accesses for month in months])
    planted = pl.concat([month.planted for month in months]).drop_nulls("official")
    theirs = accesses.join(planted.select("official").unique(), on="official", how="semi")
    honest = theirs.join(planted, on="entry", how="anti").group_by("official").len()
    assert len(honest) == planted["official"].n_unique()
    assert honest["len"].min() is not None
    assert len(planted) * 5 < len(theirs)


def test_office_hours_nights_and_holidays_are_all_worked() -> None:
    at = pl.concat([month.accesses for month in traffic()])["at"].dt.convert_time_zone("Asia/Seoul")
    assert {2, 10, 17, 22} <= set(at.dt.hour())
    assert any(day in HOLIDAYS for day in at.dt.date().unique())
    assert max(at.dt.date()) <= date(2025, 1, 1) + timedelta(days=75)


def test_what_is_measured_is_printed_for_every_rule_and_overall() -> None:
    result = measured(traffic(), HOLIDAYS)
    assert result["explained_share"] >= 0.94
    assert set(result["rules"]) == {*Rule, "OVERALL"}
    gaps = result["rules"]["LOG_GAP"]
    assert gaps["recall"] == pytest.approx(1)
    assert all(rule in table(result) for rule in Rule)
