"""Everything that one process answers with: stores, connectors, policies, the log (put together in serving/)."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.tiles import Published
from audit.writer import AccessLog
from auth.ids import Ids
from auth.policy import Policies
from auth.token import TokenCheck
from cases.store import Cases
from connectors.connector import Connector
from connectors.registry import Register
from connectors.roster import Roster
from schema.disclosure import Agency, Disclosed, Sensitivity
from schema.identifiers import CaseId
from schema.scalars import Coordinate


class Changes:
    """Wakes those who watch a case when this process changed it. Other processes are seen by the case's version."""

    def __init__(self) -> None:
        self._waiting: defaultdict[CaseId, set[asyncio.Event]] = defaultdict(set)

    def announce(self, case_id: CaseId) -> None:
        """Wake whoever watches the case."""
        for event in self._waiting.get(case_id, ()):
            event.set()

    async def wait(self, case_id: CaseId, at_most_s: float) -> None:
        """Return at the next announcement, or after the time."""
        event = asyncio.Event()
        self._waiting[case_id].add(event)
        try:
            async with asyncio.timeout(at_most_s):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[case_id].discard(event)
            if not self._waiting[case_id]:
                del self._waiting[case_id]


@dataclass(frozen=True, slots=True)
class Limits:
    """Time an operation may take as a whole, and how often a slow agency is polled."""

    deadline_s: float = 8.0
    poll_every_s: float = 60.0
    watch_every_s: float = 1.0


@dataclass(frozen=True, slots=True)
class House:
    """The parts. `clock` gives aware UTC; nobody else reads one. In the `sandbox` nobody is real."""

    ids: Ids
    tokens: TokenCheck
    policies: Policies
    cases: Cases
    log: AccessLog
    registry: Register
    estate: Mapping[Agency, Connector[Any]]
    birth: Mapping[Agency, Connector[Any]]
    kept: AESGCM
    clock: Callable[[], datetime]
    disclosed: Mapping[Coordinate, Disclosed]
    leaves: frozenset[Coordinate]
    leads_to: Mapping[Coordinate, str]
    schema_hash: str
    sandbox: bool = False
    callback_url: str | None = None
    published: Published | None = None
    roster: Roster | None = None
    """Without one no official is on duty."""
    limits: Limits = field(default_factory=Limits)
    changes: Changes = field(default_factory=Changes)
    coordinates: dict[Any, frozenset[Coordinate]] = field(default_factory=dict, compare=False, repr=False)
    """Sets that follow from `disclosed`, once somebody has asked for them."""

    def so_sensitive(self, sensitivity: Sensitivity) -> frozenset[Coordinate]:
        """All coordinates of just this sensitivity."""
        found = self.coordinates.get(sensitivity)
        if found is None:
            found = self.coordinates[sensitivity] = frozenset(
                coordinate for coordinate, said in self.disclosed.items() if said.sensitivity is sensitivity
            )
        return found

    def sealed(self, body: bytes, name: str) -> bytes:
        """An agency's answer as our store keeps it."""
        nonce = secrets.token_bytes(12)
        return nonce + self.kept.encrypt(nonce, body, name.encode())

    def unsealed(self, stored: bytes, name: str) -> bytes:
        """The answer again."""
        return self.kept.decrypt(stored[:12], stored[12:], name.encode())
