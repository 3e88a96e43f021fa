"""A year of accesses by officials, most of them honest, some not: what the rules about findings are measured on.

Offices of 25 seats (clerks, a night clerk, welfare, an inspector), five to an organisation. Cases open by season, are
visited by whoever is assigned, by colleagues of the office, by those who were asked, and now and then by somebody whom
nothing explains. Honest work is as untidy as it is: leave that colleagues cover, busy days of an office, overtime with
and without an order, night and holiday duty, inspections of closed cases, seats that change hands, relatives noticed
only after opening the case, colleagues among the parties, namesakes taken for each other, look-ups just after closing,
rights not set up yet, days without a note in the case.

Snoopers do the same work besides, and nothing but what they read, when and how often tells them apart: several read
what they are assigned to, or too little to be noticed. What was planted is kept apart from the accesses. Rates are
assumptions of ours, written down as constants; we know of no statistics that they could be taken from.

Whole numbers from one seed; months come one after the other, so that a year needs the memory of a few months.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

OFFICE: Final = 25
ORGANISATION: Final = 5 * OFFICE
RESIDENTS: Final = 400_000
"""Of one organisation's district, in households of five."""
HOUSEHOLD: Final = 5
CLERKS: Final = 19
NIGHT_SEAT: Final = 20
WELFARE_SEATS: Final = (21, 24)
INSPECTOR_SEAT: Final = 24

SEASON: Final = (115, 110, 105, 95, 105, 90, 90, 88, 92, 95, 100, 115)
"""Cases opened, per cent of an ordinary month: winter, and the month of income tax."""
CASES_A_MONTH: Final = (8, 25)
"""Of an official, all year; 20 per cent more or less in a month."""
VISITS: Final = 7
LOOKED_BACK_DAYS: Final = 92
"""What happened before is of no interest to any rule, and is not carried along."""
DAY: Final = 86_400
MINUTE: Final = 60

# Of 10,000 visits, who makes them; the rest are made by the official assigned.
BY_COLLEAGUE: Final = 1_100
BY_ASKED: Final = 250
BY_NOBODY_KNOWN: Final = 250
# Of 10,000 visits
WITHOUT_NOTE: Final = 30
LATE: Final = 300
OVERTIME_UNORDERED: Final = 25
REFUSED: Final = 200
# Of 100 visits, on any day of the week
WHENEVER: Final = 4
# Of 100,000 cases
NAMESAKE: Final = 3
AFTER_CLOSING: Final = 3
# Of 100,000 official days
RIGHTS_MISSING: Final = 1
# One in so many
LEAVE_WEEKS: Final = 12
ORDERED_OVERTIME: Final = 20
CONFLICT_NOTICED_LATE: Final = 200
HOUSEHOLDS_OF_COLLEAGUES: Final = 400

KINDS: Final = (
    "NO_OPEN_CASE",
    "CASE_ALREADY_CLOSED",
    "OWN_RECORD",
    "FAMILY_MEMBER",
    "COLLEAGUE",
    "PUBLIC_FIGURE",
    "UNUSUAL_VOLUME",
    "OFF_HOURS",
    "REFUSALS_IN_A_ROW",
    "OVER_BROAD",
    "REPEAT_INTEREST",
    "BREAK_GLASS",
)
SNOOPERS: Final = 6
"""Of each kind, per 1,000 officials. Emergency access is not snooping; it is to be found all the same."""

KIN: Final = ((0, False), (1, False), (1, False), (1, False), (2, False), (2, False), (3, False), (1, True), (2, True))
"""Degree and whether of the spouse: spouse, parents, child, siblings, an aunt, a parent-in-law, a brother-in-law."""

COMMON: Final = ("Person.name", "Person.birthDate", "Answer.status")
SELECTIONS: Final = (
    ("FinancialAccount.institution", "FinancialAccount.balance"),
    ("LandParcel.address", "LandParcel.areaM2"),
    ("Pension.scheme", "Pension.monthlyAmount"),
    ("Vehicle.plate",),
    ("TaxArrear.amount",),
    ("Debt.amount", "Debt.creditor"),
    ("FishingBoat.number",),
    ("HealthRecord.conditions", "TransactionLine.text"),
)
WEIGHTS: Final = (80, 50, 30, 20, 11, 6, 3)
"""Of 200 visits with a purpose; the last selection is for those who want to know more than anybody needs."""
BROAD: Final = len(WEIGHTS)

INSTANT: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Month:
    """Accesses in the order of time, what is known at the end of the month, and, apart, what was planted."""

    accesses: pl.DataFrame
    tables: dict[str, pl.DataFrame]
    receipts: pl.DataFrame
    planted: pl.DataFrame
    """Columns entry, official (null: the log), kind and episode."""


@dataclass
class Traffic:
    """The traffic of so many officials over so many days from `first` on; holidays as the caller knows them."""

    officials: int
    days: int
    seed: int
    holidays: frozenset[date]
    first: date = date(2025, 1, 1)
    _tables: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    _pending: list[pl.DataFrame] = field(default_factory=list)
    _cases: list[pl.DataFrame] = field(default_factory=list)
    _entries: int = 0
    _case_number: int = 0
    _episode: int = 0

    def months(self) -> Iterator[Month]:
        """The months, each from a generator of its own."""
        self._begin()
        starts = [day for day in range(self.days) if day == 0 or self._date(day).day == 1]
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], self.days], strict=True)):
            chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, number])))
            self._shifts(start, end)
            self._work(chance, start, end)
            self._inspections(chance, start, end)
            self._snoop(chance, start, end)
            yield self._month(chance, end)

    # ------------------------------------------------------------ the world

    def _begin(self) -> None:
        chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, 10_000])))
        n = self.officials
        everybody = np.arange(n, dtype=np.int64)
        # One seat in fifty changes hands: two officials of different offices swap places on one day.
        self._swap_day = np.full(n, 1 << 40, dtype=np.int64)
        self._swap_with = everybody.copy()
        for one in chance.permutation(n)[: n // 50]:
            other = (one + OFFICE) % n
            if self._swap_with[one] == one and self._swap_with[other] == other and one != other:
                self._swap_day[[one, other]] = int(chance.integers(30, 330))
                self._swap_with[one], self._swap_with[other] = other, one
        self._pace = chance.integers(*CASES_A_MONTH, n) // np.where(everybody % OFFICE == NIGHT_SEAT, 3, 1)
        districts = -(-n // ORGANISATION)
        self._public = np.sort(
            n + chance.choice(districts * RESIDENTS // HOUSEHOLD, max(2, n // 25), replace=False) * HOUSEHOLD
        ).astype(np.int64)
        kin_of = np.repeat(everybody, len(KIN))
        kin = self._residents(chance, kin_of // ORGANISATION)
        degree, of_spouse = (np.tile([each[at] for each in KIN], n) for at in (0, 1))
        near = np.where(of_spouse, degree <= 1, degree <= 2)
        self._kin = np.sort(kin_of[near] * (1 << 40) + kin[near])
        self._kin_by = {int(who): kin[near][kin_of[near] == who] for who in self._snoopers("FAMILY_MEMBER")}
        self._load = np.zeros((n, self.days + 200), dtype=np.int16)
        self._busy = chance.integers(10, max(11, self.days), (-(-n // OFFICE), 3))
        self._free = np.array(
            [self._date(day).weekday() >= 5 or self._date(day) in self.holidays for day in range(self.days + 200)]
        )
        working = np.flatnonzero(~self._free)
        self._next_working = working[np.searchsorted(working, np.arange(self.days + 150))]
        moved = everybody[self._swap_with != everybody]
        until = pl.Series(np.where(self._swap_with != everybody, self._swap_day, 0), dtype=pl.Int64)
        seats = pl.DataFrame({"official": everybody, "seat": everybody, "since": -3650 * np.ones(n, np.int64)})
        seats = pl.concat(
            [
                seats.with_columns(until=pl.when(until > 0).then(until)),
                pl.DataFrame(
                    {
                        "official": self._swap_with[moved],
                        "seat": moved,
                        "since": self._swap_day[moved],
                        "until": pl.Series([None] * len(moved), dtype=pl.Int64),
                    }
                ),
            ]
        ).with_columns(since=self._instant(pl.col("since") * DAY), until=self._instant(pl.col("until") * DAY))
        seat = pl.col("seat")
        office, organisation = (seat // OFFICE).alias("office"), (seat // ORGANISATION).alias("organisation")
        self._keep("rosters", seats.select(office, "official", "since", "until"))
        self._keep("employment", seats.select(pl.col("official").alias("person"), organisation, "since", "until"))
        role = np.select([everybody % OFFICE <= NIGHT_SEAT, everybody % OFFICE < INSPECTOR_SEAT], [0, 1], 2)
        # Clerks are many in an office; welfare and inspectors have their peers in the organisation.
        peers = np.where(role == 0, everybody // OFFICE, -10 * (everybody // ORGANISATION) - role)
        self._keep("officials", pl.DataFrame({"official": everybody, "person": everybody, "peers": peers}))
        self._keep(
            "kinship", pl.DataFrame({"official": kin_of, "person": kin, "degree": degree, "of_spouse": of_spouse})
        )
        self._keep("protected", pl.DataFrame({"person": self._public}).with_columns(**self._always()))
        spelled = [
            (purpose * 10 + which, coordinate)
            for purpose in range(3)
            for which, own in enumerate(SELECTIONS)
            for coordinate in COMMON + own
        ]
        self._keep("selections", pl.DataFrame(spelled, schema=["selection", "coordinate"], orient="row"))

    def _snoopers(self, kind: str) -> Sequence[int]:
        """Clerks, none of them of two kinds."""
        order = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, 20_000]))).permutation(
            [each for each in range(self.officials) if 1 <= each % OFFICE <= CLERKS]
        )
        number = max(1, self.officials * SNOOPERS // 1000)
        return [int(who) for who in order[KINDS.index(kind) * number :][:number]]

    def _residents(self, chance: np.random.Generator, organisation: Numbers) -> Numbers:
        return self.officials + organisation * RESIDENTS + chance.integers(0, RESIDENTS, len(organisation))

    def _at_seat(self, seat: Numbers, day: Numbers) -> Numbers:
        """The official who has the seat on the day."""
        return np.where(day >= self._swap_day[seat], self._swap_with[seat], seat)

    def _date(self, day: int) -> date:
        return self.first + timedelta(days=day)

    def _instant(self, seconds: pl.Expr) -> pl.Expr:
        """From seconds since the first midnight in Korea."""
        midnight = datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC) - timedelta(hours=9)
        return (seconds.cast(pl.Int64) * 1_000_000 + int(midnight.timestamp()) * 1_000_000).cast(INSTANT)

    def _always(self) -> dict[str, pl.Expr]:
        return {"since": self._instant(pl.lit(-3650) * DAY), "until": pl.lit(None, INSTANT)}

    def _keep(self, name: str, rows: pl.DataFrame) -> None:
        self._tables.setdefault(name, []).append(rows)

    def _shifts(self, start: int, end: int) -> None:
        seats = np.arange(self.officials, dtype=np.int64)
        rows = []
        for day in range(start, end):
            official = self._at_seat(seats, np.full(len(seats), day))
            night = seats % OFFICE == NIGHT_SEAT
            on_duty = seats % OFFICE == 1 + (day + seats // OFFICE) % CLERKS  # of a free day, one clerk an office
            at_work = ~night & (on_duty | (not self._free[day]))
            overtime = _ordered(seats, np.array([day]), self.seed)
            ends = np.where(overtime, 22, 18)
            on_night = night & ((day + seats // OFFICE) % 3 == 0)
            begins = np.where(night, 18, 9)
            ends = np.where(night, 33, ends)
            chosen = at_work | on_night
            rows.append(
                pl.DataFrame(
                    {
                        "official": official[chosen],
                        "start": (day * 24 + begins[chosen]) * 3600,
                        "end": (day * 24 + ends[chosen]) * 3600,
                        "for_holiday": np.full(int(chosen.sum()), self._free[day])
                        | (night[chosen] & self._free[day + 1]),
                    }
                )
            )
        self._keep(
            "shifts",
            pl.concat(rows).with_columns(start=self._instant(pl.col("start")), end=self._instant(pl.col("end"))),
        )

    # ------------------------------------------------------------ honest work

    def _work(self, chance: np.random.Generator, start: int, end: int) -> None:
        """Cases that open in the month, with all their visits."""
        seats = np.arange(self.officials, dtype=np.int64)
        at_cases = seats[(seats % OFFICE >= 1) & (seats % OFFICE != INSPECTOR_SEAT)]
        working = np.flatnonzero(~self._free)
        opens = working[(working >= start) & (working < end)]
        season = SEASON[self._date(start).month - 1] * len(opens)
        number = self._pace[at_cases] * chance.integers(80, 121, len(at_cases)) * season // (100 * 100 * 20)
        seat = np.repeat(at_cases, number)
        n = len(seat)
        organisation = seat // ORGANISATION
        household = chance.integers(0, RESIDENTS // HOUSEHOLD, n)
        parties = chance.integers(2, HOUSEHOLD, n)
        # New cases are handed out evenly.
        turn = np.arange(n) - np.repeat(np.cumsum(number) - number, number)
        opened = opens[(turn * len(opens) + chance.integers(0, len(opens), n)) // np.repeat(number, number)]
        case = self._case_number + np.arange(n)
        self._case_number += n
        welfare = (seat % OFFICE >= WELFARE_SEATS[0]) & (seat % OFFICE < WELFARE_SEATS[1])
        purpose = np.where(welfare, 2, chance.integers(0, 2, n))

        # Visits as a table of cases by visits; the first is the opening.
        visits = chance.integers(3, VISITS + 1, n)
        there = np.arange(VISITS) < visits[:, None]
        span = chance.integers(7, 50, n)
        later = np.where(np.arange(VISITS) == 0, 0, chance.integers(0, span[:, None], (n, VISITS)))
        day = working[np.searchsorted(working, opened)[:, None] + later]
        # A few fall on whatever day it is, and wait for the next working day unless somebody has duty.
        whenever = (chance.integers(0, 100, (n, VISITS)) < WHENEVER) & (later > 0)
        day = np.where(whenever, opened[:, None] + later, day)
        by = chance.integers(0, 10_000, (n, VISITS))
        by[:, 0] = 9_999
        mate = seat[:, None] // OFFICE * OFFICE + chance.integers(1, CLERKS + 1, (n, VISITS))
        elsewhere = (
            organisation[:, None] * 5 + (seat[:, None] // OFFICE + chance.integers(1, 5, (n, VISITS))) % 5
        ) * OFFICE + chance.integers(1, CLERKS + 1, (n, VISITS))
        elsewhere = np.minimum(elsewhere, self.officials - 1)
        edges = np.cumsum([BY_COLLEAGUE, BY_ASKED, BY_NOBODY_KNOWN])
        reader = np.select(
            [by < edges[0], by < edges[2]], [mate, elsewhere], np.broadcast_to(seat[:, None], (n, VISITS))
        )
        # Who is on leave is covered by the office; an office's busy day gathers the day before it.
        cover = reader // OFFICE * OFFICE + 1 + (reader % OFFICE + case[:, None]) % CLERKS
        away = (_mixed(reader, day // 7, self.seed + 1) % LEAVE_WEEKS == 0) & (by >= edges[2])
        reader = np.where(away & (reader % OFFICE <= CLERKS), cover, reader)
        for busy in self._busy.T:
            its = busy[seat // OFFICE][:, None]
            day = np.where((day >= its - 1) & (day < its) & (day > opened[:, None]), its, day)
        at_night = reader % OFFICE == NIGHT_SEAT
        on_duty = self._free[day] & (reader % OFFICE == 1 + (day + reader // OFFICE) % CLERKS)
        day = np.where(on_duty, day, self._next_working[day])
        day = self._managed(reader, day, there)
        night_day = day + (-(day + reader // OFFICE)) % 3
        day = np.where(at_night, night_day, day)
        second = self._time_of_day(chance, reader, day, at_night)
        at = day * DAY + second
        opening = np.where(there, day, 1 << 40).min(axis=1) * DAY + 8 * 3600
        closed = np.where(there, day, 0).max(axis=1) * DAY + 2 * DAY + 3600

        cases = pl.DataFrame(
            {
                "case": case,
                "seat": seat,
                "office": seat // OFFICE,
                "household": self.officials + organisation * RESIDENTS + household * HOUSEHOLD,
                "parties": parties,
                "colleague": np.where(
                    household % HOUSEHOLDS_OF_COLLEAGUES == 0,
                    np.minimum(organisation * ORGANISATION + household // HOUSEHOLDS_OF_COLLEAGUES, self.officials - 1),
                    -1,
                ),
                "opened": opening,
                "closed": closed,
                "purpose": purpose,
            }
        )
        self._know_cases(cases)
        rows = pl.DataFrame(
            {
                "of": np.repeat(np.arange(n), VISITS),
                "at": at.ravel(),
                "day": day.ravel(),
                "seat": reader.ravel(),
                "by": by.ravel(),
                "first": np.tile(np.arange(VISITS) == 0, n),
                "read": np.where(np.arange(VISITS) == 0, HOUSEHOLD, chance.integers(1, 3, (n, VISITS))).ravel(),
                "note": chance.integers(0, 10_000, n * VISITS) >= WITHOUT_NOTE,
                "overtime": ((second > 20 * 3600) & ~at_night & ~_ordered(reader, day, self.seed)).ravel(),
                "which": np.searchsorted(np.cumsum(WEIGHTS), chance.integers(0, 200, n * VISITS), side="right"),
            }
        ).filter(there.ravel())
        rows = rows.with_columns(official=self._at_seat(rows["seat"].to_numpy(), rows["day"].to_numpy()))
        rows = rows.with_columns(cases[rows["of"].to_numpy()].rename({"seat": "own_seat"}).drop("office"))
        asked = rows.filter(pl.col("by").is_between(edges[0], edges[1] - 1))
        self._keep(
            "requests",
            asked.select(
                "case",
                colleague=pl.Series(self._at_seat(asked["own_seat"].to_numpy(), asked["day"].to_numpy())),
                official="official",
                at=self._instant(pl.max_horizontal("opened", pl.col("at") - 2 * DAY)),
            ),
        )
        noted = rows.filter("note")
        self._keep("activity", noted.select("case", at=self._instant(pl.col("at") + 20 * MINUTE)))
        self._read(chance, rows)
        self._mistakes(chance, cases)

    def _managed(self, reader: Numbers, day: Numbers, there: NDArray[np.bool_]) -> Numbers:
        """A day holds so many visits, a third more than usual; what is more waits for the next working day."""
        most = 3 + self._pace * 3 // 10
        np.add.at(self._load, (reader[:, 0], day[:, 0]), 1)
        later = there & (np.arange(VISITS) > 0)
        for _ in range(6):
            drawn = pl.DataFrame({"reader": reader.ravel(), "day": day.ravel(), "later": later.ravel()})
            rank = drawn.select(pl.col("later").cum_sum().over("reader", "day"))["later"].to_numpy().reshape(day.shape)
            waits = later & (rank + self._load[reader, day] > most[reader])
            day = np.where(waits, self._next_working[day + 1], day)
        np.add.at(self._load, (reader[later], day[later]), 1)
        return day

    def _time_of_day(
        self, chance: np.random.Generator, reader: Numbers, day: Numbers, at_night: NDArray[np.bool_]
    ) -> Numbers:
        second = 9 * 3600 + chance.integers(0, 9 * 3600 - 600, reader.shape)
        drawn = chance.integers(0, 10_000, reader.shape)
        second = np.where(drawn < LATE, 18 * 3600 + chance.integers(0, 45 * MINUTE, reader.shape), second)
        late = (drawn >= LATE) & (drawn < LATE + OVERTIME_UNORDERED)
        ordered = _ordered(reader, day, self.seed) & (drawn > 7_000) & ~self._free[day]
        second = np.where(ordered, 18 * 3600 + chance.integers(0, 4 * 3600 - 600, reader.shape), second)
        second = np.where(late, 20 * 3600 + 60 + chance.integers(0, 2 * 3600, reader.shape), second)
        return np.where(at_night, 18 * 3600 + chance.integers(0, 14 * 3600, reader.shape), second)

    def _know_cases(self, cases: pl.DataFrame) -> None:
        self._cases = [*self._cases[-8:], cases]
        opened, closed = self._instant(pl.col("opened")), self._instant(pl.col("closed"))
        self._keep("cases", cases.select("case", "office", opened.alias("opened"), closed.alias("closed")))
        persons = (
            cases.select("case", "household", "colleague", part=pl.int_ranges(0, pl.col("parties")))
            .explode("part")
            .select("case", person=pl.col("household") + pl.col("part"))
        )
        beside = cases.filter(pl.col("colleague") >= 0).select("case", person="colleague")
        persons = pl.concat([persons, beside])
        self._keep("parties", persons)
        seat = cases["seat"].to_numpy()
        opened_on = cases["opened"].to_numpy() // DAY
        swapped = pl.Series(np.where(self._swap_day[seat] > opened_on, self._swap_day[seat], -1))
        moves = (swapped >= 0) & (swapped < 1 << 30)
        since = cases.select("case", official=pl.Series(self._at_seat(seat, opened_on)), since=opened).with_columns(
            until=self._instant(pl.when(moves).then(swapped) * DAY)
        )
        after = cases.filter(moves).select(
            "case",
            official=pl.Series(self._swap_with[seat[moves.to_numpy()]]),
            since=self._instant(pl.lit(swapped.filter(moves)) * DAY),
            until=pl.lit(None, INSTANT),
        )
        self._keep("assignments", pl.concat([since, after]))
        protected = persons.filter(pl.col("person").is_in(self._public.tolist()))
        admitted = protected.join(pl.concat([since, after]), on="case").select("person", "official")
        for seat_of in (np.arange(self.officials), self._swap_with):
            organisation = pl.Series(seat_of[admitted["official"].to_numpy()] // ORGANISATION)
            rows = admitted.with_columns(organisation=organisation).unique(maintain_order=True)
            self._keep("admitted", rows.with_columns(**self._always()))

    def _read(self, chance: np.random.Generator, rows: pl.DataFrame) -> None:
        """The persons that each visit reads, but for those whom the reader has to leave to others."""
        number = pl.min_horizontal("read", "parties")
        number = pl.when("overtime").then(pl.min_horizontal(number, 1)).otherwise(number)
        read = (
            rows.with_columns(part=pl.int_ranges(0, number))
            .explode("part")
            .with_columns(person=pl.col("household") + pl.col("part"), at=pl.col("at") + pl.col("part") * 40)
        )
        beside = rows.filter((pl.col("colleague") >= 0) & pl.col("first")).with_columns(
            part=pl.lit(9, pl.Int64), person="colleague"
        )
        read = pl.concat([read, beside.select(read.columns)])
        official, person = read["official"].to_numpy(), read["person"].to_numpy()
        noticed_late = read["first"].to_numpy() & (chance.integers(0, CONFLICT_NOTICED_LATE, len(read)) == 0)
        related = np.isin(official * (1 << 40) + person, self._kin) | (
            (person < self.officials) & (person // ORGANISATION == read["seat"].to_numpy() // ORGANISATION)
        )
        public = np.isin(person, self._public) & (read["seat"].to_numpy() != read["own_seat"].to_numpy())
        read = read.filter((~related | noticed_late) & (official != person) & ~public)
        refused = np.where(chance.integers(0, 10_000, len(read)) < REFUSED, chance.integers(1, 3, len(read)), 0)
        missing = _mixed(read["official"].to_numpy(), read["day"].to_numpy(), self.seed + 2) % 100_000 < RIGHTS_MISSING
        self._pending.append(
            _accesses(
                read.select(
                    "at",
                    "official",
                    "person",
                    "seat",
                    "case",
                    "purpose",
                    selection=pl.col("purpose") * 10 + pl.col("which"),
                    refused=pl.Series(np.where(missing, 3, refused)),
                )
            )
        )

    def _mistakes(self, chance: np.random.Generator, cases: pl.DataFrame) -> None:
        """Namesakes taken for each other, and a look at a case just after it was closed."""
        drawn = chance.integers(0, 100_000, len(cases))
        mixed_up = cases.filter(drawn < NAMESAKE)
        late = cases.filter((drawn >= NAMESAKE) & (drawn < NAMESAKE + AFTER_CLOSING))
        for these, when in ((mixed_up, "opened"), (late, "closed")):
            seat = these["seat"].to_numpy()
            day = self._next_working[these[when].to_numpy() // DAY + 1]
            wrong = self._residents(chance, seat // ORGANISATION)
            self._pending.append(
                _accesses(
                    these.select(
                        at=pl.Series(day * DAY + 11 * 3600),
                        official=pl.Series(self._at_seat(seat, day)),
                        person=pl.Series(wrong if when == "opened" else these["household"].to_numpy()),
                        seat="seat",
                        case="case",
                        purpose="purpose",
                        selection=pl.col("purpose") * 10,
                    )
                )
            )

    def _inspections(self, chance: np.random.Generator, start: int, end: int) -> None:
        """Each inspector reads closed cases of another office of the organisation, by order, for a week or two."""
        orders = []
        for seat in range(INSPECTOR_SEAT, self.officials, OFFICE):
            if chance.integers(0, 6) or end - start < 20:
                continue
            office = seat // ORGANISATION * 5 + int(chance.integers(0, 5))
            day = start + int(chance.integers(0, 8))
            official = int(self._at_seat(np.array([seat]), np.array([day]))[0])
            orders.append((official, office, day * DAY, (day + 14) * DAY))
            closed = self._closed(office, day * DAY)
            drawn = closed.sample(min(len(closed), 60), seed=day)
            for at in (each for each in range(day, day + 12) if not self._free[each]):
                if self._swap_day[seat] > end:
                    self._extra(official, seat, at * DAY + 10 * 3600, drawn[(at - day) * 5 :][:5], spacing=300)
        if orders:
            rows = pl.DataFrame(orders, schema=["official", "office", "since", "until"], orient="row")
            self._keep(
                "inspections",
                rows.with_columns(since=self._instant(pl.col("since")), until=self._instant(pl.col("until"))),
            )

    # ------------------------------------------------------------ what is to be found

    def _snoop(self, chance: np.random.Generator, start: int, end: int) -> None:
        for kind in KINDS:
            for official in self._snoopers(kind):
                if chance.integers(0, 4) == 0:  # three months or so of the year
                    self._episode += 1
                    self._one(chance, kind, official, start, end)

    def _one(self, chance: np.random.Generator, kind: str, official: int, start: int, end: int) -> None:
        day = int(self._next_working[int(chance.integers(start, max(start + 1, end - 1)))])
        if day >= end:
            return
        seat = int(self._swap_with[official]) if day >= self._swap_day[official] else official
        office, organisation = seat // OFFICE, seat // ORGANISATION
        at = day * DAY + int(chance.integers(9 * 3600, 17 * 3600))
        few = int(chance.integers(1, 4))
        strangers = self._residents(chance, np.full(60, organisation))
        mine = self._open(office, at, seat)
        ours = self._open(office, at)
        plant = {"kind": kind, "named": bool(chance.integers(0, 5) < 2)}
        match kind:
            case "NO_OPEN_CASE":
                case = mine["case"][0] if plant["named"] and len(mine) else None
                self._extra_persons(official, seat, at, strangers[:few], kind, case=case)
            case "CASE_ALREADY_CLOSED":
                closed = self._closed(office, at, seat)
                if len(closed):
                    self._extra(official, seat, at, closed.sample(min(few, len(closed)), seed=day), kind=kind)
            case "OWN_RECORD":
                self._extra_persons(official, seat, at, np.array([official]), kind)
            case "FAMILY_MEMBER":
                self._extra_persons(official, seat, at, chance.permutation(self._kin_by[official])[:few], kind)
            case "COLLEAGUE":
                others = organisation * ORGANISATION + chance.integers(0, ORGANISATION, few)
                others = np.minimum(others[others != official], self.officials - 1)
                self._extra_persons(official, seat, at, others, kind)
            case "PUBLIC_FIGURE":
                self._extra_persons(official, seat, at, chance.choice(self._public, 1), kind)
            case "UNUSUAL_VOLUME":
                number = int(chance.integers(15, 80))
                self._extra(official, seat, day * DAY + 9 * 3600, ours.head(number), kind=kind, spacing=240)
            case "OFF_HOURS":
                late = day * DAY + 22 * 3600 + 600 + int(chance.integers(0, 3600))
                if chance.integers(0, 3) == 0:
                    late = (day + 6 - self._date(day).weekday()) * DAY + 14 * 3600
                self._extra(official, seat, late, ours.head(int(chance.integers(2, 8))), kind=kind)
            case "REFUSALS_IN_A_ROW":
                tries = ours.sample(min(len(ours), int(chance.integers(5, 13))), seed=day)
                self._extra(official, seat, at, tries, kind=kind, spacing=400, refused=int(chance.integers(2, 5)))
            case "OVER_BROAD":
                self._extra(official, seat, at, mine.head(few + 2), kind=kind, which=BROAD)
            case "REPEAT_INTEREST":
                whom = strangers[:1]
                case = None
                if chance.integers(0, 3) == 0 and len(ours):
                    drawn = ours.sample(1, seed=day)
                    whom, case = drawn["household"].to_numpy(), drawn["case"][0]
                for again in range(int(chance.integers(3, 7))):
                    on = int(self._next_working[day + 4 * again])
                    self._extra_persons(official, seat, on * DAY + at % DAY, whom, kind, case=case)
            case _:  # BREAK_GLASS
                self._emergency(official, seat, at, strangers[:1])

    def _recent(self) -> pl.DataFrame:
        return pl.concat(self._cases)

    def _open(self, office: int, at: int, seat: int | None = None) -> pl.DataFrame:
        found = self._recent().filter(
            (pl.col("office") == office) & (pl.col("opened") < at) & (pl.col("closed") > at + 8 * DAY)
        )
        return found if seat is None else found.filter(pl.col("seat") == seat)

    def _closed(self, office: int, at: int, seat: int | None = None) -> pl.DataFrame:
        found = self._recent().filter((pl.col("office") == office) & (pl.col("closed") < at))
        return found if seat is None else found.filter(pl.col("seat") == seat)

    def _extra(
        self,
        official: int,
        seat: int,
        at: int,
        cases: pl.DataFrame,
        *,
        kind: str | None = None,
        spacing: int = 90,
        **changed: Any,
    ) -> None:
        """Read the first person of each of these cases, in their name."""
        cases = cases.filter(~pl.col("household").is_in(self._public.tolist()))
        which = changed.pop("which", 0)
        self._pending.append(
            _accesses(
                cases.select(
                    at=at + pl.int_range(pl.len()) * spacing,
                    official=pl.lit(official, pl.Int64),
                    person="household",
                    seat=pl.lit(seat, pl.Int64),
                    case="case",
                    purpose="purpose",
                    selection=pl.col("purpose") * 10 + which,
                    refused=pl.lit(changed.get("refused", 0), pl.Int64),
                ),
                kind,
                self._episode,
            )
        )

    def _extra_persons(
        self,
        official: int,
        seat: int,
        at: int,
        persons: Numbers,
        kind: str,
        *,
        case: int | None = None,
        break_glass: bool = False,
    ) -> None:
        rows = pl.DataFrame({"person": persons.astype(np.int64)}).select(
            "person",
            at=at + pl.int_range(pl.len()) * 120,
            official=pl.lit(official, pl.Int64),
            seat=pl.lit(seat, pl.Int64),
            case=pl.lit(case, pl.Int64),
            purpose=pl.lit(0, pl.Int64),
            selection=pl.lit(0, pl.Int64),
            break_glass=pl.lit(break_glass),
        )
        self._pending.append(_accesses(rows, kind, self._episode))

    def _emergency(self, official: int, seat: int, at: int, whom: Numbers) -> None:
        """Emergency access opens a case for half an hour, which is the official's own."""
        case = self._case_number
        self._case_number += 1
        row = pl.DataFrame({"case": [case], "office": [seat // OFFICE], "opened": [at - 60], "closed": [at + 1740]})
        opened, closed = self._instant(pl.col("opened")), self._instant(pl.col("closed"))
        self._keep("cases", row.select("case", "office", opened.alias("opened"), closed.alias("closed")))
        self._keep("parties", pl.DataFrame({"case": [case], "person": whom.astype(np.int64)}))
        self._keep(
            "assignments",
            row.select("case", official=pl.lit(official, pl.Int64), since=opened, until=pl.lit(None, INSTANT)),
        )
        self._extra_persons(official, seat, at, whom, "BREAK_GLASS", case=case, break_glass=True)

    # ------------------------------------------------------------ going out

    def _month(self, chance: np.random.Generator, end: int) -> Month:
        drawn = pl.concat(self._pending).sort("at", "official", "person", "case", "selection", nulls_last=True)
        now = drawn.filter(pl.col("at") < end * DAY)
        self._pending = [drawn.filter(pl.col("at") >= end * DAY)]
        now = now.with_columns(
            entry=self._entries + pl.int_range(pl.len(), dtype=pl.Int64), at=self._instant(pl.col("at"))
        )
        self._entries += len(now)
        for name, rows in self._tables.items():
            self._tables[name] = [pl.concat(rows)]
        long_ago = pl.lit(end - LOOKED_BACK_DAYS) * DAY
        for name, at in (("activity", "at"), ("requests", "at"), ("shifts", "end")):
            self._tables[name] = [self._tables[name][0].filter(pl.col(at) > self._instant(long_ago))]
        accesses = now.select(
            "entry",
            "at",
            "official",
            "person",
            (pl.col("seat") // OFFICE).alias("office"),
            (pl.col("seat") // ORGANISATION).alias("organisation"),
            "case",
            "purpose",
            "selection",
            "refused",
            "break_glass",
        )
        planted = now.filter(pl.col("kind").is_not_null()).select("entry", "official", "kind", "episode")
        receipts, gaps = self._receipts(chance, now)
        return Month(accesses, {name: rows[0] for name, rows in self._tables.items()}, receipts, planted.vstack(gaps))

    def _receipts(self, chance: np.random.Generator, now: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Receipts of one entry in fifty: integrated within 50 s, but for two that were late and one without record."""
        some = now.gather_every(50).select("entry", issued="at")
        wait = chance.integers(0, 51, len(some))
        odd = chance.permutation(len(some))[:3]
        wait[odd[:2]] = chance.integers(61, 600, len(odd[:2]))
        recorded = np.ones(len(some), dtype=bool)
        recorded[odd[2:]] = False
        gaps = pl.DataFrame(
            {
                "entry": some["entry"].gather(odd),
                "official": pl.Series([None] * len(odd), dtype=pl.Int64),
                "kind": ["LOG_GAP"] * len(odd),
                "episode": some["entry"].gather(odd),
            }
        )
        integrated = pl.col("issued") + pl.duration(seconds=pl.lit(pl.Series(wait)))
        return some.with_columns(integrated=integrated, recorded=pl.Series(recorded)), gaps


def _mixed(one: Numbers, other: Numbers | int, seed: int) -> Numbers:
    """A number for two numbers, the same everywhere, as good as drawn."""
    mixed: NDArray[np.uint64] = (one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ (
        (np.atleast_1d(other).astype(np.uint64) + np.uint64(seed)) * np.uint64(0xC2B2AE3D27D4EB4F)
    )
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    drawn: Numbers = (mixed >> np.uint64(33)).astype(np.int64)
    return drawn


def _ordered(seat: Numbers, day: Numbers, seed: int) -> NDArray[np.bool_]:
    """Whether overtime was ordered."""
    return np.equal(_mixed(seat, day, seed) % ORDERED_OVERTIME, 0)


def _accesses(rows: pl.DataFrame, kind: str | None = None, episode: int = 0) -> pl.DataFrame:
    """Rows as they wait to go out; `kind` and `episode` go another way."""
    for name, usual in (("refused", pl.lit(0, pl.Int64)), ("break_glass", pl.lit(value=False))):
        if name not in rows.columns:
            rows = rows.with_columns(usual.alias(name))
    planted = pl.lit(episode if kind else None, pl.Int64).alias("episode")
    return rows.with_columns(pl.lit(kind, pl.String).alias("kind"), planted).select(
        pl.col("at", "official", "person", "seat", "case", "purpose", "selection", "refused").cast(pl.Int64),
        "break_glass",
        "kind",
        "episode",
    )
