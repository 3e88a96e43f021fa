"""A proxy never sees more than the heir who gave it, nor more than its own mandate reaches, whatever the facts."""

import itertools
import random
from dataclasses import replace

import pytest

from auth.policy import About, Effect, Facts, Need, Policies, Verdict
from auth.power import Power
from schema.case import Purpose, RefusalCode
from schema.disclosure import Agency, Sensitivity

NEEDS = [Need(*each) for each in itertools.product(Agency, Sensitivity, About, (False, True))]
HEIR = Facts("HEIR", Purpose.ESTATE_DISCOVERY, 3, True, mandate_active=True, opened_in_time=True, rank=1, sandbox=True)
PROXY = Facts("PROXY", Purpose.ESTATE_DISCOVERY, 3, True, mandate_active=True, sandbox=True)
BALANCE = Need(Agency.FINANCE, Sensitivity.AMOUNT)
SHOWN = {Effect.WITHHOLD: 0, Effect.MASK: 1, Effect.ALLOW: 2}


@pytest.fixture(scope="module")
def policies() -> Policies:
    return Policies(pytest.fail)


def drawn(draw: random.Random) -> Power:
    """An heir and a proxy as they come, signed in alike; now and then with a mandate that is narrower still."""

    def often() -> bool:
        return draw.random() < 0.8

    both = {
        "assurance": draw.choice([1, 2, 3, 3, 3, 3]),
        "fresh": often(),
        "dispute": not often(),
        "protected": draw.random() < 0.05,
    }
    giver = replace(
        HEIR,
        **both,
        mandate_active=often(),
        opened_in_time=often(),
        rank=draw.choice([0, 1, 1, 1, 2, 3]),
        by_substitution=not often(),
        both_deaths_registered=often(),
        nearer_rank_entitled=not often(),
        renounced=not often(),
        disqualified=not often(),
    )
    agencies = frozenset(agency for agency in Agency if often()) if draw.random() < 0.3 else None
    sensitivity = draw.choice(list(Sensitivity)) if draw.random() < 0.3 else None
    return Power(replace(PROXY, **both, mandate_active=often()), giver, agencies, sensitivity)


def test_a_proxy_never_exceeds_its_giver_its_row_or_its_mandate(policies: Policies) -> None:
    draw = random.Random(20260314)  # noqa: S311 - the same facts every time
    seen = dict.fromkeys(Effect, 0)
    for _ in range(150):
        power = drawn(draw)
        assert power.giver is not None
        ruling = power.ruling(policies, NEEDS)
        givers, own = policies.ruling(power.giver, NEEDS), policies.ruling(power.facts, NEEDS)
        for need, verdict in ruling.items():
            seen[verdict.effect] += 1
            assert SHOWN[verdict.effect] <= min(SHOWN[givers[need].effect], SHOWN[own[need].effect])
            if verdict.shows:
                assert need.agency is not Agency.HEALTH
                assert need.sensitivity <= min(Sensitivity.AMOUNT, power.sensitivity or Sensitivity.SPECIAL)
                assert power.agencies is None or need.agency in power.agencies
                assert {"proxy-of-an-heir"} < set(verdict.policies)
            else:
                assert verdict.refusal is not None
    assert min(seen.values()) > 100, seen


@pytest.mark.parametrize(
    ("giver", "told"),
    [
        ({"dispute": True}, RefusalCode.DISPUTED),
        ({"opened_in_time": False}, RefusalCode.OUT_OF_TIME),
        ({"fresh": False}, RefusalCode.STEP_UP_REQUIRED),
        ({"renounced": True}, RefusalCode.NOT_ACCESSIBLE),
        ({"mandate_active": False}, RefusalCode.OUT_OF_SCOPE),
    ],
)
def test_what_its_giver_may_not_see_is_told_as_to_the_giver(
    policies: Policies, giver: dict[str, bool], told: RefusalCode
) -> None:
    power = Power(PROXY, replace(HEIR, **giver))  # type: ignore[arg-type]  # flags only
    assert power.ruling(policies, [BALANCE])[BALANCE].refusal is told
    assert Power(PROXY, HEIR).ruling(policies, [BALANCE])[BALANCE].effect is Effect.ALLOW


def test_beyond_the_mandate_is_out_of_scope_and_without_bounds_the_policies_alone_rule(policies: Policies) -> None:
    names = frozenset({Agency.REGISTRY})
    for narrow in (Power(HEIR, agencies=names), Power(HEIR, sensitivity=Sensitivity.INVENTORY)):
        verdict = narrow.ruling(policies, [BALANCE])[BALANCE]
        assert (verdict.effect, verdict.refusal) == (Effect.WITHHOLD, RefusalCode.OUT_OF_SCOPE)
    assert Power(HEIR).ruling(policies, NEEDS) == policies.ruling(HEIR, NEEDS)


def test_a_name_that_is_masked_for_the_giver_is_masked_for_the_proxy(policies: Policies) -> None:
    creditor = BALANCE._replace(third_party=True)
    verdict: Verdict = Power(PROXY, HEIR).ruling(policies, [creditor])[creditor]
    assert (verdict.effect, verdict.refusal) == (Effect.MASK, RefusalCode.THIRD_PARTY)


def test_a_proxy_of_all_heirs_never_exceeds_any_of_them(policies: Policies) -> None:
    draw = random.Random(20261122)  # noqa: S311 - the same facts every time
    seen = dict.fromkeys(Effect, 0)
    for _ in range(16):
        parts = [drawn(draw) for _ in range(draw.choice([2, 3, 4]))]
        if draw.random() < 0.7:  # heirs of one estate are mostly alike
            parts = [parts[0], *(replace(parts[0], sensitivity=part.sensitivity) for part in parts[1:])]
        whole = replace(parts[0], others=tuple(parts[1:])).ruling(policies, NEEDS)
        each = [part.ruling(policies, NEEDS) for part in parts]
        for need, verdict in whole.items():
            seen[verdict.effect] += 1
            assert SHOWN[verdict.effect] == min(SHOWN[ruling[need].effect] for ruling in each)
            assert verdict.shows or verdict.refusal is not None
    assert min(seen.values()) > 20, seen
