"""Deadlines: the calendar of the Civil Act, then what heirs and parents are told."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.deadlines import BirthFacts, EstateFacts, birth_deadlines, estate_deadlines, last_day
from schema.case import DeadlineCode
from schema.text import Language

TODAY = date(2026, 11, 21)
D = date.fromisoformat


def due(facts: EstateFacts | BirthFacts) -> dict[str, str]:
    found = estate_deadlines(facts, TODAY) if isinstance(facts, EstateFacts) else birth_deadlines(facts, TODAY)
    return {deadline.code.name: deadline.due_on.isoformat() for deadline in found}


# ---------------------------------------------------------------- the calendar (Civil Act 157-160)


@pytest.mark.parametrize(
    ("base", "months", "last"),
    [
        ("2026-02-10", 3, "2026-05-10"),
        ("2026-01-31", 3, "2026-04-30"),
        ("2026-02-28", 3, "2026-05-31"),  # the period begins on 1 March and takes three whole months
        ("2024-02-28", 3, "2024-05-28"),  # a leap year: it begins on the 29th
        ("2024-02-29", 3, "2024-05-31"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2023-02-28", 12, "2024-02-29"),
        ("2025-11-29", 3, "2026-02-28"),
        ("2025-11-30", 3, "2026-02-28"),
        ("2025-11-27", 3, "2026-02-27"),
        ("2026-04-30", 3, "2026-07-31"),
        ("2026-03-30", 1, "2026-04-30"),  # it begins on the 31st, which April lacks
        ("2026-03-31", 1, "2026-04-30"),
        ("2026-12-31", 3, "2027-03-31"),
        ("2025-12-15", 1, "2026-01-15"),
        ("2024-02-29", 60, "2029-02-28"),
    ],
)
def test_months_run_from_the_day_after(base: str, months: int, last: str) -> None:
    assert last_day(D(base), months=months) == D(last)


@pytest.mark.parametrize(
    ("base", "last"),
    [
        ("2026-03-10", "2026-04-09"),
        ("2026-03-01", "2026-03-31"),
        ("2026-01-29", "2026-02-28"),
        ("2026-01-30", "2026-02-28"),
        ("2026-01-31", "2026-02-28"),
        ("2024-01-30", "2024-02-29"),
        ("2024-02-29", "2024-03-28"),
        ("2026-12-31", "2027-01-30"),
    ],
)
def test_a_month_that_counts_its_first_day_ends_a_day_earlier(base: str, last: str) -> None:
    assert last_day(D(base), months=1, counts_first_day=True) == D(last)


@pytest.mark.parametrize(
    ("base", "days", "counts_first_day", "last"),
    [
        ("2026-03-10", 60, True, "2026-05-08"),
        ("2026-03-10", 60, False, "2026-05-09"),
        ("2024-01-01", 60, True, "2024-02-29"),
        ("2026-11-21", 90, False, "2027-02-19"),
    ],
)
def test_days_are_counted_with_or_without_the_first(base: str, days: int, counts_first_day: bool, last: str) -> None:
    assert last_day(D(base), days=days, counts_first_day=counts_first_day) == D(last)


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 60))
def test_a_period_never_ends_later_when_its_first_day_counts_and_never_earlier_when_it_starts_later(
    base: date, months: int
) -> None:
    last = last_day(base, months=months)
    assert last_day(base, months=months, counts_first_day=True) <= last
    assert last_day(base + timedelta(days=1), months=months) >= last


# ---------------------------------------------------------------- after a death


def test_a_death_on_10_february_2026_gives_the_worked_example() -> None:
    assert due(EstateFacts(opened_on=D("2026-02-10"))) == {
        "ACCEPTANCE_OR_RENUNCIATION": "2026-05-10",
        "INHERITANCE_TAX": "2026-08-31",
        "FINAL_INCOME_TAX": "2026-08-31",
        "ACQUISITION_TAX": "2026-08-31",
        "VEHICLE_TRANSFER": "2026-08-31",
        "ESTATE_INQUIRY": "2027-02-28",
        "SURVIVOR_PENSION_CLAIM": "2031-02-10",
    }


@pytest.mark.parametrize(
    ("opened_on", "inquiry", "tax"),
    [
        ("2026-02-28", "2027-02-28", "2026-08-31"),
        ("2024-02-29", "2025-02-28", "2024-08-31"),
        ("2023-02-01", "2024-02-29", "2023-08-31"),
        ("2025-08-31", "2026-08-31", "2026-02-28"),
        ("2025-12-01", "2026-12-31", "2026-06-30"),
        ("2026-03-31", "2027-03-31", "2026-09-30"),
    ],
)
def test_months_from_the_end_of_a_month_end_with_a_month(opened_on: str, inquiry: str, tax: str) -> None:
    found = due(EstateFacts(opened_on=D(opened_on)))
    assert (found["ESTATE_INQUIRY"], found["INHERITANCE_TAX"]) == (inquiry, tax)


def test_who_learned_later_has_three_months_from_then() -> None:
    found = due(EstateFacts(opened_on=D("2026-02-10"), known_on=D("2026-04-30")))
    assert found["ACCEPTANCE_OR_RENUNCIATION"] == "2026-07-31"


def test_nobody_learns_of_a_death_before_it() -> None:
    found = due(EstateFacts(opened_on=D("2026-02-10"), known_on=D("2026-01-01")))
    assert found["ACCEPTANCE_OR_RENUNCIATION"] == "2026-05-10"


def test_the_text_says_when_knowledge_is_only_assumed() -> None:
    def said(facts: EstateFacts) -> str:
        code = DeadlineCode.ACCEPTANCE_OR_RENUNCIATION
        deadline = next(one for one in estate_deadlines(facts, TODAY) if one.code is code)
        return deadline.consequence_text.said_in(Language.EN)

    assert said(EstateFacts(opened_on=D("2026-02-10"))).startswith("Counted as if you had learned of it on the day")
    assert said(EstateFacts(opened_on=D("2026-02-10"), known_on=D("2026-02-12"))).startswith("Without a declaration")


def test_an_heir_abroad_gives_nine_months_for_tax_but_not_for_the_income_tax_return() -> None:
    found = due(EstateFacts(opened_on=D("2026-02-10"), heir_abroad=True))
    assert (found["INHERITANCE_TAX"], found["ACQUISITION_TAX"]) == ("2026-11-30", "2026-11-30")
    assert found["FINAL_INCOME_TAX"] == "2026-08-31"


def test_one_heir_abroad_was_not_enough_for_inheritance_tax_before_15_march_2024() -> None:
    assert due(EstateFacts(opened_on=D("2024-03-14"), heir_abroad=True))["INHERITANCE_TAX"] == "2024-09-30"
    assert due(EstateFacts(opened_on=D("2024-03-15"), heir_abroad=True))["INHERITANCE_TAX"] == "2024-12-31"


def test_heirs_of_a_missing_person_count_from_the_declaration() -> None:
    found = due(EstateFacts(opened_on=D("2019-06-01"), declared_missing_on=D("2026-07-10")))
    assert found == {
        "ACCEPTANCE_OR_RENUNCIATION": "2026-10-10",
        "INHERITANCE_TAX": "2027-01-31",
        "FINAL_INCOME_TAX": "2027-01-31",
        "ACQUISITION_TAX": "2027-01-31",
        "VEHICLE_TRANSFER": "2027-01-31",
        "ESTATE_INQUIRY": "2027-07-10",
        "SURVIVOR_PENSION_CLAIM": "2031-07-10",
    }


def test_the_inquiry_for_a_person_declared_missing_before_23_june_2025_counted_from_the_deemed_death() -> None:
    missing = EstateFacts(opened_on=D("2024-09-03"), declared_missing_on=D("2025-06-22"))
    assert due(missing)["ESTATE_INQUIRY"] == "2025-09-30"


def test_rules_hold_for_the_deaths_of_their_time() -> None:
    assert due(EstateFacts(opened_on=D("2013-12-18")))["VEHICLE_TRANSFER"] == "2014-03-18"
    assert due(EstateFacts(opened_on=D("2013-12-19")))["VEHICLE_TRANSFER"] == "2014-06-30"
    assert due(EstateFacts(opened_on=D("2022-07-28")))["ESTATE_INQUIRY"] == "2023-01-31"
    assert due(EstateFacts(opened_on=D("2022-07-29")))["ESTATE_INQUIRY"] == "2023-07-31"
    assert "ESTATE_INQUIRY" not in due(EstateFacts(opened_on=D("2015-06-29")))


@pytest.mark.parametrize(
    ("visible_until", "last"),
    [
        (datetime(2026, 5, 10, 14, 59, 59, tzinfo=UTC), "2026-05-10"),
        (datetime(2026, 5, 10, 15, 0, tzinfo=UTC), "2026-05-10"),  # midnight in Seoul: the 10th is the last whole day
        (datetime(2026, 5, 10, 15, 0, 1, tzinfo=UTC), "2026-05-11"),
    ],
)
def test_the_financial_answer_can_be_read_up_to_its_day_in_korea(visible_until: datetime, last: str) -> None:
    found = due(EstateFacts(opened_on=D("2026-02-10"), finance_visible_until=visible_until))
    assert found["FINANCE_ANSWER_EXPIRES"] == last


def test_the_nearest_day_comes_first_and_days_past_are_negative() -> None:
    found = estate_deadlines(EstateFacts(opened_on=D("2026-02-10")), D("2026-05-12"))
    assert [deadline.due_on for deadline in found] == sorted(deadline.due_on for deadline in found)
    assert (found[0].code, found[0].days_left) == (DeadlineCode.ACCEPTANCE_OR_RENUNCIATION, -2)
    assert found[0].legal_basis == "Civil Act 1019(1), 1026"


def test_a_last_day_on_a_sunday_stays() -> None:
    found = due(EstateFacts(opened_on=D("2026-02-10")))
    assert D(found["ACCEPTANCE_OR_RENUNCIATION"]).isoweekday() == 7


# ---------------------------------------------------------------- after a birth


def test_a_birth_on_10_march_2026_counts_the_day_of_birth_where_the_law_does() -> None:
    assert due(BirthFacts(born_on=D("2026-03-10"))) == {
        "BIRTH_REPORT": "2026-04-09",
        "PARENTAL_ALLOWANCE_BACKPAY": "2026-05-08",
        "CHILD_ALLOWANCE_BACKPAY": "2026-05-08",
        "HEALTH_DEPENDANT_REGISTRATION": "2026-06-08",
        "FIRST_VOUCHER_USE": "2028-03-09",
    }


def test_the_voucher_lasted_a_year_for_births_before_2024() -> None:
    assert due(BirthFacts(born_on=D("2023-12-31")))["FIRST_VOUCHER_USE"] == "2024-12-30"
    assert due(BirthFacts(born_on=D("2024-01-01")))["FIRST_VOUCHER_USE"] == "2025-12-31"


def test_a_child_born_on_29_february_has_its_days_too() -> None:
    found = due(BirthFacts(born_on=D("2024-02-29")))
    assert (found["BIRTH_REPORT"], found["FIRST_VOUCHER_USE"]) == ("2024-03-28", "2026-02-28")
