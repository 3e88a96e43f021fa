import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from connectors import vehicles
from connectors.connector import Answered
from schema.answer import AnswerStatus, KnownFact
from schema.vehicles import EstateVehicles, VehicleFuel, VehicleKind, VehicleLienKind
from tests.connectors.wire import NOW, question

ME = "veh1_" + "a" * 26
OTHER = "veh1_" + "b" * 26
ALL = (
    "EstateVehicles.vehicles",
    "EstateVehicles.fishingBoats",
    "Vehicle.vinSuffix",
    "Vehicle.ownershipShare",
    "Vehicle.assessedValue",
    "Vehicle.liens",
    "Vehicle.unpaidFines",
    "Vehicle.inspectionValidUntil",
    "Vehicle.insuranceValidUntil",
    "VehicleLien.creditor",
    "VehicleLien.claim",
    "VehicleLien.registeredOn",
    "Fine.amount",
    "Fine.dueOn",
    "FishingBoat.assessedValue",
)
BIRTH = ("BirthVehicles.multiChildTaxRelief", "BirthVehicles.reliefRatePercent")

CAR: dict[str, Any] = {
    "owner": ME,
    "plate": "12가3456",
    "kind": "PASSENGER",
    "maker": "현대",
    "model": "쏘나타",
    "model_year": 2019,
    "fuel": "LPG",
    "first_registered_on": "2019-04-01",
    "vin": "KMHE0000000123456",
    "share_numerator": 2,
    "share_denominator": 6,
    "standard_value": 10000001,
    "inspection_valid_until": "2027-03-31",
    "insurance_valid_until": None,
    "deregistered_on": None,
}
GONE = CAR | {"plate": "34나5678", "deregistered_on": "2026-05-01"}
LIEN: dict[str, Any] = {
    "owner": ME,
    "plate": CAR["plate"],
    "kind": "MORTGAGE",
    "creditor": "현대캐피탈",
    "claim": 7000000,
    "registered_on": "2019-04-02",
    "released_on": None,
}
FINE: dict[str, Any] = {
    "owner": ME,
    "plate": CAR["plate"],
    "kind": "주차위반",
    "amount": 40000,
    "due_on": "2026-10-31",
    "authority": "문경시",
    "paid_on": None,
}
BOAT: dict[str, Any] = {
    "owner": ME,
    "number": "1701001-6123456",
    "name": "만선호",
    "tonnage": "2.99",
    "port": "구룡포항",
    "standard_value": 30000000,
}
FRESH: dict[str, Any] = {"schema_version": 3, "replicated_at": "2026-11-21T08:00:00Z"}
ROWS: dict[str, list[dict[str, Any]]] = {
    "vehicle": [GONE, CAR],
    "lien": [LIEN, LIEN | {"released_on": "2020-01-01", "kind": "SEIZURE"}, LIEN | {"plate": GONE["plate"]}],
    "fine": [FINE, FINE | {"paid_on": "2026-11-01"}],
    "fishing_boat": [BOAT],
    "replica_state": [FRESH],
}


@dataclass
class Replica:
    """A register of our own making, and the engine that the connector reads it with."""

    writer: AsyncEngine
    reader: AsyncEngine
    statements: list[str]

    async def write(self, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        async with self.writer.begin() as connection:
            await connection.run_sync(vehicles._METADATA.drop_all)
            await connection.run_sync(vehicles._METADATA.create_all)
            for table, values in rows.items():
                if values:
                    await connection.execute(sa.insert(vehicles._METADATA.tables[table]), list(values))

    async def run(self, *statements: str) -> None:
        async with self.writer.begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)

    async def estate(self, *people: str, timeout_s: float = 5, **more: Any) -> Sequence[Answered[EstateVehicles]]:
        connector = vehicles.estate(self.reader, lambda: NOW, timeout_s=timeout_s)
        return await connector.fetch([question(person, *ALL, **more) for person in people or (ME,)])


def on_statement(engine: AsyncEngine, noted: Callable[[str], object]) -> None:
    """Have each statement of the engine's connections noted: SQLite's own word, or SQLAlchemy's."""
    if engine.dialect.name == "postgresql":
        sa.event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: noted(said[2]))
        return

    @sa.event.listens_for(engine.sync_engine, "connect")
    def trace(connection: Any, _record: object) -> None:
        connection.run_async(lambda driver: driver.set_trace_callback(noted))


async def replica_at(writer_url: str, reader_url: str) -> AsyncIterator[Replica]:
    replica = Replica(create_async_engine(writer_url), vehicles.replica(reader_url), [])
    on_statement(replica.reader, replica.statements.append)
    yield replica
    await replica.reader.dispose()
    await replica.writer.dispose()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Replica]:
    file = tmp_path / "vehicles.db"
    async for replica in replica_at(f"sqlite+aiosqlite:///{file}", f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true"):
        yield replica


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Replica]:
    async for replica in replica_at(postgres_url, postgres_url):
        yield replica


@pytest.fixture(params=["sqlite", "postgres"])
def replica(request: pytest.FixtureRequest) -> Replica:
    return request.getfixturevalue(request.param)


def seen(answered: Answered[Any]) -> tuple[AnswerStatus, list[str]]:
    return answered.answer.status, [one.code for one in answered.answer.problems]


async def test_what_is_on_the_road_today_is_read_with_what_burdens_it(replica: Replica) -> None:
    await replica.write(ROWS)
    [answered] = await replica.estate()
    assert seen(answered) == (AnswerStatus.COMPLETE, [])
    assert str(answered.answer.as_of) == "2026-11-21 08:00:00+00:00"
    [car] = answered.section.vehicles or []
    assert (car.plate, car.kind, car.maker, car.model, car.model_year, car.fuel) == (
        "12가3456",
        VehicleKind.PASSENGER,
        "현대",
        "쏘나타",
        2019,
        VehicleFuel.LPG,
    )
    assert (car.first_registered_on, car.vin_suffix) == (date(2019, 4, 1), "123456")
    assert car.ownership_share is not None
    assert (car.ownership_share.numerator, car.ownership_share.denominator) == (1, 3)
    assert car.assessed_value == 3333333  # rounded down
    assert (car.inspection_valid_until, car.insurance_valid_until) == (date(2027, 3, 31), None)
    [lien] = car.liens or []
    assert (lien.kind, lien.creditor, lien.claim, lien.registered_on) == (
        VehicleLienKind.MORTGAGE,
        "현대캐피탈",
        7000000,
        date(2019, 4, 2),
    )
    [fine] = car.unpaid_fines or []
    assert (fine.kind, fine.amount, fine.due_on, fine.authority) == ("주차위반", 40000, date(2026, 10, 31), "문경시")
    [boat] = answered.section.fishing_boats or []
    assert (boat.number, boat.name, boat.tonnage, boat.port, boat.assessed_value) == (
        "1701001-6123456",
        "만선호",
        Decimal("2.99"),
        "구룡포항",
        30000000,
    )


async def test_several_owners_are_asked_about_at_once_and_answered_in_order(replica: Replica) -> None:
    await replica.write(ROWS | {"fishing_boat": [BOAT | {"owner": OTHER}]})
    both = await replica.estate(OTHER, ME, OTHER)
    assert [len(one.section.vehicles or []) for one in both] == [0, 1, 0]
    assert [len(one.section.fishing_boats or []) for one in both] == [1, 0, 1]
    assert sum(" vehicle" in statement for statement in replica.statements) == 1


async def test_an_owner_without_a_row_in_a_fresh_replica_holds_nothing(replica: Replica) -> None:
    await replica.write({"replica_state": [FRESH]})
    [answered] = await replica.estate()
    assert seen(answered) == (AnswerStatus.NONE_HELD, [])
    assert (answered.section.vehicles, answered.section.fishing_boats) == ([], [])


async def test_the_engine_cannot_write(replica: Replica) -> None:
    await replica.write(ROWS)
    with pytest.raises(sa.exc.DBAPIError):
        async with replica.reader.begin() as connection:
            await connection.execute(sa.delete(vehicles.VEHICLE))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ([], "REPLICA_UNKNOWN"),
        ([FRESH, FRESH], "REPLICA_UNKNOWN"),
        ([FRESH | {"schema_version": 4}], "REPLICA_UNKNOWN"),
        ([FRESH | {"replicated_at": "2026-11-20T08:59:59Z"}], "REPLICA_STALE"),
        ([FRESH | {"replicated_at": "2026-11-21T09:06:00Z"}], "REPLICA_STALE"),
    ],
)
async def test_a_replica_that_is_not_fresh_is_no_answer(
    sqlite: Replica, state: list[dict[str, Any]], code: str
) -> None:
    await sqlite.write({"replica_state": state})
    [answered] = await sqlite.estate()
    assert seen(answered) == (AnswerStatus.UNAVAILABLE, [code])
    assert answered.section.vehicles is None
    assert "copy" in answered.answer.problems[0].message_text.en


async def test_freshness_is_judged_at_the_instant_of_asking(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    [answered] = await vehicles.estate(sqlite.reader, lambda: NOW).fetch(
        [replace(question(ME, *ALL), now=NOW + timedelta(hours=23, seconds=1))]
    )
    assert seen(answered) == (AnswerStatus.UNAVAILABLE, ["REPLICA_STALE"])


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("vehicle", CAR | {"kind": "SPACESHIP"}),
        ("vehicle", CAR | {"fuel": None}),
        ("vehicle", CAR | {"first_registered_on": "2026-02-30"}),
        ("vehicle", CAR | {"deregistered_on": "soon"}),
        ("vehicle", CAR | {"standard_value": 2**53}),
        ("vehicle", CAR | {"standard_value": -1}),
        ("vehicle", CAR | {"share_numerator": 0}),
        ("vehicle", CAR | {"share_denominator": 1}),
        ("vehicle", CAR | {"vin": "short"}),
        ("vehicle", CAR | {"model_year": 19}),
        ("vehicle", CAR | {"plate": ""}),
        ("lien", LIEN | {"plate": "99허9999"}),
        ("lien", LIEN | {"claim": 2**53}),
        ("fine", FINE | {"plate": "99허9999"}),
        ("fine", FINE | {"due_on": "2026-13-01"}),
        ("fishing_boat", BOAT | {"tonnage": "-1"}),
        ("fishing_boat", BOAT | {"tonnage": "NaN"}),
    ],
)
async def test_what_cannot_be_is_unreadable_for_its_owner_alone(
    sqlite: Replica, table: str, row: dict[str, Any]
) -> None:
    rows = {"vehicle": [CAR], "replica_state": [FRESH]} | {table: [row]}
    await sqlite.write(rows | {"fishing_boat": [*rows.get("fishing_boat", []), BOAT | {"owner": OTHER}]})
    mine, others = await sqlite.estate(ME, OTHER)
    assert mine.answer.status is AnswerStatus.UNREADABLE
    assert (mine.section.vehicles, mine.section.fishing_boats) == (None, None)
    assert others.answer.status is AnswerStatus.COMPLETE


async def test_numbers_as_text_are_unreadable(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    await sqlite.run("UPDATE vehicle SET standard_value = 'a lot'")
    [answered] = await sqlite.estate()
    assert seen(answered) == (AnswerStatus.UNREADABLE, ["UNKNOWN_SHAPE"])


async def test_one_plate_twice_is_unreadable_unless_one_is_history(sqlite: Replica) -> None:
    await sqlite.write(ROWS | {"vehicle": [CAR, CAR]})
    assert seen((await sqlite.estate())[0]) == (AnswerStatus.UNREADABLE, ["DUPLICATE_RECORD"])
    await sqlite.write({"vehicle": [CAR, CAR | {"deregistered_on": "2026-01-01"}], "replica_state": [FRESH]})
    assert seen((await sqlite.estate())[0]) == (AnswerStatus.COMPLETE, [])


async def test_more_records_than_anybody_has_are_unreadable(replica: Replica) -> None:
    fines = [FINE] * 205
    await replica.write(ROWS | {"fine": fines, "fishing_boat": [BOAT | {"owner": OTHER}]})
    mine, others = await replica.estate(ME, OTHER)
    assert seen(mine) == (AnswerStatus.UNREADABLE, ["TOO_MANY_RECORDS"])
    assert seen(others) == (AnswerStatus.COMPLETE, [])


async def test_somebody_elses_row_takes_every_answer_down(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    await sqlite.run(  # a register that compares owners loosely
        "ALTER TABLE fishing_boat RENAME TO boats",
        "CREATE TABLE fishing_boat (owner TEXT COLLATE NOCASE, number, name, tonnage, port, standard_value)",
        "INSERT INTO fishing_boat SELECT upper(owner), number, name, tonnage, port, standard_value FROM boats",
    )
    mine, others = await sqlite.estate(ME, OTHER)
    assert seen(mine) == seen(others) == (AnswerStatus.UNREADABLE, ["OTHER_PERSON"])
    assert (mine.section.vehicles, others.section.vehicles) == (None, None)


async def test_a_column_that_may_not_be_read_is_not_selected(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    [answered] = await vehicles.estate(sqlite.reader, lambda: NOW).fetch([question(ME, "EstateVehicles.vehicles")])
    text = " ".join(sqlite.statements)
    for column in ("vin", "share_numerator", "standard_value", "insurance_valid_until", "fishing_boat", "lien", "fine"):
        assert column not in text
    [car] = answered.section.vehicles or []
    assert (car.vin_suffix, car.ownership_share, car.assessed_value, car.liens, car.unpaid_fines) == (None,) * 5
    assert (answered.section.fishing_boats, answered.answer.status) == (None, AnswerStatus.COMPLETE)


async def test_nothing_allowed_asks_nothing(sqlite: Replica) -> None:
    [answered] = await vehicles.estate(sqlite.reader, lambda: NOW).fetch([question(ME, "Vehicle.liens")])
    assert (answered.answer.status, answered.asked_agency, sqlite.statements) == (AnswerStatus.REFUSED, False, [])


async def test_people_of_whom_different_things_may_be_read_are_not_mixed_up(sqlite: Replica) -> None:
    await sqlite.write(ROWS | {"vehicle": [CAR, CAR | {"owner": OTHER}], "lien": []})
    less = question(OTHER, "EstateVehicles.vehicles")
    answers = await vehicles.estate(sqlite.reader, lambda: NOW).fetch([less, question(ME, *ALL), less])
    values = [(one.section.vehicles or [])[0].assessed_value for one in answers]
    assert values == [None, 3333333, None]


async def test_a_creditors_name_keeps_its_first_syllable_where_it_is_masked(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    [answered] = await sqlite.estate(masked=frozenset({"VehicleLien.creditor"}))
    [car] = answered.section.vehicles or []
    assert [lien.creditor for lien in car.liens or []] == ["현**"]


async def test_an_error_of_the_database_is_unavailable(replica: Replica) -> None:
    await replica.write(ROWS)
    await replica.run("DROP TABLE fine")
    [answered] = await replica.estate()
    assert seen(answered) == (AnswerStatus.UNAVAILABLE, ["AGENCY_ERROR"])
    assert answered.section.vehicles is None


async def test_no_database_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    straight = aiosqlite.connect
    monkeypatch.setattr(aiosqlite, "connect", lambda *a, **k: (started.append(a), straight(*a, **k))[1])
    engine = vehicles.replica(f"sqlite+aiosqlite:///file:{tmp_path / 'none.db'}?mode=ro&uri=true")
    [answered] = await vehicles.estate(engine, lambda: NOW).fetch([question(ME, *ALL)])
    await engine.dispose()
    assert seen(answered) == (AnswerStatus.UNAVAILABLE, ["AGENCY_ERROR"])
    assert started == []  # a thread of its own would report to this test's loop when that may have ended


ENDLESS = "WITH RECURSIVE step (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step) SELECT count(*) FROM step WHERE n < 0"


async def ended(replica: Replica) -> bool:
    """Tell whether every thread of the engine ends when it is closed; one in an endless statement never would."""
    await replica.writer.dispose()
    await replica.reader.dispose()
    workers = [one for one in threading.enumerate() if "_connection_worker_thread" in one.name]
    await asyncio.to_thread(lambda: [one.join(10) for one in workers])
    return not any(one.is_alive() for one in workers)


async def test_a_slow_statement_in_sqlite_is_interrupted(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    columns = ", ".join(f"NULL AS {column.name}" for column in vehicles.FINE.c)
    await sqlite.run("DROP TABLE fine", f"CREATE VIEW fine AS SELECT {columns} WHERE ({ENDLESS}) > 0")
    [answered] = await sqlite.estate(timeout_s=0.3)
    assert any("FROM fine" in statement for statement in sqlite.statements)
    assert seen(answered) == (AnswerStatus.UNAVAILABLE, ["TIMEOUT"])
    assert await ended(sqlite)


async def test_a_slow_statement_in_postgresql_is_cancelled_on_the_server(postgres: Replica) -> None:
    await postgres.write(ROWS)
    nothing = "SELECT " + ", ".join(f"'{ME}'::text AS {column.name}" for column in vehicles.FINE.c)
    await postgres.run("DROP TABLE fine", f"CREATE VIEW fine AS {nothing} FROM pg_sleep(600)")
    [answered] = await postgres.estate(timeout_s=0.5)
    assert any("FROM fine" in statement for statement in postgres.statements)
    assert seen(answered) == (AnswerStatus.UNAVAILABLE, ["TIMEOUT"])
    running = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    async with asyncio.timeout(20), postgres.writer.connect() as connection:
        while await connection.scalar(running):
            await connection.rollback()


async def test_a_question_to_sqlite_is_one_hand_over_to_its_thread(
    sqlite: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs more than the statement that it carries."""
    await sqlite.write(ROWS)
    await sqlite.estate()
    async with sqlite.reader.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
    handed: list[object] = []
    straight = driver._execute
    monkeypatch.setattr(driver, "_execute", lambda work: (handed.append(work), straight(work))[1])

    [answered] = await sqlite.estate()

    assert seen(answered) == (AnswerStatus.COMPLETE, [])
    assert len(handed) == 1


async def test_who_stops_asking_stops_the_statement(sqlite: Replica) -> None:
    await sqlite.write(ROWS)
    columns = ", ".join(f"NULL AS {column.name}" for column in vehicles.FINE.c)
    await sqlite.run("DROP TABLE fine", f"CREATE VIEW fine AS SELECT {columns} WHERE ({ENDLESS}) > 0")
    started, loop = asyncio.Event(), asyncio.get_running_loop()
    on_statement(
        sqlite.reader,
        lambda statement: loop.call_soon_threadsafe(started.set) if "FROM fine" in statement else None,
    )
    asking = asyncio.ensure_future(sqlite.estate(timeout_s=600))
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await ended(sqlite)


async def test_one_moment_of_the_register_is_seen_throughout(replica: Replica) -> None:
    await replica.write(ROWS)
    async with replica.reader.connect() as connection:
        first = await connection.scalar(sa.select(sa.func.count()).select_from(vehicles.VEHICLE))
        if replica.writer.dialect.name == "sqlite":
            async with replica.writer.connect() as writer:
                await writer.exec_driver_sql("PRAGMA busy_timeout = 1")
                with pytest.raises(sa.exc.OperationalError):  # a reader without a transaction would not hold it up
                    await writer.exec_driver_sql("DROP TABLE fine")
        else:
            await replica.run("DELETE FROM vehicle")
        assert await connection.scalar(sa.select(sa.func.count()).select_from(vehicles.VEHICLE)) == first


async def test_a_large_familys_relief_is_read_about_the_child(sqlite: Replica) -> None:
    relief = {"owner": ME, "multi_child": "YES", "rate_percent": 100}
    connector = vehicles.birth(sqlite.reader, lambda: NOW)
    await sqlite.write({"tax_relief": [relief], "replica_state": [FRESH]})
    mine, others = await connector.fetch([question(ME, *BIRTH), question(OTHER, *BIRTH)])
    assert (mine.section.multi_child_tax_relief, mine.section.relief_rate_percent) == (KnownFact.YES, 100)
    assert seen(mine) == (AnswerStatus.COMPLETE, [])
    assert (others.section.multi_child_tax_relief, others.section.relief_rate_percent) == (KnownFact.UNKNOWN, None)
    assert seen(others) == (AnswerStatus.NONE_HELD, [])
    [less] = await connector.fetch([question(ME, "BirthVehicles.reliefRatePercent")])
    assert (less.section.multi_child_tax_relief, less.section.relief_rate_percent) == (KnownFact.UNKNOWN, 100)
    for wrong in ([relief, relief], [relief | {"rate_percent": 101}], [relief | {"multi_child": "PERHAPS"}]):
        await sqlite.write({"tax_relief": wrong, "replica_state": [FRESH]})
        assert (await connector.fetch([question(ME, *BIRTH)]))[0].answer.status is AnswerStatus.UNREADABLE


VALUES = (
    st.none() | st.integers(-(2**62), 2**62) | st.text(max_size=12) | st.floats(allow_nan=False) | st.binary(max_size=4)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["vehicle", "lien", "fine", "fishing_boat", "replica_state"]), st.data())
def test_odd_rows_never_raise(tmp_path: Path, table: str, data: st.DataObject) -> None:
    file = tmp_path / "odd.db"
    file.unlink(missing_ok=True)
    columns = {name: list(rows[0]) for name, rows in ROWS.items()}
    with closing(sqlite3.connect(file)) as store, store:
        for name, rows in ROWS.items():
            store.execute(f"CREATE TABLE {name} ({', '.join(columns[name])})")
            for row in rows:
                if name == table:
                    changed = data.draw(st.sampled_from([one for one in columns[name] if one != "owner"]))
                    row = row | {changed: data.draw(VALUES)}  # noqa: PLW2901 — a copy
                marks = ", ".join("?" * len(columns[name]))
                insert = f"INSERT INTO {name} VALUES ({marks})"  # noqa: S608 — our own names
                store.execute(insert, [row[one] for one in columns[name]])

    async def asked() -> Answered[EstateVehicles]:
        engine = vehicles.replica(f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true")
        [answered] = await vehicles.estate(engine, lambda: NOW).fetch([question(ME, *ALL)])
        await engine.dispose()
        return answered

    answered = asyncio.run(asked())
    assert "INTERNAL" not in seen(answered)[1]
    assert (answered.section.vehicles is None) == (
        answered.answer.status in (AnswerStatus.UNREADABLE, AnswerStatus.UNAVAILABLE)
    )
