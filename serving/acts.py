"""What a privacy officer does at the command line, as an entry of the log: it reads no data of the agencies."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from audit.entry import Access, Outcome, Task, Visibility, selection
from auth.viewer import Viewer
from schema.identifiers import PersonId
from schema.scalars import Coordinate
from serving import program


def act(
    officer: Viewer,
    at: datetime,
    task: Task,
    name: str,
    legal_basis: str,
    *,
    subject: PersonId | None = None,
    reason: str | None = None,
    variables: Mapping[str, Any] | None = None,
    visibility: Visibility | None = None,
) -> Access:
    """The entry of an act of this name by an officer, on behalf of their organisation."""
    nothing: frozenset[Coordinate] = frozenset()
    return Access(
        operation=uuid4(),
        at=at.astimezone(UTC),
        task=task,
        operation_name=name,
        document_hash=None,
        selection=selection(program.schema_hash(program.schema()), []),
        subject=subject,
        subject_role=None,
        records={},
        answers={},
        disclosed=nothing,
        null=nothing,
        withheld=nothing,
        failed=nothing,
        sensitivity=None,
        purpose="LOG_REVIEW",
        legal_basis=legal_basis,
        case_id=None,
        case_number=None,
        organisation=officer.agency,
        outcome=Outcome.DISCLOSED,
        policy_ids=(),
        policy_set_hash=None,
        viewer=officer.person,
        roles=tuple(sorted(role.name for role in officer.roles)),
        office=officer.office,
        agency=officer.agency,
        on_behalf_of=None,
        session=officer.token_id,
        assurance=officer.assurance.name,
        client_id=officer.client,
        source_address=None,
        reason=reason,
        variables=variables,
        trace_id=None,
        request_id=None,
        visibility=visibility,
    )
