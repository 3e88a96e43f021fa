"""What falls due after a death and after a birth, and by when.

Rows of data/deadlines.toml, each with the days for which it holds and its statute; periods by Civil Act (민법) 157-160.

A last day on a weekend or holiday is not moved to the next working day, although Civil Act 161 and National Tax Basic
Act 5 would: holidays are also proclaimed at short notice, and who goes by the earlier day is never late. Where missing
the day costs most, the text says so.
"""

import tomllib
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from importlib import resources
from typing import Final, Literal

import msgspec

from schema.case import Deadline, DeadlineCode
from schema.text import Bilingual

KOREA: Final = timezone(timedelta(hours=9), "KST")

Fact = Literal["missing", "heir_abroad", "knowledge_assumed", "finance_answered"]
Base = Literal["opening", "event", "knowledge", "answer"]


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ko: str
    en: str


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row; the fields are explained at the top of the file."""

    code: DeadlineCode
    when: frozenset[Fact] = frozenset()
    base: Base = msgspec.field(name="from")
    month_end: bool = False
    months: int = 0
    days: int = 0
    counts_first_day: bool = False
    valid_from: date
    valid_until: date = date.max
    statute: str
    source: str
    consequence: Words


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    estate: tuple[Rule, ...]
    birth: tuple[Rule, ...]


RULES: Final = msgspec.convert(
    tomllib.loads(resources.files("rules").joinpath("data", "deadlines.toml").read_text("utf-8")), Rules
)


@dataclass(frozen=True, slots=True)
class EstateFacts:
    """`opened_on` is the day of death, or the day a missing person is deemed to have died (Civil Act 28).

    `known_on` is when the heir learned of it; None counts from the event. `heir_abroad`: an heir, even one who
    renounced, lives outside Korea. `finance_visible_until` is the financial answer's, None before it has come.
    """

    opened_on: date
    declared_missing_on: date | None = None
    known_on: date | None = None
    heir_abroad: bool = False
    finance_visible_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BirthFacts:
    born_on: date


def estate_deadlines(facts: EstateFacts, today: date) -> tuple[Deadline, ...]:
    """By due day, those already past included.

    What heirs of a missing person have to do counts from the declaration, not from the deemed death.
    """
    event = facts.declared_missing_on or facts.opened_on
    bases: dict[Base, date] = {
        "opening": facts.opened_on,
        "event": event,
        "knowledge": max(facts.known_on or event, event),
    }
    if facts.finance_visible_until is not None:
        bases["answer"] = (facts.finance_visible_until - timedelta.resolution).astimezone(KOREA).date()
    happened: dict[Fact, bool] = {
        "missing": facts.declared_missing_on is not None,
        "heir_abroad": facts.heir_abroad,
        "knowledge_assumed": facts.known_on is None,
        "finance_answered": "answer" in bases,
    }
    return _deadlines(RULES.estate, bases, {fact for fact, holds in happened.items() if holds}, today)


def birth_deadlines(facts: BirthFacts, today: date) -> tuple[Deadline, ...]:
    """By due day, those already past included."""
    return _deadlines(RULES.birth, {"event": facts.born_on}, set(), today)


def last_day(base: date, *, months: int = 0, days: int = 0, counts_first_day: bool = False) -> date:
    """Last day of a period of months or days that runs from the base.

    The base itself does not count unless a statute says so (157). Months end on the day before the one that corresponds
    to the first, or with the month that lacks it (160): three months from 2026-02-28 end on 2026-05-31.
    """
    first = base if counts_first_day else base + timedelta(days=1)
    if days:
        return first + timedelta(days=days - 1)
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    length = monthrange(year, month + 1)[1]
    if first.day > length:
        return date(year, month + 1, length)
    return date(year, month + 1, first.day) - timedelta(days=1)


def _deadlines(
    rules: Sequence[Rule], bases: Mapping[Base, date], facts: set[Fact], today: date
) -> tuple[Deadline, ...]:
    applicable: dict[DeadlineCode, Rule] = {}
    for rule in sorted(rules, key=lambda rule: len(rule.when)):
        if rule.valid_from <= bases["event"] <= rule.valid_until and rule.when <= facts:
            applicable[rule.code] = rule
    found = (_deadline(rule, bases[rule.base], today) for rule in applicable.values())
    return tuple(sorted(found, key=lambda deadline: (deadline.due_on, deadline.code.value)))


def _deadline(rule: Rule, base: date, today: date) -> Deadline:
    if rule.month_end:
        base = base.replace(day=monthrange(base.year, base.month)[1])
    due_on = last_day(base, months=rule.months, days=rule.days, counts_first_day=rule.counts_first_day)
    return Deadline(
        code=rule.code,
        due_on=due_on,
        days_left=(due_on - today).days,
        legal_basis=rule.statute,
        consequence_text=Bilingual(rule.consequence.ko, rule.consequence.en),
    )
