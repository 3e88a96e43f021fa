"""The vehicle replica as a reader sees it, and its control port, compared with docs/wire/README.md."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from string import Template
from typing import Any

import pytest

from sandbox import facts
from sandbox.agencies.vehicles import COLUMNS, vehicles, write_replica
from sandbox.facts import Fault, Holdings
from sandbox.identifiers import sector_id

NOBODY = Holdings(None, None, None, None, None, None)
CAR = facts.Vehicle(
    plate="123가4567",
    kind="PASSENGER",
    maker="가온자동차",
    model="누리",
    model_year=2019,
    fuel="HYBRID",
    first_registered_on=date(2019, 5, 2),
    vin="KMHE341DBKA123456",
    share=Fraction(1, 2),
    standard_value=12_400_000,
    inspection_valid_until=date(2027, 5, 1),
    insurance_valid_until=None,
    liens=(facts.VehicleLien("SEIZURE", "의성군", 400_000, date(2025, 1, 3), date(2025, 9, 1)),),
    fines=(facts.Fine("SPEED", 40_000, date(2026, 8, 31), "경북경찰청"),),
)
HELD = replace(
    NOBODY,
    vehicles=facts.VehicleFacts(
        (CAR, replace(CAR, plate="80나1234", liens=(), fines=(), deregistered_on=date(2026, 2, 3))),
        (facts.FishingBoat("1204001-6409876", "해맞이호", Decimal("2.99"), "포항", 31_000_000),),
        "YES",
        100,
    ),
)
VIEWS = tuple(COLUMNS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vehicles.db"


@pytest.fixture
def reader(file: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Give a function that opens the replica for reading only, once it is written."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)))


def about(store: sqlite3.Connection, view: str, *owners: str, columns: str = "*") -> Any:
    select = Template("SELECT $columns FROM $view WHERE owner IN ($marks)")
    marks = ", ".join("?" * len(owners))
    return store.execute(select.substitute(columns=columns, view=view, marks=marks), owners).fetchall()


NUMBERED = Template(
    "SELECT owner FROM (SELECT owner, row_number() OVER (PARTITION BY owner) AS place FROM $view WHERE owner = ?)"
    " WHERE place < 9"
)


def test_the_replica_has_the_tables_and_columns_of_its_page(world: Any, file: Path, reader: Any) -> None:
    owner = sector_id("VEHICLES", world.person("a", HELD))
    poor = sector_id("VEHICLES", world.person("b", replace(NOBODY, vehicles=facts.VehicleFacts())))
    stranger = sector_id("VEHICLES", world.person("c"))
    write_replica(file, world.state("VEHICLES"))
    store = reader()

    def rows(view: str, columns: str) -> Any:
        return about(store, view, owner, columns=columns)

    columns = (
        "owner, plate, kind, maker, model, model_year, fuel, first_registered_on, vin, share_numerator,"
        " share_denominator, standard_value, inspection_valid_until, insurance_valid_until, deregistered_on"
    )
    made = ("PASSENGER", "가온자동차", "누리", 2019, "HYBRID", "2019-05-02", "KMHE341DBKA123456", 1, 2, 12400000)
    assert rows("vehicle", columns) == [
        (owner, "123가4567", *made, "2027-05-01", None, None),
        (owner, "80나1234", *made, "2027-05-01", None, "2026-02-03"),
    ]
    assert rows("lien", "owner, plate, kind, creditor, claim, registered_on, released_on") == [
        (owner, "123가4567", "SEIZURE", "의성군", 400000, "2025-01-03", "2025-09-01")
    ]
    assert rows("fine", "owner, plate, kind, amount, due_on, authority, paid_on") == [
        (owner, "123가4567", "SPEED", 40000, "2026-08-31", "경북경찰청", None)
    ]
    assert rows("fishing_boat", "owner, number, name, tonnage, port, standard_value") == [
        (owner, "1204001-6409876", "해맞이호", "2.99", "포항", 31000000)
    ]
    assert rows("tax_relief", "owner, multi_child, rate_percent") == [(owner, "YES", 100)]
    assert store.execute("SELECT schema_version, replicated_at FROM replica_state").fetchall() == [
        (3, "2026-11-21T03:00:00Z")
    ]
    assert about(store, "tax_relief", poor, stranger, columns="owner, multi_child, rate_percent") == [
        (poor, "UNKNOWN", None)
    ]
    assert [about(store, view, poor, stranger) for view in VIEWS if view != "tax_relief"] == [[]] * 4


def test_the_replica_is_read_only_for_its_readers(world: Any, file: Path, reader: Any) -> None:
    write_replica(file, world.state("VEHICLES"))
    store = reader()
    for statement in ("DELETE FROM vehicle_row", "DELETE FROM fault", "UPDATE replica_state SET schema_version = 4"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store.execute(statement)


def test_the_replica_is_made_anew_at_every_start(world: Any, file: Path, reader: Any) -> None:
    owner = sector_id("VEHICLES", world.person("a", HELD))
    for _ in range(2):
        write_replica(file, world.state("VEHICLES"))
    assert len(about(reader(), "vehicle", owner)) == 2


@pytest.mark.parametrize("view", VIEWS)
async def test_a_query_about_a_person_whose_register_is_down_is_an_error(
    view: str, world: Any, file: Path, reader: Any, opened: Any
) -> None:
    owner, other, poor = (sector_id("VEHICLES", world.person(each, HELD)) for each in "abc")
    world.held[facts.Subject("c" * 26)] = NOBODY
    write_replica(file, world.state("VEHICLES"))
    port, store = await opened(vehicles(file, world.clock)), reader()
    for sid in (owner, poor):
        await port.set_faults(sid, {"kind": "DOWN"})
        for owners in ((sid,), (other, sid)):
            with pytest.raises(sqlite3.OperationalError, match="overflow"):
                about(store, view, *owners)
        with pytest.raises(sqlite3.OperationalError, match="overflow"):
            about(store, view, sid, columns="count(*)")
        assert about(store, view, other)
        with pytest.raises(sqlite3.OperationalError, match="overflow"):
            store.execute(NUMBERED.substitute(view=view), (sid,)).fetchall()
        assert store.execute(NUMBERED.substitute(view=view), (other,)).fetchall()
        await port.set_faults(sid)
        about(store, view, sid)


async def test_a_query_about_a_person_whose_register_is_slow_takes_many_steps(
    world: Any, file: Path, reader: Any, opened: Any
) -> None:
    owner, other = (sector_id("VEHICLES", world.person(letter, HELD)) for letter in "ab")
    write_replica(file, world.state("VEHICLES"))
    port, store = await opened(vehicles(file, world.clock)), reader()
    await port.set_faults(owner, {"kind": "SLOW", "seconds": 60})
    store.set_progress_handler(lambda: 1, 100_000)  # ends a statement after so many instructions
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        about(store, "vehicle", owner)
    assert len(about(store, "vehicle", other)) == 2
    await port.set_faults(owner, {"kind": "SLOW", "seconds": 0.001})
    assert len(about(store, "vehicle", owner)) == 2


async def test_the_control_port_keeps_faults_and_says_what_it_is(
    world: Any, file: Path, reader: Any, opened: Any
) -> None:
    subject = world.person("a", HELD)
    owner = sector_id("VEHICLES", subject)
    state = world.state("VEHICLES")
    state.faults.replace(owner, (Fault("DOWN"),))
    write_replica(file, state)
    port = await opened(vehicles(file, world.clock))
    assert (await port.ask(f"/sandbox/faults/{owner}")).json == {"faults": [{"kind": "DOWN"}], "fired": None}
    with pytest.raises(sqlite3.OperationalError, match="overflow"):
        about(reader(), "vehicle", owner)
    set_ = await port.ask(f"/sandbox/faults/{owner}", method="PUT", body=[{"kind": "SLOW", "seconds": 1.5}])
    assert set_.json == {"faults": [{"kind": "SLOW", "seconds": 1.5}], "fired": None}
    wrong: Any
    for wrong in ([{"kind": "LATE", "expectedBy": "2026-12-01"}], [{"kind": "FAILED"}], {}):
        assert (await port.ask(f"/sandbox/faults/{owner}", method="PUT", body=wrong)).status == 400
    assert b"control port" in (await port.ask("/")).body.lower()
