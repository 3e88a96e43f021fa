"""Korean public holidays, from data/holidays.toml (sources there)."""

import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path


@cache
def _years() -> dict[int, frozenset[date]]:
    with (Path(__file__).parent / "data" / "holidays.toml").open("rb") as file:
        return {
            int(year): frozenset(date.fromisoformat(f"{year}-{day}") for day in days)
            for year, days in tomllib.load(file).items()
        }


def holidays(years: Iterable[int]) -> frozenset[date]:
    """Public holidays of these years. Raise LookupError for a year that the file lacks: guessing would accuse."""
    known = _years()
    if unknown := sorted(set(years) - known.keys()):
        raise LookupError(
            f"public holidays of {unknown[0]} are not known: add them to audit/findings/data/holidays.toml"
        )
    return frozenset().union(*(known[year] for year in years))
