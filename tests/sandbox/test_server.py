"""The sandbox as a whole: one start, all ports, and an end."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from sandbox.facts import Faults
from sandbox.identifiers import sector_id
from sandbox.personas import PERSONAS, faults
from sandbox.server import Sandbox

TODAY = date(2026, 11, 21)


def sandbox(directory: Path, **more: Any) -> Sandbox:
    options: dict[str, Any] = {"directory": directory, "today": TODAY, "people": 20, **more}
    return Sandbox(now=lambda: datetime(2026, 11, 21, 3, 0, tzinfo=UTC), **options)


async def ask(url: str) -> tuple[int, Any]:
    headers = {"X-Client-Id": "onestop", "X-Purpose": "ESTATE_DISCOVERY", "X-Request-Id": str(uuid4())}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_everything_answers_when_the_sandbox_is_entered(tmp_path: Path) -> None:
    persona = PERSONAS["heir"].subject
    async with sandbox(tmp_path) as running:
        urls = running.endpoints.agencies
        assert list(urls) == ["REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES"]
        status, metadata = await ask(f"{running.endpoints.issuer}/.well-known/openid-configuration")
        assert (status, metadata["issuer"]) == (200, running.endpoints.issuer)
        sid = sector_id("REGISTRY", persona)
        status, told = await ask(f"{urls['REGISTRY']}/v1/persons/{sid}")
        assert (status, told["person"]["subject"]) == (200, persona)
        for agency, url in running.endpoints.controls.items():
            sid = sector_id(agency, persona)
            assert (await ask(f"{url}/sandbox/faults/{sid}"))[0] == 200
    for url in (running.endpoints.issuer, *running.endpoints.controls.values()):
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(url)


async def test_the_vehicle_url_opens_the_replica_for_reading_only(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as running:
        engine = create_async_engine(running.endpoints.agencies["VEHICLES"])
        try:
            async with engine.connect() as connection:
                found = await connection.execute(text("SELECT schema_version FROM replica_state"))
                assert found.scalars().all() == [3]
                found = await connection.execute(text("SELECT count(DISTINCT owner) FROM vehicle_row"))
                assert found.scalar_one() > 0
                with pytest.raises(OperationalError, match="readonly"):
                    await connection.execute(text("DELETE FROM replica_state"))
        finally:
            await engine.dispose()


async def test_personas_have_their_faults_from_the_start(tmp_path: Path) -> None:
    given: Faults = faults(TODAY)
    assert given
    async with sandbox(tmp_path) as running:
        for (agency, subject), expected in given.items():
            url = f"{running.endpoints.controls[agency]}/sandbox/faults/{sector_id(agency, subject)}"
            told = (await ask(url))[1]["faults"]
            assert [(each["kind"], each.get("institution")) for each in told] == [
                (fault.kind, fault.institution) for fault in expected
            ]


async def test_another_root_key_gives_other_sector_identifiers(tmp_path: Path) -> None:
    root, persona = sha256(b"another").digest(), PERSONAS["heir"].subject
    async with sandbox(tmp_path, id_root=root) as running:
        url = f"{running.endpoints.agencies['REGISTRY']}/v1/persons"
        assert (await ask(f"{url}/{sector_id('REGISTRY', persona, root)}"))[0] == 200
        assert (await ask(f"{url}/{sector_id('REGISTRY', persona)}"))[0] == 404


async def test_ports_follow_each_other_from_the_base(tmp_path: Path) -> None:
    base = free_ports(8)
    async with sandbox(tmp_path, port_base=base) as running:
        urls = [running.endpoints.issuer, *running.endpoints.controls.values()]
        assert urls == [f"http://127.0.0.1:{base + place}" for place in range(8)]


async def test_a_taken_port_stops_the_start_and_leaves_none_open(tmp_path: Path) -> None:
    base = free_ports(8)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 5))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            async with sandbox(tmp_path, port_base=base):
                pass
    async with sandbox(tmp_path, port_base=base) as running:
        assert running.endpoints.issuer.endswith(f":{base}")


async def test_the_end_does_not_wait_for_a_slow_answer(tmp_path: Path) -> None:
    sid = sector_id("LAND", PERSONAS["heir"].subject)
    async with sandbox(tmp_path) as running:
        url = running.endpoints.agencies["LAND"]
        async with aiohttp.ClientSession() as session:
            slow = [{"kind": "SLOW", "seconds": 60}]
            async with session.put(f"{url}/sandbox/faults/{sid}", json=slow) as response:
                assert response.status == 200
        waiting = asyncio.create_task(ask(f"{url}/v1/owners/{sid}/parcels"))
        while (await ask(f"{url}/sandbox/faults/{sid}"))[1]["fired"] == 0:
            assert not waiting.done()
    with pytest.raises((aiohttp.ClientError, json.JSONDecodeError)):
        await waiting


def free_ports(count: int) -> int:
    """First of some ports in a row that are free now."""
    first = 20_000 + os.getpid() % 1000 * count  # test processes side by side look at different ports
    for base in range(first, 32_000, count):
        try:
            for place in range(count):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", base + place))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def _terminate(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)


def _leave(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


@pytest.mark.parametrize("end", [_terminate, _leave])
async def test_a_child_process_tells_its_addresses_and_ends_with_its_parent(
    end: Callable[[asyncio.subprocess.Process], None], tmp_path: Path
) -> None:
    root = sha256(b"another").digest()
    (tmp_path / "root.key").write_text(root.hex())
    options = {
        "--port-base": "0",
        "--people": "20",
        "--directory": tmp_path,
        "--today": TODAY,
        "--id-key-file": tmp_path / "root.key",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "sandbox"),
        *(str(word) for option in options.items() for word in option),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    endpoints = json.loads(await process.stdout.readline())
    sid = sector_id("REGISTRY", PERSONAS["heir"].subject, root)
    assert (await ask(f"{endpoints['agencies']['REGISTRY']}/v1/persons/{sid}"))[0] == 200
    end(process)
    assert await process.wait() == 0
    assert await process.stdout.read() == b""
    assert await process.stderr.read() == b""


async def test_the_sandbox_does_not_run_in_production(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("onestop")), "sandbox", "--port-base", "0", "--data", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "ONESTOP_MODE": "production"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out, b"does not run with ONESTOP_MODE=production" in err) == (2, b"", True)
