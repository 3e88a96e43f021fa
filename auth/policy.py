"""Rulings: what one viewer may see of one person for one purpose, and why not.

The policies are Cedar (auth/policies/*.cedar), one legal sentence each, named after the row of the decision table
(auth/decisions.csv) that they state. What no policy tells apart is decided once (auth/slices.py). A policy that errors
could fail open (Cedar skips a `forbid` that errors), so any such error denies everything and is raised as an alert.

Why something is withheld comes from asking again with one circumstance changed: what would have been allowed after
signing in afresh needs a step-up, and so on. Only circumstances that the viewer may learn of are tried.
"""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import cedarpy

from auth.slices import ASKING, Entity, Slice, Slices, asked
from schema.case import MandateRole, Purpose, RefusalCode
from schema.choice import Choice
from schema.disclosure import Agency, Sensitivity


class About(Choice):
    """Whose datum it is, seen from the case."""

    PERSON = "PERSON"  # the deceased, the child, the ward
    CO_HEIR = "CO_HEIR"
    CO_HEIR_DETAIL = "CO_HEIR_DETAIL"  # more of a co-heir than name and share
    OTHER_PARENT = "OTHER_PARENT"
    SELF = "SELF"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a policy may know of one question (auth/policies/schema.cedarschema says what each means)."""

    role: str
    purpose: Purpose
    assurance: int
    fresh: bool
    mandate_active: bool = False
    opened_in_time: bool = False
    opened_by_officer: bool = False
    missing: bool = False
    appointed: bool = False
    survivor: bool = False
    takes_vehicle: bool = False
    rank: int = 0
    by_substitution: bool = False
    both_deaths_registered: bool = False
    nearer_rank_entitled: bool = False
    renounced: bool = False
    disqualified: bool = False
    dispute: bool = False
    child_age: int = 0
    order_agencies: frozenset[str] = frozenset()
    order_sensitivity: int = 0
    protected: bool = False
    protection_desk: bool = False
    protection_order: bool = False
    order_covers_child: bool = False
    office_case: bool = False
    case_open: bool = False
    assigned: bool = False
    same_office: bool = False
    on_duty: bool = False
    own_family: bool = False
    consent: bool = False
    consent_financial: bool = False
    break_glass_agencies: frozenset[str] = frozenset()
    break_glass_valid: bool = False
    service: bool = False
    sender_bound: bool = False
    sandbox: bool = False


LEVEL = {sensitivity: level for level, sensitivity in enumerate(sorted(Sensitivity), start=1)}
"""How policies count sensitivity: 1 PRESENCE to 5 SPECIAL."""

SELF = "SELF"
NOBODY = "NONE"
IN_OFFICE = frozenset({"OFFICIAL", "PRIVACY_OFFICER", "AUDITOR"})
"""Roles of officials that no mandate gives: one without a case, and those who review the log."""
ROLES = frozenset({SELF, NOBODY, *IN_OFFICE, *(role.name for role in MandateRole)})


class Need(NamedTuple):
    """What one coordinate needs: data of an agency and sensitivity, about somebody; `third_party`: another's name.

    A tuple, since a question looks hundreds of them up and Python hashes tuples by itself.
    """

    agency: Agency
    sensitivity: Sensitivity
    about: About = About.PERSON
    third_party: bool = False


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of the access log that somebody would read."""

    own_agency: bool = False
    about_self: bool = False


class Effect(Enum):
    """What happens to a field."""

    ALLOW = "ALLOW"
    MASK = "MASK"
    WITHHOLD = "WITHHOLD"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision with its reasons: the policies that decided, and what to tell the viewer when it is a refusal."""

    effect: Effect
    policies: tuple[str, ...]
    refusal: RefusalCode | None = None

    @property
    def shows(self) -> bool:
        """Whether anything is shown at all."""
        return self.effect is not Effect.WITHHOLD


Ruling = Mapping[Need, Verdict]


REMEDIES: Sequence[tuple[RefusalCode, dict[str, Any]]] = (
    (RefusalCode.STEP_UP_REQUIRED, {"assurance": 3, "fresh": True}),
    (RefusalCode.DISPUTED, {"dispute": False}),
    (RefusalCode.CONSENT_REQUIRED, {"consent": True, "consent_financial": True}),
    (RefusalCode.OUT_OF_TIME, {"opened_in_time": True, "break_glass_valid": True}),
    (RefusalCode.NOT_ACCESSIBLE, {"child_age": 0}),
    (
        RefusalCode.EVIDENCE_REQUIRED,
        {
            "both_deaths_registered": True,
            "nearer_rank_entitled": False,
            "opened_by_officer": True,
            "appointed": True,
        },
    ),
    (
        RefusalCode.EVIDENCE_REQUIRED,
        {"order_agencies": frozenset(each.name for each in Agency), "order_sensitivity": 5},
    ),
)
"""What could be different, each on top of those before: the first that would have allowed it is what to tell."""
_REMEMBERED = 256
"""Of so many questions' facts the verdicts are remembered."""
REMEMBERED_S = 60.0
"""How long a verdict is remembered at most."""
_FACTS = tuple(field.name for field in fields(Facts))


FOLDER = resources.files("auth") / "policies"


class PolicyError(Exception):
    """The policies could not be evaluated without an error. Everything is denied."""


class Policies:
    """The policy set of this process. `alert` is called with policy errors, which never name a person.

    Verdicts are remembered by facts and need for 60 `seconds` from the first on those facts, and no longer than this
    policy set is: another one, with another hash, remembers nothing of it.
    """

    def __init__(self, alert: Callable[[str], None], seconds: Callable[[], float] = time.monotonic) -> None:
        text = written()
        schema_text = (FOLDER / "schema.cedarschema").read_text("utf-8")
        checked = cedarpy.validate_policies(text, schema_text)
        if not checked.validation_passed:
            raise PolicyError("; ".join(str(error) for error in checked.errors))
        self.hash = hashlib.sha256(text.encode() + b"\0" + schema_text.encode()).hexdigest()
        self._alert = alert
        self._schema = cedarpy.Schema.from_str(schema_text)
        self._slices = Slices(text, self._schema, _FACTS)
        self._annotations = annotations(text)
        self._seconds = seconds
        self._remembered: OrderedDict[Facts, tuple[dict[Need, Verdict], float]] = OrderedDict()

    def ruling(self, facts: Facts, needs: Sequence[Need]) -> Ruling:
        """A verdict on every need. Facts decide alone, so that a verdict may be remembered with them."""
        now = self._seconds()
        while self._remembered and next(iter(self._remembered.values()))[1] <= now - REMEMBERED_S:
            self._remembered.popitem(last=False)  # the oldest come first
        known, since = self._remembered.get(facts) or ({}, now)
        missing = [need for need in needs if need not in known]
        if not missing:
            return {need: known[need] for need in needs}
        try:
            known = known | self._decided(facts, missing)
        except PolicyError as error:
            self._alert(str(error))
            return {need: Verdict(Effect.WITHHOLD, (), RefusalCode.NOT_ACCESSIBLE) for need in needs}
        self._remembered[facts] = known, since
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return {need: known[need] for need in needs}

    def forget(self) -> None:
        """Remember no verdict any more: a mandate was ended."""
        self._remembered.clear()

    def of_log(self, facts: Facts, entries: Entries) -> Verdict:
        """Whether these entries of the access log may be read."""
        read = {"uid": {"type": "Log", "id": "entries"}, "attrs": asdict(entries), "parents": []}
        try:
            [verdict] = self._answers(facts, [Slice(self._slices.whole, asked("read_log", read), read, permits=True)])
        except PolicyError as error:
            self._alert(str(error))
            return Verdict(Effect.WITHHOLD, (), RefusalCode.NOT_ACCESSIBLE)
        return verdict

    def _decided(self, facts: Facts, needs: Sequence[Need]) -> dict[Need, Verdict]:
        try:
            reads = {need: self._slice(facts, "read", need) for need in needs}
            verdicts = self._first(facts, reads)
            changed = facts
            for code, changes in REMEDIES:
                before, changed = changed, replace(changed, **changes)
                unexplained = {
                    need: read
                    for need, read in reads.items()
                    if verdicts[need].refusal is RefusalCode.OUT_OF_SCOPE and read.permits
                }
                if not unexplained or changed == before:
                    continue
                for need, verdict in self._first(changed, unexplained).items():
                    if verdict.shows:
                        verdicts[need] = replace(verdicts[need], refusal=code)
        except ValueError as wrong:
            raise PolicyError(str(wrong)) from wrong
        return verdicts

    def _first(self, facts: Facts, reads: Mapping[Need, Slice]) -> dict[Need, Verdict]:
        """Verdicts as the policies stand; what no policy permits is OUT_OF_SCOPE for now."""
        verdicts = self._evaluated(facts, reads)
        names = {
            need: self._slice(facts, "read_name", need)
            for need in reads
            if need.third_party and verdicts[need].effect is Effect.ALLOW
        }
        for need, verdict in self._evaluated(facts, names).items():
            if not verdict.shows:
                verdicts[need] = Verdict(
                    Effect.MASK, (*verdicts[need].policies, "third-party-names"), RefusalCode.THIRD_PARTY
                )
        return verdicts

    def _slice(self, facts: Facts, action: str, need: Need) -> Slice:
        return self._slices.of(facts.role, facts.purpose.name, action, _data(need))

    def _evaluated(self, facts: Facts, asked_of: Mapping[Need, Slice]) -> dict[Need, Verdict]:
        """Verdicts by need; what no policy tells apart is asked once."""
        distinct = {id(each): each for each in asked_of.values()}
        verdicts = dict(zip(distinct, self._answers(facts, list(distinct.values())), strict=True))
        return {need: verdicts[id(each)] for need, each in asked_of.items()}

    def _answers(self, facts: Facts, slices: Sequence[Slice]) -> list[Verdict]:
        """Verdicts on what each slice is about, in their order."""
        if not slices:
            return []
        try:
            known = cedarpy.Entities.from_json_str(
                json.dumps([_asking(facts), *(each.entity for each in slices)]), schema=self._schema
            )
            results = [cedarpy.is_authorized(each.request, each.policies, known, self._schema) for each in slices]
        except ValueError as wrong:
            raise PolicyError(str(wrong)) from wrong
        return [self._verdict(result) for result in results]

    def _verdict(self, result: cedarpy.AuthzResult) -> Verdict:
        if result.diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
            raise PolicyError("; ".join(result.diagnostics.errors) or "no decision")
        ids = tuple(sorted(result.diagnostics.id_annotations_by_reason.values()))
        if result.allowed:
            return Verdict(Effect.ALLOW, ids)
        codes = [RefusalCode[self._annotations[policy]["refusal"]] for policy in ids]
        hidden = RefusalCode.NOT_ACCESSIBLE in codes
        code = RefusalCode.NOT_ACCESSIBLE if hidden else next(iter(codes), RefusalCode.OUT_OF_SCOPE)
        return Verdict(Effect.WITHHOLD, ids, code)

    def said(self, policy: str) -> Mapping[str, str]:
        """What a policy says of itself, by its id: `row`, `legal_basis`, `sentence`, a forbid's `refusal`."""
        return self._annotations[policy]


def written() -> str:
    """All policies as they are written."""
    return "\n".join(
        path.read_text("utf-8") for path in sorted(FOLDER.iterdir(), key=str) if path.name.endswith(".cedar")
    )


def annotations(text: str) -> dict[str, dict[str, str]]:
    """The annotations of each policy (``row``, ``legal_basis``, ``sentence``, a forbid's ``refusal``) by its ``id``."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    return {policy["annotations"]["id"]: policy["annotations"] for policy in parsed["staticPolicies"].values()}


def _asking(facts: Facts) -> Entity:
    known = {name: getattr(facts, name) for name in _FACTS} | {"purpose": facts.purpose.name}
    sets = {name: sorted(fact) for name, fact in known.items() if isinstance(fact, frozenset)}
    return {"uid": ASKING, "attrs": known | sets, "parents": []}


@cache
def _data(need: Need) -> Entity:
    key = f"{need.agency.name}/{need.sensitivity.name}/{need.about.name}"
    attrs = {"agency": need.agency.name, "sensitivity": LEVEL[need.sensitivity], "about": need.about.name}
    return {"uid": {"type": "Data", "id": key}, "attrs": attrs, "parents": []}
