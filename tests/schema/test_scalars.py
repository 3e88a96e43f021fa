"""What does not fit is refused with a rule, never shown as null and never repeated in the error."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
import strawberry
from graphql import GraphQLError, GraphQLScalarType, GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from schema.scalars import SCALARS, Coordinate, Won

SEOUL = timezone(timedelta(hours=9))


class Thousand(int):
    """Some libraries hand out their own kind of int."""


def scalar(core: GraphQLSchema, name: str) -> GraphQLScalarType:
    type_ = core.type_map[name]
    assert isinstance(type_, GraphQLScalarType)
    return type_


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Won", 0, 0),
        ("Won", 99_999_999_999, 99_999_999_999),
        ("Won", 2**53 - 1, 2**53 - 1),
        ("Won", 1 - 2**53, 1 - 2**53),
        ("Won", Thousand(1000), 1000),
        ("Decimal", Decimal("84.90"), "84.90"),
        ("Decimal", Decimal("1E+3"), "1000"),
        ("Decimal", Decimal("1E-7"), "0.0000001"),
        ("Decimal", Decimal(-3), "-3"),
        ("Date", date(2026, 2, 28), "2026-02-28"),
        ("Date", date(1, 1, 1), "0001-01-01"),
        ("DateTime", datetime(2026, 2, 10, tzinfo=UTC), "2026-02-10T00:00:00Z"),
        ("DateTime", datetime(2026, 2, 10, 8, 59, 59, 123456, tzinfo=SEOUL), "2026-02-09T23:59:59.123456Z"),
        ("Coordinate", "LandParcel.pnu", "LandParcel.pnu"),
    ],
)
def test_a_value_that_fits_is_shown(core: GraphQLSchema, name: str, value: object, shown: object) -> None:
    seen = scalar(core, name).coerce_output_value(value)

    assert (seen, type(seen)) == (shown, type(shown))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Won", True),
        ("Won", 2**53),
        ("Won", -(2**53)),
        ("Won", 1.0),
        ("Won", 1.5),
        ("Won", "1000"),
        ("Won", Decimal(1000)),
        ("Won", float("nan")),
        ("Won", None),
        ("Decimal", Decimal("NaN")),
        ("Decimal", Decimal("-Infinity")),
        ("Decimal", Decimal("sNaN")),
        ("Decimal", 84.9),
        ("Decimal", 84),
        ("Decimal", "84.9"),
        ("Date", datetime(2026, 2, 10, tzinfo=UTC)),
        ("Date", "2026-02-10"),
        ("Date", 20260210),
        ("DateTime", datetime(2026, 2, 10)),  # noqa: DTZ001 - that there is no zone is the point
        ("DateTime", date(2026, 2, 10)),
        ("DateTime", "2026-02-10T00:00:00Z"),
        ("DateTime", 1_770_681_600),
        ("Coordinate", "LandParcel"),
        ("Coordinate", "LandParcel.pnu.x"),
        ("Coordinate", "LandParcel.pnu\n"),
        ("Coordinate", "Landparzelle.größe"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_repeating_it(
    core: GraphQLSchema, name: str, value: object
) -> None:
    with pytest.raises(GraphQLError, match=f"^{name} is ") as refused:
        scalar(core, name).coerce_output_value(value)

    assert str(value) not in refused.value.message


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("Won", 1000, 1000),
        ("Decimal", "84.90", Decimal("84.90")),
        ("Date", "2024-02-29", date(2024, 2, 29)),
        ("DateTime", "2026-02-10T00:00:00Z", datetime(2026, 2, 10, tzinfo=UTC)),
        ("DateTime", "2026-02-10T09:00:00.5+09:00", datetime(2026, 2, 10, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("Coordinate", "LandParcel.pnu", "LandParcel.pnu"),
    ],
)
def test_input_that_exists_is_taken(core: GraphQLSchema, name: str, text: object, value: object) -> None:
    assert scalar(core, name).coerce_input_value(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Won", True),
        ("Won", "1000"),
        ("Won", 2**53),
        ("Decimal", 84.9),
        ("Decimal", "1e3"),
        ("Decimal", "NaN"),
        ("Decimal", "٣"),
        ("Date", "2026-02-29"),
        ("Date", "20260210"),
        ("Date", "2026-W07-2"),
        ("Date", "2026-2-1"),
        ("Date", "2026-02-10T00:00:00Z"),
        ("Date", " 2026-02-10"),
        ("Date", "２０２６-02-10"),
        ("Date", 20260210),
        ("Date", "0000-01-01"),
        ("DateTime", "2026-02-10T00:00:00"),
        ("DateTime", "2026-02-10"),
        ("DateTime", "2026-02-30T00:00:00Z"),
        ("DateTime", "2026-02-10T24:00:01Z"),
        ("DateTime", "2026-12-31T23:59:60Z"),
        ("DateTime", "0001-01-01T00:00:00+09:00"),
        ("DateTime", "2026-02-10 00:00:00Z"),
        ("DateTime", 0),
        ("Coordinate", "pnu"),
        ("Coordinate", 1),
    ],
)
def test_input_that_does_not_exist_is_refused(core: GraphQLSchema, name: str, text: object) -> None:
    with pytest.raises(GraphQLError, match=f"^{name} is "):
        scalar(core, name).coerce_input_value(text)


def test_too_much_money_is_an_error_and_not_a_silent_null() -> None:
    @strawberry.type
    class Query:
        balance: Won | None
        limit: Won | None
        at: Coordinate | None

    schema = strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))

    seen = schema.execute_sync(
        "{ balance limit at }", root_value=Query(balance=Won(2**53), limit=Won(2**53 - 1), at=Coordinate("Loan.id"))
    )

    assert seen.data == {"balance": None, "limit": 2**53 - 1, "at": "Loan.id"}
    assert [(error.path, error.message) for error in seen.errors or ()] == [
        (["balance"], "Won is a whole number within ±(2^53 − 1).")
    ]
