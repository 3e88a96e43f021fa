"""The synthetic nation: families of three or four generations, drawn from a seed, and the personas' own.

A family is drawn from (seed, its number) alone, so a nation of any size can be walked through family by family. People
marry in from outside, part, marry again, adopt and die; nothing happens after the day before yesterday. Life tables,
fertility and prices are rough shapes of Korean statistics, good for load and for journeys, not for study.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from sandbox.dice import Dice, interpolated
from sandbox.facts import (
    Appointment,
    Birth,
    Declaration,
    Dispute,
    Guardianship,
    Marriage,
    Nation,
    Parentage,
    Person,
    Subject,
)
from sandbox.identifiers import numbered_subject, registration_number
from sandbox.personas import families
from sandbox.tables import (
    GIVEN_NAMES,
    PLACE_WEIGHTS,
    PLACES,
    RURAL_PLACES,
    SURNAME_WEIGHTS,
    SURNAMES,
    Place,
    cumulative,
    naming_generation,
)

REGISTERED_BIRTHS_SINCE: Final = date(2008, 1, 1)
"""From this day birth reports carry order and multiple birth (Act on the Registration of Family Relations)."""
MAJORITY: Final = 19
APPEAL: Final = timedelta(days=15)
"""After so many days a declaration of absence that nobody appealed against is final."""
SERIALS: Final = 900_000  # registration numbers from here on are the personas'
GENERATIONS: Final = 4

_AGE_AT_DEATH: Final = (
    (0, 0), (3, 1), (8, 20), (20, 40), (80, 60), (180, 70), (400, 80), (760, 90), (970, 98), (1000, 106),
)  # fmt: skip
_CHILDREN: Final = {
    1950: cumulative((4, 8, 22, 32, 34)),
    1970: cumulative((9, 20, 52, 17, 2)),
    1990: cumulative((20, 37, 36, 6, 1)),
    2100: cumulative((38, 38, 20, 4, 0)),
}
"""Running weights of 0 to 4 children by the mother's year of birth (before)."""


@dataclass(frozen=True, slots=True)
class _Home:
    place: Place
    address: str


class _FullError(Exception):
    """Raised when the nation has as many people as it was asked for."""


class _Family:
    """Draws one family; people are numbered in the order in which they are drawn."""

    def __init__(self, seed: int, number: int, first: int, limit: int, today: date) -> None:
        self.dice = Dice(f"{seed}/family/{number}")
        self.register = Nation(seed=seed, today=today)
        self.next = first
        self.limit = limit
        self.last_day = today - timedelta(days=2)

    def drawn(self) -> Nation:
        """The family, as far as there is room for it."""
        try:
            self._founders()
        except _FullError:
            pass
        else:
            self._courts()
        return self.register

    def _founders(self) -> None:
        dice, today = self.dice, self.register.today
        year = today.year - interpolated(((0, 28), (250, 45), (600, 70), (1000, 104)), dice.below(1001))
        place = dice.pick(RURAL_PLACES) if dice.chance(220) else dice.weighted(PLACES, PLACE_WEIGHTS)
        founder = self._person("MALE" if dice.chance(500) else "FEMALE", self._day_in(year), self._surname(), place)
        self._life(founder, generation=1)

    def _life(self, person: Person, generation: int) -> None:
        """Marry, have children, part, marry again."""
        dice = self.dice
        old_enough = _birthday(person.born, dice.between(22, 36))
        unmarried = 130 if person.born.year < 1975 else 300
        if old_enough > self._end(person) or dice.chance(unmarried):
            return
        ended = self._marriage(person, old_enough, generation)
        if ended is not None and ended + timedelta(days=400) < self._end(person) and dice.chance(300):
            self._marriage(person, dice.day(ended + timedelta(days=300), ended + timedelta(days=2500)), generation)

    def _marriage(self, person: Person, since: date, generation: int) -> date | None:
        """Give the day on which the marriage ended, if it did."""
        dice = self.dice
        if since > self._end(person):
            return None
        gap = dice.between(-5, 3) if person.sex == "MALE" else dice.between(-3, 5)
        other_sex = "FEMALE" if person.sex == "MALE" else "MALE"
        # Whoever marries in is of age and alive that day.
        born = self._day_in(min(person.born.year - gap, since.year - MAJORITY - 1))
        home = self._home(dice.weighted(PLACES, PLACE_WEIGHTS) if dice.chance(450) else self._place_of(person))
        spouse = self._person(other_sex, born, self._surname(), home.place, alive_on=since)
        for each in (person, spouse):
            self._move(each.subject, home)
        person, spouse = self.register.people[person.subject], self.register.people[spouse.subject]
        if generation > 1 and dice.chance(180):
            self._parents_of(spouse)
        end, cause = min(
            ((each.died, "DEATH") for each in (person, spouse) if each.died), default=(None, None), key=lambda e: e[0]
        )
        if dice.chance(190):
            parted = dice.day(since + timedelta(days=500), since + timedelta(days=9000))
            if parted <= self.last_day and (end is None or parted < end):
                end, cause = parted, "DIVORCE"
        # Reserved before the children are drawn: the last ones may find the nation full.
        self.register.marriages.append(Marriage(person.subject, spouse.subject, since, end, cause))
        mother, father = (person, spouse) if person.sex == "FEMALE" else (spouse, person)
        self._children(mother, father, since, end or self.last_day, generation, divorced=cause == "DIVORCE", home=home)
        return end

    def _children(
        self, mother: Person, father: Person, since: date, until: date, generation: int, *, divorced: bool, home: _Home
    ) -> None:
        dice = self.dice
        if generation >= GENERATIONS:
            return
        weights = next(table for before, table in _CHILDREN.items() if mother.born.year < before)
        born = dice.day(since + timedelta(days=200), since + timedelta(days=1500))
        latest = min(until, self._end(mother), self._end(father), self.last_day, _birthday(mother.born, 44))
        children: list[Person] = []
        for _ in range(dice.weighted(range(5), weights)):
            if born > latest:
                break
            adopted = dice.chance(12)
            multiple = not adopted and dice.chance(25)
            custody = "MOTHER" if divorced and dice.chance(700) else "FATHER" if divorced else "BOTH"
            for _ in range(2 if multiple else 1):
                sex = "MALE" if dice.chance(512) else "FEMALE"
                child = self._person(sex, born, father.name[0], home.place, at=home)
                children.append(child)
                self._filiation(child, mother, father, custody, adopted=adopted)
                self._birth(child, mother, multiple=multiple, adopted=adopted)
            born = dice.day(born + timedelta(days=400), born + timedelta(days=1700))
        for child in children:
            if _birthday(child.born, MAJORITY) <= self._end(child):
                self._leave(child, home)
                self._life(self.register.people[child.subject], generation + 1)

    def _filiation(self, child: Person, mother: Person, father: Person, custody: str, *, adopted: bool) -> None:
        minor = _birthday(child.born, MAJORITY) > self.register.today
        for parent, relation in ((mother, "MOTHER"), (father, "FATHER")):
            self.register.parentage.append(
                Parentage(
                    parent.subject,
                    child.subject,
                    "ADOPTIVE_PARENT" if adopted else relation,
                    custody=minor and parent.died is None and custody in {"BOTH", relation},
                )
            )

    def _birth(self, child: Person, mother: Person, *, multiple: bool, adopted: bool) -> None:
        if child.born < REGISTERED_BIRTHS_SINCE or adopted:
            return
        order = sum(tie.parent == mother.subject and tie.relation == "MOTHER" for tie in self.register.parentage)
        self.register.births[child.subject] = Birth(child.subject, order, multiple, under_protection=False)

    def _parents_of(self, child: Person) -> None:
        """The family that somebody came from: a mother and a father."""
        dice = self.dice
        since = _birthday(child.born, -dice.between(1, 6))
        home = self._home(self._place_of(child))
        born = (self._day_in(since.year - dice.between(22, 34)), self._day_in(since.year - dice.between(20, 30)))
        father = self._person("MALE", born[0], child.name[0], home.place, alive_on=child.born, at=home)
        mother = self._person("FEMALE", born[1], self._surname(), home.place, alive_on=child.born, at=home)
        ends = [each.died for each in (father, mother) if each.died]
        self.register.marriages.append(
            Marriage(father.subject, mother.subject, since, min(ends, default=None), "DEATH" if ends else None)
        )
        self._filiation(child, mother, father, "BOTH", adopted=False)

    # ------------------------------------------------------------ people

    def _person(
        self, sex: str, born: date, surname: str, place: Place, *, alive_on: date | None = None, at: _Home | None = None
    ) -> Person:
        if self.next >= self.limit:
            raise _FullError
        dice, number = self.dice, self.next
        self.next += 1
        home = at or self._home(place)
        died = self._death(born, alive_on or born)
        missing = died is None and born.year < self.register.today.year - 30 and dice.below(1500) == 0
        name = surname + dice.pick(GIVEN_NAMES[sex, naming_generation(born.year)])
        declared = dice.day(_birthday(born, 25), self.last_day) if missing else None
        final = declared + APPEAL if declared else None
        person = Person(
            subject=numbered_subject(self.register.seed, number),
            name=name,
            sex=sex,
            born=born,
            died=died,
            missing_declared_on=declared,
            address=home.address,
            municipality=home.place.municipality,
            registration_number=registration_number(born, sex, number * 7919 % SERIALS),
            protected=dice.below(700) == 0,
            missing_final_on=final if final and final <= self.last_day else None,
        )
        self.register.people[person.subject] = person
        return person

    def _death(self, born: date, alive_on: date) -> date | None:
        """The day of death, if it has come; never before the day on which the person is known to have lived."""
        dice = self.dice
        years = interpolated(_AGE_AT_DEATH, dice.below(1001)) - (4 if born.year < 1945 and dice.chance(600) else 0)
        died = born + timedelta(days=max(years, 0) * 365 + dice.below(365))
        if died <= alive_on:
            died = alive_on + timedelta(days=dice.between(300, 9000))
        return died if died <= self.last_day else None

    def _end(self, person: Person) -> date:
        """Last day on which the person could do something."""
        return person.died - timedelta(days=1) if person.died else self.last_day

    def _surname(self) -> str:
        return self.dice.weighted(SURNAMES, SURNAME_WEIGHTS)

    def _day_in(self, year: int) -> date:
        return min(date(year, 1, 1) + timedelta(days=self.dice.below(365)), self.last_day)

    # ------------------------------------------------------------ places

    def _home(self, place: Place) -> _Home:
        dice = self.dice
        unit = ""
        if not place.rural and dice.chance(720):
            unit = f"{dice.between(101, 118)}동 {dice.between(1, 24)}0{dice.between(1, 6)}호"
        return _Home(place, place.road_address(dice.pick(place.roads), dice.between(1, 480), unit))

    def _place_of(self, person: Person) -> Place:
        return next(place for place in PLACES if place.municipality == person.municipality)

    def _move(self, subject: Subject, home: _Home) -> None:
        person = self.register.people[subject]
        self.register.people[subject] = replace(person, address=home.address, municipality=home.place.municipality)

    def _leave(self, child: Person, home: _Home) -> None:
        """Grown-up children mostly leave, and more often for the large cities."""
        if self.dice.chance(650):
            place = self.dice.weighted(PLACES, PLACE_WEIGHTS) if self.dice.chance(550) else home.place
            self._move(child.subject, self._home(place))

    # ------------------------------------------------------------ courts

    def _courts(self) -> None:
        """Guardians of the very old; what was declared and disputed about estates opened within the year."""
        dice, register = self.dice, self.register
        for subject, person in register.people.items():
            if person.died is None:
                if person.born.year < register.today.year - 78 and dice.chance(25):
                    self._guardian(person)
            elif person.died > self.last_day - timedelta(days=365):
                self._estate(subject, person.died)

    def _guardian(self, ward: Person) -> None:
        living = [
            tie.child
            for tie in self.register.ties(ward.subject).children
            if self.register.people[tie.child].died is None
        ]
        if living:
            since = self.dice.day(self.last_day - timedelta(days=1500), self.last_day)
            agencies = ("LAND", "FINANCE", "PENSIONS", "HEALTH")[: self.dice.between(2, 4)]
            order = f"{since.year}느단{self.dice.between(10000, 29999)}"
            self.register.guardianships.append(
                Guardianship(ward.subject, living[0], since, None, agencies, "AMOUNT", order)
            )

    def _estate(self, deceased: Subject, died: date) -> None:
        dice, register = self.dice, self.register
        for tie in register.ties(deceased).children:
            child = register.people[tie.child]
            throw = dice.below(1000)
            if child.died is None and _birthday(child.born, MAJORITY) < died and throw < 170:
                kind = "RENUNCIATION" if throw < 90 else "LIMITED_ACCEPTANCE" if throw < 166 else "DISQUALIFICATION"
                on = dice.day(
                    min(died + timedelta(days=10), self.last_day), min(died + timedelta(days=88), self.last_day)
                )
                register.declarations.append(Declaration(deceased, tie.child, kind, on))
        if dice.chance(30):
            register.disputes.append(Dispute(deceased, dice.day(died, self.last_day), None))
        if dice.chance(40) and (spouses := register.ties(deceased).marriages):
            holder = spouses[-1].a if spouses[-1].b == deceased else spouses[-1].b
            if register.people[holder].died is None:
                on = dice.day(died, self.last_day)
                document = f"{on.year} 유언검인 제{dice.between(100, 2999)}호"
                register.appointments.append(Appointment(deceased, holder, "EXECUTOR", on, document))


def _birthday(born: date, years: int) -> date:
    """The birthday so many years later (or earlier); 1 March for 29 February."""
    try:
        return born.replace(year=born.year + years)
    except ValueError:
        return date(born.year + years, 3, 1)


def households(seed: int, people: int, today: date) -> Iterator[Nation]:
    """The generated families one by one, `people` persons in all; each is a register of its own."""
    drawn = number = 0
    while drawn < people:
        family = _Family(seed, number, drawn, people, today).drawn()
        drawn += len(family.people)
        number += 1
        yield family


def nation(seed: int, people: int, today: date) -> Nation:
    """Everybody: `people` generated persons, and the personas with their families beside them."""
    everybody = families(today)
    everybody.seed = seed
    for family in households(seed, people, today):
        everybody.people.update(family.people)
        everybody.parentage += family.parentage
        everybody.marriages += family.marriages
        everybody.guardianships += family.guardianships
        everybody.declarations += family.declarations
        everybody.appointments += family.appointments
        everybody.disputes += family.disputes
        everybody.births.update(family.births)
    return everybody
