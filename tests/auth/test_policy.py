"""Policies against the decision table: an oracle in plain Python, written from the table and not from the policies."""

import csv
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from typing import Any, get_type_hints

import cedarpy
import pytest

from auth.policy import (
    FOLDER,
    LEVEL,
    NOBODY,
    ROLES,
    SELF,
    About,
    Effect,
    Entries,
    Facts,
    Need,
    Policies,
    Verdict,
    _data,
    annotations,
    written,
)
from auth.slices import Slice, Slices, asked
from schema.case import MandateRole, Purpose, RefusalCode
from schema.disclosure import Agency, Sensitivity

SIX = frozenset({Agency.LAND, Agency.FINANCE, Agency.PENSIONS, Agency.TAX, Agency.HEALTH, Agency.VEHICLES})
HOLDING_MONEY = SIX - {Agency.HEALTH}
LOW, SUBSTANTIAL, HIGH = 1, 2, 3
PENDING = frozenset({"D13", "D14"})
"""Rows whose policies are written together with proxies' mandates, and tested there."""
OF_LOG = frozenset({"D37", "D39"})

# ---------------------------------------------------------------- the table in Python


@dataclass(frozen=True)
class Condition:
    """What must hold, and what the viewer may be told when nothing else is wrong."""

    holds: Callable[[Facts, Need], bool]
    told: frozenset[RefusalCode]


def condition(holds: Callable[[Facts, Need], bool], *told: RefusalCode) -> Condition:
    return Condition(holds, frozenset(told))


MANDATE = condition(
    lambda f, _: f.mandate_active, RefusalCode.OUT_OF_SCOPE, RefusalCode.OUT_OF_TIME, RefusalCode.NOT_ACCESSIBLE
)
IN_TIME = condition(lambda f, _: f.opened_in_time, RefusalCode.OUT_OF_TIME)
SIGNED_IN = condition(lambda f, _: f.assurance >= SUBSTANTIAL, RefusalCode.STEP_UP_REQUIRED)  # LOW opens no case
HIGH_SIGN_IN = condition(lambda f, _: f.assurance == HIGH, RefusalCode.STEP_UP_REQUIRED)
FRESH = condition(lambda f, _: f.fresh, RefusalCode.STEP_UP_REQUIRED)
UNDISPUTED = condition(lambda f, _: not f.dispute, RefusalCode.DISPUTED)
NO_NEARER_RANK = condition(lambda f, _: not f.nearer_rank_entitled, RefusalCode.EVIDENCE_REQUIRED)
BOTH_DEATHS = condition(lambda f, _: f.both_deaths_registered, RefusalCode.EVIDENCE_REQUIRED)
UNDER_NINE = condition(lambda f, _: f.child_age < 9, RefusalCode.NOT_ACCESSIBLE)
OFFICER_OPENED = condition(lambda f, _: f.opened_by_officer, RefusalCode.EVIDENCE_REQUIRED)
APPOINTED = condition(lambda f, _: f.appointed, RefusalCode.EVIDENCE_REQUIRED)
TAKES_VEHICLE = condition(lambda f, _: f.takes_vehicle, RefusalCode.OUT_OF_SCOPE)
SURVIVOR = condition(lambda f, _: f.survivor, RefusalCode.OUT_OF_SCOPE)
CONSENT = condition(lambda f, _: f.consent, RefusalCode.CONSENT_REQUIRED)
CONSENT_FINANCIAL = condition(
    lambda f, n: f.consent_financial or n.agency is not Agency.FINANCE, RefusalCode.CONSENT_REQUIRED
)
EMERGENCY = condition(lambda f, _: f.break_glass_valid, RefusalCode.OUT_OF_TIME)
NAMED = condition(lambda f, n: n.agency.name in f.break_glass_agencies, RefusalCode.OUT_OF_SCOPE)
THEIR_CASE = condition(lambda f, _: f.case_open and f.assigned and f.same_office and f.on_duty)  # D19 and D21 tell
ORDERED = condition(
    lambda f, n: n.agency.name in f.order_agencies and LEVEL[n.sensitivity] <= f.order_sensitivity,
    RefusalCode.EVIDENCE_REQUIRED,
)

D01 = (MANDATE, SIGNED_IN, IN_TIME)
D03 = (*D01, HIGH_SIGN_IN, FRESH, UNDISPUTED)


def estate(need: Need) -> tuple[str, tuple[Condition, ...]] | None:
    """Row and conditions under which an heir of the first rank reads a datum of the deceased."""
    if need.about is not About.PERSON:
        return None
    if need.sensitivity <= Sensitivity.IDENTITY:
        return "D01", D01
    if need.sensitivity is Sensitivity.INVENTORY and need.agency is not Agency.HEALTH:
        return "D02", D01
    if need.sensitivity is Sensitivity.AMOUNT and need.agency in HOLDING_MONEY:
        return "D03", D03
    if need.agency is Agency.HEALTH and need.sensitivity in {Sensitivity.INVENTORY, Sensitivity.AMOUNT}:
        return "D04", D03
    return None


def permits(facts: Facts, need: Need) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    """The rows that speak of this viewer, purpose and datum, each with its conditions."""
    who = (facts.role, facts.purpose)
    if who == ("HEIR", Purpose.ESTATE_DISCOVERY):
        yield from permits_heir(facts, need)
    if facts.purpose is Purpose.ESTATE_SETTLEMENT and need.about is About.PERSON:
        yield from permits_settlement(facts, need)
    yield from permits_official(facts, need)
    if who == ("PARENT", Purpose.BIRTH_BENEFITS):
        if need.about in {About.PERSON, About.OTHER_PARENT} and need.sensitivity <= Sensitivity.AMOUNT:
            yield "D23", (MANDATE, SIGNED_IN, UNDER_NINE)
        if (need.agency, need.sensitivity, need.about) == (Agency.HEALTH, Sensitivity.SPECIAL, About.PERSON):
            yield "D24", (MANDATE, HIGH_SIGN_IN, FRESH, UNDER_NINE)
    # The order is about the ward; of the ward's parents it shows who they are.
    reached = need.about is About.PERSON or (
        need.about is About.OTHER_PARENT and need.sensitivity <= Sensitivity.IDENTITY
    )
    if who == ("GUARDIAN", Purpose.WARD_ADMINISTRATION) and reached:
        yield "D27", (MANDATE, SIGNED_IN, ORDERED)
    if who == (SELF, Purpose.SUBJECT_ACCESS) and need.about is About.SELF:
        yield "D31", (HIGH_SIGN_IN,)


def permits_heir(facts: Facts, need: Need) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    """The rows that speak of an heir."""
    substituted = (BOTH_DEATHS,) if facts.by_substitution else ()  # children's and siblings' lines (Civil Act 1001)
    found = estate(need)
    if facts.rank in {1, 2} and facts.missing:
        if need.about is About.PERSON and need.agency is not Agency.HEALTH and need.sensitivity <= Sensitivity.AMOUNT:
            conditions = D03 if need.sensitivity is Sensitivity.AMOUNT else D01
            yield "D10", (*conditions, NO_NEARER_RANK, *substituted)
    elif found and facts.rank == 1:
        yield ("D09", (*found[1], BOTH_DEATHS)) if facts.by_substitution else found
    elif found and facts.rank == 2 and not facts.by_substitution:
        yield "D06", (*found[1], NO_NEARER_RANK)
    elif facts.rank == 3 and need.about is About.PERSON and need.agency is not Agency.HEALTH:
        if need.sensitivity <= Sensitivity.INVENTORY:
            yield "D09" if facts.by_substitution else "D07", (*D01, NO_NEARER_RANK, *substituted)
        if need.sensitivity is Sensitivity.AMOUNT and need.agency in {Agency.FINANCE, Agency.TAX}:
            conditions = (*D03, NO_NEARER_RANK, OFFICER_OPENED, *substituted)
            yield "D09" if facts.by_substitution else "D08", conditions
    if (need.agency, need.about) == (Agency.REGISTRY, About.CO_HEIR) and need.sensitivity <= Sensitivity.IDENTITY:
        yield "D42", (MANDATE, SIGNED_IN)


def permits_settlement(facts: Facts, need: Need) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    """The rows that speak of settling an estate."""
    if need.sensitivity > Sensitivity.AMOUNT:
        return
    rows = {"EXECUTOR": "D11", "ESTATE_ADMINISTRATOR": "D12"}
    if facts.role in rows and need.agency is not Agency.HEALTH:
        yield rows[facts.role], (MANDATE, HIGH_SIGN_IN, APPOINTED)
    if facts.role == "HEIR" and need.agency is Agency.VEHICLES:
        yield "D43", (MANDATE, SIGNED_IN, TAKES_VEHICLE)
    if need.agency is Agency.PENSIONS:
        yield "D44", (MANDATE, HIGH_SIGN_IN, SURVIVOR)


def permits_official(facts: Facts, need: Need) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    """The rows that speak of a viewer in office."""
    who, health = (facts.role, facts.purpose), need.agency is Agency.HEALTH
    person, held = need.about is About.PERSON, need.sensitivity <= Sensitivity.INVENTORY
    amount = need.sensitivity is Sensitivity.AMOUNT
    if who == ("CASE_OFFICER", Purpose.ESTATE_DISCOVERY) and person and held and not health:
        yield "D15", (MANDATE, HIGH_SIGN_IN, THEIR_CASE)
    if who == ("CASE_OFFICER", Purpose.ESTATE_DISCOVERY) and person and amount and need.agency in HOLDING_MONEY:
        yield "D16", (MANDATE, HIGH_SIGN_IN, THEIR_CASE, CONSENT)
    if who == ("CASE_OFFICER", Purpose.BIRTH_BENEFITS) and need.about in {About.PERSON, About.OTHER_PARENT} and held:
        yield "D17", (MANDATE, SIGNED_IN, THEIR_CASE)
    if who == ("WELFARE_OFFICER", Purpose.MEANS_TEST) and person and (held or amount):
        if health:
            yield "D29", (MANDATE, HIGH_SIGN_IN, THEIR_CASE)
        else:
            yield "D28", (MANDATE, HIGH_SIGN_IN, THEIR_CASE, CONSENT_FINANCIAL)
    if facts.role == "BREAK_GLASS" and person and (held or amount):
        yield "D36", (MANDATE, SIGNED_IN, EMERGENCY, NAMED)


def denials(facts: Facts, need: Need) -> Iterator[tuple[str, RefusalCode]]:
    health_special = (need.agency, need.sensitivity) == (Agency.HEALTH, Sensitivity.SPECIAL)
    if facts.purpose is Purpose.ESTATE_DISCOVERY and health_special:
        yield "D05", RefusalCode.SPECIAL_CATEGORY
    if (facts.role, facts.purpose) == ("CASE_OFFICER", Purpose.BIRTH_BENEFITS) and health_special:
        yield "D18", RefusalCode.SPECIAL_CATEGORY
    if facts.role == "PARENT" and need.about is About.OTHER_PARENT and health_special:
        yield "D25", RefusalCode.THIRD_PARTY  # whatever the purpose: no row gives a parent this one
    of_protected = need.about is About.OTHER_PARENT and need.agency in {Agency.REGISTRY, Agency.HEALTH}
    if facts.role == "PARENT" and facts.protection_order and of_protected and need.sensitivity >= Sensitivity.IDENTITY:
        yield "D26", RefusalCode.NOT_ACCESSIBLE
    of_child = need.about is About.PERSON and need.agency in {Agency.REGISTRY, Agency.HEALTH}
    if facts.role == "PARENT" and facts.order_covers_child and of_child and need.sensitivity >= Sensitivity.IDENTITY:
        yield "D26", RefusalCode.NOT_ACCESSIBLE
    if (facts.role, facts.purpose) == ("WELFARE_OFFICER", Purpose.MEANS_TEST) and health_special:
        yield "D30", RefusalCode.SPECIAL_CATEGORY
    if facts.role in {"HEIR", "PROXY"} and facts.dispute and need.sensitivity >= Sensitivity.AMOUNT:
        yield "D34", RefusalCode.DISPUTED
    if facts.role == "PRIVACY_OFFICER" and need.agency in SIX:
        yield "D38", RefusalCode.NOT_ACCESSIBLE
    if need.sensitivity >= Sensitivity.AMOUNT and not facts.sender_bound and not facts.sandbox:
        yield "D41", RefusalCode.STEP_UP_REQUIRED
    yield from denials_of_anything(facts)


def denials_of_anything(facts: Facts) -> Iterator[tuple[str, RefusalCode]]:
    """The rows that deny whatever is asked for, the access log included."""
    assigned = facts.role in {"CASE_OFFICER", "WELFARE_OFFICER"}
    if assigned and not (facts.case_open and facts.assigned and facts.on_duty):
        yield "D19", RefusalCode.OUT_OF_TIME
    if (assigned or facts.role in {"OFFICIAL", "BREAK_GLASS"}) and not facts.office_case:
        yield "D20", RefusalCode.NOT_ACCESSIBLE
    if (assigned or facts.role == "OFFICIAL") and not facts.same_office:  # an emergency may be anywhere
        yield "D21", RefusalCode.NOT_ACCESSIBLE
    if (assigned or facts.role in {"OFFICIAL", "BREAK_GLASS"}) and facts.own_family:
        yield "D22", RefusalCode.NOT_ACCESSIBLE
    if facts.protected and not facts.protection_desk:
        yield "D33", RefusalCode.NOT_ACCESSIBLE
    if facts.role == "HEIR" and (facts.renounced or facts.disqualified):
        yield "D35", RefusalCode.NOT_ACCESSIBLE
    if facts.service and not facts.sandbox:
        yield "D40", RefusalCode.NOT_ACCESSIBLE


@dataclass(frozen=True)
class Expected:
    """What the table says: the effect, what may be told of a refusal, and the rows that decided."""

    effect: Effect
    told: frozenset[RefusalCode | None] = frozenset({None})
    rows: frozenset[str] = field(default=frozenset(), compare=False)


def expected(facts: Facts, need: Need) -> Expected:
    denied = dict(denials(facts, need))
    if denied:
        codes = frozenset(denied.values())
        hidden = RefusalCode.NOT_ACCESSIBLE in codes
        return Expected(
            Effect.WITHHOLD, frozenset({RefusalCode.NOT_ACCESSIBLE}) if hidden else codes, frozenset(denied)
        )
    speaking = dict(permits(facts, need))
    allowing = frozenset(row for row, asked in speaking.items() if all(each.holds(facts, need) for each in asked))
    if allowing:
        excepted = facts.role in {"EXECUTOR", "ESTATE_ADMINISTRATOR"} and facts.mandate_active
        if need.third_party and not excepted:
            return Expected(Effect.MASK, frozenset({RefusalCode.THIRD_PARTY}), allowing | {"D32"})
        return Expected(Effect.ALLOW, rows=allowing)
    broken = [each for asked in speaking.values() for each in asked if not each.holds(facts, need)]
    told = frozenset().union(*(each.told for each in broken)) if broken else frozenset({RefusalCode.OUT_OF_SCOPE})
    return Expected(Effect.WITHHOLD, told)


# ---------------------------------------------------------------- the policies


@pytest.fixture(scope="module")
def alerts() -> list[str]:
    return []


@pytest.fixture(scope="module")
def policies(alerts: list[str]) -> Policies:
    return Policies(alerts.append)


@cache
def rows() -> Mapping[str, Mapping[str, str]]:
    return annotations(written())


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    text = resources.files("auth").joinpath("decisions.csv").read_text("utf-8")
    return {line["row"]: line for line in csv.DictReader(text.splitlines())}


NEEDS = [Need(*each) for each in itertools.product(Agency, Sensitivity, About, (False, True))]
DRAWN_ROLES = sorted(ROLES - {"PROXY"})
USUAL = (
    *(("HEIR", Purpose.ESTATE_DISCOVERY),) * 15,
    *(("HEIR", Purpose.ESTATE_SETTLEMENT),) * 2,
    *(("PARENT", Purpose.BIRTH_BENEFITS),) * 6,
    *(("GUARDIAN", Purpose.WARD_ADMINISTRATION),) * 2,
    *((SELF, Purpose.SUBJECT_ACCESS),) * 2,
    *(("EXECUTOR", Purpose.ESTATE_SETTLEMENT),) * 2,
    *(("ESTATE_ADMINISTRATOR", Purpose.ESTATE_SETTLEMENT),) * 2,
    *(("CASE_OFFICER", Purpose.ESTATE_DISCOVERY),) * 3,
    *(("CASE_OFFICER", Purpose.BIRTH_BENEFITS),) * 3,
    *(("WELFARE_OFFICER", Purpose.MEANS_TEST),) * 3,
    *(("BREAK_GLASS", Purpose.ESTATE_DISCOVERY),) * 2,
    ("OFFICIAL", Purpose.ESTATE_DISCOVERY),
    ("PRIVACY_OFFICER", Purpose.LOG_REVIEW),
    (NOBODY, Purpose.ESTATE_DISCOVERY),
)


OF_THE_PERSON = [Need(agency, sensitivity) for agency in Agency for sensitivity in Sensitivity]
OF_OTHERS = [
    Need(Agency.HEALTH, Sensitivity.SPECIAL, About.OTHER_PARENT),
    Need(Agency.REGISTRY, Sensitivity.IDENTITY, About.OTHER_PARENT),
    Need(Agency.REGISTRY, Sensitivity.IDENTITY, About.CO_HEIR),
]


def drawn_facts(draw: random.Random) -> Facts:
    """Facts as they come: mostly a usual viewer with most conditions met, now and then anything at all."""

    def often() -> bool:
        return draw.random() < 0.92

    def seldom() -> bool:
        return draw.random() < 0.04

    role, purpose = draw.choice(USUAL) if often() else (draw.choice(DRAWN_ROLES), draw.choice(list(Purpose)))
    return Facts(
        role=role,
        purpose=purpose,
        assurance=draw.choice([LOW, SUBSTANTIAL, HIGH, HIGH, HIGH]),
        fresh=often(),
        mandate_active=often(),
        opened_in_time=often(),
        opened_by_officer=draw.random() < 0.5,
        missing=draw.random() < 0.2,
        appointed=often(),
        survivor=draw.random() < 0.5,
        takes_vehicle=draw.random() < 0.5,
        rank=draw.choice([0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]),
        by_substitution=draw.random() < 0.25,
        both_deaths_registered=often(),
        nearer_rank_entitled=draw.random() < 0.25,
        renounced=seldom(),
        disqualified=seldom(),
        dispute=draw.random() < 0.1,
        child_age=draw.choice([0, 1, 8, 9, 40]),
        order_agencies=frozenset(agency.name for agency in Agency if draw.random() < 0.5),
        order_sensitivity=draw.randrange(6),
        protected=seldom(),
        protection_desk=seldom(),
        protection_order=draw.random() < 0.2,
        order_covers_child=draw.random() < 0.1,
        office_case=often(),
        case_open=often(),
        assigned=often(),
        same_office=often(),
        on_duty=often(),
        own_family=seldom(),
        consent=draw.random() < 0.7,
        consent_financial=draw.random() < 0.7,
        break_glass_agencies=frozenset(agency.name for agency in Agency if draw.random() < 0.5),
        break_glass_valid=often(),
        service=seldom(),
        sender_bound=often(),
        sandbox=draw.random() < 0.3,
    )


Decision = tuple[Facts, Need, Verdict, Expected]


@pytest.fixture(scope="module")
def decisions(policies: Policies) -> list[Decision]:
    """Thirty-five thousand decisions, each as the policies have it and as the table does."""
    draw = random.Random(20260314)  # noqa: S311 - the same facts every time
    made: list[Decision] = []
    for _ in range(700):
        facts, needs = drawn_facts(draw), [*OF_THE_PERSON, *OF_OTHERS, *draw.sample(NEEDS, 7)]
        ruling = policies.ruling(facts, needs)
        made += [(facts, need, ruling[need], expected(facts, need)) for need in needs]
    return made


def test_policies_and_table_agree_on_thirty_five_thousand_decisions(
    decisions: list[Decision], alerts: list[str]
) -> None:
    by_id = rows()
    seen: Counter[str] = Counter()
    for facts, need, verdict, said in decisions:
        assert verdict.effect is said.effect, (facts, need, verdict, said)
        assert {by_id[policy]["row"] for policy in verdict.policies} == said.rows, (facts, need, verdict, said)
        seen.update([verdict.effect.name, *said.rows])
    assert alerts == []
    assert len(decisions) == 35_000
    assert (
        min(seen[name] for name in (*(table().keys() - PENDING - OF_LOG), *(effect.name for effect in Effect))) >= 5
    ), seen


def test_what_a_viewer_is_told_is_always_something_that_is_wrong(decisions: list[Decision]) -> None:
    for facts, need, verdict, said in decisions:
        assert verdict.refusal in said.told, (facts, need, verdict, said)


def test_the_policies_that_are_asked_decide_as_all_of_them_would(policies: Policies) -> None:
    draw = random.Random(20261122)  # noqa: S311 - the same facts every time
    whole, few = policies._slices.whole, 0
    for facts, action in itertools.product([drawn_facts(draw) for _ in range(60)], ("read", "read_name")):
        for need in draw.sample(NEEDS, 20):
            part = policies._slice(facts, action, need)
            alike = policies._answers(facts, [part])
            alone = Slice(whole, asked(action, _data(need)), _data(need), permits=True)
            assert policies._answers(facts, [alone]) == alike, (facts, need)
            assert part.permits or alike[0].effect is Effect.WITHHOLD
            few += len(part.policies) < len(whole) / 4
    assert few == 60 * 2 * 20


# ---------------------------------------------------------------- each row, with each of its conditions broken

BOUND = Facts(NOBODY, Purpose.ESTATE_DISCOVERY, HIGH, True, mandate_active=True, sender_bound=True)
HEIR = replace(BOUND, role="HEIR", opened_in_time=True, rank=1)
SECOND = replace(HEIR, rank=2)
THIRD = replace(HEIR, rank=3, opened_by_officer=True)
SUBSTITUTE = replace(HEIR, by_substitution=True, both_deaths_registered=True)
NEPHEW = replace(SUBSTITUTE, rank=3, opened_by_officer=True)
OF_MISSING = replace(HEIR, missing=True)
SETTLING = replace(BOUND, purpose=Purpose.ESTATE_SETTLEMENT)
EXECUTOR = replace(SETTLING, role="EXECUTOR", appointed=True)
ADMINISTRATOR = replace(EXECUTOR, role="ESTATE_ADMINISTRATOR")
DRIVER = replace(SETTLING, role="HEIR", takes_vehicle=True)
WIDOW = replace(SETTLING, role="HEIR", survivor=True)
PARENT = replace(BOUND, role="PARENT", purpose=Purpose.BIRTH_BENEFITS, child_age=8)
OFFICER = replace(
    BOUND, role="CASE_OFFICER", office_case=True, case_open=True, assigned=True, same_office=True, on_duty=True
)
CONSENTED = replace(OFFICER, consent=True)
MIDWIFE = replace(OFFICER, purpose=Purpose.BIRTH_BENEFITS)
WELFARE = replace(OFFICER, role="WELFARE_OFFICER", purpose=Purpose.MEANS_TEST, consent_financial=True)
EMERGENCY_ROOM = replace(
    BOUND,
    role="BREAK_GLASS",
    office_case=True,
    break_glass_agencies=frozenset({"FINANCE"}),
    break_glass_valid=True,
)
GUARDIAN = replace(
    BOUND,
    role="GUARDIAN",
    purpose=Purpose.WARD_ADMINISTRATION,
    assurance=SUBSTANTIAL,
    order_agencies=frozenset({"FINANCE"}),
    order_sensitivity=LEVEL[Sensitivity.AMOUNT],
)
MYSELF = replace(BOUND, role=SELF, purpose=Purpose.SUBJECT_ACCESS, mandate_active=False)

NAME = Need(Agency.REGISTRY, Sensitivity.IDENTITY)
PARCEL = Need(Agency.LAND, Sensitivity.INVENTORY)
BALANCE = Need(Agency.FINANCE, Sensitivity.AMOUNT)
PREMIUM = Need(Agency.HEALTH, Sensitivity.AMOUNT)
INSURER = Need(Agency.HEALTH, Sensitivity.INVENTORY)
CAR = Need(Agency.VEHICLES, Sensitivity.AMOUNT)
PENSION = Need(Agency.PENSIONS, Sensitivity.AMOUNT)
FINDING = Need(Agency.HEALTH, Sensitivity.SPECIAL)
CO_HEIR = Need(Agency.REGISTRY, Sensitivity.IDENTITY, About.CO_HEIR)
MINE = Need(Agency.HEALTH, Sensitivity.SPECIAL, About.SELF)

ALLOWED = [
    ("D01", HEIR, NAME),
    ("D02", HEIR, PARCEL),
    ("D03", HEIR, BALANCE),
    ("D04", HEIR, PREMIUM),
    ("D04", HEIR, INSURER),
    ("D06", SECOND, NAME),
    ("D06", SECOND, PARCEL),
    ("D06", SECOND, BALANCE),
    ("D06", SECOND, INSURER),
    ("D07", THIRD, NAME),
    ("D07", THIRD, PARCEL),
    ("D08", THIRD, BALANCE),
    ("D09", SUBSTITUTE, NAME),
    ("D09", SUBSTITUTE, PARCEL),
    ("D09", SUBSTITUTE, BALANCE),
    ("D09", SUBSTITUTE, PREMIUM),
    ("D09", NEPHEW, PARCEL),
    ("D09", NEPHEW, BALANCE),
    ("D10", OF_MISSING, NAME),
    ("D10", OF_MISSING, PARCEL),
    ("D10", replace(OF_MISSING, rank=2), BALANCE),
    ("D11", EXECUTOR, NAME),
    ("D11", EXECUTOR, BALANCE),
    ("D12", ADMINISTRATOR, NAME),
    ("D12", ADMINISTRATOR, BALANCE),
    ("D15", OFFICER, NAME),
    ("D15", OFFICER, PARCEL),
    ("D16", CONSENTED, BALANCE),
    ("D17", MIDWIFE, INSURER),
    ("D28", WELFARE, BALANCE),
    ("D28", WELFARE, PARCEL),
    ("D29", WELFARE, PREMIUM),
    ("D36", EMERGENCY_ROOM, BALANCE),
    ("D43", DRIVER, CAR),
    ("D44", WIDOW, PENSION),
    ("D23", PARENT, NAME),
    ("D23", PARENT, PREMIUM),
    ("D24", PARENT, FINDING),
    ("D27", GUARDIAN, BALANCE),
    ("D31", MYSELF, MINE),
    ("D42", HEIR, CO_HEIR),
]
STEP_UP, LATE, PROOF = RefusalCode.STEP_UP_REQUIRED, RefusalCode.OUT_OF_TIME, RefusalCode.EVIDENCE_REQUIRED
HIDDEN, SCOPE, DISPUTED = RefusalCode.NOT_ACCESSIBLE, RefusalCode.OUT_OF_SCOPE, RefusalCode.DISPUTED
CONSENTING = RefusalCode.CONSENT_REQUIRED
ELSEWHERE: dict[str, Any] = {"purpose": Purpose.LOG_REVIEW}
OFFICERS = frozenset({"CASE_OFFICER", "WELFARE_OFFICER"})

BROKEN: list[tuple[str, Facts, Need, dict[str, Any], RefusalCode]] = [
    *(("any", facts, need, {"role": NOBODY}, SCOPE) for row, facts, need in ALLOWED if row != "D44"),
    *(("any", facts, need, ELSEWHERE, SCOPE) for row, facts, need in ALLOWED if row != "D36"),
    *(("D40", facts, need, {"service": True}, HIDDEN) for _, facts, need in ALLOWED),
    *(
        ("D41", facts, need, {"sender_bound": False}, STEP_UP)
        for _, facts, need in ALLOWED
        if need.sensitivity >= Sensitivity.AMOUNT
    ),
    *(("D33", facts, need, {"protected": True}, HIDDEN) for _, facts, need in ALLOWED),
    *(("any", facts, need, {"assurance": LOW}, STEP_UP) for _, facts, need in ALLOWED),
    *(("any", facts, need, {"mandate_active": False}, SCOPE) for row, facts, need in ALLOWED if row != "D31"),
    *(
        ("D35", facts, need, {flag: True}, HIDDEN)
        for _, facts, need in ALLOWED
        for flag in ("renounced", "disqualified")
        if facts.role == "HEIR"
    ),
    *(("D01", HEIR, need, {"opened_in_time": False}, LATE) for need in (NAME, PARCEL, BALANCE, PREMIUM, INSURER)),
    *(("D01", HEIR, need, {"rank": rank}, SCOPE) for need in (NAME, PARCEL, BALANCE, INSURER) for rank in (0, 4)),
    *(("D03", HEIR, need, {"assurance": SUBSTANTIAL}, STEP_UP) for need in (BALANCE, PREMIUM, INSURER)),
    *(("D03", HEIR, need, {"fresh": False}, STEP_UP) for need in (BALANCE, PREMIUM, INSURER)),
    *(("D34", facts, BALANCE, {"dispute": True}, DISPUTED) for facts in (HEIR, SECOND, SUBSTITUTE)),
    *(("D34", facts, PREMIUM, {"dispute": True}, DISPUTED) for facts in (HEIR, SECOND, SUBSTITUTE)),
    *(("D06", SECOND, need, {"nearer_rank_entitled": True}, PROOF) for need in (NAME, PARCEL, BALANCE, INSURER)),
    *(("D06", SECOND, need, {"opened_in_time": False}, LATE) for need in (NAME, PARCEL, BALANCE, INSURER)),
    *(("D06", SECOND, need, {"fresh": False}, STEP_UP) for need in (BALANCE, INSURER)),
    *(("D09", SUBSTITUTE, need, {"both_deaths_registered": False}, PROOF) for need in (NAME, PARCEL, BALANCE, INSURER)),
    *(("D09", SUBSTITUTE, need, {"opened_in_time": False}, LATE) for need in (NAME, PARCEL, BALANCE, INSURER)),
    *(("D09", SUBSTITUTE, need, {"fresh": False}, STEP_UP) for need in (BALANCE, INSURER)),
    *(("D23", PARENT, need, {"child_age": 9}, HIDDEN) for need in (NAME, PREMIUM, FINDING)),
    *(("D04", facts, INSURER, {"dispute": True}, DISPUTED) for facts in (HEIR, SECOND, SUBSTITUTE)),
    *(("D07", THIRD, need, {"nearer_rank_entitled": True}, PROOF) for need in (NAME, PARCEL, BALANCE)),
    *(("D07", THIRD, need, {"opened_in_time": False}, LATE) for need in (NAME, PARCEL, BALANCE)),
    *(("D08", facts, BALANCE, {"opened_by_officer": False}, PROOF) for facts in (THIRD, NEPHEW)),
    *(("D08", facts, BALANCE, {"fresh": False}, STEP_UP) for facts in (THIRD, NEPHEW)),
    *(("D09", NEPHEW, need, {"both_deaths_registered": False}, PROOF) for need in (PARCEL, BALANCE)),
    *(("D10", OF_MISSING, need, {"opened_in_time": False}, LATE) for need in (NAME, PARCEL, BALANCE)),
    *(("D10", HEIR, need, {"missing": True}, SCOPE) for need in (INSURER, PREMIUM)),
    *(("D11", facts, BALANCE, {"appointed": False}, PROOF) for facts in (EXECUTOR, ADMINISTRATOR)),
    *(("D11", facts, NAME, {"assurance": SUBSTANTIAL}, STEP_UP) for facts in (EXECUTOR, ADMINISTRATOR)),
    *(
        ("D19", facts, need, {flag: False}, LATE)
        for _, facts, need in ALLOWED
        for flag in ("case_open", "assigned", "on_duty")
        if facts.role in OFFICERS
    ),
    *(
        (row, facts, need, {flag: value}, HIDDEN)
        for _, facts, need in ALLOWED
        for row, flag, value in (
            ("D20", "office_case", False),
            ("D21", "same_office", False),
            ("D22", "own_family", True),
        )
        if facts.role in OFFICERS or (facts.role == "BREAK_GLASS" and row != "D21")
    ),
    ("D16", CONSENTED, BALANCE, {"consent": False}, CONSENTING),
    ("D15", OFFICER, PARCEL, {"assurance": SUBSTANTIAL}, STEP_UP),
    ("D28", WELFARE, BALANCE, {"consent_financial": False}, CONSENTING),
    ("D28", WELFARE, PARCEL, {"assurance": SUBSTANTIAL}, STEP_UP),
    ("D36", EMERGENCY_ROOM, BALANCE, {"break_glass_valid": False}, LATE),
    ("D36", EMERGENCY_ROOM, BALANCE, {"break_glass_agencies": frozenset({"TAX"})}, SCOPE),
    ("D43", DRIVER, CAR, {"takes_vehicle": False}, SCOPE),
    ("D44", WIDOW, PENSION, {"survivor": False}, SCOPE),
    ("D44", WIDOW, PENSION, {"assurance": SUBSTANTIAL}, STEP_UP),
    ("D24", PARENT, FINDING, {"assurance": SUBSTANTIAL}, STEP_UP),
    ("D24", PARENT, FINDING, {"fresh": False}, STEP_UP),
    ("D27", GUARDIAN, BALANCE, {"order_agencies": frozenset({"LAND"})}, PROOF),
    ("D27", GUARDIAN, BALANCE, {"order_agencies": frozenset()}, PROOF),
    ("D27", GUARDIAN, BALANCE, {"order_sensitivity": LEVEL[Sensitivity.INVENTORY]}, PROOF),
    ("D27", GUARDIAN, BALANCE, {"order_sensitivity": 0}, PROOF),
    ("D31", MYSELF, MINE, {"assurance": SUBSTANTIAL}, STEP_UP),
]


@pytest.mark.parametrize(
    ("row", "facts", "need"),
    ALLOWED,
    ids=[f"{row} {need.agency.name} {need.sensitivity.name}" for row, _, need in ALLOWED],
)
def test_a_row_allows_when_all_of_it_holds(policies: Policies, row: str, facts: Facts, need: Need) -> None:
    verdict = policies.ruling(facts, [need])[need]
    assert verdict.effect is Effect.ALLOW
    assert row in {rows()[policy]["row"] for policy in verdict.policies}


@pytest.mark.parametrize(
    ("row", "facts", "need", "broken", "code"),
    BROKEN,
    ids=[
        f"{row} {facts.role} {need.agency.name} {need.sensitivity.name} {broken}"
        for row, facts, need, broken, _ in BROKEN
    ],
)
def test_a_row_refuses_when_one_thing_of_it_is_broken(
    policies: Policies, row: str, facts: Facts, need: Need, broken: dict[str, Any], code: RefusalCode
) -> None:
    verdict = policies.ruling(replace(facts, **broken), [need])[need]
    assert (verdict.effect, verdict.refusal) == (Effect.WITHHOLD, code), row


def test_nothing_that_a_row_does_not_speak_of_changes_it(policies: Policies) -> None:
    indifferent: dict[str, Any] = {
        "protection_desk": True,
        "sandbox": True,
        "order_sensitivity": 5,
        "child_age": 3,
    }
    for _, facts, need in ALLOWED:
        for name, value in indifferent.items():
            if facts.role != "GUARDIAN" or name != "order_sensitivity":
                assert policies.ruling(replace(facts, **{name: value}), [need])[need].effect is Effect.ALLOW


@pytest.mark.parametrize("agency", list(Agency))
def test_health_findings_of_the_deceased_are_special_and_others_out_of_scope(
    policies: Policies, agency: Agency
) -> None:
    need = Need(agency, Sensitivity.SPECIAL)
    code = RefusalCode.SPECIAL_CATEGORY if agency is Agency.HEALTH else SCOPE
    assert policies.ruling(HEIR, [need])[need].refusal is code


def other_values(name: str, value: Any) -> list[Any]:
    """What else a fact could be."""
    said: Mapping[str, list[Any]] = {
        "role": sorted(ROLES - {"PROXY"}),
        "purpose": list(Purpose),
        "assurance": [LOW, SUBSTANTIAL, HIGH],
        "rank": [0, 1, 2, 3, 4],
        "child_age": [0, 8, 9],
        "order_sensitivity": [0, 3, 4, 5],
    }
    sets = [frozenset[str](), frozenset({"LAND"}), frozenset(agency.name for agency in Agency)]
    possible = said.get(name, sets if get_type_hints(Facts)[name] == frozenset[str] else [False, True])
    return [each for each in possible if each != value]


def test_policies_and_table_agree_whatever_single_fact_of_an_allowing_row_is_changed(policies: Policies) -> None:
    compared = 0
    for _, facts, need in ALLOWED:
        for each in fields(Facts):
            for value in other_values(each.name, getattr(facts, each.name)):
                changed = replace(facts, **{each.name: value})
                verdict, said = policies.ruling(changed, [need])[need], expected(changed, need)
                assert verdict.effect is said.effect, (changed, need, verdict, said)
                assert {rows()[policy]["row"] for policy in verdict.policies} == said.rows, (changed, need, verdict)
                assert verdict.refusal in said.told, (changed, need, verdict, said)
                compared += 1
    assert compared > len(ALLOWED) * len(fields(Facts))


def test_a_dispute_keeps_amounts_from_heirs_and_proxies_and_from_nobody_else(policies: Policies) -> None:
    disputed = replace(EXECUTOR, dispute=True)
    assert policies.ruling(disputed, [BALANCE])[BALANCE].shows
    assert policies.ruling(replace(ADMINISTRATOR, dispute=True), [BALANCE])[BALANCE].shows
    proxy = policies.ruling(replace(HEIR, role="PROXY", dispute=True), [BALANCE])[BALANCE]
    assert "estate-dispute" in proxy.policies
    assert not proxy.shows


def test_an_order_hides_who_and_where_the_other_parent_is(policies: Policies) -> None:
    who, finding = (
        Need(agency, level, About.OTHER_PARENT)
        for agency, level in ((Agency.REGISTRY, Sensitivity.IDENTITY), (Agency.HEALTH, Sensitivity.SPECIAL))
    )
    own = replace(PARENT, protection_order=True)
    ruling = policies.ruling(own, [who, finding, NAME, FINDING])
    assert [ruling[need].refusal for need in (who, finding, NAME, FINDING)] == [HIDDEN, HIDDEN, None, None]
    both = policies.ruling(replace(own, order_covers_child=True), [who, finding, NAME, FINDING])
    assert {verdict.refusal for verdict in both.values()} == {HIDDEN}


LOG_READERS = {"PRIVACY_OFFICER": ("D37", "own_agency"), "AUDITOR": ("D37", "own_agency"), SELF: ("D39", "about_self")}


def expected_of_log(facts: Facts, entries: Entries) -> set[str]:
    """The rows that decide on entries of the log: denying ones where there are any."""
    denied = {row for row, _ in denials_of_anything(facts)}
    row, whose = LOG_READERS.get(facts.role, ("", "own_agency"))
    purpose = Purpose.SUBJECT_ACCESS if row == "D39" else Purpose.LOG_REVIEW
    may = row and facts.purpose is purpose and getattr(entries, whose) and (row == "D39" or facts.assurance >= 2)
    return denied or ({row} if may else set())


def test_the_log_is_read_by_the_person_and_by_those_who_review_it_in_their_agency(policies: Policies) -> None:
    draw = random.Random(37)  # noqa: S311 - the same facts every time
    seen: Counter[str] = Counter()
    for role, purpose, assurance, own, mine in itertools.product(
        sorted(ROLES), Purpose, (LOW, SUBSTANTIAL, HIGH), (False, True), (False, True)
    ):
        known = replace(BOUND, role=role, purpose=purpose, assurance=assurance)
        for facts in (known, replace(drawn_facts(draw), role=role, purpose=purpose, assurance=assurance)):
            verdict = policies.of_log(facts, Entries(own_agency=own, about_self=mine))
            said = expected_of_log(facts, Entries(own_agency=own, about_self=mine))
            assert {rows()[policy]["row"] for policy in verdict.policies} == said, (facts, verdict)
            assert verdict.shows == (said <= OF_LOG and bool(said))
            seen.update(said)
    assert min(seen[row] for row in OF_LOG) >= 10


def test_a_parent_does_not_see_the_other_parents_health(policies: Policies) -> None:
    need = Need(Agency.HEALTH, Sensitivity.SPECIAL, About.OTHER_PARENT)
    assert policies.ruling(PARENT, [need])[need].refusal is RefusalCode.THIRD_PARTY


def test_an_heir_sees_names_and_shares_of_the_others_and_no_more(policies: Policies) -> None:
    detail = Need(Agency.REGISTRY, Sensitivity.IDENTITY, About.CO_HEIR_DETAIL)
    parcel = Need(Agency.LAND, Sensitivity.PRESENCE, About.CO_HEIR)
    ruling = policies.ruling(HEIR, [CO_HEIR, detail, parcel])
    assert [ruling[need].shows for need in (CO_HEIR, detail, parcel)] == [True, False, False]


def test_third_parties_names_are_masked_and_their_amounts_withheld_like_any(policies: Policies) -> None:
    creditor = BALANCE._replace(third_party=True)
    verdict = policies.ruling(HEIR, [creditor])[creditor]
    assert (verdict.effect, verdict.refusal, verdict.shows) == (Effect.MASK, RefusalCode.THIRD_PARTY, True)
    stale = policies.ruling(replace(HEIR, fresh=False), [creditor])[creditor]
    assert (stale.effect, stale.refusal) == (Effect.WITHHOLD, STEP_UP)


def test_the_protection_desk_sees_what_its_mandate_shows(policies: Policies) -> None:
    assert policies.ruling(replace(HEIR, protected=True, protection_desk=True), [BALANCE])[BALANCE].shows


def test_hidden_reasons_show_as_nothing_else_whatever_else_is_wrong(policies: Policies) -> None:
    draw = random.Random(33)  # noqa: S311 - the same facts every time
    for _ in range(40):
        facts = replace(drawn_facts(draw), protection_desk=False)
        heir = replace(facts, role="HEIR", purpose=Purpose.ESTATE_DISCOVERY)
        for hidden in (replace(facts, protected=True), replace(heir, renounced=True), replace(heir, disqualified=True)):
            codes = {verdict.refusal for verdict in policies.ruling(hidden, draw.sample(NEEDS, 40)).values()}
            assert codes == {RefusalCode.NOT_ACCESSIBLE}


# ---------------------------------------------------------------- how policies are written


def test_every_policy_names_its_row_its_law_and_its_sentence(policies: Policies) -> None:
    for policy, said in rows().items():
        assert {"id", "row", "legal_basis", "sentence"} <= said.keys(), policy
        assert said["sentence"].endswith("."), policy
        assert policies.said(policy) == said
        assert said["legal_basis"] != ""


def test_every_row_of_the_table_is_a_policy() -> None:
    named = {said["row"] for said in rows().values()}
    assert named | PENDING == table().keys()
    assert len(table()) == 44


def test_a_policy_forbids_exactly_where_its_row_denies() -> None:
    for policy, said in rows().items():
        row = table()[said["row"]]
        assert ("refusal" in said) == (row["effect"] == "deny"), policy
        assert said.get("refusal") in {None, row["refusal"]}, policy


def test_every_forbid_says_what_the_viewer_is_told() -> None:
    assert written().count("\nforbid (") == sum("refusal" in said for said in rows().values()) > 0
    assert {said["refusal"] for said in rows().values() if "refusal" in said} <= {code.name for code in RefusalCode}


# ---------------------------------------------------------------- errors deny


BROKEN_FORBID = """
@id("all") @row("D01") @legal_basis("-") @sentence("-.")
permit (principal, action, resource);
@id("broken") @row("D33") @legal_basis("-") @sentence("-.") @refusal("NOT_ACCESSIBLE")
forbid (principal, action, resource) when { principal.nothing };
"""


def slices(text: str) -> Slices:
    schema = cedarpy.Schema.from_str((FOLDER / "schema.cedarschema").read_text("utf-8"))
    return Slices(text, schema, [each.name for each in fields(Facts)])


def test_a_forbid_that_cannot_be_evaluated_denies_everything_and_raises_the_alarm() -> None:
    alarms: list[str] = []
    policies = Policies(alarms.append)
    policies._slices = slices(BROKEN_FORBID)  # Cedar would skip the forbid, and allow
    ruling = policies.ruling(HEIR, [NAME, BALANCE])
    assert {(verdict.effect, verdict.refusal) for verdict in ruling.values()} == {(Effect.WITHHOLD, HIDDEN)}
    assert len(alarms) == 1
    assert "nothing" in alarms[0]


@pytest.mark.parametrize("wrong", [{"rank": "first"}, {"rank": 2**70}, {"assurance": 2.5}, {"role": None}])
def test_facts_that_break_the_schema_deny_everything_and_raise_the_alarm(wrong: dict[str, Any]) -> None:
    alarms: list[str] = []
    ruling = Policies(alarms.append).ruling(replace(HEIR, **wrong), [NAME, BALANCE])
    assert {(verdict.effect, verdict.refusal) for verdict in ruling.values()} == {(Effect.WITHHOLD, HIDDEN)}
    assert len(alarms) == 1


def test_an_error_about_one_viewer_denies_nothing_to_the_next() -> None:
    policies = Policies(lambda _: None)
    policies.ruling(replace(HEIR, rank=2**70), [NAME])
    assert policies.ruling(HEIR, [NAME])[NAME].shows


def test_a_ruling_is_the_same_however_often_and_beside_whatever_it_is_asked(policies: Policies) -> None:
    alone = {need: policies.ruling(HEIR, [need])[need] for need in NEEDS}
    fresh = Policies(lambda _: None)
    assert fresh.ruling(HEIR, NEEDS) == alone == fresh.ruling(HEIR, [*NEEDS, *NEEDS])


def test_every_role_of_a_mandate_is_known_to_the_facts() -> None:
    assert {role.name for role in MandateRole} < ROLES


# ---------------------------------------------------------------- what is remembered


class Counting(Policies):
    """Counts how often Cedar is asked."""

    asked = 0

    def _answers(self, *given: Any) -> list[Verdict]:
        self.asked += 1
        return super()._answers(*given)


def test_a_verdict_is_remembered_for_a_minute_and_then_found_anew() -> None:
    now = [1000.0]
    policies = Counting(pytest.fail, lambda: now[0])
    policies.ruling(HEIR, [NAME])
    first = policies.asked
    now[0] += 59.9
    policies.ruling(HEIR, [NAME])
    assert policies.asked == first > 0
    now[0] += 0.1  # a use does not make it younger
    policies._slices = slices("")
    assert not policies.ruling(HEIR, [NAME])[NAME].shows
    assert policies.asked > first
    assert next(iter(policies._remembered.values()))[1] == now[0]


def test_a_revocation_makes_every_verdict_forgotten() -> None:
    policies = Counting(pytest.fail)
    policies.ruling(HEIR, [NAME])
    first = policies.asked
    policies.forget()
    policies.ruling(HEIR, [NAME])
    assert policies.asked == 2 * first


def test_no_more_verdicts_are_remembered_than_there_is_room_for() -> None:
    policies = Policies(pytest.fail)
    for age in range(300):
        policies.ruling(replace(PARENT, child_age=age), [NAME])
        assert len(policies._remembered) <= 256


def test_an_error_is_remembered_as_nothing_and_hides_what_was_remembered_with_it() -> None:
    alarms: list[str] = []
    policies = Policies(alarms.append)
    policies.ruling(HEIR, [NAME])
    policies._slices = slices(BROKEN_FORBID)
    for _ in range(2):  # the second time as well: the error is found again
        ruling = policies.ruling(HEIR, [NAME, BALANCE])
        assert {verdict.refusal for verdict in ruling.values()} == {HIDDEN}
    assert len(alarms) == 2
    assert [set(known) for known, _ in policies._remembered.values()] == [{NAME}]
