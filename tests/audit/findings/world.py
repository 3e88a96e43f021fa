"""A small office in which one rule at a time is brought to its border."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl

from audit.findings.evaluation import Evaluation
from audit.findings.explanations import explained
from audit.findings.holidays import holidays
from audit.findings.shapes import ACCESSES, CONTEXT, Context, Hit, Rule, context

KST = timezone(timedelta(hours=9))
TEXT = pl.String()
KIM, LEE = "official-kim", "official-lee"
PERSON = "person-1"
CASE = "case-1"
OFFICE, ORGANISATION = "office-1", "organisation-1"


def korean(day: str, time: str = "10:00") -> datetime:
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=KST).astimezone(UTC)


def access(entry: int, at: datetime, **changed: Any) -> dict[str, Any]:
    return {
        "entry": entry,
        "at": at,
        "official": KIM,
        "person": PERSON,
        "office": OFFICE,
        "organisation": ORGANISATION,
        "case": None,
        "purpose": "ESTATE_DISCOVERY",
        "selection": "usual",
        "refused": 0,
        "break_glass": False,
    } | changed


def table(rows: Sequence[Mapping[str, Any]], shape: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in shape} for row in rows], schema=_schema(shape))


def _schema(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kind or TEXT for name, kind in shape.items()}


def accesses(*rows: Mapping[str, Any]) -> pl.DataFrame:
    return table(rows, ACCESSES)


def known(**tables: Sequence[Mapping[str, Any]]) -> Context:
    usual: dict[str, Sequence[Mapping[str, Any]]] = {
        "officials": [{"official": KIM, "person": "kim", "peers": "clerks"}],
        "cases": [{"case": CASE, "office": OFFICE, "opened": korean("2026-03-01")}],
        "parties": [{"case": CASE, "person": PERSON}],
        "assignments": [{"case": CASE, "official": KIM, "since": korean("2026-03-01")}],
        "selections": [{"selection": "usual", "coordinate": "Person.name"}],
    }
    filled = {name: table(rows, CONTEXT[name]) for name, rows in (usual | tables).items()}
    return context(filled, holidays(range(2024, 2029)), TEXT)


def judged(world: Context, *rows: Mapping[str, Any]) -> list[Hit]:
    return Evaluation.of(TEXT).judge(accesses(*rows), world)


def fired(world: Context, rule: Rule, *rows: Mapping[str, Any]) -> list[Hit]:
    return [hit for hit in judged(world, *rows) if hit.rule is rule]


def explanation(world: Context, row: Mapping[str, Any]) -> str | None:
    found: str | None = explained(accesses(row), world)["explained_by"][0]
    return found


def persons(number: int, at: datetime, first: int = 1, **changed: Any) -> list[dict[str, Any]]:
    """Accesses to so many persons, a second apart."""
    return [
        access(first + each, at + timedelta(seconds=each), person=f"person-{first + each}", **changed)
        for each in range(number)
    ]


def working_days(first: date, number: int) -> list[date]:
    public = holidays(range(2024, 2029))
    days = (first + timedelta(days=each) for each in range(number * 3))
    return [day for day in days if day.weekday() < 5 and day not in public][:number]
