"""What is held: every identifier valid in form, every day and sum possible, and distributions as one would expect."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest

from sandbox.children import checkups, immunizations
from sandbox.facts import Holdings, Nation, Person, Vehicle
from sandbox.holdings import holdings
from sandbox.holdings.profile import profile
from sandbox.identifiers import is_isin, is_vin, isin, vin
from sandbox.nation import nation
from sandbox.tables import CATEGORIES, INSTITUTIONS, PLACES, place_at

TODAY = date(2026, 11, 21)
LAST_DAY = TODAY - timedelta(days=2)
DUE = {"due_on", "due_from", "due_until", "claim_by", "expires_on", "inspection_valid_until", "insurance_valid_until"}
"""Days that may lie ahead."""
SYLLABLES = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주"
NATIONAL = "종합소득세 양도소득세 상속세 증여세 부가가치세 종합부동산세 인지세"
LOCAL = "취득세 등록면허세 레저세 담배소비세 지방소비세 주민세 지방소득세 재산세 자동차세 지역자원시설세 지방교육세"
BANK_CODES = "002 003 004 007 011 012 020 023 027 031 032 034 035 037 039 045 048 050 064 071 081 088 089 090 092"
SECURITIES_CODES = "209 218 230 240 243 247 264 267 271 278 280 287 288"


@pytest.fixture(scope="module")
def everybody() -> Nation:
    return nation(11, 5000, TODAY)


@pytest.fixture(scope="module")
def held(everybody: Nation) -> list[tuple[Person, Holdings]]:
    return [(person, holdings(everybody, subject)) for subject, person in everybody.people.items()]


Held = list[tuple[Person, Holdings]]


def values(record: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every attribute below, with its name."""
    if is_dataclass(record):
        for each in fields(record):
            yield from values(getattr(record, each.name), each.name)
    elif isinstance(record, tuple):
        for each in record:
            yield from values(each, name)
    else:
        yield name, record


def test_days_are_past_unless_something_is_due_and_money_is_exact_in_every_language(held: Held) -> None:
    for _, facts in held:
        for name, value in values(facts):
            if isinstance(value, date) and name not in DUE:
                assert value <= LAST_DAY, name
            elif isinstance(value, int):
                assert 0 <= value < 2**53, name
            elif isinstance(value, Decimal):
                assert value > 0, name
            elif isinstance(value, Fraction):
                assert 0 < value <= 1, name


def test_what_the_dead_hold_dates_from_their_lives(held: Held) -> None:
    """Fines and notices may fall due later; a letter may come to the dead."""
    for person, facts in held:
        acquired = [parcel.acquired_on for parcel in facts.land.parcels if parcel.acquired_on] if facts.land else []
        registered = [vehicle.first_registered_on for vehicle in facts.vehicles.vehicles] if facts.vehicles else []
        for day in (*acquired, *registered):
            assert person.born < day <= (person.died or LAST_DAY)
        if facts.health and facts.health.eligibility and person.died:
            assert facts.health.eligibility.valid_until == person.died


def test_parcels_have_pnus_that_fit_their_address_ledger_and_category(held: Held) -> None:
    codes = {place.code: place for place in PLACES}
    seen = set()
    for _, facts in held:
        for parcel in facts.land.parcels if facts.land else ():
            assert re.fullmatch(r"\d{19}", parcel.pnu)
            place = codes[parcel.pnu[:10]]
            assert parcel.pnu[10] == {"LAND": "1", "FOREST": "2"}[parcel.ledger]
            main, sub = int(parcel.pnu[11:15]), int(parcel.pnu[15:])
            assert main > 0
            assert parcel.address == place.lot_address(parcel.ledger, main, sub)
            assert (" 산 " in parcel.address) == (parcel.ledger == "FOREST")
            assert parcel.category in CATEGORIES
            assert (parcel.price_per_m2 is None) == (parcel.price_year is None)
            seen.add(parcel.category)
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 28
    assert len(seen) >= 25


def test_buildings_stand_on_plots_of_their_dong(held: Held) -> None:
    for _, facts in held:
        for building in facts.land.buildings if facts.land else ():
            assert re.fullmatch(r"\d{19}", building.pnu)
            assert re.fullmatch(r"\d{5}-\d{9}", building.register_number)
            assert place_at(building.pnu[:5], building.address).code == building.pnu[:10]


def test_a_couple_owns_its_home_together(everybody: Nation) -> None:
    halves = 0
    for marriage in everybody.marriages:
        both = [profile(everybody, subject) for subject in (marriage.a, marriage.b)]
        if marriage.until is None and all(each.age >= 24 and each.home for each in both):
            one, other = (each.home.building for each in both if each.home)
            assert (one.pnu, one.house_price) == (other.pnu, other.house_price)
            assert one.share + other.share == 1
            halves += 1
    assert halves > 20


def test_institutions_are_of_the_code_table_and_references_are_unique_to_a_person(held: Held) -> None:
    sectors: dict[str, set[str]] = {}
    for _, facts in held:
        if facts.finance is None:
            continue
        references = [value for name, value in values(facts.finance) if name == "reference"]
        assert len(set(references)) == len(references)
        codes = [part.institution.code for part in facts.finance.institutions]
        assert len(set(codes)) == len(codes)
        for part in facts.finance.institutions:
            assert part.institution == INSTITUTIONS[part.institution.code]
            sectors.setdefault(part.institution.sector, set()).add(part.institution.code)
            assert not part.securities or part.institution.sector == "SECURITIES"
            assert not part.insurance or part.institution.sector in {"LIFE_INSURANCE", "NONLIFE_INSURANCE"}
    assert sectors["BANK"] | sectors["COOPERATIVE"] | sectors["POST"] | sectors["SAVINGS_BANK"] <= set(
        BANK_CODES.split()
    )
    assert sectors["SECURITIES"] <= set(SECURITIES_CODES.split())


def test_securities_have_valid_isins(held: Held) -> None:
    found = {value for _, facts in held for name, value in values(facts.finance) if name == "isin"}
    assert len(found) >= 10
    assert all(isinstance(value, str) and re.fullmatch(r"KR7\d{9}", value) and is_isin(value) for value in found)


def test_check_digits_are_those_of_the_standards() -> None:
    assert isin(593) == "KR7005930003"
    assert is_isin("US0378331005")
    assert not is_isin("US0378331006")
    assert is_vin("1M8GDM9AXKP042788")
    assert is_vin("11111111111111111")
    assert not is_vin("1M8GDM9A1KP042788")
    assert all(is_vin(vin("KMH", year, year * 317)) for year in range(1990, 2027))


def plate_is_valid(vehicle: Vehicle) -> bool:
    match = re.fullmatch(rf"(\d{{2,3}})([{SYLLABLES}])(\d{{4}})", vehicle.plate)
    if match is None or int(match[3]) < 1000:
        return False
    number = int(match[1])
    old, new = {
        "PASSENGER": ((1, 69), (100, 699)),
        "VAN": ((70, 79), (700, 799)),
        "TRUCK": ((80, 97), (800, 979)),
        "SPECIAL": ((98, 99), (980, 997)),
    }[vehicle.kind]
    least, most = old if len(match[1]) == 2 else new
    return least <= number <= most


def test_vehicles_have_plates_of_their_class_and_valid_numbers(held: Held) -> None:
    vehicles = [vehicle for _, facts in held if facts.vehicles for vehicle in facts.vehicles.vehicles]
    assert all(plate_is_valid(vehicle) and is_vin(vehicle.vin) for vehicle in vehicles)
    assert {vehicle.kind for vehicle in vehicles} >= {"PASSENGER", "VAN", "TRUCK"}
    for person, facts in held:
        if facts.vehicles:
            plates = [vehicle.plate for vehicle in facts.vehicles.vehicles]
            assert len(set(plates)) == len(plates), person.subject


def test_boats_lie_in_the_harbours_of_coastal_municipalities(held: Held) -> None:
    ports = {place.port: place for place in PLACES if place.port}
    boats = [(person, boat) for person, facts in held if facts.vehicles for boat in facts.vehicles.fishing_boats]
    assert len(boats) > 5
    assert all(ports[boat.port].municipality == person.municipality for person, boat in boats)


def test_ten_schemes_speak_and_only_four_tell_amounts(held: Held) -> None:
    told = set()
    for _, facts in held:
        if facts.pensions is None:
            continue
        assert [each.scheme for each in facts.pensions.memberships] == [
            "NPS", "GEPS", "TP", "MILITARY", "COMWEL", "CWMA", "POBA", "MMAA", "SEMA", "KTCU",
        ]  # fmt: skip
        for each in facts.pensions.memberships:
            telling = each.scheme in {"NPS", "GEPS", "TP", "MILITARY"} and each.member == "YES"
            amounts = (each.receiving, each.contribution_months, each.monthly_pension, each.overpaid_after_death)
            assert all((amount is not None) == telling for amount in (*amounts, each.survivor_benefits))
            if each.member == "YES":
                told.add(each.scheme)
    assert len(told) == 10


def test_taxes_have_the_names_of_their_level_and_states_fit_their_amounts(held: Held) -> None:
    for _, facts in held:
        for item in facts.tax.items if facts.tax else ():
            assert item.tax in (NATIONAL if item.level == "NATIONAL" else LOCAL).split()
            assert (item.arrears or 0) > 0 if item.state == "ARREARS" else item.arrears == 0
            assert (item.refundable or 0) > 0 if item.state == "REFUNDABLE" else item.refundable == 0
            assert item.state != "NOT_YET_DUE" or (item.due_on is not None and item.due_on > TODAY)


def test_the_immunization_schedule_of_a_child_born_on_the_last_day_of_january() -> None:
    doses = immunizations(date(2026, 1, 31), date(2026, 1, 30))
    assert all(dose.given_on is None for dose in doses)
    due = {(dose.vaccine, dose.dose): (dose.due_from, dose.due_until) for dose in doses}
    assert due["BCG", 1] == (date(2026, 1, 31), date(2026, 2, 27))
    assert due["HEPB", 2] == (date(2026, 2, 28), date(2026, 3, 30))
    assert due["DTAP", 1] == (date(2026, 3, 31), date(2026, 4, 29))
    assert due["MMR", 2] == (date(2030, 1, 31), date(2033, 1, 30))
    vaccines = [vaccine for vaccine, _ in due]
    counts = {vaccine: vaccines.count(vaccine) for vaccine in vaccines}
    assert counts == {
        "BCG": 1, "HEPB": 3, "DTAP": 5, "IPV": 4, "HIB": 4, "PCV": 4, "RV": 3, "IIV": 2, "MMR": 2, "VAR": 1, "HEPA": 2,
        "JE": 5,
    }  # fmt: skip


def test_doses_are_given_in_order_within_their_window_and_then_no_longer_due(held: Held) -> None:
    for person, facts in held:
        if facts.health is None or not facts.health.immunizations:
            continue
        waiting = immunizations(person.born, person.born - timedelta(days=1))
        windows = {(dose.vaccine, dose.dose): dose for dose in waiting}
        latest: dict[str, date] = {}
        for dose in facts.health.immunizations:
            assert (dose.given_on is None) == (dose.due_from is not None)
            window = windows[dose.vaccine, dose.dose]
            if dose.given_on and window.due_from and window.due_until:
                assert window.due_from <= dose.given_on <= window.due_until
                assert latest.get(dose.vaccine, person.born) <= dose.given_on
                latest[dose.vaccine] = dose.given_on


def test_the_eight_check_ups_follow_one_another() -> None:
    rounds = checkups(date(2026, 3, 31), date(2026, 11, 1))
    assert [each.round for each in rounds] == list(range(1, 9))
    assert (rounds[0].due_from, rounds[0].due_until) == (date(2026, 4, 14), date(2026, 5, 5))
    assert (rounds[7].due_from, rounds[7].due_until) == (date(2031, 9, 30), date(2032, 3, 30))
    assert all(earlier.due_until < later.due_from for earlier, later in pairwise(rounds))
    assert [each.taken_on is not None for each in rounds] == [True, True, False, False, False, False, False, False]


def rank_correlation(pairs: list[tuple[int, int]]) -> float:
    """Spearman's coefficient, ties broken by order."""
    ranks = []
    for column in zip(*pairs, strict=True):
        rank = {place: number for number, place in enumerate(sorted(range(len(pairs)), key=column.__getitem__))}
        ranks.append([rank[place] for place in range(len(pairs))])
    count = len(pairs)
    squares: int = sum((one - other) ** 2 for one, other in zip(*ranks, strict=True))
    return 1 - 6 * squares / (count * (count + 1) * (count - 1))


def test_wealth_goes_with_age_and_prices_go_with_the_region(everybody: Nation, held: Held) -> None:
    profiles = [profile(everybody, person.subject) for person, _ in held if person.died is None]
    working = [(each.age, each.wealth) for each in profiles if 20 <= each.age <= 60]
    old = [(each.age, each.wealth) for each in profiles if each.age >= 62]
    assert 0.25 < rank_correlation(working) < 0.7
    assert rank_correlation(old) < 0
    homes = [
        (place_at(building.pnu[:5], building.address).price_per_m2, int((building.house_price or 0) / building.area_m2))
        for _, facts in held
        if facts.land
        for building in facts.land.buildings
        if building.purpose == "아파트"
    ]
    assert rank_correlation(homes) > 0.85
    saved = [
        (
            profile(everybody, person.subject).wealth,
            sum(each.balance for part in facts.finance.institutions for each in part.deposits),
        )
        for person, facts in held
        if facts.finance
    ]
    assert rank_correlation(saved) > 0.4


def test_some_agency_has_never_heard_of_some_and_a_few_hold_more_than_a_page(held: Held) -> None:
    grown = [facts for person, facts in held if person.born < date(1996, 1, 1)]
    for agency, least, most in (
        ("land", 0.35, 0.75), ("finance", 0.97, 1.0), ("pensions", 0.9, 1.0), ("tax", 0.75, 0.98),
        ("health", 0.98, 1.0), ("vehicles", 0.3, 0.75),
    ):  # fmt: skip
        assert least <= sum(getattr(facts, agency) is not None for facts in grown) / len(grown) <= most, agency
    assert max(len(facts.land.parcels) for facts in grown if facts.land) > 20
