"""What an export of the log looks like to other tools: OCSF events, and flat rows for CSV and Parquet.

Source of the events: the Open Cybersecurity Schema Framework 1.2.0 (schema.ocsf.io), class API Activity, 6003. What it
has no place for is under `unmapped`. Entries come in as `Reading.export` gives them; one whose key was destroyed by
order has its place in the log and nothing else, in every format.
"""

import csv
import io
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

import polars as pl

from audit.entry import Access, Outcome, Selection, Task

Told = Mapping[str, Any]
"""An entry as `Reading.export` gives it."""

OCSF_VERSION: Final = "1.2.0"
CATEGORY_UID: Final = 6
CLASS_UID: Final = 6003
UNKNOWN: Final = 0
ACTIVITIES: Final = {
    Task.CREATE: 1,
    Task.VIEW: 2,
    Task.SEARCH: 2,
    Task.EXPORT: 2,
    Task.LOG_VIEW: 2,
    Task.UPDATE: 3,
}
INFORMATIONAL: Final = 1
STATUS: Final = {Outcome.DISCLOSED: 1, Outcome.PARTIAL: 1, Outcome.REFUSED: 2, Outcome.FAILED: 2}
"""Success and Failure, of the question: a refused one failed."""
NEVER: Final = 0
"""A destroyed entry has no time of its own to show."""

_COLUMNS: Mapping[str, pl.DataType] = {
    "leaf_index": pl.Int64(),
    "leaf_hash": pl.String(),
    "id": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "task": pl.String(),
    "operation": pl.String(),
    "operation_name": pl.String(),
    "document_hash": pl.String(),
    "selection": pl.String(),
    "subject": pl.String(),
    "subject_role": pl.String(),
    "viewer": pl.String(),
    "roles": pl.List(pl.String),
    "office": pl.String(),
    "agency": pl.String(),
    "on_behalf_of": pl.String(),
    "client": pl.String(),
    "source_address": pl.String(),
    "assurance": pl.String(),
    "reason": pl.String(),
    "organisation": pl.String(),
    "purpose": pl.String(),
    "legal_basis": pl.String(),
    "case": pl.String(),
    "case_number": pl.String(),
    "outcome": pl.String(),
    "sensitivity": pl.String(),
    "agencies": pl.List(pl.String),
    "answers": pl.String(),
    "records": pl.String(),
    "disclosed": pl.List(pl.String),
    "null": pl.List(pl.String),
    "withheld": pl.List(pl.String),
    "failed": pl.List(pl.String),
    "derived": pl.List(pl.String),
    "policy_ids": pl.List(pl.String),
    "policy_set_hash": pl.String(),
    "session": pl.String(),
    "trace": pl.String(),
    "request": pl.String(),
    "variables": pl.String(),
}
SCHEMA: Final = pl.Schema(_COLUMNS)
"""One row an entry. `subject` is the officers' name of the person; `answers`, `records` and `variables` are JSON."""
OF_STAFF: Final = frozenset(
    {
        *("subject", "viewer", "roles", "office", "agency", "on_behalf_of", "client", "source_address", "assurance"),
        *("reason", "session", "trace", "request"),
    }
)
ROWS_AT_ONCE: Final = 20_000
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def ocsf(told: Told) -> dict[str, Any]:
    """An API Activity event. Members without a value are left out, as OCSF wants it."""
    if "task" not in told:
        activity, moment, operation, request = UNKNOWN, NEVER, "unreadable", told["id"]
        staff: Told = {}
    else:
        activity, staff = ACTIVITIES[Task(told["task"])], told["staff"]
        moment = _milliseconds(datetime.fromisoformat(told["at"]))
        operation, request = told["operation_name"] or "anonymous", told["operation"]
    outcome = Outcome(told["outcome"]) if "outcome" in told else None
    user = {"uid": staff.get("viewer"), "groups": [{"name": role} for role in staff.get("roles", ())]}
    session = {"uid": staff.get("session")}
    event = {
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "class_uid": CLASS_UID,
        "class_name": "API Activity",
        "activity_id": activity,
        "type_uid": CLASS_UID * 100 + activity,
        "severity_id": INFORMATIONAL,
        "severity": "Informational",
        "time": moment,
        "message": told.get("purpose"),
        "status_id": STATUS[outcome] if outcome else UNKNOWN,
        "status_code": outcome,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": told["id"],
            "sequence": told["leaf_index"],
            "log_name": "access-log",
            "logged_time": moment,
            "correlation_uid": told.get("operation"),
            "product": {"name": "onestop", "vendor_name": "onestop", "version": version("onestop")},
        },
        "actor": {
            "user": user,
            "session": session,
            "app_uid": staff.get("client"),
            # An actor has to be named somehow, even one that nobody can name any more.
            "app_name": None if staff else "unreadable",
        },
        "api": {
            "operation": operation,
            "request": {"uid": request},
            "service": {"name": "graphql"},
            "response": {"code": 200 if outcome in {Outcome.DISCLOSED, Outcome.PARTIAL} else None, "message": outcome},
        },
        "src_endpoint": {"ip": staff.get("source_address"), "name": staff.get("client") or "unknown"},
        "resources": [
            {
                "name": agency,
                "type": "agency",
                "uid": told["subject"],
                "data": {"answer": answer, **told["records"].get(agency, {})},
            }
            for agency, answer in told.get("answers", {}).items()
        ],
        "unmapped": {
            name: told[name] for name in told if name not in {"id", "leaf_index", "operation", "at", "answers"}
        },
    }
    filled = _filled(event)
    return filled if isinstance(filled, dict) else {}


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _filled(value: Any) -> Any:
    """Without what has no value; an object or a list that would be empty has none."""
    if isinstance(value, Mapping):
        found = {name: kept for name, each in value.items() if (kept := _filled(each)) is not None}
        return found or None
    if isinstance(value, list):
        return [_filled(each) for each in value] or None
    return value


def row(told: Told) -> dict[str, Any]:
    """A row of SCHEMA."""
    staff = told.get("staff", {})
    facts = {name: (staff if name in OF_STAFF else told).get(name) for name in SCHEMA}
    if "task" not in told:
        return facts
    return facts | {
        "at": datetime.fromisoformat(told["at"]),
        "selection": told["selection"]["id"],
        "agencies": sorted(told["answers"]),
        "answers": _json(told["answers"]),
        "records": _json(told["records"]),
        "variables": None if staff["variables"] is None else _json(staff["variables"]),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def csv_line(values: Iterable[Any]) -> str:
    """One line of RFC 4180, where a spreadsheet takes nothing for a formula.

    Lists are joined by a space, which no element has.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_cell(value) for value in values])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = " ".join(value)
    elif isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value


async def write_parquet(entries: AsyncIterator[Told], out: IO[bytes]) -> None:
    """All entries as one Parquet file (zstd), never more than a part of them in memory."""
    with tempfile.TemporaryDirectory(prefix="onestop-export-") as folder:
        parts: list[Path] = []
        rows: list[dict[str, Any]] = []

        def lay_down() -> None:
            parts.append(Path(folder) / f"{len(parts):06}.parquet")
            pl.DataFrame(rows, schema=SCHEMA).write_parquet(parts[-1])
            rows.clear()

        async for told in entries:
            rows.append(row(told))
            if len(rows) == ROWS_AT_ONCE:
                lay_down()
        if rows or not parts:
            lay_down()
        whole = Path(folder) / "whole"
        pl.scan_parquet(parts).sink_parquet(whole, compression="zstd")
        with whole.open("rb") as written:
            while data := written.read(1 << 20):
                out.write(data)


def export_access(
    *, operation: UUID, at: datetime, form: str, since: int, reason: str, account: str, read: Selection
) -> Access:
    """The entry that an export leaves: which account of this machine took the log out of the house, and why."""
    return Access(
        operation=operation,
        at=at,
        task=Task.EXPORT,
        operation_name="log export",
        document_hash=None,
        selection=read,
        subject=None,
        subject_role=None,
        records={},
        answers={},
        disclosed=frozenset(read.coordinates),
        null=frozenset(),
        withheld=frozenset(),
        failed=frozenset(),
        sensitivity="SPECIAL",
        purpose="LOG_REVIEW",
        legal_basis=None,
        case_id=None,
        case_number=None,
        organisation="onestop",
        outcome=Outcome.DISCLOSED,
        policy_ids=(),
        policy_set_hash=None,
        viewer=f"account:{account}",
        roles=("SERVICE",),
        office=None,
        agency=None,
        on_behalf_of=None,
        session=None,
        assurance=None,
        client_id="onestop log export",
        source_address=None,
        reason=reason,
        variables={"format": form, "since": since},
        trace_id=None,
        request_id=None,
    )
