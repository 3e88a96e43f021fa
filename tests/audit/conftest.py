"""An access log on either store, a clock that stands still, and accesses worth recording."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.entry import Access, Outcome, Records, Task, selection
from audit.keys import Keys
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)
PARCEL = selection("5c" * 32, [Coordinate(f"LandParcel.{name}") for name in ("pnu", "assessedValue", "address")])
VEHICLE = selection("5c" * 32, [Coordinate("Vehicle.plate"), Coordinate("Vehicle.maker")])


@pytest.fixture
def keys() -> Keys:
    return Keys(master=bytes(range(32)), signing=Ed25519PrivateKey.from_private_bytes(bytes(32)))


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: NOW


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/log.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Give a test both stores in turn."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def access() -> Callable[..., Access]:
    """Give a maker of accesses: an heir reads a parcel of the deceased, unless told otherwise."""

    def made(**told: Any) -> Access:
        facts: dict[str, Any] = {
            "operation": UUID("01958f7e-0000-7000-8000-000000000001"),
            "at": NOW,
            "task": Task.VIEW,
            "operation_name": "Estate",
            "document_hash": "sha256:" + "d0" * 32,
            "selection": PARCEL,
            "subject": PersonId("deceased-person"),
            "subject_role": "deceased",
            "records": {"LAND": Records(2, ("1111010100100010000", "1111010100100020000"))},
            "answers": {"LAND": "COMPLETE"},
            "disclosed": {"LandParcel.pnu"},
            "null": {"LandParcel.address"},
            "withheld": {"LandParcel.assessedValue"},
            "failed": frozenset(),
            "sensitivity": "INVENTORY",
            "purpose": "ESTATE_DISCOVERY",
            "legal_basis": "MOIS rule 211",
            "case_id": CaseId("case-1"),
            "case_number": "2026-서울-000001",
            "organisation": "onestop",
            "outcome": Outcome.PARTIAL,
            "policy_ids": ("D01", "D02"),
            "policy_set_hash": "0c" * 32,
            "viewer": "viewer-heir",
            "roles": ("CITIZEN",),
            "office": None,
            "agency": None,
            "on_behalf_of": None,
            "session": "jti-1",
            "assurance": "HIGH",
            "client_id": "portal",
            "source_address": "192.0.2.7",
            "reason": None,
            "variables": {"id": "case-1", "ratio": 0.5, "huge": 2**70},
            "trace_id": "trace-1",
            "request_id": "request-1",
        }
        return Access(**(facts | told))

    return made
