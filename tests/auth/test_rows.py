"""Which rows can apply: everything that ever decides is among them, and what cannot decide is not."""

from random import Random
from typing import Any, get_type_hints

import pytest

from auth.policy import ROLES, About, Facts, Need, Policies
from auth.rows import Rows, value
from schema.case import Purpose
from schema.disclosure import Agency, Sensitivity

ROWS = Rows()
NEEDS = [
    Need(agency, sensitivity, about, third_party)
    for agency in Agency
    for sensitivity in Sensitivity
    for about in About
    for third_party in (False, True)
]


def drawn(dice: Random) -> Facts:
    """Facts of every kind, whatever they are."""
    said: dict[str, Any] = {}
    for name, type_ in get_type_hints(Facts).items():
        if type_ is bool:
            said[name] = dice.random() < 0.5
        elif type_ is int:
            said[name] = dice.choice([0, 1, 2, 3, 5, 20])
        elif type_ is Purpose:
            said[name] = dice.choice(list(Purpose))
        elif type_ is str:
            said[name] = dice.choice(sorted(ROLES))
        else:
            said[name] = frozenset(agency.name for agency in Agency if dice.random() < 0.5)
    return Facts(**said | {"protected": False})


def test_whatever_decides_can_apply() -> None:
    alerts: list[str] = []
    policies, deciding = Policies(alerts.append), set()
    dice = Random(7)  # noqa: S311 - the same facts every time
    for _ in range(60):
        facts = drawn(dice)
        for need, verdict in policies.ruling(facts, dice.sample(NEEDS, 40)).items():
            deciding |= set(verdict.policies)
            assert set(verdict.policies) <= {row.policy for row in ROWS.applying(facts.purpose, [need])}
    assert alerts == []
    assert len(deciding) > 3


def test_rows_of_another_purpose_agency_or_sensitivity_cannot_apply() -> None:
    def rows(purpose: Purpose, *need: Any) -> set[str]:
        return {row.row for row in ROWS.applying(purpose, [Need(*need)])}

    balance = (Agency.FINANCE, Sensitivity.AMOUNT)
    assert {"D03", "D34"} <= rows(Purpose.ESTATE_DISCOVERY, *balance)
    assert rows(Purpose.ESTATE_DISCOVERY, *balance).isdisjoint({"D01", "D02", "D04", "D05", "D23", "D31", "D32"})
    assert "D23" in rows(Purpose.BIRTH_BENEFITS, *balance)
    assert rows(Purpose.BIRTH_BENEFITS, *balance).isdisjoint({"D01", "D03", "D05"})
    assert "D05" in rows(Purpose.ESTATE_DISCOVERY, Agency.HEALTH, Sensitivity.SPECIAL)
    assert "D32" in rows(Purpose.ESTATE_DISCOVERY, *balance, About.PERSON, True)
    assert ROWS.applying(Purpose.ESTATE_DISCOVERY, []) == []


YES, NO, OPEN = {"Value": True}, {"Value": False}, {".": {"left": {"Var": "principal"}, "attr": "unheard_of"}}


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [(YES, OPEN, None, True), (NO, OPEN, False, None), (OPEN, OPEN, None, None), (YES, NO, False, True)],
)
def test_what_is_not_known_decides_only_where_it_must(left: Any, right: Any, both: Any, either: Any) -> None:
    for a, b in ((left, right), (right, left)):
        assert value({"&&": {"left": a, "right": b}}, {}) is both
        assert value({"||": {"left": a, "right": b}}, {}) is either


def test_an_expression_that_is_not_understood_may_be_true() -> None:
    assert value({"like": {"left": YES, "pattern": []}}, {}) is None
    assert value({"!": {"arg": {"has": {"left": YES, "attr": "x"}}}}, {}) is None
