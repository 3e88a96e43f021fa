"""Which policies have a say in a question, found by Cedar itself from what never changes within it.

To evaluate a policy costs about 2.5 µs whether or not it speaks of the question, and most of them speak of another role
or another agency's data. Cedar's partial evaluator is told role, purpose and datum, and nothing else of who asks: a
policy that is false then is false whatever else is true. Data of which it leaves the very same conditions are alike to
every policy, so one decision is good for all of them. The decision itself is always a full evaluation, by whole
policies.

Kept as long as the policy set: there are as many as roles, purposes and kinds of data.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cedarpy
from cedarpy.pst import PolicySet, Template

Entity = dict[str, Any]
"""As Cedar's JSON has it: `uid`, `attrs`, `parents`."""
ASKING: Final = {"type": "Asking", "id": "now"}
_NEVER = [{"kind": "when", "body": {"Value": False}}]


@dataclass(frozen=True, slots=True)
class Slice:
    """The policies that may decide on a datum; `entity` stands for all that are alike."""

    policies: cedarpy.PolicySet
    request: dict[str, Any]
    entity: Entity
    permits: bool
    """Whether any of them is a permit. Without one it is denied whatever the facts."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a role may do for a purpose: the policies that speak of it, what they leave open, and what was found."""

    policies: cedarpy.PolicySet
    asking: Entity
    by_conditions: dict[str, Slice]
    by_datum: dict[str, Slice]


class Slices:
    """The policies of a text, by what they speak of. Raises ValueError where Cedar does."""

    def __init__(self, text: str, schema: cedarpy.Schema, facts: Iterable[str]) -> None:
        """`facts` are the names of what may be known of who asks."""
        self.whole = cedarpy.PolicySet.from_str(text)
        self._policies = self.whole.to_pst().static_policies
        self._schema = schema
        self._unknown = {name: {"__extn": {"fn": "unknown", "arg": name}} for name in facts}
        self._kinds: dict[tuple[str, str, str], _Kind] = {}

    def of(self, role: str, purpose: str, action: str, datum: Entity) -> Slice:
        """What decides on a datum."""
        kind = self._kinds.get((role, purpose, action))
        if kind is None:
            asking = {"uid": ASKING, "attrs": self._unknown | {"role": role, "purpose": purpose}, "parents": []}
            speaking = [self._policies[each] for each in self._left(self.whole, action, [asking])]
            bare = _set_of(replace(each, annotations={}) for each in speaking)  # they would be said again every time
            kind = self._kinds[role, purpose, action] = _Kind(bare, asking, {}, {})
        found = kind.by_datum.get(datum["uid"]["id"])
        if found is None:
            left = self._left(kind.policies, action, [kind.asking, datum])
            conditions = json.dumps(left, sort_keys=True)
            found = kind.by_conditions.get(conditions)
            if found is None:
                deciding = [self._policies[each] for each in left]
                permits = any(each.effect == "permit" for each in deciding)
                found = Slice(_set_of(deciding), asked(action, datum), datum, permits)
                kind.by_conditions[conditions] = found
            kind.by_datum[datum["uid"]["id"]] = found
        return found

    def _left(self, policies: cedarpy.PolicySet, action: str, entities: list[Entity]) -> Mapping[str, Any]:
        """What is left of the conditions of each policy that is not false already, of the second entity or of any."""
        known = cedarpy.Entities.from_json_str(json.dumps(entities), schema=self._schema)
        principal, *resource = ('{type}::"{id}"'.format(**each["uid"]) for each in entities)
        request = {"principal": principal, "action": f'Action::"{action}"', "context": {}}
        if resource:
            request["resource"] = resource[0]
        found = cedarpy.is_authorized_partial(request, policies, known, self._schema)
        if found.diagnostics.errors:
            raise ValueError("; ".join(found.diagnostics.errors))
        return {
            policy: residual["conditions"]
            for policy, residual in found.residuals.items()
            if residual["conditions"] != _NEVER
        }


def _set_of(policies: Iterable[Template]) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_pst(PolicySet({}, {each.id: each for each in policies}, ()))


def asked(action: str, entity: Entity) -> dict[str, Any]:
    """A request in Cedar's words."""
    return {"principal": ASKING, "action": {"type": "Action", "id": action}, "resource": entity["uid"]}
