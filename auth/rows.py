"""Which policies can have a say in a question, when only its purpose and its data are known.

What an approver of a document wants to know before anybody asks it. A policy is left out only when its conditions are
false whoever asks: they are evaluated over three values, where everything about the person asking is not known (None).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

import cedarpy

from auth.policy import LEVEL, Need
from schema.case import Purpose

COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "contains": lambda set_, member: member in set_,
}
Known = Mapping[tuple[str, str], Any]
"""By variable and attribute, what is known."""


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A policy that can decide: its row of the decision table, `permit` or `forbid`, its sentence and its law."""

    row: str
    policy: str
    effect: str
    sentence: str
    legal_basis: str


class Rows:
    """The policies of this program, to be asked which can apply."""

    def __init__(self) -> None:
        folder = resources.files("auth") / "policies"
        text = "\n".join(path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".cedar"))
        self._policies = list(json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values())

    def applying(self, purpose: Purpose, needs: Iterable[Need]) -> list[Row]:
        """The policies that can decide on any of the needs, by row. A purpose nobody permits has no permit here."""
        needs = list(needs)
        return sorted({_row(policy) for policy in self._policies if any(_can(policy, purpose, need) for need in needs)})


def _row(policy: Mapping[str, Any]) -> Row:
    said = policy["annotations"]
    return Row(said["row"], said["id"], policy["effect"], said["sentence"], said["legal_basis"])


def _can(policy: Mapping[str, Any], purpose: Purpose, need: Need) -> bool:
    actions = {"read", "read_name"} if need.third_party else {"read"}
    entity = policy["action"].get("entity")
    if entity is not None and entity["id"] not in actions:
        return False
    known: Known = {
        ("principal", "purpose"): purpose.name,
        ("resource", "agency"): need.agency.name,
        ("resource", "sensitivity"): LEVEL[need.sensitivity],
        ("resource", "about"): need.about.name,
    }
    return all(value(each["body"], known) is not (each["kind"] == "unless") for each in policy["conditions"])


def value(expression: Mapping[str, Any], known: Known) -> Any:
    """The value of an expression of Cedar's JSON form, None where it hangs on what is not known."""
    ((operator, operands),) = expression.items()
    found: Any = None
    if operator == "Value":
        found = operands
    elif operator == "Set":
        members = [value(each, known) for each in operands]
        found = None if None in members else members
    elif operator == ".":
        found = known.get((operands["left"].get("Var"), operands["attr"]))
    elif operator == "!":
        inner = value(operands["arg"], known)
        found = None if inner is None else not inner
    elif operator in {"&&", "||"} | COMPARED.keys():
        left, right = (value(operands[side], known) for side in ("left", "right"))
        if operator in COMPARED:
            found = None if left is None or right is None else COMPARED[operator](left, right)
        else:
            deciding = operator == "||"
            found = deciding if deciding in {left, right} else None if None in {left, right} else not deciding
    return found
