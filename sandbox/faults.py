"""How the agencies of the sandbox misbehave, person by person, and how often they did.

Source: docs/wire/README.md, "Faults of the sandbox".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from math import isfinite
from typing import Final

from sandbox.facts import Fault

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "REGISTRY": frozenset({"SURPLUS", "SLOW", "DOWN"}),
    "LAND": frozenset({"SURPLUS", "SLOW", "DOWN", "LATE"}),
    "FINANCE": frozenset({"SURPLUS", "SLOW", "DOWN", "LATE", "FAILED"}),
    "PENSIONS": frozenset({"SURPLUS", "SLOW", "DOWN", "LATE", "FAILED"}),
    "TAX": frozenset({"SURPLUS", "SLOW", "DOWN", "LATE"}),
    "HEALTH": frozenset({"SURPLUS", "SLOW", "DOWN", "LATE"}),
    "VEHICLES": frozenset({"SURPLUS", "SLOW", "DOWN"}),
    "ROSTER": frozenset({"SURPLUS", "SLOW", "DOWN"}),
}
"""What each agency can do wrong."""

LONGEST_S: Final = 60.0


class FaultBook:
    """The faults of one agency, by sector identifier."""

    def __init__(self, agency: str, faults: Mapping[str, tuple[Fault, ...]] | None = None) -> None:
        """Start with the faults given."""
        self.kinds = KINDS[agency]
        self._faults = dict(faults or {})
        self._fired: defaultdict[str, set[str]] = defaultdict(set)

    def replace(self, sid: str, faults: tuple[Fault, ...]) -> None:
        """Have these faults about the person from now on, and count anew."""
        self._faults[sid] = faults
        self._fired[sid].clear()

    def of(self, sid: str) -> tuple[Fault, ...]:
        """All faults about the person."""
        return self._faults.get(sid, ())

    def find(self, sid: str, kind: str) -> Fault | None:
        """Give the fault of this kind that befalls the whole agency."""
        return next((fault for fault in self.of(sid) if fault.kind == kind and fault.institution is None), None)

    def find_part(self, sid: str, kind: str, institution: str) -> Fault | None:
        """Give the fault of this kind that befalls one institution or scheme, by itself or with the whole agency."""
        return next(
            (fault for fault in self.of(sid) if fault.kind == kind and fault.institution in {None, institution}), None
        )

    def fire(self, sid: str, request_id: str) -> None:
        """Note that this request met a fault."""
        self._fired[sid].add(request_id)

    def fired(self, sid: str) -> int:
        """How many requests about the person met a fault since the faults were set."""
        return len(self._fired[sid])


def read_faults(body: object, kinds: frozenset[str]) -> tuple[Fault, ...]:
    """Faults as `PUT /sandbox/faults/{sid}` sends them; ValueError for what this agency cannot do."""
    match body:
        case [*faults]:
            return tuple(_fault(each, kinds) for each in faults)
        case _:
            raise ValueError("a list of faults")


def write_faults(faults: Iterable[Fault]) -> list[dict[str, object]]:
    """Faults as `GET /sandbox/faults/{sid}` shows them."""
    return [_members(fault) for fault in faults]


def _fault(body: object, kinds: frozenset[str]) -> Fault:
    match body:
        case {"kind": "SLOW", "seconds": int() | float() as seconds, **rest} if not rest:
            if not (isfinite(seconds) and 0 < seconds <= LONGEST_S):
                raise ValueError("seconds")
            fault = Fault("SLOW", seconds=float(seconds))
        case {"kind": "DOWN", **rest} if not rest:
            fault = Fault("DOWN")
        case {"kind": "LATE", "expectedBy": str(day), **rest} if rest.keys() <= {"institution"}:
            fault = Fault("LATE", expected_by=date.fromisoformat(day), institution=_institution(rest))
        case {"kind": "SURPLUS", "text": str(text), **rest} if not rest:
            fault = Fault("SURPLUS", text=text)
        case {"kind": "FAILED", **rest} if rest.keys() <= {"institution"}:
            fault = Fault("FAILED", institution=_institution(rest))
        case _:
            raise ValueError("no fault of this form")
    if fault.kind not in kinds:
        raise ValueError("not a fault of this agency")
    return fault


def _institution(body: Mapping[object, object]) -> str | None:
    match body.get("institution"):
        case str() | None as institution:
            return institution
        case _:
            raise ValueError("institution")


def _members(fault: Fault) -> dict[str, object]:
    members: dict[str, object] = {"kind": fault.kind}
    if fault.kind == "SLOW":
        members["seconds"] = fault.seconds
    if fault.expected_by is not None:
        members["expectedBy"] = fault.expected_by.isoformat()
    if fault.institution is not None:
        members["institution"] = fault.institution
    if fault.text is not None:
        members["text"] = fault.text
    return members
