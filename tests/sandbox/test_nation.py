"""The synthetic nation: the same on every machine, sound as a register, plausible as a population."""

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest

from sandbox.facts import Marriage, Nation, Subject
from sandbox.holdings import holdings
from sandbox.identifiers import sector_id
from sandbox.nation import households, nation
from sandbox.tables import PLACES, place_at

TODAY = date(2026, 11, 21)
LAST_DAY = TODAY - timedelta(days=2)
ROOT = Path(__file__).parents[2]
DIGEST = "210c2b29d7e66ca20d0931e0195acc63bc046885f404f73fd7b0c9cd11690830"
DUMP = """
import hashlib, sys
from datetime import date
from sandbox.holdings import holdings
from sandbox.nation import nation
everybody = nation(7, 300, date(2026, 11, 21))
digest = hashlib.sha256(repr(everybody).encode())
for subject in sorted(everybody.people):
    digest.update(repr(holdings(everybody, subject)).encode())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def everybody() -> Nation:
    return nation(7, 6000, TODAY)


def dump(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DUMP], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    assert [dump("0"), dump("4242")] == [DIGEST, DIGEST]


def test_another_seed_gives_other_people_and_the_same_personas() -> None:
    one, other = nation(1, 200, TODAY), nation(2, 200, TODAY)
    generated = one.people.keys() & other.people.keys()
    assert all(one.people[subject] == other.people[subject] for subject in generated)
    assert len(generated) < 100
    assert one.personas == other.personas
    assert all(holdings(one, subject) == holdings(other, subject) for subject in generated)


@pytest.mark.parametrize("people", [0, 1, 7, 333])
def test_a_nation_has_exactly_the_people_asked_for_beside_the_personas_families(people: int) -> None:
    assert sum(len(family.people) for family in households(5, people, TODAY)) == people
    assert len(nation(5, people, TODAY).people) == people + len(nation(5, 0, TODAY).people)


def test_holdings_do_not_depend_on_the_order_of_asking_or_on_the_rest_of_the_nation() -> None:
    whole = nation(7, 500, TODAY)
    forward = {subject: holdings(whole, subject) for subject in whole.people}
    again = nation(7, 500, TODAY)
    assert {subject: holdings(again, subject) for subject in reversed(again.people)} == forward
    for family in islice(households(7, 500, TODAY), 40):
        for subject in family.people:
            assert holdings(family, subject) == forward[subject]


def test_a_small_nation_is_the_beginning_of_a_large_one() -> None:
    small, large = list(households(7, 400, TODAY)), list(islice(households(7, 4000, TODAY), 30))
    assert small[:20] == large[:20]


def test_subjects_and_registration_numbers_are_unique_and_nobodys(everybody: Nation) -> None:
    numbers = [person.registration_number for person in everybody.people.values()]
    assert len(set(numbers)) == len(numbers)
    for person in everybody.people.values():
        assert len(person.subject) == 26
        assert set(person.subject) <= set("abcdefghijklmnopqrstuvwxyz234567")
        day, serial = person.registration_number.split("-")
        assert day == f"{person.born.year % 100:02d}0231"
        assert (
            serial[0]
            == {("MALE", True): "1", ("FEMALE", True): "2", ("MALE", False): "3", ("FEMALE", False): "4"}[
                person.sex, person.born.year < 2000
            ]
        )
        assert len(serial) == 7


def test_sector_identifiers_differ_between_agencies_and_hide_the_subject(everybody: Nation) -> None:
    subject = next(iter(everybody.people))
    agencies = ("REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES", "WELFARE")
    ids = [sector_id(agency, subject) for agency in agencies]
    assert [each[:5] for each in ids] == ["reg1_", "lan1_", "fin1_", "pen1_", "tax1_", "hea1_", "veh1_", "wel1_"]
    assert len({each[5:] for each in ids}) == len(ids)
    assert all(len(each) == 31 for each in ids)
    assert sector_id("LAND", subject, hashlib.sha256(b"another root").digest()) != ids[1]


def test_nothing_happens_after_the_day_before_yesterday(everybody: Nation) -> None:
    days = [person.born for person in everybody.people.values()]
    days += [person.died for person in everybody.people.values() if person.died]
    days += [person.missing_declared_on for person in everybody.people.values() if person.missing_declared_on]
    days += [day for marriage in everybody.marriages for day in (marriage.since, marriage.until) if day]
    days += [each.since for each in everybody.guardianships] + [each.since for each in everybody.protection_orders]
    days += [person.missing_final_on for person in everybody.people.values() if person.missing_final_on]
    days += [each.on for each in everybody.declarations] + [each.on for each in everybody.appointments]
    days += [each.opened_on for each in everybody.disputes]
    assert max(days) <= LAST_DAY
    assert max(person.born for person in everybody.people.values()) > LAST_DAY - timedelta(days=60)


def test_births_and_deaths_reach_up_to_the_day_before_yesterday_and_no_further() -> None:
    latest = []
    for day in (TODAY + timedelta(days=3 * number) for number in range(14)):
        people = [person for family in households(7, 4000, day) for person in family.people.values()]
        latest.append(max((person.died or person.born) - day for person in people))
    assert max(latest) == timedelta(days=-2)


def test_everybody_named_in_the_register_is_in_it_and_died_after_being_born(everybody: Nation) -> None:
    named: set[Subject] = {subject for tie in everybody.parentage for subject in (tie.parent, tie.child)}
    named |= {subject for marriage in everybody.marriages for subject in (marriage.a, marriage.b)}
    named |= {subject for each in everybody.guardianships for subject in (each.ward, each.guardian)}
    named |= {subject for each in everybody.protection_orders for subject in (each.protected, each.against)}
    named |= {subject for each in everybody.declarations for subject in (each.deceased, each.heir)}
    named |= {subject for each in everybody.appointments for subject in (each.deceased, each.holder)}
    assert named | everybody.births.keys() | set(everybody.personas.values()) <= everybody.people.keys()
    assert all(person.died is None or person.died > person.born for person in everybody.people.values())
    declared_dead = {each.deceased for each in everybody.declarations} | {each.deceased for each in everybody.disputes}
    assert all(everybody.people[each].died or everybody.people[each].missing_final_on for each in declared_dead)


def test_parents_are_older_by_thirteen_years_alive_at_the_birth_and_never_their_own_ancestors(
    everybody: Nation,
) -> None:
    people = everybody.people
    for tie in everybody.parentage:
        parent, child = people[tie.parent], people[tie.child]
        assert (child.born - parent.born).days >= 13 * 365
        if tie.relation == "MOTHER":
            assert parent.died is None or parent.died >= child.born
            assert parent.sex == "FEMALE"
    for subject in people:
        relations = Counter(tie.relation for tie in everybody.ties(subject).parents)
        assert relations["MOTHER"] <= 1
        assert relations["FATHER"] <= 1
        assert relations.total() <= 2


def test_marriages_are_between_living_adults_and_do_not_overlap(everybody: Nation) -> None:
    of_each: dict[Subject, list[Marriage]] = defaultdict(list)
    for marriage in everybody.marriages:
        for subject in (marriage.a, marriage.b):
            of_each[subject].append(marriage)
            person = everybody.people[subject]
            assert (marriage.since - person.born).days >= 18 * 365
            assert person.died is None or marriage.since <= person.died
            assert person.died is None or (marriage.until is not None and marriage.until <= person.died)
        assert (marriage.until is None) == (marriage.ended_by is None)
        if marriage.ended_by == "DEATH":
            assert marriage.until in {everybody.people[marriage.a].died, everybody.people[marriage.b].died}
    for marriages in of_each.values():
        for earlier, later in pairwise(sorted(marriages, key=lambda each: each.since)):
            assert earlier.until is not None
            assert earlier.until <= later.since


def test_families_have_three_or_four_generations_divorces_half_siblings_adoptions_and_twins(everybody: Nation) -> None:
    depths: Counter[int] = Counter()
    for family in islice(households(7, 6000, TODAY), 400):
        depth = dict.fromkeys(family.people, 1)
        for subject in sorted(family.people, key=lambda each: family.people[each].born):
            for tie in family.ties(subject).parents:
                depth[subject] = max(depth[subject], depth[tie.parent] + 1)
        depths[max(depth.values())] += 1
    assert depths[3] > 20
    assert depths[4] > 5
    assert max(depths) == 4
    assert sum(marriage.ended_by == "DIVORCE" for marriage in everybody.marriages) > 100
    assert sum(tie.relation == "ADOPTIVE_PARENT" for tie in everybody.parentage) > 20
    assert sum(birth.multiple for birth in everybody.births.values()) > 10
    mothers = {tie.child: tie.parent for tie in everybody.parentage if tie.relation == "MOTHER"}
    fathers = {tie.child: tie.parent for tie in everybody.parentage if tie.relation == "FATHER"}
    mothers_of: dict[Subject, set[Subject]] = defaultdict(set)
    for child, father in fathers.items():
        mothers_of[father].add(mothers.get(child, father))
    assert sum(len(each) > 1 for each in mothers_of.values()) > 3


def test_ages_regions_and_deaths_are_plausible(everybody: Nation) -> None:
    ages = sorted((TODAY - person.born).days // 365 for person in everybody.people.values() if person.died is None)
    assert 34 <= ages[len(ages) // 2] <= 50
    assert 0.11 <= sum(age >= 65 for age in ages) / len(ages) <= 0.27
    assert 0.07 <= sum(age < 15 for age in ages) / len(ages) <= 0.17
    assert ages[-1] <= 106
    provinces = Counter(person.municipality[:2] for person in everybody.people.values())
    assert provinces["11"] + provinces["41"] + provinces["28"] > 0.38 * len(everybody.people)
    assert len(provinces) == 17
    year = timedelta(days=365)
    died = sum(person.died is not None and person.died > LAST_DAY - year for person in everybody.people.values())
    assert 0.004 <= died / len(ages) <= 0.013
    surnames = Counter(person.name[0] for person in everybody.people.values())
    assert 0.17 <= surnames["김"] / len(everybody.people) <= 0.30


def test_the_table_of_places_is_of_real_shape_and_every_address_lies_in_it(everybody: Nation) -> None:
    provinces = {
        "11": "서울특별시", "26": "부산광역시", "27": "대구광역시", "28": "인천광역시", "29": "광주광역시",
        "30": "대전광역시", "31": "울산광역시", "36": "세종특별자치시", "41": "경기도", "43": "충청북도",
        "44": "충청남도", "46": "전라남도", "47": "경상북도", "48": "경상남도", "50": "제주특별자치도",
        "51": "강원특별자치도", "52": "전북특별자치도",
    }  # fmt: skip
    assert {place.code[:2]: place.province for place in PLACES} == provinces
    assert len({place.municipality for place in PLACES}) >= 40
    assert sum(place.depopulation for place in PLACES) >= 10
    assert all(len(place.code) == 10 and place.code.isdigit() for place in PLACES)
    # A ri has a code of its own below its eup or myeon; a dong of a city has none.
    assert all((place.code[8:] != "00") == bool(place.ri) for place in PLACES)
    for person in everybody.people.values():
        place = place_at(person.municipality, person.address)
        assert person.municipality == place.code[:5]
        assert person.address.startswith(place.district)


def test_births_say_their_order_and_minors_live_with_somebody_who_has_custody(everybody: Nation) -> None:
    for subject, birth in everybody.births.items():
        assert everybody.people[subject].born >= date(2008, 1, 1)
        assert birth.order >= 1
        assert birth.under_protection == (not everybody.ties(subject).parents)
    for tie in everybody.parentage:
        if tie.custody:
            assert (TODAY - everybody.people[tie.child].born).days < 19 * 366
            assert everybody.people[tie.parent].died is None
