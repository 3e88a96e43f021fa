"""Rule rows explain themselves: days, statute, source, both languages, and never two that fit alike."""

import re
import tomllib
from datetime import date
from importlib import resources
from itertools import chain, combinations
from typing import get_args

import pytest

from rules.deadlines import RULES, Fact, Rule
from schema.case import DeadlineCode

ROWS = [*RULES.estate, *RULES.birth]
FILES = [file for file in resources.files("rules").joinpath("data").iterdir() if file.name.endswith(".toml")]


@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: f"{rule.code.name} {rule.valid_from} {sorted(rule.when)}")
def test_a_row_has_its_days_its_statute_its_source_and_both_languages(rule: Rule) -> None:
    assert date(1991, 1, 1) <= rule.valid_from < rule.valid_until
    assert rule.statute.strip()
    assert rule.source.strip()
    assert re.search("[가-힣]", rule.consequence.ko)
    assert re.fullmatch("[ -~]+", rule.consequence.en)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_row_of_every_file_says_from_when_it_holds_and_why(file: resources.abc.Traversable) -> None:
    rows = [row for table in tomllib.loads(file.read_text("utf-8")).values() for row in table]
    assert rows
    for row in rows:
        assert isinstance(row["valid_from"], date)
        assert {"statute", "source"} <= row.keys()


def test_a_period_is_in_months_or_in_days() -> None:
    assert [rule.code for rule in ROWS if rule.months and rule.days] == []
    assert {rule.code for rule in ROWS if not rule.months and not rule.days} == {DeadlineCode.FINANCE_ANSWER_EXPIRES}


def test_every_code_has_its_rows() -> None:
    assert {rule.code for rule in ROWS} == set(DeadlineCode)


def test_on_no_day_two_rows_of_a_code_fit_alike() -> None:
    facts = [frozenset(some) for size in range(5) for some in combinations(get_args(Fact), size)]
    days = set(chain.from_iterable((rule.valid_from, rule.valid_until) for rule in ROWS))
    for table in (RULES.estate, RULES.birth):
        for code in DeadlineCode:
            for day in days:
                for known in facts:
                    fitting = [
                        len(rule.when)
                        for rule in table
                        if rule.code is code and rule.when <= known and rule.valid_from <= day <= rule.valid_until
                    ]
                    assert fitting.count(max(fitting, default=0)) <= 1, (code, day, known)
