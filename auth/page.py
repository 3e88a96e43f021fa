"""The policies as a page for people who do not read Cedar: who, what, when, on which basis, and what a refusal says.

Every line is read off the policy itself (Cedar's JSON form), so that the page cannot say anything else than what
decides.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import cedarpy

from auth.policy import LEVEL, REMEDIES, written
from schema.case import REFUSAL_MESSAGES, REFUSAL_REMEDIES, RefusalCode

HEAD: Final = """# Who may see what

Printed by `onestop policies` from `auth/policies/`; a test keeps it so. One paragraph is one policy; a row (D01 to D44)
is one line of the decision table (`auth/decisions.csv`), and may take more than one. What nothing permits is not shown,
and what something forbids is not shown whatever permits it. "Refused with" is what a viewer is told for whom nothing
else is wrong. The facts are explained in `auth/policies/schema.cedarschema`.
"""

LEVELS: Final = {level: sensitivity.name for sensitivity, level in LEVEL.items()}
ASSURANCE: Final = {1: "LOW", 2: "SUBSTANTIAL", 3: "HIGH"}
COMPARED: Final = {"==": "is", "!=": "is not", ">=": "at least", "<=": "at most", "<": "below", ">": "above"}
ACTIONS: Final = {
    "read": "read",
    "read_name": "see the names of third parties whole",
    "read_log": "read the access log",
}

LAWS: Final = {
    "Automobile Management Act": "자동차관리법",
    "Civil Act": "민법",
    "Conflict of Interest Act": "공직자의 이해충돌 방지법",
    "Domestic Violence Act": "가정폭력범죄의 처벌 등에 관한 특례법",
    "E-Government Act": "전자정부법",
    "Electronic Government Act": "전자정부법",
    "Medical Service Act": "의료법",
    "MOIS rule 211": "행정안전부 예규 제211호 (안심상속 원스톱서비스)",
    "National Pension Act": "국민연금법",
    "PIPA": "개인정보 보호법",
    "Resident Registration Act": "주민등록법",
    "Social Security Benefits Act": "사회보장급여의 이용·제공 및 수급권자 발굴에 관한 법률",
}
"""Laws that policies name, as Korea calls them."""

Expression = Mapping[str, Any]


def page() -> str:
    """The page, in Markdown."""
    policies = json.loads(cedarpy.policies_to_json_str(written()))["staticPolicies"].values()
    ordered = sorted(policies, key=lambda policy: (policy["annotations"]["row"], policy["annotations"]["id"]))
    paragraphs = "\n".join(_paragraph(policy) for policy in ordered)
    return f"{HEAD}\n{paragraphs}\n{_refusals()}\n{_laws(paragraphs)}"


def _paragraph(policy: Expression) -> str:
    said = policy["annotations"]
    body = policy["conditions"][0]["body"]
    who, what, when = [], [], []
    for part in _parts(body, "&&"):
        seen = frozenset(_attributes(part))
        if ("principal", "role") in seen or ("principal", "purpose") in seen:
            who.append(_words(part))
        elif {entity for entity, _ in seen} == {"resource"}:
            what.append(_words(part))
        else:
            when.append(_words(part))
    facts = frozenset(name for entity, name in _attributes(body) if entity == "principal")
    verb = "May" if policy["effect"] == "permit" else "May never"
    rows = {
        "Who": "; ".join(who) or "anyone",
        verb: f"{_actions(policy['action'])}: {'; '.join(what) or 'anything'}",
        "When": "; ".join(when) or "always",
        "Basis": said["legal_basis"],
        "Refused with": said.get("refusal") or ", ".join(_told(facts)) or RefusalCode.OUT_OF_SCOPE.name,
    }
    lines = "\n".join(f"- {name}: {text}" for name, text in rows.items())
    return f"## {said['row']} {said['id']}\n\n{said['sentence']}\n\n{lines}\n"


def _told(facts: frozenset[str]) -> list[str]:
    """What a viewer is told for whom only this is missing, by what the policy asks for."""
    return list(dict.fromkeys(code.name for code, changes in REMEDIES if facts & changes.keys()))


def _actions(action: Expression) -> str:
    named = [action["entity"]] if "entity" in action else action.get("entities", [])
    names = [ACTIONS[each["id"]] for each in named if each["id"] != "read_name" or len(named) == 1]
    return " or ".join(names) or "read anything, the access log included"


def _parts(expression: Expression, operator: str) -> Iterator[Expression]:
    if operator in expression:
        yield from _parts(expression[operator]["left"], operator)
        yield from _parts(expression[operator]["right"], operator)
    else:
        yield expression


def _attributes(value: Any) -> Iterator[tuple[str, str]]:
    """Entity and name of every attribute that is spoken of."""
    if isinstance(value, list):
        for each in value:
            yield from _attributes(each)
    elif isinstance(value, dict):
        if "." in value:
            yield value["."]["left"]["Var"], value["."]["attr"]
        else:
            yield from _attributes(list(value.values()))


def _words(expression: Expression) -> str:
    [(operator, inner)] = expression.items()
    if operator in {"&&", "||"}:
        joined = (" and " if operator == "&&" else ", or ").join(_words(each) for each in _parts(expression, operator))
        return f"({joined})"
    if operator == "!":
        return f"not {_words(inner['arg'])}"
    if operator == ".":
        name: str = inner["attr"]
        return name.replace("_", " ")
    if operator == "contains" and "Set" in inner["left"]:
        return f"{_words(inner['right'])} is one of {', '.join(each['Value'] for each in inner['left']['Set'])}"
    if operator == "contains":
        return f"{_words(inner['left'])} name the {_words(inner['right'])}"
    right = inner["right"]
    value = _named(_words(inner["left"]), right["Value"]) if "Value" in right else _words(right)
    return f"{_words(inner['left'])} {COMPARED[operator]} {value}"


def _named(attribute: str, value: Any) -> str:
    return str({"sensitivity": LEVELS, "assurance": ASSURANCE}.get(attribute, {}).get(value, value))


def _refusals() -> str:
    lines = [
        f"| {code.name} | {REFUSAL_MESSAGES[code].en} ({REFUSAL_MESSAGES[code].ko}) "
        f"| {remedy.en if (remedy := REFUSAL_REMEDIES.get(code)) else ''} {f'({remedy.ko})' if remedy else ''} |"
        for code in RefusalCode
    ]
    return "\n".join(["## Refusals and remedies", "", "| code | said | remedy |", "|---|---|---|", *lines, ""])


def _laws(paragraphs: str) -> str:
    lines = [f"| {law} | {korean} |" for law, korean in LAWS.items() if law in paragraphs]
    return "\n".join(["## Laws", "", "| here | in Korea |", "|---|---|", *lines, ""])
