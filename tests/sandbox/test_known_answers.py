"""The known answers say in the graph's words what the facts are; their sums are worked out apart from the rules."""

import json
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, build_schema

from sandbox.known_answers import SORTED_BY, answers_of, known_answers, table
from sandbox.nation import nation

TODAY = date(2026, 11, 21)
CONTRACT = build_schema((Path(__file__).parents[1] / "contract" / "schema.graphql").read_text(encoding="utf-8"))
NATION = nation(7, 150, TODAY)
ANSWERS = known_answers(NATION)
PERSONAS: dict[str, Any] = {answer["persona"]: answer for answer in ANSWERS["personas"]}


def members(type_name: str) -> set[str]:
    """Fields of a type of the contract."""
    definition = CONTRACT.get_type(type_name)
    assert isinstance(definition, GraphQLObjectType)
    return set(definition.fields)


def section(persona: str, name: str) -> Any:
    return PERSONAS[persona]["case"]["sections"][name]


TYPES = {
    ("land", "parcels"): "LandParcel",
    ("land", "buildings"): "Building",
    ("finance", "deposits"): "Deposit",
    ("finance", "loans"): "Loan",
    ("finance", "securities"): "SecurityHolding",
    ("finance", "insurance"): "InsurancePolicy",
    ("finance", "cards"): "CardDebt",
    ("finance", "guarantees"): "Guarantee",
    ("finance", "custody"): "CustodyItem",
    ("pensions", "memberships"): "PensionMembership",
    ("tax", "items"): "TaxItem",
    ("health", "unpaidPremiums"): "SocialPremium",
    ("health", "refunds"): "HealthRefund",
    ("vehicles", "vehicles"): "Vehicle",
    ("vehicles", "fishingBoats"): "FishingBoat",
    ("finance", "vouchers"): "Voucher",
    ("finance", "payoutAccounts"): "Deposit",
    ("health", "screenings"): "Screening",
    ("health", "immunizations"): "Immunization",
    ("health", "checkups"): "Checkup",
}


@pytest.mark.parametrize(("place", "type_name"), TYPES.items(), ids=str)
def test_records_have_exactly_the_fields_of_the_contract_but_opaque_ids(place: tuple[str, str], type_name: str) -> None:
    found = [
        record
        for persona in PERSONAS.values()
        for case in persona.get("cases", [persona["case"]])
        if case and "sections" in case
        for record in case["sections"][place[0]].get(place[1]) or ()
    ]
    assert found
    assert all(record.keys() == members(type_name) - {"id", "schemeName"} for record in found)


def test_they_are_json_and_come_out_the_same_again() -> None:
    text = json.dumps(ANSWERS, ensure_ascii=False)
    assert json.dumps(known_answers(nation(7, 150, TODAY)), ensure_ascii=False) == text
    assert len(ANSWERS["people"]) + len(ANSWERS["personas"]) == len(NATION.people)


def test_one_persona_can_be_asked_for_and_a_name_that_nobody_has_is_an_error() -> None:
    assert known_answers(NATION, "heir")["personas"] == [PERSONAS["heir"]]
    with pytest.raises(KeyError):
        known_answers(NATION, "nobody")


def test_every_list_has_a_stated_order() -> None:
    def lists(value: Any, name: str = "") -> set[str]:
        if isinstance(value, dict):
            return {each for member, below in value.items() for each in lists(below, member)}
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            return {name} | {each for below in value for each in lists(below)}
        return set()

    assert lists(ANSWERS) - {"personas", "people", "cases", "byAgency"} <= SORTED_BY.keys()


@pytest.mark.parametrize(
    ("persona", "assets", "debts", "missing", "outlook"),
    [
        # Land 204,297,333 + 63,852,600 + 21,321,550 + 612,000,000; deposits 79,558,070; shares 8,568,000 + 1,784,250
        # + 3,861,000; policy 14,200,000; refunds 213,400 + 21,340 + 612,300; vehicles 17,650,000 + 3,420,000.
        # Loans 35,500,000 + 122,800; card 1,284,300; policy loan 2,000,000; overpaid 912,000; taxes 1,895,200
        # + 386,500 + 266,770; premiums 327,880; fine 32,000. COMWEL says no amounts.
        ("heir", 1_031_359_843, 42_727_450, ["PENSIONS"], "UNDECIDED"),
        # 84,823,200 + 54,300,000 + 412,770 + 9,800,000 + 318,400 + 5,120,000. Loans 122,600,000 + 2,365,190;
        # guarantee 42,500,000; cards 9,183,450; policy loan 7,000,000; pension loan 2,400,000; taxes 12,295,200
        # + 5,139,300 + 141,200; premiums 4,577,200; fines 62,400.
        ("heir-in-debt", 154_774_370, 208_263_940, [], "DEBTS_EXCEED_ASSETS"),
        # 141,616,800 + 18,922,272 + 149,000,000; deposits 91,284,100 without the bank that failed; refunds
        # 1,187,100; half a car 6,150,000.
        ("heir-substitute", 408_160_272, 0, ["FINANCE"], "UNDECIDED"),
        # Finance comes later and COMWEL says no amounts: 318,900 + 94,210 + 29,800,000.
        ("heir-second-rank", 30_213_110, 0, ["FINANCE", "PENSIONS"], "UNDECIDED"),
        # 65,604,000 + 137,818,500 + 71,200,000 + 23,400,000 + 66,117,050 + 4,050,000 + 46,800,000. Loan 38,127,400;
        # tax 91,360; premium 62,520.
        ("sibling", 414_989_550, 38_281_280, [], "ASSETS_EXCEED_DEBTS"),
        # 360,088,000 + 2,986,000,000 + 250,800,000 + 334,817,300 + 126,300,000 + 74,760,000 + 412,900.
        # A tenant's deposit 900,000,000; overpaid 3,012,000; taxes 3,514,360 + 2,914,500. The annuity is the
        # daughter's; KTCU is late.
        ("executor", 4_133_178_200, 909_440_860, ["PENSIONS"], "UNDECIDED"),
    ],
)
def test_the_sums_are_those_worked_out_by_hand(
    persona: str, assets: int, debts: int, missing: list[str], outlook: str
) -> None:
    summary = PERSONAS[persona]["case"]["summary"]
    assert (summary["assets"], summary["debts"], summary["net"]) == (assets, debts, assets - debts)
    assert (summary["missing"], summary["complete"]) == (missing, not missing)
    assert summary["outlook"] == outlook
    assert sum(each["assets"] for each in summary["byAgency"]) == assets
    assert sum(each["debts"] for each in summary["byAgency"]) == debts


@pytest.mark.parametrize(
    ("persona", "shares"),
    [
        ("heir", {"박순영": "3/7", "이서연": "2/7", "이준호": "2/7"}),
        ("heir-in-debt", {"정미영": "3/5", "강도현": "2/5"}),
        # The worked example of the domain research, §1.6.
        (
            "heir-substitute",
            {"홍경자": "3/9", "노진우": "2/9", "노은주": "2/9", "노경수": "0", "윤미경": "2/15", "노하윤": "4/45"},
        ),
        ("heir-second-rank", {"양수진": "3/7", "한정숙": "2/7", "남성호": "2/7"}),
        ("sibling", {"오승환": "1/3", "오태영": "1/3", "오경희": "0", "전지영": "1/6", "전수아": "1/6"}),
        ("executor", {"하동현": "1/2", "하소영": "1/2"}),
    ],
)
def test_the_heirs_and_their_shares_add_up_to_one(persona: str, shares: dict[str, str]) -> None:
    heirs = PERSONAS[persona]["case"]["heirs"]
    found = {heir["name"]: Fraction(heir["share"]["numerator"], heir["share"]["denominator"]) for heir in heirs}
    assert found == {name: Fraction(share) for name, share in shares.items()}
    assert sum(found.values()) == 1
    assert found.keys() <= {person.name for person in NATION.people.values()}


def test_agencies_stand_where_the_faults_put_them() -> None:
    assert section("heir-second-rank", "finance") == {
        "status": "PENDING",
        "expectedBy": "2026-12-03",
        **dict.fromkeys(("deposits", "loans", "securities", "insurance", "cards", "guarantees", "custody")),
    }
    failed = section("heir-substitute", "finance")
    assert (failed["status"], failed["silent"]) == ("PARTIAL", ["088"])
    assert {deposit["institution"]["code"] for deposit in failed["deposits"]} == {"012", "071"}
    late = section("executor", "pensions")
    assert (late["status"], late["expectedBy"], late["silent"]) == ("PARTIAL", "2026-12-04", ["KTCU"])
    assert [membership["scheme"] for membership in late["memberships"]] == ["TP"]
    assert section("heir-second-rank", "land") == {"status": "NONE_HELD", "parcels": [], "buildings": []}
    assert {name: each["status"] for name, each in PERSONAS["heir"]["case"]["sections"].items()} == dict.fromkeys(
        ("land", "finance", "pensions", "tax", "health", "vehicles"), "COMPLETE"
    )


def test_history_is_left_out_and_derived_values_are_rounded_down() -> None:
    land, vehicles = section("heir", "land"), section("heir", "vehicles")
    assert [vehicle["plate"] for vehicle in vehicles["vehicles"]] == ["318머2047", "86로1284"]
    assert [lien["kind"] for lien in vehicles["vehicles"][0]["liens"]] == ["SEIZURE"]
    assert [fine["kind"] for fine in vehicles["vehicles"][0]["unpaidFines"]] == ["PARKING"]
    shared = next(
        parcel for parcel in land["parcels"] if parcel["ownershipShare"] == {"numerator": 1, "denominator": 3}
    )
    assert shared["assessedValue"] == 204_297_333  # 3,710,000 x 165.20 / 3
    assert shared["encumbrances"] == []
    assert land["buildings"][0]["encumbrances"] == []


def test_cases_that_do_not_open_show_nothing() -> None:
    for name in ("renounced", "protected-person"):
        case = PERSONAS[name]["case"]
        assert not case["opens"]
        assert case.keys() == {"kind", "opens", "rows", "deceased"}
    assert PERSONAS["protected-person"]["case"]["deceased"]["address"] is None
    assert all(PERSONAS[name]["case"] is None for name in ("proxy", "stranger", "case-officer", "curious-official"))


def test_a_birth_shows_the_child_its_parents_and_what_the_household_holds() -> None:
    case = PERSONAS["parent"]["case"]
    assert [(parent["name"], parent["relation"]) for parent in case["parents"]] == [
        ("김건우", "FATHER"), ("최유진", "MOTHER"),
    ]  # fmt: skip
    assert case["sections"]["land"] == {"status": "COMPLETE", "homes": 1, "newHomeTaxRelief": "YES"}
    assert len(case["sections"]["finance"]["payoutAccounts"]) == 2
    assert case["sections"]["finance"]["vouchers"] == [
        {"name": "첫만남이용권", "balance": 1_550_000, "expiresOn": "2028-10-17"}
    ]
    twins = PERSONAS["parent-of-twins"]["cases"]
    assert [(each["birthOrder"], each["multipleBirth"]) for each in twins] == [(2, True), (3, True)]
    assert [each["sections"]["tax"]["birthTaxCredit"] for each in twins] == [500_000, 700_000]
    assert PERSONAS["protected-birth"]["case"]["parents"] == []
    credit = {"status": "NONE_HELD", "creditMonths": 0, "creditedParent": None}
    assert section("protected-birth", "pensions") == credit


def test_everybody_else_has_facts_per_agency_too() -> None:
    children = [answers_of(NATION, subject) for subject in NATION.births]
    assert all("birth" in child for child in children)
    for person in ANSWERS["people"]:
        assert person["sectorIds"]["LAND"].startswith("lan1_")
        assert set(person["sections"]) == {"land", "finance", "pensions", "tax", "health", "vehicles"}


def test_the_table_names_every_persona_and_what_each_agency_answers() -> None:
    text = table(ANSWERS)
    assert all(f"\n{name}  " in f"\n{text}" for name in PERSONAS)
    assert "finance   PARTIAL" in text
    assert "assets 1,031,359,843  debts 42,727,450" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_no_persona_is_missing_from_the_page_of_personas() -> None:
    page = (Path(__file__).parents[2] / "docs" / "personas.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in PERSONAS)
    assert all(persona["name"] in page for persona in PERSONAS.values())
