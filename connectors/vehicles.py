"""Vehicle register: vehicles, liens, fines and fishing boats by owner; for a birth, the tax relief of large families.

Source: replica schema 3 of the vehicle register (docs/wire/), read with SQL. It promises no order, keeps deregistered
vehicles, released liens and paid fines for a year, and may fall behind: one older than a day is not an answer.
"""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Meta, Struct
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from connectors import guard
from connectors.connector import Answered, Asked, Connector, Speed
from connectors.guard import Desk, Mismatch, settled
from connectors.transport import Unavailable, Unreadable
from schema.answer import Answer, AnswerStatus, KnownFact
from schema.disclosure import Agency
from schema.identifiers import SectorId
from schema.scalars import Won
from schema.text import Bilingual
from schema.vehicles import (
    BirthVehicles,
    EstateVehicles,
    Fine,
    FishingBoat,
    Vehicle,
    VehicleFuel,
    VehicleKind,
    VehicleLien,
    VehicleLienKind,
)

SOURCE: Final = "Vehicle and fishing-boat register"
SCHEMA_VERSION: Final = 3
OLDEST: Final = timedelta(days=1)
CLOCK_SKEW: Final = timedelta(minutes=5)
STEPS_BETWEEN_LOOKS: Final = 10_000
"""Of SQLite's machine: about a millisecond."""

guard.PROBLEMS.update(
    REPLICA_STALE=Bilingual("등록부 사본이 하루 이상 지났습니다.", "The copy of the register is older than a day."),
    REPLICA_UNKNOWN=Bilingual(
        "등록부 사본의 상태를 알 수 없습니다.", "The copy of the register does not say how it stands."
    ),
)

_METADATA: Final = sa.MetaData()


def _table(name: str, texts: str, numbers: str = "") -> sa.Table:
    columns = [sa.Column(column, sa.Text) for column in texts.split()]
    return sa.Table(name, _METADATA, *columns, *(sa.Column(column, sa.BigInteger) for column in numbers.split()))


VEHICLE: Final = _table(
    "vehicle",
    "owner plate kind maker model fuel first_registered_on vin inspection_valid_until insurance_valid_until"
    " deregistered_on",
    "model_year share_numerator share_denominator standard_value",
)
LIEN: Final = _table("lien", "owner plate kind creditor registered_on released_on", "claim")
FINE: Final = _table("fine", "owner plate kind due_on authority paid_on", "amount")
FISHING_BOAT: Final = _table("fishing_boat", "owner number name tonnage port", "standard_value")
TAX_RELIEF: Final = _table("tax_relief", "owner multi_child", "rate_percent")
REPLICA_STATE: Final = _table("replica_state", "replicated_at", "schema_version")

# ---------------------------------------------------------------- the wire

_Word = Annotated[str, Meta(min_length=1, max_length=200)]
_Price = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class WireVehicle(Struct, frozen=True):
    """Columns that may not be read were not asked for, and are None."""

    owner: str
    plate: _Word
    kind: VehicleKind
    maker: _Word
    model: _Word
    model_year: Annotated[int, Meta(ge=1900, le=2200)]
    fuel: VehicleFuel
    first_registered_on: date
    deregistered_on: date | None
    vin: Annotated[str, Meta(min_length=17, max_length=17)] | None = None
    share_numerator: int | None = None
    share_denominator: int | None = None
    standard_value: _Price | None = None
    inspection_valid_until: date | None = None
    insurance_valid_until: date | None = None


class WireLien(Struct, frozen=True):
    owner: str
    plate: _Word
    kind: VehicleLienKind
    released_on: date | None
    creditor: str | None = None
    claim: _Price | None = None
    registered_on: date | None = None


class WireFine(Struct, frozen=True):
    owner: str
    plate: _Word
    kind: _Word
    authority: _Word
    paid_on: date | None
    amount: _Price | None = None
    due_on: date | None = None


class WireBoat(Struct, frozen=True):
    owner: str
    number: _Word
    name: _Word
    tonnage: str
    port: _Word
    standard_value: _Price | None = None


class WireRelief(Struct, frozen=True):
    owner: str
    multi_child: KnownFact
    rate_percent: Annotated[int, Meta(ge=0, le=100)] | None = None


STATE: Final = sa.select(REPLICA_STATE)

_Wire = TypeVar("_Wire", bound=WireVehicle | WireLien | WireFine | WireBoat | WireRelief)

READ_BY: Final[Mapping[str, tuple[sa.Column[Any], ...]]] = {
    "Vehicle.vinSuffix": (VEHICLE.c.vin,),
    "Vehicle.ownershipShare": (VEHICLE.c.share_numerator, VEHICLE.c.share_denominator),
    "Vehicle.assessedValue": (VEHICLE.c.standard_value, VEHICLE.c.share_numerator, VEHICLE.c.share_denominator),
    "Vehicle.inspectionValidUntil": (VEHICLE.c.inspection_valid_until,),
    "Vehicle.insuranceValidUntil": (VEHICLE.c.insurance_valid_until,),
    "VehicleLien.creditor": (LIEN.c.creditor,),
    "VehicleLien.claim": (LIEN.c.claim,),
    "VehicleLien.registeredOn": (LIEN.c.registered_on,),
    "Fine.amount": (FINE.c.amount,),
    "Fine.dueOn": (FINE.c.due_on,),
    "FishingBoat.assessedValue": (FISHING_BOAT.c.standard_value,),
    "BirthVehicles.reliefRatePercent": (TAX_RELIEF.c.rate_percent,),
}
"""Columns behind each field that can be withheld; all other columns are always read."""

_WITHHELD: Final = frozenset(column for columns in READ_BY.values() for column in columns)


# ---------------------------------------------------------------- the replica


def replica(url: str, *, timeout_s: float = 2.5) -> AsyncEngine:
    """Make an engine that can only read, and sees one moment of the replica throughout a question.

    `url` is SQLAlchemy's, with the driver aiosqlite (a URI file with ``mode=ro``) or asyncpg.
    """
    if sa.make_url(url).get_backend_name() == "postgresql":
        settings = {
            "default_transaction_read_only": "on",
            "default_transaction_isolation": "repeatable read",
            "statement_timeout": str(int(timeout_s * 1000)),
        }
        return create_async_engine(
            url, pool_timeout=timeout_s, connect_args={"server_settings": settings, "timeout": timeout_s}
        )
    # A question ends its own transaction; a roll-back on its return would be one more hand-over to the driver's thread.
    engine = create_async_engine(url, pool_timeout=timeout_s, pool_reset_on_return=None)

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def openable(_dialect: object, _record: object, passed: list[Any], named: dict[str, Any]) -> None:
        # aiosqlite's thread outlives a failure to open, and then reports to a loop that may have ended.
        await_only(asyncio.to_thread(lambda: sqlite3.connect(*passed, **named).close()))

    @sa.event.listens_for(engine.sync_engine, "connect")
    def read_only(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction before a SELECT: we do
        connection.execute("PRAGMA query_only = ON")

    @sa.event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


Rows = Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class _Reading:
    """One question to the replica, that can be stopped from outside while a statement runs."""

    engine: AsyncEngine
    tables: Sequence[sa.Table]
    owners: Sequence[SectorId]
    coordinates: frozenset[str]
    stopped: bool = False

    async def rows(self) -> list[Rows]:
        async with self.engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                asked = (of_owners(table, self.owners, self.coordinates) for table in self.tables)
                return [_named(await connection.execute(statement)) for statement in (STATE, *asked)]
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                # All statements in one hand-over to the driver's thread; aiosqlite has no public way for that.
                read: list[Rows] = await driver._execute(lambda: self._read(driver._conn))  # noqa: SLF001
            except BaseException:
                await connection.invalidate()  # nobody else waits for what it may still be at
                raise
            return read

    def _read(self, connection: sqlite3.Connection) -> list[Rows]:
        connection.set_progress_handler(lambda: self.stopped, STEPS_BETWEEN_LOOKS)
        connection.execute("BEGIN")
        try:
            read = [_dicts(connection.execute(_state_spelled()))]
            for table in self.tables:
                statement = _of_owners_spelled(table, self.coordinates, len(self.owners))
                read.append(_dicts(connection.execute(statement, self.owners)))
            return read
        finally:
            connection.execute("ROLLBACK")

    async def within(self, timeout_s: float) -> list[Rows]:
        """Rows of the replica's state and of all tables, from one moment. Raises `Unavailable`.

        A statement in SQLite runs in a thread that no cancellation reaches. An interrupt is lost where the statement
        has not begun, so it looks for itself whether it is still wanted. asyncpg cancels on the server by itself.
        """
        task = asyncio.create_task(self.rows())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise Unavailable("TIMEOUT") from error
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise Unavailable("AGENCY_ERROR") from error
        finally:
            self.stopped = True
            if not task.done():
                task.cancel()
                task.add_done_callback(_forgotten)


def _forgotten(task: "asyncio.Task[Any]") -> None:
    """Take note of how a stopped question ended, so that nobody is warned of it."""
    if not task.cancelled():
        task.exception()


def of_owners(table: sa.Table, owners: Sequence[SectorId], coordinates: frozenset[str]) -> sa.Select[Any]:
    """Rows of those owners, one more of each than anybody has; without the columns that may not be read."""
    return _of_owners(table, coordinates).params(owners=sorted(set(owners)))


@lru_cache(maxsize=256)
def _of_owners(table: sa.Table, coordinates: frozenset[str]) -> sa.Select[Any]:
    """The statement with its owners left open: making it takes longer than running it."""
    readable = {column for coordinate in coordinates for column in READ_BY.get(coordinate, ())}
    place = sa.func.row_number().over(partition_by=table.c.owner).label("place_")
    columns = [column for column in table.c if column not in _WITHHELD or column in readable]
    numbered = sa.select(*columns, place).where(table.c.owner.in_(sa.bindparam("owners", expanding=True))).subquery()
    names = [numbered.c[column.name] for column in columns]
    return sa.select(*names).where(numbered.c.place_ <= sa.literal_column(str(guard.RECORD_LIMIT + 1)))


@lru_cache(maxsize=256)
def _of_owners_spelled(table: sa.Table, coordinates: frozenset[str], owners: int) -> str:
    """The statement in SQLite's words, with a mark for each owner and for nothing else."""
    return _spelled(_of_owners(table, coordinates).params(owners=[""] * owners))


@lru_cache(maxsize=1)
def _state_spelled() -> str:
    return _spelled(STATE)


def _spelled(statement: sa.Select[Any]) -> str:
    return str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))


def _dicts(cursor: sqlite3.Cursor) -> Rows:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _named(result: sa.CursorResult[Any]) -> Rows:
    # SQLAlchemy's names of columns are of a class of their own, which msgspec takes for no text.
    return [{str(name): value for name, value in row.items()} for row in result.mappings()]


def freshness(rows: Rows, now: datetime) -> datetime:
    """Give the moment the replica holds for. Raises `Unavailable` where it is no answer."""
    if len(rows) != 1 or rows[0]["schema_version"] != SCHEMA_VERSION or not isinstance(rows[0]["replicated_at"], str):
        raise Unavailable("REPLICA_UNKNOWN")
    replicated_at = guard.instant(rows[0]["replicated_at"])
    if not now - OLDEST <= replicated_at <= now + CLOCK_SKEW:
        raise Unavailable("REPLICA_STALE")
    return replicated_at


def by_owner(rows: Rows, owners: frozenset[SectorId]) -> Mapping[str, list[Mapping[str, Any]]]:
    """Rows by the owner each names itself. Raises `Mismatch` for a row of somebody who was not asked about."""
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["owner"] not in owners:
            raise Mismatch("OTHER_PERSON")
        found[row["owner"]].append(row)
    return found


def wire(rows: Rows, shape: type[_Wire]) -> list[_Wire]:
    """Rows as wire values: every type, day, amount and code checked."""
    guard.within_limit(len(rows))
    try:
        return [msgspec.convert(row, shape) for row in rows]
    except msgspec.ValidationError as error:
        raise Unreadable("UNKNOWN_SHAPE") from error


# ---------------------------------------------------------------- rows to values

Held = Mapping[sa.Table, Rows]
"""One person's rows of each table that was read; a table that may not be read is absent."""


def _value(asked: Asked, wire: WireVehicle) -> Won | None:
    """Standard value of the share, whole won rounded down."""
    if wire.standard_value is None or not asked.may_read("Vehicle.assessedValue"):
        return None
    share = guard.fraction(wire.share_numerator or 0, wire.share_denominator or 0)
    return guard.price(wire.standard_value * share.numerator // share.denominator)


def _vehicle(asked: Asked, wire: WireVehicle, liens: list[VehicleLien] | None, fines: list[Fine] | None) -> Vehicle:
    return Vehicle(
        plate=wire.plate,
        kind=wire.kind,
        maker=wire.maker,
        model=wire.model,
        model_year=wire.model_year,
        fuel=wire.fuel,
        first_registered_on=wire.first_registered_on,
        vin_suffix=None if wire.vin is None else wire.vin[-6:],
        ownership_share=guard.fraction(wire.share_numerator or 0, wire.share_denominator or 0)
        if asked.may_read("Vehicle.ownershipShare")
        else None,
        assessed_value=_value(asked, wire),
        liens=liens,
        unpaid_fines=fines,
        inspection_valid_until=wire.inspection_valid_until,
        insurance_valid_until=wire.insurance_valid_until,
    )


def _lien(asked: Asked, wire: WireLien) -> VehicleLien:
    return VehicleLien(
        kind=wire.kind,
        creditor=guard.shown(asked, "VehicleLien.creditor", wire.creditor),
        claim=None if wire.claim is None else Won(wire.claim),
        registered_on=wire.registered_on,
    )


def _fine(wire: WireFine) -> Fine:
    return Fine(
        kind=wire.kind,
        amount=None if wire.amount is None else Won(wire.amount),
        due_on=wire.due_on,
        authority=wire.authority,
    )


def _boat(wire: WireBoat) -> FishingBoat:
    return FishingBoat(
        number=wire.number,
        name=wire.name,
        tonnage=guard.decimal(wire.tonnage),
        port=wire.port,
        assessed_value=None if wire.standard_value is None else Won(wire.standard_value),
    )


def vehicles(asked: Asked, held: Held) -> list[Vehicle] | None:
    """Vehicles on the register today, each with what burdens it now. None where they may not be read."""
    if VEHICLE not in held:
        return None
    registered = wire(held[VEHICLE], WireVehicle)
    present = [one for one in registered if one.deregistered_on is None]
    guard.distinct([one.plate for one in present])
    liens = None if LIEN not in held else [one for one in wire(held[LIEN], WireLien) if one.released_on is None]
    fines = None if FINE not in held else [one for one in wire(held[FINE], WireFine) if one.paid_on is None]
    if not {one.plate for one in (*(liens or ()), *(fines or ()))} <= {one.plate for one in registered}:
        raise Unreadable("UNKNOWN_PLATE")  # a debt that would be lost
    return [
        _vehicle(
            asked,
            one,
            None if liens is None else [_lien(asked, lien) for lien in liens if lien.plate == one.plate],
            None if fines is None else [_fine(fine) for fine in fines if fine.plate == one.plate],
        )
        for one in present
    ]


def fishing_boats(held: Held) -> list[FishingBoat] | None:
    """Fishing boats on the register. None where they may not be read."""
    if FISHING_BOAT not in held:
        return None
    boats = [_boat(boat) for boat in wire(held[FISHING_BOAT], WireBoat)]
    guard.distinct([boat.number for boat in boats])
    return boats


# ---------------------------------------------------------------- the questions

_Section = TypeVar("_Section", EstateVehicles, BirthVehicles)


def _estate_tables(asked: Asked) -> list[sa.Table]:
    tables = []
    if asked.may_read("EstateVehicles.vehicles"):
        tables.append(VEHICLE)
        tables += [LIEN] if asked.may_read("Vehicle.liens") else []
        tables += [FINE] if asked.may_read("Vehicle.unpaidFines") else []
    return tables + ([FISHING_BOAT] if asked.may_read("EstateVehicles.fishingBoats") else [])


def _birth_tables(asked: Asked) -> list[sa.Table]:
    return (
        [TAX_RELIEF] if asked.may_read("BirthVehicles.multiChildTaxRelief", "BirthVehicles.reliefRatePercent") else []
    )


def _estate_unknown(answer: Answer) -> EstateVehicles:
    return EstateVehicles(answer=answer, vehicles=None, fishing_boats=None)


def _birth_unknown(answer: Answer) -> BirthVehicles:
    return BirthVehicles(answer=answer, multi_child_tax_relief=KnownFact.UNKNOWN, relief_rate_percent=None)


def _estate_section(asked: Asked, held: Held, answer: Callable[[AnswerStatus], Answer]) -> EstateVehicles:
    on_the_road, at_sea = vehicles(asked, held), fishing_boats(held)
    status = AnswerStatus.NONE_HELD if on_the_road == [] == at_sea else AnswerStatus.COMPLETE
    return EstateVehicles(answer=answer(status), vehicles=on_the_road, fishing_boats=at_sea)


def _birth_section(asked: Asked, held: Held, answer: Callable[[AnswerStatus], Answer]) -> BirthVehicles:
    match wire(held[TAX_RELIEF], WireRelief):
        case []:
            return _birth_unknown(answer(AnswerStatus.NONE_HELD))
        case [relief]:
            return BirthVehicles(
                answer=answer(AnswerStatus.COMPLETE),
                multi_child_tax_relief=relief.multi_child
                if asked.may_read("BirthVehicles.multiChildTaxRelief")
                else KnownFact.UNKNOWN,
                relief_rate_percent=relief.rate_percent,
            )
        case _:
            raise Unreadable("DUPLICATE_RECORD")


def _connector(
    engine: AsyncEngine,
    clock: Callable[[], datetime],
    *,
    timeout_s: float,
    section: type[_Section],
    tables: Callable[[Asked], list[sa.Table]],
    unknown: Callable[[Answer], _Section],
    picture: Callable[[Asked, Held, Callable[[AnswerStatus], Answer]], _Section],
) -> Connector[_Section]:
    desk = Desk(Agency.VEHICLES, SOURCE, clock)

    async def one(asked: Asked, owners: frozenset[SectorId], reading: Awaitable[list[Rows]]) -> Answered[_Section]:
        state, *rows = await reading
        as_of = freshness(state, asked.now)
        held = {
            table: by_owner(found, owners).get(asked.person, [])
            for table, found in zip(tables(asked), rows, strict=True)
        }
        guard.within_limit(sum(len(found) for found in held.values()))
        said = picture(asked, held, lambda status: desk.answer(asked, status, as_of=as_of))
        return Answered(section=said, answer=said.answer)

    async def group(many: Sequence[Asked]) -> Sequence[Answered[_Section]]:
        """Ask about several persons of whom the same may be read, with one statement for each table."""
        wanted = tables(many[0])
        if not wanted:
            return [desk.not_asked(unknown) for _ in many]
        owners = frozenset(asked.person for asked in many)
        reading = asyncio.ensure_future(_Reading(engine, wanted, sorted(owners), many[0].coordinates).within(timeout_s))
        return await asyncio.gather(
            *(
                settled(
                    desk,
                    asked,
                    one(asked, owners, reading),
                    unknown=unknown,
                    nothing=unknown,
                    drop_pool=engine.dispose,
                )
                for asked in many
            )
        )

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[_Section]]:
        groups: defaultdict[frozenset[str], list[Asked]] = defaultdict(list)
        for asked in many:
            groups[asked.coordinates].append(asked)
        answered = await asyncio.gather(*(group(alike) for alike in groups.values()))
        found: dict[frozenset[str], Iterator[Answered[_Section]]] = {
            coordinates: iter(answers) for coordinates, answers in zip(groups, answered, strict=True)
        }
        return [next(found[asked.coordinates]) for asked in many]

    return Connector(Agency.VEHICLES, Speed.INSTANT, SOURCE, section, fetch)


def estate(engine: AsyncEngine, clock: Callable[[], datetime], *, timeout_s: float = 2.5) -> Connector[EstateVehicles]:
    """Vehicles and fishing boats of a deceased person."""
    return _connector(
        engine,
        clock,
        timeout_s=timeout_s,
        section=EstateVehicles,
        tables=_estate_tables,
        unknown=_estate_unknown,
        picture=_estate_section,
    )


def birth(engine: AsyncEngine, clock: Callable[[], datetime], *, timeout_s: float = 2.5) -> Connector[BirthVehicles]:
    """Acquisition-tax relief that a child brings a family."""
    return _connector(
        engine,
        clock,
        timeout_s=timeout_s,
        section=BirthVehicles,
        tables=_birth_tables,
        unknown=_birth_unknown,
        picture=_birth_section,
    )
