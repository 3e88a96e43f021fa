"""A registration number enters in a mutation, goes to the family register, and is nowhere else.

Numbers, names and addresses are planted wherever a portal could put them, and a number in everything that the agencies
say, more than they were asked for; then everything that the program says and
keeps is searched: answers, its log on standard error, metrics, both databases, the access log in the open.
"""

import base64
import hashlib
import http.client
import json
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.journeys import known as answers
from tests.journeys.client import Onestop, Reply, sent, serving
from tests.journeys.documents import BIRTH, CASE_LOG, ESTATE, LOG, OPEN_BIRTH, OPEN_ESTATE, REQUEST, UPDATED, VIEWER

NOBODYS = "490707-1900099"
AGENCIES_SAY = "480808-1900082"
"""In every object, element and column of an agency's answer, in a header, and in its words when it fails."""
INLINE = 'mutation {{ openEstateCase(input: {{idempotencyKey: "k", deceased: {0}}}) {{ refusal {{ code }} }} }}'
UNDER_ANOTHER_NAME = """
mutation Open($n: String, $who: String!, $born: Date!, $key: String!) {
  openEstateCase(input: {idempotencyKey: $key, deceased: {name: $who, birthDate: $born, registrationNumber: $n}}) {
    refusal { code }
  }
}
"""


@dataclass
class Run:
    """What a program said while it was asked, and where it keeps what it keeps."""

    folder: Path
    numbers: list[str]
    names: list[str]
    addresses: list[str]
    replies: list[Reply] = field(default_factory=list)
    metrics: str = ""
    said_too_much: dict[str, Any] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def said(self) -> str:
        """The program's own log."""
        return (self.folder / "stderr").read_text()

    @property
    def kept(self) -> Mapping[str, bytes]:
        """Every file of the program's state; the sandbox's are not ours."""
        state = self.folder / "var"
        files = [file for file in state.rglob("*") if file.is_file() and "sandbox" not in file.relative_to(state).parts]
        return {file.name: file.read_bytes() for file in files}


def spelled(number: str) -> Iterator[bytes]:
    """The ways in which a number could lie somewhere, a plain hash of it included."""
    for written in (number, number.replace("-", ""), number.replace("-", " ")):
        raw = written.encode()
        yield from (raw, written.encode("utf-16-le"), raw.hex().encode(), base64.b64encode(raw).rstrip(b"="))
        digest = hashlib.sha256(raw)
        yield from (digest.digest(), digest.hexdigest().encode())


def whom(person: Mapping[str, Any], number: Any = ...) -> dict[str, Any]:
    """A lookup of the person, by their own number or this one."""
    given = person["registrationNumber"] if number is ... else number
    return {"name": person["name"], "birthDate": person["birthDate"], "registrationNumber": given}


def written(person: Mapping[str, Any]) -> str:
    """The same as a literal."""
    return "{" + ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in person.items()) + "}"


def asked(onestop: Onestop, persona: str) -> Iterator[Reply]:
    """Everything with a number in it: what succeeds, what finds nobody, and what is no question at all."""
    asker, deceased = onestop.as_(persona), onestop.case("heir")["deceased"]
    number = deceased["registrationNumber"]
    plain = number.replace("-", "")

    def opening(person: Any, key: str | None = None, document: str = OPEN_ESTATE) -> Reply:
        member = "child" if document is OPEN_BIRTH else "deceased"
        return asker.ask(document, {"input": {"idempotencyKey": key or str(uuid.uuid4()), member: person}})

    wrong = [
        int(plain),
        float(plain),
        [number],
        {"number": number},
        number[:-1],
        f"{plain}0",
        f" {number} ",
        "６" + plain,
    ]
    for given in (number, plain, NOBODYS, None, *wrong):
        yield opening(whom(deceased, given))
    yield opening(whom(deceased), document=OPEN_BIRTH)
    yield opening({**whom(deceased), "birthDate": number})
    yield opening({**whom(deceased), "name": f"{deceased['name']} {number}"})
    yield opening({**whom(deceased), number: 1, "misspelt": number})
    yield opening(whom(deceased), key=number)
    yield opening(whom(deceased), key=f"the case of {plain}")
    yield opening(number)
    given = {"who": deceased["name"], "born": deceased["birthDate"], "key": "under another name"}
    for value in (number, plain, NOBODYS, int(plain), f"{plain[:6]} - {plain[6:]}"):
        yield asker.ask(
            UNDER_ANOTHER_NAME + " query Other($n: String) { viewer { roles } }", {"n": value}, operationName="Other"
        )
        yield asker.ask(UNDER_ANOTHER_NAME, {**given, "n": value})
    literals = [
        INLINE.format(written(whom(deceased))),
        INLINE.format(written(whom(deceased, plain))),
        INLINE.format(written(whom(deceased, int(plain)))),
        INLINE.format(written(whom(deceased))).replace("mutation", f"mutation N{plain}"),
        INLINE.format(written(whom(deceased))).replace("code", "cod"),
        INLINE.format(written(whom(deceased)))[:-3],
        INLINE.format(f'"{number}"'),
        f'mutation {{ openEstateCase("{number}") }}',
        f'{{ viewer(registrationNumber: "{number}") {{ roles }} }}',
        f"query N{plain} {{ viewer {{ roles person {{ name }} }} }}",
        f"query A{plain} {{ viewer {{ roles }} }} query B{plain} {{ viewer {{ roles }} }}",
        f"{{ viewer {{ n{plain} }} }}",
        f'query($n: Int = "{number}") {{ viewer {{ roles }} }}',
        f'{{ estateCase(id: "{number}") {{ id }} }}',
        f'{{ node(id: "{number}") {{ id }} accessEntry(id: "{plain}") {{ id }} }}',
        f"# {number}\n{{ viewer {{ person {{ name }} }} }}",
    ]
    for literal in literals:
        yield asker.ask(literal)
    yield asker.ask(VIEWER, {"unused": number, number: number, "registrationNumbers": [number]})
    yield asker.ask(ESTATE, {"id": number})
    yield asker.ask(LOG, {"first": 5, "after": number, "filter": {"case": number}})
    yield asker.ask(LOG, {"first": int(plain)})
    yield asker.ask(VIEWER, operationName=f"N{plain}")
    yield asker.ask(REQUEST, {"input": {"idempotencyKey": number, "case": number, "agencies": [f"N{plain}"]}})
    yield asker.ask(UPDATED, {"id": number}, accept="text/event-stream")
    url = f"{onestop.url}/graphql"
    bearer = {"Authorization": f"Bearer {asker.token}"}
    yield sent("POST", url, f'{{"query": "{number}'.encode(), bearer)
    yield sent("POST", url, {"documentId": number}, bearer)
    yield sent("POST", url, {"query": "{ viewer { roles } }", "variables": number}, bearer)
    yield sent(
        "POST", url, {"query": "{ viewer { roles } }"}, {**bearer, "X-Request-Id": number, "Traceparent": number}
    )
    yield sent("POST", url, {"query": "{ viewer { roles } }"}, {"Authorization": f"Bearer {number}"})
    yield sent("PUT", f"{url}/{number}", b"")


def got(url: str, path: str) -> Reply:
    """A GET with everything in the path."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return Reply(response.status, dict(response.getheaders()), response.read())


def values(known: Any, name: str) -> Iterator[str]:
    """Every text under this name in the known answers."""
    if isinstance(known, Mapping):
        for member, inner in known.items():
            if member == name and isinstance(inner, str):
                yield inner
            else:
                yield from values(inner, name)
    elif isinstance(known, list):
        for each in known:
            yield from values(each, name)


def told_too_much(onestop: Onestop, persona: str, document: str) -> Iterator[tuple[Reply, dict[str, Any]]]:
    """The question while every agency says more than it was asked for, whole and failing, with how often they did."""
    expected = onestop.case(persona)
    sids = (expected.get("deceased") or expected["child"])["sectorIds"]
    asker = onestop.as_(persona)
    surplus, down = {"kind": "SURPLUS", "text": AGENCIES_SAY}, {"kind": "DOWN"}
    for faults in ([surplus], [surplus, down]):
        with ExitStack() as until:
            planted = {}
            for agency in (sids.keys() & onestop.controls.keys()) - {"ROSTER"}:  # a citizen does not ask it
                # without the register there is no case, and so nobody else is asked
                wanted = [each for each in faults if (agency, each) != ("REGISTRY", down)]
                planted[agency] = until.enter_context(onestop.faults(agency, sids[agency], *wanted))
            reply = asker.ask(document, {"id": asker.case()})
            yield reply, {agency: fault.fired for agency, fault in planted.items()}


@pytest.fixture(scope="module")
def run(known: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The journeys' big questions, and all the planted ones by an heir and by a stranger; the program has ended."""
    folder = tmp_path_factory.mktemp("canary")
    cases = {name: each for name, each in known.items() if each.get("case") or each.get("cases")}
    found = Run(
        folder,
        numbers=sorted({NOBODYS, AGENCIES_SAY, *values(known, "registrationNumber")}),
        names=sorted(
            {each["name"] for each in known.values()}
            | {case["case"]["deceased"]["name"] for case in cases.values() if "deceased" in (case.get("case") or {})}
        ),
        addresses=sorted(
            {
                *values(
                    [
                        each["case"].get("deceased") or each["case"].get("child")
                        for each in cases.values()
                        if each.get("case")
                    ],
                    "address",
                )
            }
        ),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        admin = free.getsockname()[1]
    with serving(folder, known, ONESTOP_ADMIN_LISTEN=f"127.0.0.1:{admin}") as onestop:
        for persona, document in (("heir-in-debt", ESTATE), ("parent", BIRTH)):
            whole, failing = told_too_much(onestop, persona, document)
            found.said_too_much[persona] = (whole, failing, onestop.case(persona))
            found.replies += [whole[0], failing[0]]
        for persona, document in (
            ("heir", ESTATE),
            ("heir-in-debt", ESTATE),
            ("parent", BIRTH),
            ("protected-birth", BIRTH),
        ):
            asker = onestop.as_(persona)
            case_id = asker.case()
            found.replies += [
                asker.ask(VIEWER),
                asker.ask(document, {"id": case_id}),
                asker.ask(CASE_LOG, {"id": case_id}),
            ]
            found.replies += [asker.ask(LOG, {"first": 100})]
        for persona in ("heir", "stranger"):
            found.replies += asked(onestop, persona)
        number = onestop.case("heir")["deceased"]["registrationNumber"]
        found.replies += [got(onestop.url, f"/graphql?query={quote(number)}"), got(onestop.url, f"/{number}")]
        found.metrics = got(f"http://127.0.0.1:{admin}", "/metrics").body.decode()
        found.entries = [
            json.loads(line) for line in onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
        ]
    return found


def test_the_canaries_were_planted(run: Run) -> None:
    """Else the rest means nothing: openings succeeded and failed, and every kind of refusal was met."""
    assert len(run.numbers) > 10
    assert len(run.names) > 10
    assert len(run.addresses) > 5
    bodies = b"\n".join(reply.body for reply in run.replies).decode()
    for sign in ('"case":{"id"', "NOT_ACCESSIBLE", "BAD_INPUT", "Syntax Error", "UNAUTHENTICATED", "has invalid value"):
        assert sign in bodies
    assert len(run.entries) > 40
    assert "onestop_requests_total" in run.metrics
    assert run.said.count('"request"') >= len(run.replies) - 4
    assert {"cases.db", "access-log.db"} <= set(run.kept)


@pytest.mark.parametrize(("persona", "field"), [("heir-in-debt", "estateCase"), ("parent", "birthCase")])
def test_what_an_agency_says_unasked_changes_nothing_that_is_shown(run: Run, persona: str, field: str) -> None:
    (whole, fired), (failing, fired_failing), expected = run.said_too_much[persona]
    answers.require(whole.data[field], expected)
    assert {agency for agency, count in fired.items() if not count} == {"VEHICLES"}  # whose readers nobody counts
    assert {agency for agency, count in fired_failing.items() if not count} <= {"VEHICLES", "FINANCE"}  # kept by now
    assert '"UNAVAILABLE"' in failing.body.decode()


def test_no_registration_number_is_in_any_answer(run: Run) -> None:
    for reply in run.replies:
        said = reply.body + json.dumps(dict(reply.headers)).encode()
        assert not [number for number in run.numbers for each in spelled(number) if each in said], said[:2000]


@pytest.mark.parametrize(
    "where", [lambda run: run.said, lambda run: run.metrics], ids=["the program's log", "the metrics"]
)
def test_nobody_is_in_what_the_program_says_to_its_operators(run: Run, where: Callable[[Run], str]) -> None:
    text = where(run)
    assert not [number for number in run.numbers for each in spelled(number) if each in text.encode()]
    assert not [each for each in (*run.names, *run.addresses) if each in text]


def test_nobody_is_in_a_file_of_the_programs(run: Run) -> None:
    for name, raw in run.kept.items():
        assert not [number for number in run.numbers for each in spelled(number) if each in raw], name
        assert not [each for each in (*run.names, *run.addresses) if each.encode() in raw], name


def test_no_registration_number_is_in_the_access_log_and_names_only_as_they_were_asked_for(run: Run) -> None:
    whole = "\n".join(json.dumps(each, ensure_ascii=False) for each in run.entries).encode()
    assert not [number for number in run.numbers for each in spelled(number) if each in whole]
    assert b"(redacted)" in whole
    for entry in run.entries:
        entry["staff"].pop("variables")
    rest = "\n".join(json.dumps(each, ensure_ascii=False) for each in run.entries)
    assert not [each for each in (*run.names, *run.addresses) if each in rest]
