"""What an officer does with the log by command, as an entry of it."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from audit.entry import Access, Outcome, Task, selection
from auth.viewer import Viewer
from schema.scalars import Coordinate
from serving import program


def done(officer: Viewer, task: Task, operation_name: str, at: datetime, **told: Any) -> Access:
    """The entry of something by which nothing was seen of anybody. `told` is what else there is to say."""
    nothing: frozenset[Coordinate] = frozenset()
    said: dict[str, Any] = {"subject": None, "reason": None, "variables": None} | told
    return Access(
        operation=uuid4(),
        at=at.astimezone(UTC),
        task=task,
        operation_name=operation_name,
        document_hash=None,
        selection=selection(program.schema_hash(program.schema()), []),
        subject_role=None,
        records={},
        answers={},
        disclosed=nothing,
        null=nothing,
        withheld=nothing,
        failed=nothing,
        sensitivity=None,
        purpose="LOG_REVIEW",
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
        trace_id=None,
        request_id=None,
        **said,
    )
