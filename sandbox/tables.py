"""Tables of the synthetic nation: places, institutions, names, vehicles, the immunization schedule (data/*.csv).

Public administrative facts: legal dong codes of the Ministry of the Interior's code table (Gangwon 51 and Jeonbuk 52 as
renumbered in 2023 and 2024), clearing codes of banks and securities firms and association codes of insurers and card
companies (domain research §8.4), national immunization and infant check-up schedules of the disease control agency and
the health insurer. Prices, weights, products and listed companies are invented.
"""

import csv
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from sandbox.facts import Institution


def rows(name: str) -> list[dict[str, str]]:
    """A table of data/, row by row."""
    with (Path(__file__).parent / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def cumulative(weights: Sequence[int]) -> list[int]:
    """Running sums, for drawing with whole numbers only."""
    total = 0
    return [total := total + weight for weight in weights]


# ---------------------------------------------------------------- places


@dataclass(frozen=True, slots=True)
class Place:
    """A legal dong, or ri, with roads that run through it."""

    code: str  # ten digits
    province: str
    city: str  # city, county or district; "" in Sejong
    town: str  # eup, myeon or dong
    ri: str
    roads: tuple[str, ...]
    price_per_m2: int  # of a plot for building
    weight: int
    depopulation: bool
    port: str

    @property
    def municipality(self) -> str:
        """Five digits: province and city, county or district."""
        return self.code[:5]

    @property
    def rural(self) -> bool:
        """Tell whether farms and forests are usual here."""
        return bool(self.ri)

    @property
    def district(self) -> str:
        """Province and municipality in words."""
        return f"{self.province} {self.city}".strip()

    def road_address(self, road: str, number: int, unit: str = "") -> str:
        """Address by road name, as the resident register writes it."""
        comma = f", {unit}" if unit else ""
        if self.ri:
            return f"{self.district} {self.town} {road} {number}{comma}"
        return f"{self.district} {road} {number}{comma} ({self.town})"

    def lot_address(self, ledger: str, main: int, sub: int) -> str:
        """Address by lot number, as the cadastre writes it."""
        hill = "산 " if ledger == "FOREST" else ""
        lot = f"{main}-{sub}" if sub else f"{main}"
        return f"{self.district} {self.town}{f' {self.ri}' if self.ri else ''} {hill}{lot}"


PLACES: Final = tuple(
    Place(
        code=row["code"],
        province=row["province"],
        city=row["municipality"],
        town=row["town"],
        ri=row["ri"],
        roads=tuple(row["roads"].split(";")),
        price_per_m2=int(row["price_per_m2"]),
        weight=int(row["weight"]),
        depopulation=row["depopulation"] == "1",
        port=row["port"],
    )
    for row in rows("dong")
)
PLACE_WEIGHTS: Final = cumulative([place.weight for place in PLACES])
RURAL_PLACES: Final = tuple(place for place in PLACES if place.rural)
_PLACE_BY_ROAD: Final = {(place.municipality, road): place for place in PLACES for road in place.roads}


def place_at(municipality: str, address: str) -> Place:
    """The dong in which an address of ours lies: a road name stands in one dong of its municipality only."""
    return next(place for word in address.split() if (place := _PLACE_BY_ROAD.get((municipality, word))) is not None)


CATEGORIES: Final = (
    "전", "답", "과수원", "목장용지", "임야", "광천지", "염전", "대", "공장용지", "학교용지", "주차장",
    "주유소용지", "창고용지", "도로", "철도용지", "제방", "하천", "구거", "유지", "양어장", "수도용지",
    "공원", "체육용지", "유원지", "종교용지", "사적지", "묘지", "잡종지",
)  # fmt: skip
"""The 28 land categories in the order of their codes 01 to 28."""

# ---------------------------------------------------------------- institutions

# An exchange 0000 does not exist: these numbers ring nowhere. Public funds give none.
INSTITUTIONS: Final = {
    row["code"]: Institution(
        row["code"], row["name"], row["sector"], None if row["code"].startswith("P") else f"02-0000-{row['code']:0>4}"
    )
    for row in rows("institutions")
}


def _codes_of(sector: str) -> tuple[str, ...]:
    return tuple(code for code, institution in INSTITUTIONS.items() if institution.sector == sector)


BANKS: Final = (
    "004", "088", "011", "081", "020", "003", "045", "071", "012", "090", "048", "032", "031", "092", "089", "039",
)  # fmt: skip
BANK_WEIGHTS: Final = cumulative((20, 17, 15, 13, 12, 10, 10, 9, 9, 9, 5, 4, 4, 4, 3, 2))
SECURITIES_FIRMS: Final = _codes_of("SECURITIES")
LIFE_INSURERS: Final = _codes_of("LIFE_INSURANCE")
NONLIFE_INSURERS: Final = _codes_of("NONLIFE_INSURANCE")
CARD_ISSUERS: Final = _codes_of("CARD")
SHARES: Final = tuple((row["name"], int(row["issuer"]), int(row["price"])) for row in rows("shares"))
"""Invented listed companies: name, issuer number of the ISIN, price of a share."""

# ---------------------------------------------------------------- names

SURNAMES: Final = tuple("김이박최정강조윤장임한오서신권황안송류홍전고문양손배백허남심노하")
SURNAME_WEIGHTS: Final = cumulative(
    (
        215,
        147,
        84,
        47,
        43,
        24,
        21,
        20,
        20,
        17,
        15,
        15,
        15,
        15,
        14,
        14,
        14,
        14,
        13,
        11,
        11,
        9,
        9,
        9,
        9,
        8,
        8,
        7,
        5,
        5,
        5,
        5,
    )
)
GIVEN_NAMES: Final = {
    (row["sex"], int(row["generation"])): tuple(row["names"].split(";")) for row in rows("given_names")
}
"""Given names by sex and by the generation in which they were common."""


def naming_generation(year: int) -> int:
    """Which of the four sets of given names was in fashion: before 1960, 1980, 2005, or since."""
    return (year >= 1960) + (year >= 1980) + (year >= 2005)


# ---------------------------------------------------------------- vehicles

PRIVATE_SYLLABLES: Final = tuple("가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주")
"""The 32 syllables of plates for private use."""
MODELS: Final = tuple(
    (row["kind"], row["maker"], row["world_code"], row["model"], row["fuel"], int(row["price_new"]))
    for row in rows("models")
)
MODEL_WEIGHTS: Final = cumulative([int(row["weight"]) for row in rows("models")])
PLATE_CLASSES: Final = {"PASSENGER": (100, 699), "VAN": (700, 799), "TRUCK": (800, 979), "SPECIAL": (980, 997)}
"""First figures of plates with three digits, by kind (domain research §8.8)."""

# ---------------------------------------------------------------- calendar


def months_after(day: date, months: int) -> date:
    """The same day so many months later, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def price_year(today: date) -> int:
    """Year of the newest official land and house prices: published at the end of April, for 1 January."""
    return today.year if (today.month, today.day) >= (5, 1) else today.year - 1


VACCINES: Final = tuple(
    (row["vaccine"], int(row["dose"]), int(row["months_from"]), int(row["months_before"])) for row in rows("vaccines")
)
"""National immunization programme: vaccine, dose, and the months of age from which and before which it is due."""
CHECKUPS: Final = ((4, 7), (9, 13), (18, 25), (30, 37), (42, 49), (54, 61), (66, 72))
"""Infant check-ups 2 to 8: months of age from which and before which; the first is from day 14 to day 35."""
