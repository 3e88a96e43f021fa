"""The vehicle register's replica: a SQLite file that others read, and a control port for its faults.

Readers see views; behind each is a base table and the faults, which make a query about a person fail or take long.
Source: docs/wire/README.md, "VEHICLES" and "Faults of the sandbox".
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.agencies.frame import AgencyState, instant, json_response
from sandbox.facts import Fault, VehicleFacts
from sandbox.faults import KINDS, read_faults, write_faults

SCHEMA_VERSION: Final = 3
STEPS_PER_S: Final = 4_500_000  # of the query below, on a core of 2.5 GHz
REFRESH_S: Final = 600.0

COLUMNS: Final[Mapping[str, str]] = {
    "vehicle": "owner TEXT, plate TEXT, kind TEXT, maker TEXT, model TEXT, model_year INTEGER, fuel TEXT,"
    " first_registered_on TEXT, vin TEXT, share_numerator INTEGER, share_denominator INTEGER,"
    " standard_value INTEGER, inspection_valid_until TEXT, insurance_valid_until TEXT, deregistered_on TEXT",
    "lien": "owner TEXT, plate TEXT, kind TEXT, creditor TEXT, claim INTEGER, registered_on TEXT, released_on TEXT",
    "fine": "owner TEXT, plate TEXT, kind TEXT, amount INTEGER, due_on TEXT, authority TEXT, paid_on TEXT",
    "fishing_boat": "owner TEXT, number TEXT, name TEXT, tonnage TEXT, port TEXT, standard_value INTEGER",
    "tax_relief": "owner TEXT, multi_child TEXT, rate_percent INTEGER",
}

# Rows of the base table and none for a fault; but to look at a fault's row costs an error or time. SQLite computes what
# depends on no column before it looks at any row, so the overflow is made to depend on `seconds`.
_VIEW: Final = Template("""
CREATE VIEW $table AS
SELECT $columns,
    (SELECT text FROM fault WHERE fault.owner = ${table}_row.owner AND kind = 'SURPLUS') AS registration_number
    FROM ${table}_row
UNION ALL SELECT $nothing FROM fault
    WHERE kind = 'DOWN' AND abs(min(CAST(seconds AS INTEGER), 0) - 9223372036854775807 - 1) < 0
UNION ALL SELECT $nothing FROM fault
    WHERE kind = 'SLOW' AND (
        WITH RECURSIVE step (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step WHERE n < fault.seconds * $steps_per_s)
        SELECT count(*) FROM step
    ) < 0
""")
_INSERT: Final = Template("INSERT INTO ${table}_row VALUES ($marks)")

Row = tuple[object, ...]


def write_replica(file: Path, state: AgencyState) -> None:
    """Make the replica anew: everybody's rows in one transaction, and the faults from the start."""
    for leftover in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
        leftover.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("PRAGMA journal_mode = WAL")  # a slow reader does not hold up the control port
        store.execute("PRAGMA synchronous = OFF")
        for statement in _schema():
            store.execute(statement)
        inserts = {table: _insert(table, columns) for table, columns in COLUMNS.items()}
        for sid, subject in state.sids.items():
            facts = state.holder(subject).vehicles
            for table, rows in _rows(sid, facts) if facts else ():
                store.executemany(inserts[table], rows)
            _write_faults(store, sid, state.faults.of(sid))
        _stamp(store, state.now())


def vehicles(file: Path, now: Callable[[], datetime]) -> Starlette:
    """Build the control port of a replica; it keeps the replica fresh while it runs."""

    async def put(request: Request) -> Response:
        sid = request.path_params["sid"]
        try:
            faults = read_faults(await request.json(), KINDS["VEHICLES"])
        except ValueError as error:
            return json_response({"error": "BAD_REQUEST", "reason": str(error)}, 400)
        with closing(sqlite3.connect(file)) as store, store:
            _write_faults(store, sid, faults)
        return await get(request)

    async def get(request: Request) -> Response:
        """Show the faults; nobody counts what readers of a file meet."""
        with closing(sqlite3.connect(file)) as store:
            found = store.execute(
                "SELECT kind, seconds, text FROM fault WHERE owner = ?", (request.path_params["sid"],)
            )
            faults = [Fault(kind, seconds=seconds, text=text) for kind, seconds, text in found]
        return json_response({"faults": write_faults(faults), "fired": None})

    async def home(_request: Request) -> Response:
        return PlainTextResponse("Control port of the vehicle replica. The replica itself is read by SQL.\n")

    @asynccontextmanager
    async def fresh(_app: Starlette) -> AsyncIterator[None]:
        async def refresh() -> None:
            while True:
                await asyncio.sleep(REFRESH_S)
                with closing(sqlite3.connect(file)) as store, store:
                    _stamp(store, now())

        refreshing = asyncio.create_task(refresh())
        try:
            yield
        finally:
            refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing

    path = "/sandbox/faults/{sid}"
    return Starlette(
        routes=[Route(path, put, methods=["PUT"]), Route(path, get, methods=["GET"]), Route("/", home)], lifespan=fresh
    )


def _schema() -> Iterator[str]:
    yield (
        "CREATE TABLE fault (owner TEXT NOT NULL, kind TEXT NOT NULL, seconds REAL NOT NULL,"
        " text TEXT, PRIMARY KEY (owner, kind)) WITHOUT ROWID"
    )
    yield "CREATE TABLE replica_state (schema_version INTEGER NOT NULL, replicated_at TEXT NOT NULL)"
    for table, columns in COLUMNS.items():
        yield f"CREATE TABLE {table}_row ({columns})"
        yield f"CREATE INDEX {table}_owner ON {table}_row (owner)"
        yield _view(table, columns)


def _names(columns: str) -> list[str]:
    return [column.split()[0] for column in columns.split(", ")]


def _insert(table: str, columns: str) -> str:
    return _INSERT.substitute(table=table, marks=", ".join("?" * len(_names(columns))))


def _view(table: str, columns: str) -> str:
    owner, *rest = _names(columns)
    nothing = ", ".join([owner, *["NULL"] * (len(rest) + 1)])
    return _VIEW.substitute(table=table, columns=", ".join([owner, *rest]), nothing=nothing, steps_per_s=STEPS_PER_S)


def _write_faults(store: sqlite3.Connection, sid: str, faults: Iterable[Fault]) -> None:
    store.execute("DELETE FROM fault WHERE owner = ?", (sid,))
    store.executemany(
        "INSERT INTO fault VALUES (?, ?, ?, ?)", [(sid, each.kind, each.seconds, each.text) for each in faults]
    )


def _stamp(store: sqlite3.Connection, at: datetime) -> None:
    store.execute("DELETE FROM replica_state")
    store.execute("INSERT INTO replica_state VALUES (?, ?)", (SCHEMA_VERSION, instant(at)))


def _rows(owner: str, facts: VehicleFacts) -> Iterator[tuple[str, list[Row]]]:
    """Rows of one owner by table, in the order of `COLUMNS`."""
    yield (
        "vehicle",
        [
            (
                owner,
                each.plate,
                each.kind,
                each.maker,
                each.model,
                each.model_year,
                each.fuel,
                str(each.first_registered_on),
                each.vin,
                each.share.numerator,
                each.share.denominator,
                each.standard_value,
                _text(each.inspection_valid_until),
                _text(each.insurance_valid_until),
                _text(each.deregistered_on),
            )
            for each in facts.vehicles
        ],
    )
    yield (
        "lien",
        [
            (owner, each.plate, lien.kind, lien.creditor, lien.claim, str(lien.registered_on), _text(lien.released_on))
            for each in facts.vehicles
            for lien in each.liens
        ],
    )
    yield (
        "fine",
        [
            (owner, each.plate, fine.kind, fine.amount, str(fine.due_on), fine.authority, _text(fine.paid_on))
            for each in facts.vehicles
            for fine in each.fines
        ],
    )
    yield (
        "fishing_boat",
        [
            (owner, boat.number, boat.name, str(boat.tonnage), boat.port, boat.standard_value)
            for boat in facts.fishing_boats
        ],
    )
    yield "tax_relief", [(owner, facts.multi_child_relief, facts.relief_rate_percent)]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
