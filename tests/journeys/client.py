"""The running program as the outside sees it: its command, its HTTP, the sandbox's controls, and persons who ask."""

import http.client
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from click.testing import CliRunner

import app
from sandbox.facts import Subject
from sandbox.identifiers import sector_id
from sandbox.issuer import Issuer
from sandbox.personas import PERSONAS, PersonaRecord
from tests.journeys.documents import OPEN_BIRTH, OPEN_ESTATE, VIEWER

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
START_S = 60
ANSWER_S = 60


def sent(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> "Reply":
    """One request on a connection of its own; a body that is not bytes goes as JSON."""
    parts = urlsplit(url)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)) as connection:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, data, {"Content-Type": JSON, **(headers or {})})
        with connection.getresponse() as response:
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def errors(self) -> list[Any]:
        found: list[Any] = self.json.get("errors", [])
        return found

    @property
    def code(self) -> str:
        """The code of the only error."""
        (error,) = self.errors
        return str(error["extensions"]["code"])

    @property
    def data(self) -> Any:
        """The data of an answer without errors."""
        assert (self.status, self.errors) == (200, [])
        return self.json["data"]

    @property
    def entries(self) -> list[str]:
        """Ids of the log's entries."""
        return [each.strip() for each in self.headers.get("access-log", "").split(",") if each.strip()]


@dataclass(frozen=True)
class Fault:
    """Faults that an agency has about one person."""

    url: str

    @property
    def fired(self) -> Any:
        """How many requests met one; None at the vehicle register, whose readers nobody counts."""
        return sent("GET", self.url).json["fired"]


@dataclass(frozen=True)
class Onestop:
    """A program that serves, with the sandbox it embeds."""

    url: str
    directory: Path
    runtime: Path
    controls: Mapping[str, str]
    issuer: str
    audience: str
    known: Mapping[str, Any]
    tokens: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def command(self, *arguments: str) -> str:
        """Standard output of the command, run in this process to save a start."""
        return commanded(*arguments, runtime=self.runtime)

    def token(
        self,
        persona: str,
        assurance: str = "high",
        signed_in: int = 0,
        case: str | None = None,
        acting_for: str | None = None,
    ) -> str:
        """An access token as `onestop token` prints it."""
        key = (persona, assurance, signed_in, case, acting_for)
        if key not in self.tokens:
            narrowed = ["--case", case] if case else []
            narrowed += ["--acting-for", acting_for] if acting_for else []
            said = f"--assurance {assurance} --signed-in {signed_in} --ttl 3600".split()
            said += ["--data", str(self.directory)]
            self.tokens[key] = self.command("token", "--persona", persona, *said, *narrowed).strip()
        return self.tokens[key]

    def token_of_relative(self, subject: str, ago: timedelta = timedelta()) -> str:
        """An access token, good for an hour, of somebody who need not be a persona."""
        record = PersonaRecord("relative", Subject(subject), ("CITIZEN",), None, None, "", "", "")
        return Issuer(self.issuer, self.directory / "sandbox" / "issuer.jwk").token(
            record,
            audience=self.audience,
            client_id="sandbox-portal",
            acr=3,
            ttl=timedelta(hours=1),
            now=datetime.now(UTC) - ago,
        )

    def as_(self, persona: str, assurance: str = "high", signed_in: int = 0) -> "Asker":
        """Somebody who asks."""
        return Asker(self, self.token(persona, assurance, signed_in))

    def at_counter_of(self, official: str, applicant: str) -> "Asker":
        """The official with the token that names the applicant beside them."""
        return Asker(self, self.token(official, acting_for=applicant))

    @contextmanager
    def off_duty(self, official: str) -> Iterator[None]:
        """The roster says that the official went home."""
        staff = sector_id("ROSTER", PERSONAS[official].subject)
        url = f"{self.controls['ROSTER']}/sandbox/duty/{staff}"
        assert sent("PUT", url, {"onDuty": False}).status == 200
        try:
            yield
        finally:
            assert sent("PUT", url, {"onDuty": True}).status == 200

    def case(self, persona: str, index: int = 0) -> Any:
        """The known answers of the persona's case."""
        found = self.known[persona]
        return found.get("cases", [found["case"]])[index]

    @contextmanager
    def faults(self, agency: str, sid: str, *faults: Mapping[str, Any]) -> Iterator[Fault]:
        """Let an agency have these faults about a person."""
        fault = Fault(f"{self.controls[agency]}/sandbox/faults/{sid}")
        before = sent("GET", fault.url).json["faults"]
        assert sent("PUT", fault.url, list(faults)).status == 200
        try:
            yield fault
        finally:
            assert sent("PUT", fault.url, before).status == 200


@dataclass(frozen=True)
class Asker:
    """Somebody with an access token."""

    onestop: Onestop
    token: str | None

    def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, *, accept: str = GRAPHQL, **more: Any
    ) -> Reply:
        """Ask; whatever comes back."""
        headers = {"Accept": accept}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return sent(
            "POST", f"{self.onestop.url}/graphql", {"query": query, "variables": variables or {}, **more}, headers
        )

    def seen(self, query: str, **variables: Any) -> Any:
        """The data of an answer without errors."""
        return self.ask(query, variables).data

    def candidates(self) -> list[Any]:
        """Whose case may be opened."""
        found: list[Any] = self.seen(VIEWER)["viewer"]["candidates"]
        return found

    def open_estate(self, key: str | None = None, **whom: Any) -> Any:
        """The payload of an opening."""
        return self.seen(OPEN_ESTATE, input={"idempotencyKey": key or str(uuid.uuid4()), **whom})["openEstateCase"]

    def open_birth(self, key: str | None = None, **whom: Any) -> Any:
        """The payload of an opening."""
        return self.seen(OPEN_BIRTH, input={"idempotencyKey": key or str(uuid.uuid4()), **whom})["openBirthCase"]

    def case(self, name: str | None = None) -> str:
        """Open the case of the one candidate (of this name), or find it again: its id."""
        (candidate,) = [each for each in self.candidates() if name in {None, each["person"]["name"]}]
        open_ = self.open_estate if candidate["kind"] == "ESTATE" else self.open_birth
        return str(open_(candidate=candidate["person"]["id"])["case"]["id"])

    @contextmanager
    def watching(self, query: str, **variables: Any) -> "Iterator[Events]":
        """A subscription; its events while the block runs."""
        parts = urlsplit(self.onestop.url)
        body = json.dumps({"query": query, "variables": variables})
        headers = {"Content-Type": JSON, "Accept": "text/event-stream", "Authorization": f"Bearer {self.token}"}
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)) as connection:
            connection.request("POST", "/graphql", body, headers)
            with connection.getresponse() as response:
                assert response.status == 200
                events = Events()
                reader = threading.Thread(target=events.read, args=(response,))
                reader.start()
                try:
                    yield events
                finally:
                    if not response.isclosed():  # the server has not ended it
                        # the response holds the socket when the connection closes with it
                        with socket.socket(fileno=os.dup(response.fileno())) as wire:
                            wire.shutdown(socket.SHUT_RDWR)
                    reader.join()


@dataclass(frozen=True)
class Events:
    """Events of a stream, read as they come."""

    arrived: "queue.Queue[Any]" = field(default_factory=queue.Queue)
    ended: threading.Event = field(default_factory=threading.Event)

    def read(self, response: http.client.HTTPResponse) -> None:
        """Take every `next` event until the stream ends."""
        for line in response:
            if line.startswith(b"data: "):
                self.arrived.put(json.loads(line.removeprefix(b"data: ")))
        self.ended.set()

    def next(self) -> Any:
        """The next one."""
        return self.arrived.get(timeout=ANSWER_S)


# ---------------------------------------------------------------- starting it


def commanded(*arguments: str, runtime: Path | None = None) -> str:
    """Standard output of a command that succeeded."""
    env: dict[str, str | None] = {name: None for name in os.environ if name.startswith("ONESTOP_")}
    if runtime is not None:
        env["XDG_RUNTIME_DIR"] = str(runtime)
    ran = CliRunner().invoke(app.main, arguments, env=env, catch_exceptions=False)
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout


@contextmanager
def serving(folder: Path, known: Mapping[str, Any], **settings: str) -> Iterator[Onestop]:
    """`onestop serve` as a process of its own, state and all in the folder; it has to end cleanly."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
    environment |= {"XDG_RUNTIME_DIR": str(folder), **settings}
    command = [str(Path(sys.executable).with_name("onestop")), "serve", "--port", "0", "--data", str(folder / "var")]
    errors = folder / "stderr"
    with (
        errors.open("wb") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environment, cwd=folder) as child,
    ):
        assert child.stdout
        try:
            ready, _, _ = select.select([child.stdout], [], [], START_S)
            line = child.stdout.readline().decode() if ready else ""
            assert line.startswith("READY "), f"{line}{errors.read_text()}"
            (record,) = [json.loads(each.read_text()) for each in folder.glob("onestop-*/*.json")]
            assert record["pid"] == child.pid
            yield Onestop(
                url=line.removeprefix("READY ").strip(),
                directory=folder / "var",
                runtime=folder,
                controls=record["controls"],
                issuer=record["issuer"],
                audience=record["audience"],
                known=known,
            )
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()
    assert child.returncode == 0
    assert '"incident"' not in errors.read_text()
