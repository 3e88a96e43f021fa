"""The personas: people with stable names, whatever the seed, each in a family of their own (docs/personas.md).

Who they are depends on nothing, and what is true of them only on the day `today`. What the agencies hold of their dead
and of their children is written out in persona_holdings.py.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from sandbox.facts import (
    Appointment,
    Birth,
    Declaration,
    Fault,
    Faults,
    Guardianship,
    Marriage,
    Nation,
    Parentage,
    Person,
    ProtectionOrder,
    Subject,
)
from sandbox.identifiers import persona_subject, registration_number
from sandbox.tables import PLACES, rows


@dataclass(frozen=True, slots=True)
class PersonaRecord:
    """One persona: what a token says of them, and whom their case is about."""

    name: str
    subject: Subject
    roles: tuple[str, ...]
    office: str | None
    agency: str | None
    title: str
    description_en: str
    description_ko: str
    kind: str | None = None  # ESTATE BIRTH
    about: tuple[Subject, ...] = ()  # the deceased, or the children


PERSONAS: Final = {
    row["name"]: PersonaRecord(
        name=row["name"],
        subject=persona_subject(row["name"]),
        roles=(row["role"],),
        office=row["office"] or None,
        agency=row["agency"] or None,
        title=row["title"],
        description_en=row["description_en"],
        description_ko=row["description_ko"],
        kind=row["kind"] or None,
        about=tuple(persona_subject(f"{row['name']}/{role}") for role in row["about"].split(";") if role),
    )
    for row in rows("personas")
}

DIED_DAYS_AGO: Final = {
    "heir": 70,
    "heir-in-debt": 63,
    "heir-substitute": 56,
    "heir-second-rank": 49,
    "sibling": 77,
    "renounced": 91,
    "executor": 98,
    "protected-person": 42,
}
BORN_DAYS_AGO: Final = {"parent": 35, "parent-of-twins": 122, "protected-birth": 20}


class _Register:
    """Writes families down; a key without a slash is the persona, `role` somebody in the persona's family."""

    def __init__(self, persona: str, nation: Nation) -> None:
        self.persona = persona
        self.nation = nation
        self.today = nation.today

    def key(self, role: str) -> str:
        return self.persona if role == self.persona else f"{self.persona}/{role}"

    def subject(self, role: str) -> Subject:
        return persona_subject(self.key(role))

    def day(self, years_ago: int, month: int, day: int) -> date:
        return date(self.today.year - years_ago, month, day)

    def person(
        self,
        role: str,
        name: str,
        sex: str,
        born: date,
        home: str,
        *,
        died: date | None = None,
        protected: bool = False,
    ) -> Subject:
        town, road, number, unit = home.split("|")
        place = next(place for place in PLACES if town in {place.town, place.ri})
        subject = self.subject(role)
        self.nation.people[subject] = Person(
            subject=subject,
            name=name,
            sex=sex,
            born=born,
            died=died,
            missing_declared_on=None,
            address=place.road_address(road, int(number), unit),
            municipality=place.municipality,
            # Numbers from 900000 are kept for the personas; generated people stay below.
            registration_number=registration_number(born, sex, 900_000 + len(self.nation.people)),
            protected=protected,
        )
        return subject

    def child(self, child: str, *, mother: str | None = None, father: str | None = None, custody: bool = False) -> None:
        """Custody is of the living."""
        for parent, relation in ((mother, "MOTHER"), (father, "FATHER")):
            if parent is not None:
                subject = self.subject(parent)
                alive = self.nation.people[subject].died is None
                self.nation.parentage.append(
                    Parentage(subject, self.subject(child), relation, custody=custody and alive)
                )

    def marriage(self, a: str, b: str, since: date, until: date | None = None, ended_by: str | None = None) -> None:
        self.nation.marriages.append(Marriage(self.subject(a), self.subject(b), since, until, ended_by))


def _heir(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["heir"])
    home = "상계동|상계로|128|104동 1203호"
    to.person("deceased", "이정호", "MALE", to.day(76, 3, 2), home, died=died)
    to.person("spouse", "박순영", "FEMALE", to.day(73, 7, 19), home)
    to.person("heir", "이서연", "FEMALE", to.day(45, 5, 8), "상계동|동일로|1405|302호")
    to.person("co-heir", "이준호", "MALE", to.day(42, 11, 23), "영통동|청명로|77|211동 804호")
    to.person("son-in-law", "최민석", "MALE", to.day(46, 2, 14), "상계동|동일로|1405|302호")
    to.person("granddaughter", "최하린", "FEMALE", to.day(11, 9, 3), "상계동|동일로|1405|302호")
    to.person("grandfather", "이덕수", "MALE", to.day(103, 1, 25), "봉양리|정선로|41|", died=to.day(31, 2, 11))
    to.person("grandmother", "김복례", "FEMALE", to.day(99, 12, 5), "봉양리|정선로|41|", died=to.day(18, 8, 30))
    to.person("uncle", "이경환", "MALE", to.day(70, 6, 17), "봉양리|봉양3길|12|")
    to.child("deceased", mother="grandmother", father="grandfather")
    to.child("uncle", mother="grandmother", father="grandfather")
    to.child("heir", mother="spouse", father="deceased")
    to.child("co-heir", mother="spouse", father="deceased")
    to.child("granddaughter", mother="heir", father="son-in-law", custody=True)
    to.marriage("grandfather", "grandmother", to.day(79, 3, 1), to.day(31, 2, 11), "DEATH")
    to.marriage("deceased", "spouse", to.day(48, 4, 22), died, "DEATH")
    to.marriage("heir", "son-in-law", to.day(15, 10, 9))


def _heir_in_debt(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["heir-in-debt"])
    home = "동삼동|태종로|412|"
    to.person("deceased", "강상민", "MALE", to.day(59, 8, 15), home, died=died)
    to.person("spouse", "정미영", "FEMALE", to.day(57, 1, 30), home)
    to.person("heir-in-debt", "강도현", "MALE", to.day(29, 4, 4), "부전동|중앙대로|690|1508호")
    to.child("heir-in-debt", mother="spouse", father="deceased")
    to.marriage("deceased", "spouse", to.day(32, 5, 20), died, "DEATH")


def _heir_substitute(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["heir-substitute"])
    earlier = to.day(3, 6, 9)
    home = "복대동|가경로|55|107동 902호"
    to.person("deceased", "노병철", "MALE", to.day(79, 10, 10), home, died=died)
    to.person("spouse", "홍경자", "FEMALE", to.day(77, 3, 27), home)
    to.person("son", "노진우", "MALE", to.day(51, 2, 2), "불당동|불당대로|230|501동 1502호")
    to.person("daughter", "노은주", "FEMALE", to.day(48, 12, 24), "나성동|한누리대로|350|710동 1101호")
    to.person("late-son", "노경수", "MALE", to.day(45, 7, 7), home, died=earlier)
    to.person("heir-substitute", "윤미경", "FEMALE", to.day(43, 9, 18), "복대동|대농로|17|102동 304호")
    to.person("grandchild", "노하윤", "FEMALE", to.day(11, 3, 11), "복대동|대농로|17|102동 304호")
    for child in ("son", "daughter", "late-son"):
        to.child(child, mother="spouse", father="deceased")
    to.child("grandchild", mother="heir-substitute", father="late-son", custody=True)
    to.marriage("deceased", "spouse", to.day(53, 11, 3), died, "DEATH")
    to.marriage("late-son", "heir-substitute", to.day(13, 5, 12), earlier, "DEATH")


def _heir_second_rank(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["heir-second-rank"])
    home = "풍덕천동|수지로|112|308동 605호"
    parents = "효자동2가|서곡로|21|103동 201호"
    to.person("deceased", "남우진", "MALE", to.day(36, 1, 16), home, died=died)
    to.person("spouse", "양수진", "FEMALE", to.day(35, 6, 29), home)
    to.person("heir-second-rank", "한정숙", "FEMALE", to.day(64, 10, 1), parents)
    to.person("father", "남성호", "MALE", to.day(66, 2, 20), parents)
    to.child("deceased", mother="heir-second-rank", father="father")
    to.marriage("father", "heir-second-rank", to.day(40, 3, 8))
    to.marriage("deceased", "spouse", to.day(6, 10, 17), died, "DEATH")


def _sibling(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["sibling"])
    home = "군내리|장보고대로|88|"
    to.person("deceased", "오재근", "MALE", to.day(63, 4, 11), home, died=died)
    to.person("father", "오광호", "MALE", to.day(94, 8, 8), home, died=to.day(20, 3, 30))
    to.person("mother", "문금순", "FEMALE", to.day(90, 5, 5), home, died=to.day(12, 11, 13))
    to.person("second-wife", "허옥희", "FEMALE", to.day(80, 2, 17), "조례동|왕지로|63|", died=to.day(5, 7, 21))
    to.person("sibling", "오승환", "MALE", to.day(58, 12, 19), "학동|여문로|150|402호")
    to.person("half-brother", "오태영", "MALE", to.day(48, 6, 6), "조례동|왕지로|63|")
    to.person("late-sister", "오경희", "FEMALE", to.day(61, 9, 9), home, died=to.day(8, 1, 25))
    to.person("brother-in-law", "전기현", "MALE", to.day(62, 10, 28), "조례동|백강로|9|")
    to.person("niece", "전지영", "FEMALE", to.day(34, 3, 14), "용봉동|용봉로|77|")
    to.person("younger-niece", "전수아", "FEMALE", to.day(30, 8, 2), "용봉동|설죽로|310|")
    for child in ("deceased", "sibling", "late-sister"):
        to.child(child, mother="mother", father="father")
    to.child("half-brother", mother="second-wife", father="father")
    for child in ("niece", "younger-niece"):
        to.child(child, mother="late-sister", father="brother-in-law")
    to.marriage("father", "mother", to.day(65, 4, 1), to.day(51, 9, 15), "DIVORCE")
    to.marriage("father", "second-wife", to.day(49, 2, 10), to.day(20, 3, 30), "DEATH")
    # Divorced before she died: he does not stand in her place.
    to.marriage("late-sister", "brother-in-law", to.day(36, 5, 30), to.day(15, 6, 18), "DIVORCE")


def _renounced(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["renounced"])
    home = "대명동|대명로|201|"
    to.person("deceased", "권명숙", "FEMALE", to.day(67, 11, 11), home, died=died)
    to.person("father", "신영길", "MALE", to.day(70, 4, 19), "범어동|달구벌대로|2410|")
    to.person("renounced", "신재현", "MALE", to.day(35, 2, 26), "범어동|동대구로|330|905호")
    to.person("sister", "신혜원", "FEMALE", to.day(38, 7, 13), "범어동|동대구로|141|1204호")
    for child in ("renounced", "sister"):
        to.child(child, mother="deceased", father="father")
    to.marriage("deceased", "father", to.day(41, 10, 10), to.day(14, 5, 2), "DIVORCE")
    to.nation.declarations.append(
        Declaration(to.subject("deceased"), to.subject("renounced"), "RENUNCIATION", to.today - timedelta(days=20))
    )


def _executor(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["executor"])
    home = "반포동|사평대로|205|12동 701호"
    to.person("deceased", "심정희", "FEMALE", to.day(82, 9, 20), home, died=died)
    to.person("husband", "하만복", "MALE", to.day(85, 3, 3), home, died=to.day(7, 12, 1))
    to.person("son", "하동현", "MALE", to.day(55, 8, 30), "대치동|도곡로|408|603호")
    to.person("daughter", "하소영", "FEMALE", to.day(52, 1, 9), "잠실동|석촌호수로|61|")
    to.person("executor", "문혜경", "FEMALE", to.day(50, 5, 25), "역삼동|언주로|540|")
    for child in ("son", "daughter"):
        to.child(child, mother="deceased", father="husband")
    to.marriage("deceased", "husband", to.day(57, 6, 6), to.day(7, 12, 1), "DEATH")
    to.nation.appointments.append(
        Appointment(
            to.subject("deceased"),
            to.subject("executor"),
            "EXECUTOR",
            died + timedelta(days=21),
            f"{died.year} 유언검인 제1042호",
        )
    )


def _proxy(to: _Register) -> None:
    to.person("proxy", "백지훈", "MALE", to.day(42, 1, 5), "영통동|봉영로|1590|")


def _parent(to: _Register) -> None:
    born = to.today - timedelta(days=BORN_DAYS_AGO["parent"])
    home = "봉양리|봉양3길|21|"
    to.person("parent", "최유진", "FEMALE", to.day(31, 3, 21), home)
    to.person("father", "김건우", "MALE", to.day(33, 12, 12), home)
    to.person("child", "김하늘", "FEMALE", born, home)
    to.child("child", mother="parent", father="father", custody=True)
    to.marriage("parent", "father", to.day(2, 5, 4))
    to.nation.births[to.subject("child")] = Birth(to.subject("child"), 1, multiple=False, under_protection=False)


def _parent_of_twins(to: _Register) -> None:
    born = to.today - timedelta(days=BORN_DAYS_AGO["parent-of-twins"])
    home = "다산동|다산중앙로|82|2204동 1701호"
    to.person("parent-of-twins", "임지현", "FEMALE", to.day(36, 8, 24), home)
    to.person("father", "조현우", "MALE", to.day(37, 4, 30), home)
    to.person("first-child", "조도윤", "MALE", to.day(5, 1, 27), home)
    to.person("child", "조시우", "MALE", born, home)
    to.person("second-child", "조이서", "FEMALE", born, home)
    for order, child in enumerate(("first-child", "child", "second-child"), start=1):
        to.child(child, mother="parent-of-twins", father="father", custody=True)
        to.nation.births[to.subject(child)] = Birth(
            to.subject(child), order, multiple=order > 1, under_protection=False
        )
    to.marriage("parent-of-twins", "father", to.day(8, 9, 15))


def _protected_birth(to: _Register) -> None:
    born = to.today - timedelta(days=BORN_DAYS_AGO["protected-birth"])
    home = "부전동|부전로|66|"
    to.person("protected-birth", "서광호", "MALE", to.day(54, 6, 3), "부전동|중앙대로|690|301호")
    to.person("child", "서로운", "MALE", born, home)
    ward = to.subject("child")
    to.nation.births[ward] = Birth(ward, 1, multiple=False, under_protection=True)
    to.nation.guardianships.append(
        Guardianship(
            ward=ward,
            guardian=to.subject("protected-birth"),
            since=born + timedelta(days=9),
            until=None,
            agencies=("REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES"),
            sensitivity="AMOUNT",
            order=f"{born.year}느단20417",
        )
    )


def _officials(to: _Register) -> None:
    for name, called, sex, years in (
        ("case-officer", "조성민", "MALE", 39),
        ("other-office", "장경수", "MALE", 47),
        ("curious-official", "황동욱", "MALE", 34),
        ("welfare-officer", "안미영", "FEMALE", 44),
        ("privacy-officer", "송현정", "FEMALE", 49),
    ):
        to.persona = name
        to.person(name, called, sex, to.day(years, 2, years % 28 + 1), f"상계동|동일로|{1000 + years}|")


def _stranger(to: _Register) -> None:
    home = "노형동|노형로|400|"
    to.person("stranger", "류상우", "MALE", to.day(40, 9, 27), home)
    to.person("mother", "손명희", "FEMALE", to.day(66, 1, 13), home)
    to.child("stranger", mother="mother")


def _protected_person(to: _Register) -> None:
    died = to.today - timedelta(days=DIED_DAYS_AGO["protected-person"])
    to.person("deceased", "허은영", "FEMALE", to.day(53, 5, 31), "퇴계동|퇴계로|88|", died=died, protected=True)
    to.person("protected-person", "배수빈", "FEMALE", to.day(27, 10, 23), "교동|율곡로|2901|")
    to.child("protected-person", mother="deceased")


def _missing(to: _Register) -> None:
    """No persona: a man declared missing 80 days ago. His wife and son inherit; his mother survives him."""
    home = "봉양리|봉양3길|33|"
    missing = to.person("absent", "곽태식", "MALE", to.day(58, 5, 17), home)
    declared = to.today - timedelta(days=80)
    to.nation.people[missing] = replace(
        to.nation.people[missing], missing_declared_on=declared, missing_final_on=declared + timedelta(days=15)
    )
    to.person("wife", "엄현주", "FEMALE", to.day(56, 2, 8), home)
    to.person("son", "곽민재", "MALE", to.day(28, 9, 12), home)
    to.person("mother", "방말자", "FEMALE", to.day(83, 4, 6), home)
    to.child("absent", mother="mother")
    to.child("son", mother="wife", father="absent")
    to.marriage("absent", "wife", to.day(31, 3, 15))
    to.nation.declarations.append(
        Declaration(missing, to.subject("son"), "VEHICLE_TAKEOVER", to.today - timedelta(days=30))
    )


def _under_order(to: _Register) -> None:
    """No persona: a newborn whose mother an order protects from the father."""
    born = to.today - timedelta(days=40)
    to.person("mother", "도예진", "FEMALE", to.day(29, 7, 7), "교동|율곡로|2844|")
    to.person("father", "변상훈", "MALE", to.day(34, 10, 20), "퇴계동|퇴계로|140|")
    to.person("child", "변지안", "FEMALE", born, "교동|율곡로|2844|")
    to.child("child", mother="mother", father="father", custody=True)
    to.marriage("mother", "father", to.day(3, 4, 18))
    to.nation.births[to.subject("child")] = Birth(to.subject("child"), 1, multiple=False, under_protection=False)
    to.nation.protection_orders.append(
        ProtectionOrder(to.subject("mother"), to.subject("father"), born + timedelta(days=10), None)
    )


def families(today: date) -> Nation:
    """Everybody in the personas' families (and two more), and what the register holds; the same for every seed."""
    register = Nation(seed=0, today=today)
    for name, write in (
        ("heir", _heir),
        ("heir-in-debt", _heir_in_debt),
        ("heir-substitute", _heir_substitute),
        ("heir-second-rank", _heir_second_rank),
        ("sibling", _sibling),
        ("renounced", _renounced),
        ("executor", _executor),
        ("proxy", _proxy),
        ("parent", _parent),
        ("parent-of-twins", _parent_of_twins),
        ("protected-birth", _protected_birth),
        ("case-officer", _officials),
        ("stranger", _stranger),
        ("protected-person", _protected_person),
        ("missing", _missing),
        ("under-order", _under_order),
    ):
        write(_Register(name, register))
    register.personas.update({name: record.subject for name, record in PERSONAS.items()})
    return register


@lru_cache(maxsize=8)
def _subjects(today: date) -> frozenset[Subject]:
    return frozenset(families(today).people)


def is_of_a_persona(subject: Subject, today: date) -> bool:
    """Tell whether somebody is a persona or of a persona's family."""
    return subject in _subjects(today)


def faults(today: date) -> Faults:
    """Faults that agencies have from the start, by (agency, person): docs/personas.md."""
    return {
        ("FINANCE", persona_subject("heir-second-rank/deceased")): (
            Fault("LATE", expected_by=today + timedelta(days=12)),
        ),
        ("FINANCE", persona_subject("heir-substitute/deceased")): (Fault("FAILED", institution="088"),),
        ("PENSIONS", persona_subject("executor/deceased")): (
            Fault("LATE", expected_by=today + timedelta(days=13), institution="KTCU"),
        ),
    }
