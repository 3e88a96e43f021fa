"""Checkpoints endorsed by a witness and a timestamp authority, each a process of its own reached over HTTP."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from structlog.testing import capture_logs

import app
from audit import store
from audit.checkpoint import COSIGNATURE, Checkpoint, CheckpointError, VerifierKey, origin, signed, unverified, verified
from audit.endorsed import Endorsements, note_of
from audit.entry import Access, Outcome, Task, selection
from audit.keys import Keys
from audit.timestamp import TimestampError, authorities, stamped_at
from audit.witness import cosigned_at
from audit.writer import AccessLog, LogUnavailable
from schema.scalars import Coordinate
from serving import endorsing as served
from serving.endorsing import Authority, Endorser, Endorsing, NotEndorsed, Witness
from serving.tree import Tree

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
MASTER = app._log_master(app.Settings())
AUTHORITY = Path(__file__).with_name("authority.py")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at once, and again at once after a failure."""
    for name, seconds in (("EVERY_S", 0.05), ("AFTER_FAILURE_S", 0.05), ("STAMP_EVERY_S", 0.0)):
        monkeypatch.setattr(served, name, seconds)


@dataclass
class Process:
    url: str
    lines: list[str]

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]


@contextmanager
def running(*command: str) -> Iterator[Process]:
    """A program that says READY, killed at the end."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            lines: list[str] = []
            assert process.stdout
            for line in process.stdout:
                lines.append(line.strip())
                if line.startswith("READY"):
                    break
            yield Process(lines[-1].removeprefix("READY "), lines)
        finally:
            process.kill()


def witness_of(folder: Path, epoch: str, port: str = "0") -> Any:
    log = VerifierKey(origin(epoch), KEY.public_key()).text
    return running("-m", "sandbox.witness", "--directory", str(folder), "--log", log, "--port", port)


def witness_key(process: Process) -> VerifierKey:
    return VerifierKey.parsed(process.lines[0].removeprefix("KEY "), COSIGNATURE)


@pytest.fixture(scope="module")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
def authority(authority_folder: Path) -> Iterator[Process]:
    with running(str(AUTHORITY), str(authority_folder), "0") as process:
        yield process


def accesses(count: int) -> list[Access]:
    read = selection("5c" * 32, [Coordinate("LandParcel.pnu")])
    facts: dict[str, Any] = dict.fromkeys(Access.__dataclass_fields__) | {
        "operation": UUID(int=1), "at": datetime(2026, 3, 14, 9, tzinfo=UTC), "task": Task.VIEW, "selection": read,
        "records": {}, "answers": {"LAND": "COMPLETE"}, "disclosed": {"LandParcel.pnu"}, "null": (), "withheld": (),
        "failed": (), "derived": (), "outcome": Outcome.DISCLOSED, "policy_ids": (), "viewer": "v", "roles": (),
        "client_id": "portal",
    }  # fmt: skip
    return [Access(**facts) for _ in range(count)]


CUT = (
    "DROP TRIGGER leaf_no_delete",
    "DROP TRIGGER entry_no_delete",
    "DELETE FROM entry WHERE leaf_index = 5",
    "DELETE FROM leaf WHERE leaf_index = 5",
)


class World:
    """A log that is written, its tree, and those who endorse it."""

    def __init__(self, folder: Path, log: AccessLog, tree: Tree, http: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.tiles = folder / "access-log-tiles"
        self.kept = Endorsements(self.tiles)
        self.log = log
        self.http = http
        self.registry = CollectorRegistry()
        self._tree = tree

    def witness(self, process: Process) -> Witness:
        return Witness(process.url, witness_key(process), self.http, self.tiles)

    def authority(self, process: Process, ca: Path) -> Authority:
        return Authority(process.url, authorities(ca), self.http, self.tiles)

    @asynccontextmanager
    async def endorsed(self, *by: Endorser, grace_s: float = 3600, clock: Any = None) -> AsyncIterator[Endorsing]:
        endorsing = Endorsing(self.tiles, list(by), grace_s, self.registry, *([clock] if clock else []))
        await endorsing.begin()
        self.log.allowed = lambda: endorsing.allowed
        try:
            yield endorsing
        finally:
            await endorsing.finish()

    @property
    def head(self) -> Any:
        return unverified((self.tiles / "checkpoint").read_bytes())

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    url = f"sqlite+aiosqlite:///{tmp_path}/access-log.db"
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "access-log-key.pem").write_bytes(pem)
    tree = Tree(url, tmp_path / "access-log-tiles", None, KEY, CollectorRegistry())
    async with (
        AccessLog.open(url, Keys(MASTER, KEY), lambda: datetime.now(UTC)) as log,
        aiohttp.ClientSession(trust_env=False) as http,
    ):
        await log.append(accesses(5))
        await tree.begin(log.epoch)
        yield World(tmp_path, log, tree, http)
        await tree.finish()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def until(seen: Callable[[], bool]) -> None:
    """Wait for something that is bound to come."""
    for _ in range(500):
        if seen():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never seen")


def witnessed_size(world: World) -> int:
    return unverified(world.kept.witnessed or b"").size if world.kept.witnessed else 0


def verify(world: World, **environment: str) -> Result:
    return CliRunner().invoke(
        app.main, ["log", "verify", "--json", "--data", str(world.folder)], env=environment, catch_exceptions=False
    )


async def test_a_witness_cosigns_each_checkpoint_and_the_log_is_verified_with_it(world: World, tmp_path: Path) -> None:
    with witness_of(tmp_path / "w", world.log.epoch) as process:
        async with world.endorsed(world.witness(process)):
            await until(lambda: witnessed_size(world) == 6)
            for _ in range(3):
                await world.log.append(accesses(300))
                await until(lambda: witnessed_size(world) == world.head.size > 6)
            assert witnessed_size(world) > 300
        note = world.kept.witnessed or b""
        log_key = VerifierKey(origin(world.log.epoch), KEY.public_key())
        assert verified(note, log_key).size == witnessed_size(world)
        assert cosigned_at(note, witness_key(process)) <= datetime.now(UTC)
        verdict = await asyncio.to_thread(verify, world, ONESTOP_LOG_WITNESS_KEY=witness_key(process).text)
        assert verdict.exit_code == 0
        said = json.loads(verdict.stdout)
        assert (said["intact"], said["endorsed"], said["checkpoints"]) == (True, 1, 2)


async def test_a_cosignature_that_was_changed_is_found(world: World, tmp_path: Path) -> None:
    with witness_of(tmp_path / "w", world.log.epoch) as process:
        async with world.endorsed(world.witness(process)):
            await until(lambda: witnessed_size(world) == 6)
        file = world.kept.folder / "witnessed"
        lines = file.read_text().split("\n")
        lines[-2] = lines[-2][:-6] + ("AAAA" if lines[-2][-6:-2] != "AAAA" else "BBBB") + lines[-2][-2:]
        file.write_text("\n".join(lines))
        with pytest.raises(CheckpointError):
            cosigned_at(file.read_bytes(), witness_key(process))
        verdict = await asyncio.to_thread(verify, world, ONESTOP_LOG_WITNESS_KEY=witness_key(process).text)
        assert (verdict.exit_code, "cosign" in json.loads(verdict.stdout)["reason"]) == (1, True)


async def test_a_witness_that_forgot_or_knows_more_is_told_from_where_it_knows(world: World, tmp_path: Path) -> None:
    with witness_of(tmp_path / "w", world.log.epoch) as process:
        async with world.endorsed(world.witness(process)):
            await until(lambda: witnessed_size(world) == 6)
        (world.kept.folder / "witnessed").unlink()  # now we do not know what it saw
        await world.log.append(accesses(10))
        world.registry = CollectorRegistry()
        async with world.endorsed(world.witness(process)):
            await until(lambda: witnessed_size(world) == 16)


async def test_a_witness_does_not_cosign_a_log_that_was_written_anew(world: World, tmp_path: Path) -> None:
    """The keeper has log, key and folder, and rebuilds all of it under the same name; the witness has seen more."""
    with witness_of(tmp_path / "w", world.log.epoch) as process:
        witness = world.witness(process)
        async with world.endorsed(witness):
            await until(lambda: witnessed_size(world) == 6)
        forged = Checkpoint(origin(world.log.epoch), 6, bytes(32))
        with pytest.raises(NotEndorsed, match="another tree of 6 leaves"):
            await witness.endorse(signed(forged, KEY))
        shorter = Checkpoint(origin(world.log.epoch), 4, bytes(32))
        with pytest.raises(NotEndorsed, match="rolled back"):
            await witness.endorse(signed(shorter, KEY))


async def test_an_authority_stamps_the_checkpoint_and_openssl_agrees(
    world: World, authority: Process, authority_folder: Path, tmp_path: Path
) -> None:
    ca = authority_folder / "ca.pem"
    async with world.endorsed(world.authority(authority, ca)):
        await until(lambda: world.kept.stamped is not None)
    note, response = note_of(world.kept.stamped or b"")
    assert stamped_at(response, note, authorities(ca)) <= datetime.now(UTC)
    (tmp_path / "note").write_bytes(note)
    (tmp_path / "reply").write_bytes(response)
    told = await asyncio.to_thread(
        subprocess.run,
        ["openssl", "ts", "-verify", "-data", tmp_path / "note", "-in", tmp_path / "reply", "-CAfile", ca],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Verification: OK" in told.stdout + told.stderr
    with pytest.raises(TimestampError):
        stamped_at(response, note.replace(b"\n6\n", b"\n5\n"), authorities(ca))
    verdict = await asyncio.to_thread(verify, world, ONESTOP_LOG_TSA_CA_FILE=str(ca))
    assert (verdict.exit_code, json.loads(verdict.stdout)["endorsed"]) == (0, 1)


async def test_a_timestamp_of_another_authority_or_over_another_note_is_found(
    world: World, authority: Process, authority_folder: Path, tmp_path: Path
) -> None:
    ca, other = authority_folder / "ca.pem", tmp_path / "other"
    with running(str(AUTHORITY), str(other), "0"):
        pass
    async with world.endorsed(world.authority(authority, ca)):
        await until(lambda: world.kept.stamped is not None)
    verdict = await asyncio.to_thread(verify, world, ONESTOP_LOG_TSA_CA_FILE=str(other / "ca.pem"))
    assert (verdict.exit_code, "does not hold" in json.loads(verdict.stdout)["reason"]) == (1, True)
    (file,) = (world.kept.folder / "timestamps").glob("*.json")
    held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"checkpoint": held["checkpoint"].replace("\n6\n", "\n5\n")}))
    verdict = await asyncio.to_thread(verify, world, ONESTOP_LOG_TSA_CA_FILE=str(ca))
    assert (verdict.exit_code, "stamped on" in json.loads(verdict.stdout)["reason"]) == (1, True)


async def test_what_was_stamped_or_cosigned_shows_that_an_older_log_was_put_back(
    world: World, authority: Process, authority_folder: Path
) -> None:
    ca = authority_folder / "ca.pem"
    async with world.endorsed(world.authority(authority, ca)):
        await until(lambda: world.kept.stamped is not None)
    engine = store.writing_engine(f"sqlite+aiosqlite:///{world.folder}/access-log.db", 1000)
    async with engine.begin() as connection:
        for statement in CUT:
            await connection.execute(text(statement))
        for trigger in store.TRIGGERS["sqlite"]:
            if "leaf_no_delete" in trigger or "entry_no_delete" in trigger:
                await connection.execute(text(trigger))
    await engine.dispose()
    (world.tiles / "checkpoint").unlink()
    assert (await asyncio.to_thread(verify, world)).exit_code == 0  # nothing else is left that knows
    verdict = await asyncio.to_thread(verify, world, ONESTOP_LOG_TSA_CA_FILE=str(ca))
    assert (verdict.exit_code, json.loads(verdict.stdout)["older_than"]) == (3, 6)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_without_anybody_the_log_goes_on_and_says_so_once(world: World) -> None:
    with capture_logs() as logs:
        async with world.endorsed(grace_s=0):
            await world.log.append(accesses(1))
    assert [entry["event"] for entry in logs] == ["log_unendorsed"]
    assert world.metric("onestop_log_endorsers") == 0


@pytest.mark.parametrize("who", ["witness", "timestamp"])
async def test_when_the_grace_is_over_no_entry_is_taken_until_it_answers_again(
    world: World, stack: AsyncExitStack, tmp_path: Path, authority_folder: Path, who: str
) -> None:
    def program(port: str) -> Any:
        if who == "witness":
            return witness_of(tmp_path / "w", world.log.epoch, port)
        return running(str(AUTHORITY), str(authority_folder), port)

    clock = Clock()
    with program("0") as process:
        by: Endorser = (
            world.witness(process) if who == "witness" else world.authority(process, authority_folder / "ca.pem")
        )
        endorsing = await stack.enter_async_context(world.endorsed(by, grace_s=600, clock=clock))
        await until(lambda: by.covered() is not None)
    with capture_logs() as logs:
        await world.log.append(accesses(1))  # the process is gone; the entry is taken
        await until(lambda: bool(failures(logs)))
        clock.now += 599
        await world.log.append(accesses(1))
        clock.now += 2
        assert not endorsing.allowed
        with pytest.raises(LogUnavailable):
            await world.log.append(accesses(1))
        await until(lambda: world.metric("onestop_log_stopped") == 1)
        assert len(failures(logs)) == 1
        stack.enter_context(program(process.port))
        await until(lambda: endorsing.allowed)
        await world.log.append(accesses(1))
        await until(lambda: world.metric("onestop_log_stopped") == 0)


def failures(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["event"] == "log_not_endorsed"]


async def test_a_restart_grants_no_new_grace(world: World, tmp_path: Path) -> None:
    clock = Clock()
    with witness_of(tmp_path / "w", world.log.epoch) as process:
        pass  # gone before it was asked
    witness = world.witness(process)
    async with world.endorsed(witness, grace_s=600, clock=clock) as endorsing:
        assert endorsing.allowed
    clock.now += 601
    world.registry = CollectorRegistry()
    async with world.endorsed(witness, grace_s=600, clock=clock) as endorsing:
        assert not endorsing.allowed
        with pytest.raises(LogUnavailable):
            await world.log.append(accesses(1))


async def test_an_idle_log_that_is_covered_needs_nobody(world: World, stack: AsyncExitStack, tmp_path: Path) -> None:
    clock = Clock()
    with witness_of(tmp_path / "w", world.log.epoch) as process:
        endorsing = await stack.enter_async_context(world.endorsed(world.witness(process), grace_s=600, clock=clock))
        await until(lambda: witnessed_size(world) == 6)
    clock.now += 10_000
    await until(lambda: endorsing.allowed)
    await world.log.append(accesses(1))
