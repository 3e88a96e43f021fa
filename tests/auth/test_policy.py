"""Policies against the decision table: an oracle in plain Python, written from the table and not from the policies."""

import csv
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

import cedarpy
import pytest

from auth.policy import LEVEL, NOBODY, ROLES, SELF, About, Effect, Facts, Need, Policies, Verdict, annotations
from schema.case import MandateRole, Purpose, RefusalCode
from schema.disclosure import Agency, Sensitivity

SIX = frozenset({Agency.LAND, Agency.FINANCE, Agency.PENSIONS, Agency.TAX, Agency.HEALTH, Agency.VEHICLES})
HOLDING_MONEY = SIX - {Agency.HEALTH}
LOW, SUBSTANTIAL, HIGH = 1, 2, 3
HERE = frozenset(
    "D01 D02 D03 D04 D05 D06 D09 D23 D24 D25 D27 D31 D32 D33 D34 D35 D42".split()  # noqa: SIM905 - easier to compare
)
"""The rows of this stretch."""

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
    found = estate(need)
    if found and facts.rank == 1 and facts.by_substitution:  # children's and siblings' lines only (Civil Act 1001)
        yield "D09", (*found[1], BOTH_DEATHS)
    elif found and facts.rank == 1:
        yield found
    elif found and facts.rank == 2 and not facts.by_substitution:
        yield "D06", (*found[1], NO_NEARER_RANK)
    if (need.agency, need.about) == (Agency.REGISTRY, About.CO_HEIR) and need.sensitivity <= Sensitivity.IDENTITY:
        yield "D42", (MANDATE, SIGNED_IN)


def denials(facts: Facts, need: Need) -> Iterator[tuple[str, RefusalCode]]:
    health_special = (need.agency, need.sensitivity) == (Agency.HEALTH, Sensitivity.SPECIAL)
    if facts.purpose is Purpose.ESTATE_DISCOVERY and health_special:
        yield "D05", RefusalCode.SPECIAL_CATEGORY
    if facts.role == "PARENT" and need.about is About.OTHER_PARENT and health_special:
        yield "D25", RefusalCode.THIRD_PARTY  # whatever the purpose: no row gives a parent this one
    if facts.protected and not facts.protection_desk:
        yield "D33", RefusalCode.NOT_ACCESSIBLE
    if facts.role in {"HEIR", "PROXY"} and facts.dispute and need.sensitivity >= Sensitivity.AMOUNT:
        yield "D34", RefusalCode.DISPUTED
    if facts.role == "HEIR" and (facts.renounced or facts.disqualified):
        yield "D35", RefusalCode.NOT_ACCESSIBLE


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
    folder = resources.files("auth") / "policies"
    return annotations("\n".join(each.read_text("utf-8") for each in folder.iterdir() if each.name.endswith(".cedar")))


NEEDS = [Need(*each) for each in itertools.product(Agency, Sensitivity, About, (False, True))]
USUAL = (
    *(("HEIR", Purpose.ESTATE_DISCOVERY),) * 6,
    *(("PARENT", Purpose.BIRTH_BENEFITS),) * 3,
    ("GUARDIAN", Purpose.WARD_ADMINISTRATION),
    (SELF, Purpose.SUBJECT_ACCESS),
    ("EXECUTOR", Purpose.ESTATE_SETTLEMENT),
    ("PROXY", Purpose.ESTATE_DISCOVERY),
    (NOBODY, Purpose.ESTATE_DISCOVERY),
)


OF_THE_PERSON = [Need(agency, sensitivity) for agency in Agency for sensitivity in Sensitivity]


def drawn_facts(draw: random.Random) -> Facts:
    """Facts as they come: mostly a usual viewer with most conditions met, now and then anything at all."""

    def often() -> bool:
        return draw.random() < 0.92

    def seldom() -> bool:
        return draw.random() < 0.04

    role, purpose = draw.choice(USUAL) if often() else (draw.choice(sorted(ROLES)), draw.choice(list(Purpose)))
    return Facts(
        role=role,
        purpose=purpose,
        assurance=draw.choice([LOW, SUBSTANTIAL, HIGH, HIGH, HIGH]),
        fresh=often(),
        mandate_active=often(),
        opened_in_time=often(),
        opened_by_officer=seldom(),
        rank=draw.choice([0, 1, 1, 1, 1, 2, 2, 2, 3, 4]),
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
    )


Decision = tuple[Facts, Need, Verdict, Expected]


@pytest.fixture(scope="module")
def decisions(policies: Policies) -> list[Decision]:
    """Thirty-two thousand decisions, each as the policies have it and as the table does."""
    draw = random.Random(20260314)  # noqa: S311 - the same facts every time
    made: list[Decision] = []
    for _ in range(400):
        facts, needs = drawn_facts(draw), [*OF_THE_PERSON, *draw.sample(NEEDS, 40)]
        ruling = policies.ruling(facts, needs)
        made += [(facts, need, ruling[need], expected(facts, need)) for need in needs]
    return made


def test_policies_and_table_agree_on_thirty_two_thousand_decisions(
    decisions: list[Decision], alerts: list[str]
) -> None:
    by_id = rows()
    seen: Counter[str] = Counter()
    for facts, need, verdict, said in decisions:
        assert verdict.effect is said.effect, (facts, need, verdict, said)
        assert {by_id[policy]["row"] for policy in verdict.policies} == said.rows, (facts, need, verdict, said)
        seen.update([verdict.effect.name, *said.rows])
    assert alerts == []
    assert len(decisions) == 32_000
    assert min(seen[name] for name in (*HERE, *(effect.name for effect in Effect))) >= 10, seen


def test_what_a_viewer_is_told_is_always_something_that_is_wrong(decisions: list[Decision]) -> None:
    for facts, need, verdict, said in decisions:
        assert verdict.refusal in said.told, (facts, need, verdict, said)


# ---------------------------------------------------------------- each row, with each of its conditions broken

HEIR = Facts("HEIR", Purpose.ESTATE_DISCOVERY, HIGH, True, mandate_active=True, opened_in_time=True, rank=1)
SECOND = replace(HEIR, rank=2)
SUBSTITUTE = replace(HEIR, by_substitution=True, both_deaths_registered=True)
PARENT = Facts("PARENT", Purpose.BIRTH_BENEFITS, HIGH, True, mandate_active=True, child_age=8)
GUARDIAN = Facts(
    "GUARDIAN",
    Purpose.WARD_ADMINISTRATION,
    SUBSTANTIAL,
    False,
    mandate_active=True,
    order_agencies=frozenset({"FINANCE"}),
    order_sensitivity=LEVEL[Sensitivity.AMOUNT],
)
MYSELF = Facts(SELF, Purpose.SUBJECT_ACCESS, HIGH, False)

NAME = Need(Agency.REGISTRY, Sensitivity.IDENTITY)
PARCEL = Need(Agency.LAND, Sensitivity.INVENTORY)
BALANCE = Need(Agency.FINANCE, Sensitivity.AMOUNT)
PREMIUM = Need(Agency.HEALTH, Sensitivity.AMOUNT)
INSURER = Need(Agency.HEALTH, Sensitivity.INVENTORY)
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
    ("D09", SUBSTITUTE, NAME),
    ("D09", SUBSTITUTE, PARCEL),
    ("D09", SUBSTITUTE, BALANCE),
    ("D09", SUBSTITUTE, PREMIUM),
    ("D23", PARENT, NAME),
    ("D23", PARENT, PREMIUM),
    ("D24", PARENT, FINDING),
    ("D27", GUARDIAN, BALANCE),
    ("D31", MYSELF, MINE),
    ("D42", HEIR, CO_HEIR),
]
STEP_UP, LATE, PROOF = RefusalCode.STEP_UP_REQUIRED, RefusalCode.OUT_OF_TIME, RefusalCode.EVIDENCE_REQUIRED
HIDDEN, SCOPE, DISPUTED = RefusalCode.NOT_ACCESSIBLE, RefusalCode.OUT_OF_SCOPE, RefusalCode.DISPUTED
ELSEWHERE: dict[str, Any] = {"purpose": Purpose.MEANS_TEST}

BROKEN: list[tuple[str, Facts, Need, dict[str, Any], RefusalCode]] = [
    *(("any", facts, need, {"role": "PROXY"}, SCOPE) for _, facts, need in ALLOWED),
    *(("any", facts, need, ELSEWHERE, SCOPE) for _, facts, need in ALLOWED),
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
    *(("D01", HEIR, need, {"rank": rank}, SCOPE) for need in (NAME, PARCEL, BALANCE, INSURER) for rank in (0, 3, 4)),
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
        "opened_by_officer": True,
        "protection_desk": True,
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


def test_a_parent_does_not_see_the_other_parents_health(policies: Policies) -> None:
    need = Need(Agency.HEALTH, Sensitivity.SPECIAL, About.OTHER_PARENT)
    assert policies.ruling(PARENT, [need])[need].refusal is RefusalCode.THIRD_PARTY


def test_an_heir_sees_names_and_shares_of_the_others_and_no_more(policies: Policies) -> None:
    detail = Need(Agency.REGISTRY, Sensitivity.IDENTITY, About.CO_HEIR_DETAIL)
    parcel = Need(Agency.LAND, Sensitivity.PRESENCE, About.CO_HEIR)
    ruling = policies.ruling(HEIR, [CO_HEIR, detail, parcel])
    assert [ruling[need].shows for need in (CO_HEIR, detail, parcel)] == [True, False, False]


def test_third_parties_names_are_masked_and_their_amounts_withheld_like_any(policies: Policies) -> None:
    creditor = replace(BALANCE, third_party=True)
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
    table = resources.files("auth").joinpath("decisions.csv").read_text("utf-8").splitlines()
    known = {line["row"] for line in csv.DictReader(table)}
    written = rows()
    for policy, said in written.items():
        assert {"id", "row", "legal_basis", "sentence"} <= said.keys(), policy
        assert said["sentence"].endswith("."), policy
        assert said["row"] in known
        assert policies.legal_basis(policy) == said["legal_basis"] != ""
    assert {said["row"] for said in written.values()} == HERE


def test_every_forbid_says_what_the_viewer_is_told() -> None:
    folder = resources.files("auth") / "policies"
    text = "\n".join(each.read_text("utf-8") for each in folder.iterdir() if each.name.endswith(".cedar"))
    written = rows()
    assert text.count("\nforbid (") == sum("refusal" in said for said in written.values()) > 0
    assert {said["refusal"] for said in written.values() if "refusal" in said} <= {code.name for code in RefusalCode}


# ---------------------------------------------------------------- errors deny


BROKEN_FORBID = """
@id("all") @row("D01") @legal_basis("-") @sentence("-.")
permit (principal, action, resource);
@id("broken") @row("D33") @legal_basis("-") @sentence("-.") @refusal("NOT_ACCESSIBLE")
forbid (principal, action, resource) when { principal.nothing };
"""


def test_a_forbid_that_cannot_be_evaluated_denies_everything_and_raises_the_alarm() -> None:
    alarms: list[str] = []
    policies = Policies(alarms.append)
    policies._policies = cedarpy.PolicySet.from_str(BROKEN_FORBID)  # Cedar would skip the forbid, and allow
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
