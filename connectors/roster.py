"""The staff roster (복무 관리): which office an official works in, for which tasks, and whether they are on duty now.

Wire format: docs/wire/README.md, ROSTER. It is no agency of the graph: nothing it says is shown to anybody. What an
official may see depends on it, so it is asked anew for every question, and its silence is never taken for a yes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from connectors.guard import Mismatch, NoneHeld, decoded, facts, same_person, same_request
from connectors.transport import Transport
from schema.identifiers import PersonId, SectorId


class Work(Enum):
    """What an official is there for."""

    ESTATE = "ESTATE"
    BIRTH = "BIRTH"
    WELFARE = "WELFARE"


@dataclass(frozen=True, slots=True)
class Duty:
    """Where an official works, on what, and whether they are at work."""

    office: str
    agency: str
    tasks: frozenset[str]
    """Names of `Work`, and of whatever else there is to do."""
    on_duty: bool


class _Member(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    person_id: str
    office: str
    agency: str
    tasks: list[str]
    on_duty: bool


_MEMBER: Final = msgspec.json.Decoder(_Member)


class Roster:
    """The roster's one question."""

    def __init__(self, transport: Transport, staff_id: Callable[[PersonId], SectorId]) -> None:
        """`staff_id` is what the roster calls an official."""
        self._transport = transport
        self._staff_id = staff_id

    async def duty(self, official: PersonId, purpose: str) -> Duty | None:
        """Where the official stands now; None where the roster does not know them. Raises `AgencyError`."""
        staff = self._staff_id(official)
        try:
            reply = await self._transport.request("GET", f"/v1/staff/{staff}", purpose=purpose)
            wire = decoded(facts(reply, staff), _MEMBER)
            same_request(wire.request_id, reply.request_id)
            same_person(wire.person_id, staff)
        except NoneHeld:
            return None
        except Mismatch:
            await self._transport.drop_pool()
            raise
        return Duty(wire.office, wire.agency, frozenset(wire.tasks), wire.on_duty)
