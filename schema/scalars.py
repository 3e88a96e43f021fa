"""Scalars of the graph: money, exact decimals, days, instants and coordinates.

A value that does not fit raises; it never becomes a silent null. Error texts name the rule, not the value: it may be
somebody's. Days and instants are RFC 3339, section 5.6.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

Won = NewType("Won", int)
"""Whole won, within ±(2**53 - 1) so that every JSON reader keeps it exact."""

Coordinate = NewType("Coordinate", str)
"""Field of the graph as ``Type.field``."""

WON_LIMIT: Final = 2**53 - 1

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_COORDINATE = re.compile(r"[_A-Za-z][_0-9A-Za-z]*\.[_A-Za-z][_0-9A-Za-z]*", re.ASCII)


def _won(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= WON_LIMIT:
        return int(value)
    raise GraphQLError("Won is a whole number within ±(2^53 − 1).")


def _decimal_text(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    raise GraphQLError("Decimal is a finite exact number.")


def _decimal(value: object) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise GraphQLError("Decimal is a string such as 84.99.")


def _day_text(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    raise GraphQLError("Date is a calendar day.")


def _day(value: object) -> date:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise GraphQLError("Date is a day that exists, written YYYY-MM-DD.")


def _instant_text(value: object) -> str:
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise GraphQLError("DateTime is an instant with its offset.")


def _instant(value: object) -> datetime:
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError("DateTime is an instant that exists, written as in 2026-02-10T09:00:00Z.")


def _coordinate(value: object) -> Coordinate:
    if isinstance(value, str) and _COORDINATE.fullmatch(value):
        return Coordinate(value)
    raise GraphQLError("Coordinate is written Type.field.")


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    Won: strawberry.scalar(
        name="Won",
        description="Whole won. A JSON integer, exact within ±(2^53 − 1).",
        serialize=_won,
        parse_value=_won,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="Exact decimal number as a string without exponent, e.g. `84.99`.",
        serialize=_decimal_text,
        parse_value=_decimal,
    ),
    date: strawberry.scalar(
        name="Date",
        description="Calendar day in Korea (ISO 8601, `YYYY-MM-DD`).",
        serialize=_day_text,
        parse_value=_day,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="Instant in UTC (RFC 3339), e.g. `2026-02-10T00:00:00Z`. Input may carry another offset.",
        serialize=_instant_text,
        parse_value=_instant,
    ),
    Coordinate: strawberry.scalar(
        name="Coordinate",
        description="Field of the graph as `Type.field` (a schema coordinate), e.g. `LandParcel.assessedValue`.",
        serialize=_coordinate,
        parse_value=_coordinate,
    ),
}
"""For ``StrawberryConfig(scalar_map=SCALARS)``."""
