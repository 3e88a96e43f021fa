"""`onestop demo`: everything started afresh, both questions asked as anybody would ask them, and whether it all held.

This is an outside client. It knows the `onestop` command, GraphQL over HTTP, and the controls of the sandbox's agencies
(docs/wire/README.md, "Faults of the sandbox"), and calls nothing of the program that it shows.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http.client import HTTPConnection, HTTPException
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from rich.console import Console
from rich.text import Text

from serving import pictures
from serving.pictures import Json
from serving.running import Running, newest

ONESTOP: Final = (sys.executable, "-m", "app")
AGENCIES: Final = ("LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES")
ANSWERED: Final = frozenset({"COMPLETE", "NONE_HELD", "EXISTENCE_ONLY"})
NOT_PERSONAL: Final = frozenset({"Withheld", "Refusal"})
"""Types that say what was not shown: no entry has them."""

START_S: Final = 60
END_S: Final = 15
HTTP_S: Final = 30


class NotHeld(Exception):
    """What did not hold, in a sentence."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is made to go wrong about one person at one institution. `names`: what an answer may call the institution."""

    agency: str
    names: frozenset[str]
    setting: Mapping[str, str]

    @property
    def expected_by(self) -> str | None:
        """Day of the answer when it is only late."""
        return self.setting.get("expectedBy")


def faults(today: date) -> tuple[Fault, ...]:
    """A bank that fails and a pension scheme that answers in 13 days."""
    late = {"kind": "LATE", "institution": "KTCU", "expectedBy": (today + timedelta(days=13)).isoformat()}
    return (
        Fault("FINANCE", frozenset({"011", "NH농협은행"}), {"kind": "FAILED", "institution": "011"}),
        Fault("PENSIONS", frozenset({"KTCU", "한국교직원공제회"}), late),
    )


def run(*, keep: bool) -> int:
    """Show the demo: 0 when everything held, else 1 with what did not on standard error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Korean still shows the rest
    console = pictures.console()
    doubts: list[str] = []
    try:
        with _interrupted_by_any_signal(), tempfile.TemporaryDirectory(prefix="onestop-demo-") as directory:
            command = Command(Path(directory))
            console.print("Starting the sandbox's sign-in and seven agencies, and the API ...")
            with command.serving() as (server, running, people):
                for doubt in shown(console, command, running, people):
                    doubts.append(doubt)  # noqa: PERF402 - kept one by one, as a later step may raise
                _look_next(console, running, keep=keep)
                if keep:
                    _tell(doubts)
                    _keep(console, server, running)
    except NotHeld as not_held:
        doubts.append(str(not_held))
    if not keep or not doubts:
        _tell(doubts)
    return 1 if doubts else 0


def _tell(doubts: Iterable[str]) -> None:
    for doubt in doubts:
        sys.stderr.write(f"This did not hold: {doubt}\n")
    sys.stderr.flush()


# ---------------------------------------------------------------- the command


@dataclass(frozen=True, slots=True)
class Command:
    """The `onestop` command in a directory of its own, without the settings of whoever runs the demo."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "var"

    def start(self, *arguments: str, stderr: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
        return subprocess.Popen(
            [*ONESTOP, *arguments],
            cwd=self.directory,
            env={**environment, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the demo, which ends its children itself
        )

    def result(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command that ends by itself."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=START_S)
        return process.returncode, output, errors

    def output(self, *arguments: str) -> str:
        status, output, errors = self.result(*arguments)
        if status:
            raise NotHeld(f"`onestop {' '.join(arguments)}` ended with {status}: {errors.strip()[-500:]}")
        return output

    def token(self, persona: str) -> str:
        return self.output("token", "--persona", persona, "--data", str(self.data)).strip()

    @contextmanager
    def serving(self) -> Iterator[tuple[subprocess.Popen[str], Running, Json]]:
        """A server that is ready, where it announced itself, and the known answers about the heir's case."""
        log = self.directory / "onestop.log"
        with log.open("w") as errors, ThreadPoolExecutor(1) as beside:
            # Both take seconds to start, so they start together.
            people = beside.submit(self.output, "sandbox", "people", "--json", "--persona", "heir")
            server = self.start("serve", "--port", "0", "--data", str(self.data), stderr=errors)
            try:
                running = self._ready(server, log)
                yield server, running, json.loads(people.result())
            finally:
                _end(server)

    def _ready(self, server: subprocess.Popen[str], log: Path) -> Running:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        told, _, _ = select.select([server.stdout], [], [], START_S)
        line = server.stdout.readline() if told else ""
        running = newest(self.data)
        if not line.startswith("READY ") or running is None:
            last = log.read_text(errors="replace").strip()[-500:]
            raise NotHeld(f"the server did not become ready within {START_S} s. {last}")
        return running


def _end(server: subprocess.Popen[str]) -> None:
    """End the server and wait until it has drained; it ends its sandbox."""
    server.terminate()
    try:
        server.wait(END_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if server.stdout is not None:
        server.stdout.close()


@contextmanager
def _interrupted_by_any_signal() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: what was started is ended, what was written is removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# ---------------------------------------------------------------- over HTTP


def exchange(method: str, url: str, body: object = None, **headers: str) -> tuple[int, Mapping[str, str], Any]:
    """One request with JSON both ways; never through a proxy."""
    where = urlsplit(url)
    connection = HTTPConnection(where.netloc, timeout=HTTP_S)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        connection.request(method, where.path, None if body is None else json.dumps(body), sent)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, json.loads(reply.read())
    except (OSError, HTTPException, ValueError) as error:
        raise NotHeld(f"{method} {url} got no answer that can be read ({type(error).__name__})") from error
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """What one question came to: its data, the entries that it left, and the hash of the document as it was sent."""

    data: Json
    entry_ids: tuple[str, ...]
    document_hash: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks the API with a token."""

    url: str
    token: str

    def ask(self, document: str, **variables: Any) -> Reply:
        """An answer without errors."""
        # With the names of the types the answer itself tells which coordinates it shows.
        typed = document.replace("{", "{ __typename", 1) if "mutation" in document else _typed(document)
        started = time.perf_counter()
        status, headers, body = exchange(
            "POST",
            f"{self.url}/graphql",
            {"query": typed, "variables": variables},
            Accept="application/graphql-response+json",
            Authorization=f"Bearer {self.token}",
        )
        seconds = time.perf_counter() - started
        if status != 200 or "errors" in body:
            said = "; ".join(error["message"] for error in body.get("errors", ()))
            raise NotHeld(f"a question was answered with status {status} and errors: {said or 'none'}")
        ids = tuple(each.strip() for each in headers.get("access-log", "").split(",") if each.strip())
        return Reply(body["data"], ids, f"sha256:{hashlib.sha256(typed.encode()).hexdigest()}", seconds)


def _typed(document: str) -> str:
    return document.replace("{", "{ __typename ")


def set_fault(running: Running, fault: Fault, sector_id: str) -> None:
    where = f"{running.controls[fault.agency]}/sandbox/faults/{sector_id}"
    status, _, said = exchange("PUT", where, [fault.setting])
    if status >= 300:
        raise NotHeld(f"the sandbox did not take a fault for {fault.agency}: {said}")


def fired(running: Running, fault: Fault, sector_id: str) -> int:
    """How many requests met the fault."""
    _, _, said = exchange("GET", f"{running.controls[fault.agency]}/sandbox/faults/{sector_id}")
    return int(said["fired"] or 0)


# ---------------------------------------------------------------- what is shown


def shown(console: Console, command: Command, running: Running, people: Json) -> Iterator[str]:
    """Ask, print, and give every doubt."""
    today = date.fromisoformat(people["today"])
    sector_ids = people["personas"][0]["case"]["deceased"]["sectorIds"]
    going_wrong = faults(today)
    for fault in going_wrong:
        set_fault(running, fault, sector_ids[fault.agency])
    with ThreadPoolExecutor(2) as both:
        heir, parent = (Asker(running.url or "", token) for token in both.map(command.token, ("heir", "parent")))
    console.print(_preface(running, going_wrong))

    viewer, case_id = opened(heir, pictures.OPEN_ESTATE)
    estate = heir.ask(pictures.ESTATE, id=case_id)
    _print(console, pictures.estate_picture(estate.data["case"], viewer), estate)
    yield from unanswered(estate.data["case"], going_wrong)
    yield from unclear(estate.data["case"])
    for fault in going_wrong:
        if not fired(running, fault, sector_ids[fault.agency]):
            yield f"{fault.agency} was never asked about what was made to go wrong there."
    estate_entries = yield from recorded(console, command, heir, case_id, estate)

    viewer, case_id = opened(parent, pictures.OPEN_BIRTH)
    birth = parent.ask(pictures.BIRTH, id=case_id)
    _print(console, pictures.birth_picture(birth.data["case"], viewer, today), birth)
    yield from unanswered(birth.data["case"], ())
    birth_entries = yield from recorded(console, command, parent, case_id, birth)


def _print(console: Console, picture: Iterable[Any], reply: Reply) -> None: ...
