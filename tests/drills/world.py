"""A real `onestop serve` that is killed, traced and started again, beside a sandbox that stays; and somebody who asks.

strace attaches to the server once it is ready, so that its counts begin there, and may inject what a kernel would do.
"""

import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.issuer import Issuer
from sandbox.personas import PERSONAS
from tests.journeys.documents import VIEWER

ROOT = Path(__file__).parents[2]
AUDIENCE = "https://onestop.sandbox.invalid/graphql"
VARIANTS = ("normal", "early", "swallow")
"""Deliberately wrong ones; each drill has to see them (tests/drills/wrong.py)."""


@dataclass
class World:
    """A sandbox, the place of a log, and a token."""

    directory: Path
    settings: dict[str, str]
    token: str
    variant: str | None = None
    received: set[str] = field(default_factory=set)
    """Ids of entries whose answers began to arrive."""

    @property
    def log(self) -> Path:
        return self.directory / "data" / "access-log.db"

    @contextmanager
    def serving(self) -> Iterator["Server"]:
        """The program, ready; killed at the end if it still runs."""
        program = ["-m", "tests.drills.wrong", self.variant] if self.variant else ["-m", "app"]
        command = [sys.executable, *program, "serve", "--port", "0", "--data", str(self.directory / "data")]
        began = time.monotonic()
        with (
            (self.directory / "serve.log").open("ab") as said,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=said, cwd=ROOT, env=os.environ | self.settings
            ) as process,
        ):
            try:
                line = process.stdout.readline() if process.stdout else b""
                if not line.startswith(b"READY "):
                    raise AssertionError(
                        f"the server did not start: {(self.directory / 'serve.log').read_text()[-2000:]}"
                    )
                yield Server(self, process, line.decode().split()[1], time.monotonic() - began)
            finally:
                process.kill()

    def stored(self) -> set[str]:
        """Ask with nothing of ours in between."""
        with closing(sqlite3.connect(self.log)) as store:
            return {row[0] for row in store.execute("SELECT id FROM entry")}

    def require_whole(self) -> int:
        """Everything received is stored and the log is intact; how many entries it has."""
        stored = self.stored()
        lost = self.received - stored
        if lost:
            raise AssertionError(f"{len(lost)} of {len(self.received)} received answers have no entry")
        command = [sys.executable, "-m", "app", "log", "verify", "--json", "--data", str(self.directory / "data")]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | self.settings, capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"the log is not intact: {done.stdout.decode()}{done.stderr.decode()}")
        return len(stored)


@dataclass
class Server:
    world: World
    process: "subprocess.Popen[bytes]"
    url: str
    start_s: float

    def ask(self) -> tuple[int, Any]:
        """Status and body of one answer; (0, None) when the server went. Ids count from the first header on."""
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
            try:
                connection.request(
                    "POST",
                    "/graphql",
                    json.dumps({"query": VIEWER}),
                    {"Content-Type": "application/json", "Authorization": f"Bearer {self.world.token}"},
                )
                with connection.getresponse() as response:
                    named = response.headers.get("Access-Log", "")
                    self.world.received.update(each.strip() for each in named.split(",") if each.strip())
                    return response.status, json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                return 0, None

    @property
    def is_ready(self) -> bool:
        parts = urlsplit(self.url)
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
            connection.request("GET", "/readyz")
            with connection.getresponse() as response:
                response.read()
                return response.status == 200

    @contextmanager
    def under_load(self, askers: int = 4) -> Iterator[None]:
        """So many who ask one question after another."""
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set() and self.ask()[0]:
                pass

        threads = [threading.Thread(target=go_on) for _ in range(askers)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in threads:
                each.join()

    @contextmanager
    def traced(self, *options: str, out: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """Under strace with these options, from when it is attached."""
        strace = shutil.which("strace")
        if strace is None:
            raise SystemExit("this drill needs strace: apt-get install strace")
        written = out or self.world.directory / "strace.out"
        command = [strace, "-f", "-p", str(self.process.pid), "-o", str(written), *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
            attached = tracer.stderr.readline() if tracer.stderr else b""
            if b"attached" not in attached:
                raise AssertionError(f"strace did not attach: {attached.decode()}")
            try:
                yield tracer
            finally:
                with suppress(ProcessLookupError):
                    tracer.send_signal(signal.SIGINT)
                tracer.wait()


@contextmanager
def world(variant: str | None = None) -> Iterator[World]:
    """A new one, in a directory of its own."""
    directory = Path(tempfile.mkdtemp(prefix="onestop-drill-"))
    command = [sys.executable, "-m", "app", "sandbox", "--port-base", "0", "--people", "0", "--data", str(directory)]
    try:
        with (
            (directory / "sandbox.log").open("w+b") as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, cwd=ROOT) as sandbox,
        ):
            try:
                ready = sandbox.stdout.readline().decode() if sandbox.stdout else ""
                issuer = ready.split()[1]
                lines = (directory / "sandbox.log").read_text().splitlines()
                settings = dict(line.split("=", 1) for line in lines if line.startswith("ONESTOP_"))
                settings["ONESTOP_ISSUER"] = issuer
                token = Issuer(issuer, directory / "sandbox" / "issuer.jwk").token(
                    PERSONAS["heir"],
                    audience=AUDIENCE,
                    client_id="sandbox-portal",
                    acr=3,
                    ttl=timedelta(hours=6),
                    now=datetime.now(UTC),
                )
                yield World(directory, settings, token, variant)
            finally:
                sandbox.terminate()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def reported(drill: str, seen: Sequence[str]) -> None:
    sys.stdout.write(f"{drill}: " + "; ".join(seen) + "\n")
    sys.stdout.flush()
