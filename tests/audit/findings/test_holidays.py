"""The holidays that the rules go by."""

import pytest
from holidays import KR

from audit.findings.holidays import holidays

YEARS = range(2024, 2029)


def test_the_file_has_the_days_that_the_library_has() -> None:
    assert holidays(YEARS) == frozenset(KR(years=YEARS))


def test_a_year_that_nobody_wrote_down_is_no_year_without_holidays() -> None:
    with pytest.raises(LookupError, match="2050"):
        holidays([2026, 2050])
