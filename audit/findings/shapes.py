"""What goes in and comes out: accesses, what was known at their time, hits and findings.

Identifiers (official, person, case, office, organisation, selection) are of one type throughout one evaluation: text
from the log, whole numbers from the sandbox. Instants are UTC in microseconds; days are Korean calendar days.
Intervals include their beginning and not their end; a null end is open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

import polars as pl

KOREA = "Asia/Seoul"
INSTANT = pl.Datetime("us", "UTC")


class Rule(StrEnum):
    """Names of the graph's FindingRule."""

    NO_OPEN_CASE = "NO_OPEN_CASE"
    CASE_ALREADY_CLOSED = "CASE_ALREADY_CLOSED"
    OWN_RECORD = "OWN_RECORD"
    FAMILY_MEMBER = "FAMILY_MEMBER"
    COLLEAGUE = "COLLEAGUE"
    PUBLIC_FIGURE = "PUBLIC_FIGURE"
    UNUSUAL_VOLUME = "UNUSUAL_VOLUME"
    OFF_HOURS = "OFF_HOURS"
    REFUSALS_IN_A_ROW = "REFUSALS_IN_A_ROW"
    OVER_BROAD = "OVER_BROAD"
    REPEAT_INTEREST = "REPEAT_INTEREST"
    BREAK_GLASS = "BREAK_GLASS"
    LOG_GAP = "LOG_GAP"


class Severity(StrEnum):
    """Names of the graph's Severity."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


RANK = {Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 2}
SEVERITY: Mapping[Rule, Severity] = {
    Rule.NO_OPEN_CASE: Severity.MEDIUM,
    Rule.CASE_ALREADY_CLOSED: Severity.MEDIUM,
    Rule.OWN_RECORD: Severity.HIGH,
    Rule.FAMILY_MEMBER: Severity.HIGH,
    Rule.COLLEAGUE: Severity.MEDIUM,
    Rule.PUBLIC_FIGURE: Severity.HIGH,
    Rule.UNUSUAL_VOLUME: Severity.MEDIUM,
    Rule.OFF_HOURS: Severity.LOW,
    Rule.REFUSALS_IN_A_ROW: Severity.MEDIUM,
    Rule.OVER_BROAD: Severity.LOW,
    Rule.REPEAT_INTEREST: Severity.LOW,
    Rule.BREAK_GLASS: Severity.MEDIUM,
    Rule.LOG_GAP: Severity.HIGH,
}


class Explanation(StrEnum):
    """Why an access was to be expected, the strongest first."""

    ASSIGNED = "ASSIGNED"
    ON_ROSTER = "ON_ROSTER"
    MANDATE = "MANDATE"
    INSPECTION = "INSPECTION"
    ASKED = "ASKED"


ID = None
"""Stands for the type of identifiers of an evaluation."""

type_ = pl.DataType | type[pl.DataType] | None
ACCESSES: Mapping[str, type_] = {
    "entry": pl.Int64,  # leaf index
    "at": INSTANT,
    "official": ID,
    "person": ID,
    "office": ID,
    "organisation": ID,
    "case": ID,
    "purpose": ID,
    "selection": ID,
    "refused": pl.Int64,  # cells withheld
    "break_glass": pl.Boolean,
}
"""One row an entry of the log. Person and case may be null (a search, a question without a case)."""

CONTEXT: Mapping[str, Mapping[str, type_]] = {
    # An official's own person id, and the group that their numbers are compared in (one kind of work).
    "officials": {"official": ID, "person": ID, "peers": ID},
    "cases": {"case": ID, "office": ID, "opened": INSTANT, "closed": INSTANT},
    "parties": {"case": ID, "person": ID},
    "assignments": {"case": ID, "official": ID, "since": INSTANT, "until": INSTANT},
    # Whatever was done in a case: a letter, a decision, an agency's answer that came.
    "activity": {"case": ID, "at": INSTANT},
    "rosters": {"office": ID, "official": ID, "since": INSTANT, "until": INSTANT},
    # `for_holiday`: duty that was ordered knowing that the day is a public holiday.
    "shifts": {"official": ID, "start": INSTANT, "end": INSTANT, "for_holiday": pl.Boolean},
    # Degree as in Civil Act 770, a spouse's own is 0; `of_spouse` for the spouse's kin.
    "kinship": {"official": ID, "person": ID, "degree": pl.Int64, "of_spouse": pl.Boolean},
    "employment": {"person": ID, "organisation": ID, "since": INSTANT, "until": INSTANT},
    # Whoever is on any organisation's protected list; whom an organisation lets look for itself.
    "protected": {"person": ID, "since": INSTANT, "until": INSTANT},
    "admitted": {"person": ID, "official": ID, "organisation": ID, "since": INSTANT, "until": INSTANT},
    # An order to inspect the cases of an office.
    "inspections": {"official": ID, "office": ID, "since": INSTANT, "until": INSTANT},
    "mandates": {"case": ID, "official": ID, "since": INSTANT, "until": INSTANT},
    # A colleague assigned to the case asked the official.
    "requests": {"case": ID, "colleague": ID, "official": ID, "at": INSTANT},
    "selections": {"selection": ID, "coordinate": pl.String},
}


@dataclass(frozen=True, slots=True)
class Context:
    """What was known at the time of the accesses: one table for each name of CONTEXT, and the public holidays."""

    tables: Mapping[str, pl.DataFrame]
    holidays: frozenset[date]

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.tables[name]


def empty(shape: Mapping[str, type_], ids: type_) -> pl.DataFrame:
    """A table without rows; `ids` is the type of identifiers."""
    return pl.DataFrame(schema={name: kind or ids for name, kind in shape.items()})


def context(tables: Mapping[str, pl.DataFrame], public_holidays: frozenset[date], ids: type_) -> Context:
    """A context of these tables; what is not given is empty. Raise ValueError for a table of another shape."""
    for name, table in tables.items():
        wanted = {column: kind or ids for column, kind in CONTEXT[name].items()}
        if dict(table.schema) != wanted:
            raise ValueError(f"table {name} has {dict(table.schema)}, not {wanted}")
    return Context({name: tables.get(name, empty(shape, ids)) for name, shape in CONTEXT.items()}, public_holidays)


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule that fired: about whom (None for the log itself), when, over which entries, with which numbers."""

    rule: Rule
    official: str | int | None
    at: datetime
    entries: tuple[int, ...]
    numbers: Mapping[str, int | float | str] = field(default_factory=dict)


FOLDED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """Hits about one official within 30 days of the first. `rule` is the gravest of them, the earliest of equals."""

    id: str
    official: str | int | None
    hits: tuple[Hit, ...]

    @property
    def rule(self) -> Rule:
        return max(self.hits, key=lambda hit: RANK[SEVERITY[hit.rule]]).rule

    @property
    def severity(self) -> Severity:
        return SEVERITY[self.rule]

    @property
    def raised_at(self) -> datetime:
        return self.hits[0].at

    @property
    def entries(self) -> tuple[int, ...]:
        return tuple(sorted({entry for hit in self.hits for entry in hit.entries}))
