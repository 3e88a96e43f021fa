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
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
ANSWERED: Final = frozenset({"COMPLETE", "NONE_HELD", "EXISTENCE_ONLY"})
NOT_PERSONAL: Final = frozenset({"Withheld", "Refusal"})
"""Types that say what was not shown: no entry has them."""

START_S: Final = 60
END_S: Final = 15
HTTP_S: Final = 30
SAID: Final = 500
"""Characters of what a child process said that are passed on."""


class NotHeld(Exception):
    """What did not hold, in a sentence."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is made to go wrong about one person at one institution, which answers may call by any of `names`."""

    agency: str
    names: frozenset[str]
    setting: Mapping[str, str]
    told: str

    @property
    def expected_by(self) -> str | None:
        """Day of the answer when it is only late."""
        return self.setting.get("expectedBy")


def faults(today: date) -> tuple[Fault, ...]:
    """A bank that fails and a pension scheme that answers in 13 days."""
    failing = {"kind": "FAILED", "institution": "011"}
    late = {"kind": "LATE", "institution": "KTCU", "expectedBy": (today + timedelta(days=13)).isoformat()}
    return (
        Fault("FINANCE", frozenset({"011", "NH농협은행"}), failing, "NH농협은행 fails to answer FINANCE"),
        Fault(
            "PENSIONS",
            frozenset({"KTCU", "한국교직원공제회"}),
            late,
            f"KTCU (한국교직원공제회) answers PENSIONS on {late['expectedBy']} only",
        ),
    )


def run(*, keep: bool, onestop: Sequence[str] = ONESTOP) -> int:
    """Show the demo: 0 when everything held, else 1 with what did not on standard error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Korean still shows the rest
    console = pictures.console()
    doubts: list[str] = []
    try:
        with _interrupted_by_any_signal(), tempfile.TemporaryDirectory(prefix="onestop-demo-") as directory:
            command = Command(Path(directory), onestop)
            console.print("Starting the sandbox's sign-in and seven agencies, and the API ...")
            with command.serving() as (server, running, people):
                for doubt in shown(console, command, running, people):
                    doubts.append(doubt)
                    _tell(doubt)
                console.print(pictures.next_steps(running.url or "", keep=keep, held=not doubts))
                if keep:
                    _keep(console, server, running)
    except NotHeld as not_held:
        doubts.append(str(not_held))
        _tell(str(not_held))
    return 1 if doubts else 0


def _tell(doubt: str) -> None:
    sys.stderr.write(f"This did not hold: {doubt}.\n")


# ---------------------------------------------------------------- the command


@dataclass(frozen=True, slots=True)
class Command:
    """The `onestop` command in a directory of its own, without the settings of whoever runs the demo."""

    directory: Path
    onestop: Sequence[str] = ONESTOP

    @property
    def data(self) -> Path:
        return self.directory / "var"

    def start(self, *arguments: str, stderr: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
        return subprocess.Popen(
            [*self.onestop, *arguments],
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
            try:
                output, errors = process.communicate(timeout=START_S)
            except subprocess.TimeoutExpired as late:
                process.kill()
                raise NotHeld(f"`onestop {' '.join(arguments)}` took longer than {START_S} s") from late
        return process.returncode, output, errors

    def output(self, *arguments: str) -> str:
        status, output, errors = self.result(*arguments)
        if status:
            raise NotHeld(f"`onestop {' '.join(arguments)}` ended with {status}: {errors.strip()[-SAID:]}")
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
            last = log.read_text(errors="replace").strip()[-SAID:]
            raise NotHeld(f"the server did not become ready: {last}")
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
        typed = document.replace("{", "{ __typename ")
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
            name = document.split("(", maxsplit=1)[0].split()[1]
            raise NotHeld(f"the question {name} came with status {status} and errors: {said or 'none'}")
        ids = tuple(each.strip() for each in headers.get("access-log", "").split(",") if each.strip())
        return Reply(body["data"], ids, f"sha256:{hashlib.sha256(typed.encode()).hexdigest()}", seconds)


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


@dataclass(frozen=True, slots=True)
class Story:
    """One persona's question and what came back."""

    asker: Asker
    viewer: Json
    case_id: str
    reply: Reply

    @property
    def case(self) -> Json:
        case: Json = self.reply.data["case"]
        return case


def shown(console: Console, command: Command, running: Running, people: Json) -> Iterator[str]:
    """Ask, print what came back, and give every doubt."""
    today = date.fromisoformat(people["today"])
    sector_ids = people["personas"][0]["case"]["deceased"]["sectorIds"]
    going_wrong = faults(today)
    for fault in going_wrong:
        set_fault(running, fault, sector_ids[fault.agency])
    with ThreadPoolExecutor(2) as both:
        heir, parent = (Asker(running.url or "", token) for token in both.map(command.token, ("heir", "parent")))
    console.print(pictures.preface(running.url or "", [fault.told for fault in going_wrong]))

    estate = story(heir, "ESTATE", pictures.OPEN_ESTATE, pictures.ESTATE)
    console.print(*pictures.estate_picture(estate.case, estate.viewer), _took(estate.reply), sep="")
    yield from unanswered(estate.case, going_wrong)
    yield from glossed_over(estate.case)
    for fault in going_wrong:
        if not fired(running, fault, sector_ids[fault.agency]):
            yield f"what was made to go wrong at {fault.agency} was never met"

    birth = story(parent, "BIRTH", pictures.OPEN_BIRTH, pictures.BIRTH)
    console.print(*pictures.birth_picture(birth.case, birth.viewer, today), _took(birth.reply), sep="")
    yield from unanswered(birth.case, ())

    yield from _log_shown(console, command, [estate, birth])


def story(asker: Asker, kind: str, opening: str, question: str) -> Story:
    """Find the first candidate of this kind, open the case and ask everything about it."""
    viewer = asker.ask(pictures.VIEWER).data["viewer"]
    candidate = next((each for each in viewer["candidates"] if each["kind"] == kind), None)
    if candidate is None:
        raise NotHeld(f"nobody is a candidate for a case of kind {kind}")
    wanted = {"candidate": candidate["person"]["id"], "idempotencyKey": str(uuid4())}
    opened = asker.ask(opening, input=wanted).data["opened"]
    if opened["refusal"] is not None:
        raise NotHeld(f"the case of kind {kind} was not opened: {opened['refusal']['message']}")
    case_id = opened["case"]["id"]
    return Story(asker, viewer, case_id, asker.ask(question, id=case_id))


def _took(reply: Reply) -> Text:
    return Text(
        f"\nOne request, {len(reply.entry_ids)} log entries before the answer, {reply.seconds * 1000:.0f} ms.", "dim"
    )


def _log_shown(console: Console, command: Command, stories: Sequence[Story]) -> Iterator[str]:
    """The entries that the questions left, as the API and as the log itself have them."""
    found = [story.asker.ask(pictures.ENTRIES, id=story.case_id).data for story in stories]
    with ThreadPoolExecutor(2) as both:
        lines = both.submit(command.output, "log", "export", "--data", str(command.data))
        verdict = both.submit(command.result, "log", "verify", "--data", str(command.data))
    exported = {entry["id"]: entry for entry in map(json.loads, lines.result().splitlines())}
    roles = {entry_id: entry["subject_role"] for entry_id, entry in exported.items()}
    for each, data in zip(stories, found, strict=True):
        theirs = set(each.reply.entry_ids)
        entries = [edge["node"] for edge in data["node"]["accessLog"]["edges"] if edge["node"]["id"] in theirs]
        own = {edge["node"]["id"] for edge in data["own"]["edges"]}
        yield from unrecorded(each.reply, entries, exported)
        if entries:
            console.print(
                pictures.chapter(f"What the log kept of {each.case['number']}", *pictures.entries(entries, roles, own))
            )
    yield from unverified(*verdict.result())
    exports = f"onestop log export: {len(exported)} entries, these and those of finding and opening the cases."
    verdicts = f"onestop log verify: {verdict.result()[1].strip()}"
    console.print(pictures.chapter("The log as a whole", f"{exports}\n{verdicts}"))


# ---------------------------------------------------------------- what has to hold


def unanswered(case: Json, going_wrong: Iterable[Fault]) -> Iterator[str]:
    """Agencies that did not answer, unless it is what was made to go wrong, and all of that."""
    fault_of = {fault.agency: fault for fault in going_wrong}
    for name in pictures.SECTIONS:
        answer = case[name]["answer"]
        fault = fault_of.get(answer["agency"])
        if fault is None:
            if answer["status"] not in ANSWERED or answer["problems"]:
                yield f"{answer['agency']} did not answer well: {pictures.words(answer['status'])}"
            continue
        institutions = {problem["institution"] for problem in answer["problems"]}
        if answer["status"] != "PARTIAL" or not institutions or institutions - fault.names:
            told = ", ".join(map(str, institutions)) or "nothing"
            yield f"{answer['agency']} does not tell exactly what was made to go wrong there, but {told}"
        if answer["expectedBy"] != fault.expected_by:
            yield f"{answer['agency']} is expected by {answer['expectedBy']} and was set to {fault.expected_by}"


def glossed_over(estate: Json) -> Iterator[str]:
    """Sums that pretend to be whole while an answer is missing, or that are not those of the lines shown."""
    its = estate["summary"]
    if its is None:
        yield "the estate's sums were withheld"
        return
    silent = {estate[name]["answer"]["agency"] for name in pictures.SECTIONS if estate[name]["answer"]["problems"]}
    if silent and (its["complete"] or silent - set(its["missing"]) or its["outlook"] != "UNDECIDED"):
        yield f"the summary does not say that {' and '.join(sorted(silent))} is missing"
    lines = list(pictures.estate_lines(estate))
    for side, total in ((pictures.Side.ASSET, its["assets"]), (pictures.Side.DEBT, its["debts"])):
        if (found := sum(line.amount or 0 for line in lines if line.side is side)) != total:
            yield f"what is {side.value} comes to {found:,} line by line and to {total:,} in the summary"


def unrecorded(reply: Reply, entries: Sequence[Json], exported: Mapping[str, Json]) -> Iterator[str]:
    """What an answer showed and no entry has, or an entry has and the answer did not show."""
    missing = set(reply.entry_ids) - {entry["id"] for entry in entries}
    if missing or not reply.entry_ids:
        yield f"the case's access log lacks {len(missing) or 'all'} of the entries that the answer was sent with"
    for entry_id in reply.entry_ids:
        if exported.get(entry_id, {}).get("document_hash") != reply.document_hash:
            yield f"`onestop log export` has no entry {entry_id} of the document that was asked"
    disclosed = pictures.seen(entries)
    showed = set(leaves(reply.data))
    if showed - disclosed:
        yield f"no entry has {', '.join(sorted(showed - disclosed))}, which the answer showed"
    if disclosed - showed:
        yield f"an entry has {', '.join(sorted(disclosed - showed))}, which the answer did not show"


def leaves(data: Any) -> Iterator[str]:
    """Coordinates of an answer that carry a value; an empty list carries none."""
    match data:
        case {"__typename": type_name, **fields}:
            for name, value in fields.items():
                inner = value[0] if isinstance(value, list) and value else value
                if isinstance(inner, dict):
                    yield from leaves(value)
                elif inner not in (None, []) and type_name not in NOT_PERSONAL:
                    yield f"{type_name}.{name}"
        case [*items]:
            for item in items:
                yield from leaves(item)


def unverified(status: int, output: str, errors: str) -> Iterator[str]:
    """What `onestop log verify` found wrong."""
    if status:
        yield f"`onestop log verify` ended with {status}: {(output or errors).strip()[-SAID:]}"


# ---------------------------------------------------------------- afterwards


def _keep(console: Console, server: subprocess.Popen[str], running: Running) -> None:
    """Serve on until somebody ends it."""
    until = f"until Ctrl-C, or `kill {os.getpid()}`; then {running.directory} is removed."
    try:
        console.print(f"\nServing on {running.url} {until}")
        server.wait()
    except KeyboardInterrupt:
        return
    raise NotHeld(f"the server ended by itself with status {server.returncode}")
