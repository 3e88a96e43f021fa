"""The holidays that the rules go by."""

from datetime import date

import pytest

from audit.findings.holidays import holidays

YEARS = range(2024, 2029)
FIXED = [(1, 1), (3, 1), (5, 5), (6, 6), (8, 15), (10, 3), (10, 9), (12, 25)]
SUBSTITUTE = [date(2024, 5, 6), date(2025, 3, 3), date(2025, 10, 8), date(2026, 3, 2), date(2026, 8, 17)]
LUNAR_NEW_YEAR = [date(2024, 2, 10), date(2025, 1, 29), date(2026, 2, 17), date(2027, 2, 7), date(2028, 1, 27)]


def test_every_year_has_the_days_of_the_regulation() -> None:
    assert {date(year, month, day) for year in YEARS for month, day in FIXED} <= holidays(YEARS)


def test_days_by_the_moon_and_substitute_days_are_in_it() -> None:
    assert {*SUBSTITUTE, *LUNAR_NEW_YEAR} <= holidays(YEARS)


def test_a_year_that_nobody_wrote_down_is_no_year_without_holidays() -> None:
    with pytest.raises(LookupError, match="2050"):
        holidays([2026, 2050])
