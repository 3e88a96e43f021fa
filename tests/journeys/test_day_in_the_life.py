"""A day in the life: an official looks, is refused, looks again with a false reason; it is found, explained, judged."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.identifiers import persona_subject
from tests.journeys.client import Asker, Onestop, sent, serving
from tests.journeys.documents import ESTATE

REASON = "I heard that she left a lot of money and wanted to see for myself how much it is."
BREAK = "mutation B($input: BreakGlassInput!) { breakGlass(input: $input) { case { id } refusal { code } } }"
FINDING = """
fragment F on Finding {
  id rule severity state raisedAt dueAt ko: explanation(language: KO) en: explanation
  actor { kind name office agency } history { at by state note }
  entries { id outcome case subject { id name } actor { name office } withheld { coordinates } }
}
"""
FINDINGS = "query L($filter: FindingFilter) { findings(filter: $filter) { edges { cursor node { ...F } } } }" + FINDING
REQUEST = (
    """mutation R($input: RequestExplanationInput!) {
  requestExplanation(input: $input) { finding { ...F } refusal { code message ko: message(language: KO) remedy } }
}"""
    + FINDING
)
EXPLAIN = """mutation E($input: ExplainAccessInput!) {
  explainAccess(input: $input) { finding { state } refusal { code message } }
}"""
CLOSE = """mutation C($input: CloseFindingInput!) {
  closeFinding(input: $input) { finding { state history { by state note } } refusal { code message remedy } }
}"""
LOG = """query A($filter: AccessFilter, $first: Int, $after: String) {
  accessLog(filter: $filter, first: $first, after: $after) {
    edges { cursor node {
      id at task outcome purpose legalBasis caseNumber sourceAddress actor { kind name office agency }
      subject { id name birthDate } disclosed { type coordinates } withheld { coordinates }
    } }
    pageInfo { hasNextPage endCursor }
  }
}"""
REVEAL = "mutation N($of: ID!, $reason: String!) { revealActor(of: $of, reason: $reason) { kind name agency } }"
LOOK_UP = "mutation P($p: PersonLookupInput!, $r: String!) { lookUpSubject(person: $p, reason: $r) { id name } }"
GOPATH = "/usr/share/gocode"
HAS_GO = shutil.which("go") is not None and Path(GOPATH, "src/golang.org/x/mod/sumdb").is_dir()
"""Without Go `onestop log proof` alone checks the proof; tests/go_peers says in the summary that Go is missing."""
WHY = "A complaint about this very access came in."


@pytest.fixture(scope="module")
def town(known: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onestop]:
    """A program of its own, that looks for findings every second."""
    with serving(Path(tmp_path_factory.mktemp("town")), known, ONESTOP_FINDINGS_EVERY_S="1") as running:
        yield running


def named(person: Mapping[str, Any]) -> dict[str, Any]:
    return {name: person[name] for name in ("name", "birthDate", "registrationNumber")}


def looks(official: Asker, person: Mapping[str, Any], case: str) -> Any:
    """The curious official: refused at the case, let in by a false reason."""
    assert official.ask(ESTATE, {"id": case}).code == "NOT_ACCESSIBLE"
    refused = official.open_estate(deceased=named(person))
    assert (refused["case"], refused["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")
    asked = {"kind": "ESTATE", "person": named(person), "reason": REASON}
    return official.seen(BREAK, input=asked)["breakGlass"]["case"]["id"]


def findings(asker: Asker, **where: Any) -> list[Any]:
    return [each["node"] for each in asker.seen(FINDINGS, filter=where)["findings"]["edges"]]


def noticed(officer: Asker, words: str) -> Any:
    """The finding, as soon as it says this; the program looks every second."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for each in findings(officer):
            if words in each["en"]:
                return each
        time.sleep(0.2)
    raise AssertionError(words)


def edges(asker: Asker, **where: Any) -> list[Any]:
    return [each["node"] for each in asker.seen(LOG, filter=where, first=100)["accessLog"]["edges"]]


def proven(town: Onestop, person: Asker, entry: str) -> str:
    """What the checker says of the proof that a person fetched, given nothing but the log's public key."""
    ends, headers = time.monotonic() + 60, {"Authorization": f"Bearer {person.token}"}
    while (reply := sent("GET", f"{town.url}/log/proof/{entry}", headers=headers)).status == 503:
        assert time.monotonic() < ends
        time.sleep(0.2)  # no checkpoint covers it yet
    assert reply.status == 200
    file = town.directory / f"proof-{entry}.json"
    file.write_bytes(reply.body)
    key = town.command("log", "key", "--data", str(town.directory)).strip()
    if HAS_GO:
        altered = {**reply.json, "leaf_hash": "00" * 32}
        honest, forged = checked_by_go(town, key, [reply.json, altered])
        assert (honest, "inclusion" in forged) == ("", True)
    return town.command("log", "proof", "--check", str(file), "--key", key)


def checked_by_go(town: Onestop, key: str, proofs: list[Any]) -> list[str]:
    """What Go's sumdb says against each proof; nothing where it holds."""
    environment = os.environ | {"GOPATH": GOPATH, "GO111MODULE": "off", "GOCACHE": str(town.directory / "go-cache")}
    peer = Path(__file__).parent.parent / "go_peers" / "peer.go"
    subprocess.run(["go", "build", "-o", town.directory / "peer", peer], check=True, env=environment)
    cases = [
        {
            "Key": key,
            "Checkpoint": each["checkpoint"],
            "Inclusion": [
                {"Index": each["leaf_index"], "LeafHash": each["leaf_hash"], "Path": each["inclusion_proof"]}
            ],
        }
        for each in proofs
    ]
    ran = subprocess.run([town.directory / "peer"], input=json.dumps(cases), capture_output=True, text=True, check=True)
    said: list[str] = json.loads(ran.stdout)
    return said


@pytest.fixture(scope="module")
def day(town: Onestop) -> Any:
    """The morning: the heir has a case, the official looks, and the finding is there."""
    person = town.case("heir")["deceased"]
    case = town.as_("heir").case()
    official, officer = town.as_("curious-official"), town.as_("privacy-officer")
    opened = looks(official, person, case)
    assert official.ask(ESTATE, {"id": opened}).data["estateCase"]["deceased"]
    return noticed(officer, "Emergency access was used")


def test_it_is_found_explained_judged_and_seen_by_the_family(town: Onestop, day: Any) -> None:
    officer, official, heir = (town.as_(name) for name in ("privacy-officer", "curious-official", "heir"))

    assert (day["state"], day["dueAt"], day["actor"]["agency"]) == ("OPEN", None, "서울특별시 노원구")
    assert "긴급 열람" in day["ko"]
    assert "황동욱" not in str(day)
    assert all(each["subject"] is None or each["subject"]["name"] is None for each in day["entries"])
    assert {each["actor"]["name"] for each in day["entries"]} == {day["actor"]["name"]}
    assert findings(official) == []

    asked = {"finding": day["id"], "verdict": "VIOLATION", "note": "No danger at all."}
    early = officer.seen(CLOSE, input=asked)["closeFinding"]
    assert (early["finding"], early["refusal"]["code"]) == (None, "EVIDENCE_REQUIRED")
    assert "requestExplanation" in early["refusal"]["message"]
    assert early["refusal"]["remedy"] is None

    due = datetime.now(UTC) + timedelta(days=7)
    late = {"finding": day["id"], "dueAt": (due - timedelta(days=8)).isoformat()}
    assert officer.seen(REQUEST, input=late)["requestExplanation"]["refusal"]["code"] == "OUT_OF_TIME"
    wanted = {"finding": day["id"], "note": "What was the danger?", "dueAt": due.isoformat()}
    for persona in ("curious-official", "heir", "case-officer"):
        refused = town.as_(persona).seen(REQUEST, input=wanted)["requestExplanation"]
        assert refused["refusal"]["code"] == "NOT_ACCESSIBLE"
    requested = officer.seen(REQUEST, input=wanted)["requestExplanation"]["finding"]
    assert (requested["state"], requested["history"][-1]["note"]) == ("EXPLANATION_REQUESTED", "What was the danger?")

    (mine,) = findings(official)
    assert (mine["id"], mine["state"], len(mine["entries"]) > 0) == (day["id"], "EXPLANATION_REQUESTED", True)
    answered = official.seen(EXPLAIN, input={"finding": mine["id"], "text": "I was curious."})["explainAccess"]
    assert answered["finding"]["state"] == "EXPLAINED"
    own = official.seen(CLOSE, input={**asked, "verdict": "JUSTIFIED"})["closeFinding"]
    assert own["refusal"]["code"] in {"OUT_OF_SCOPE", "NOT_ACCESSIBLE"}

    closed = officer.seen(CLOSE, input=asked)["closeFinding"]["finding"]
    assert closed["state"] == "VIOLATION"
    assert [each["state"] for each in closed["history"]] == ["OPEN", "EXPLANATION_REQUESTED", "EXPLAINED", "VIOLATION"]
    assert closed["history"][0]["by"] == "onestop"
    assert closed["history"][2]["by"] == day["actor"]["name"]
    again = officer.seen(CLOSE, input={**asked, "verdict": "JUSTIFIED"})["closeFinding"]
    assert again["refusal"]["code"] == "OUT_OF_TIME"
    assert [each["state"] for each in findings(officer, state="VIOLATION")] == ["VIOLATION"]

    case = heir.case()
    shown = heir.seen(
        "query H($id: ID!) { estateCase(id: $id) { accessLog(first: 100) { edges { node { id actor { kind } } } } } }",
        id=case,
    )["estateCase"]["accessLog"]["edges"]
    seen = {each["node"]["id"] for each in shown if each["node"]["actor"]["kind"] == "OFFICIAL"}
    theirs = seen & {each["id"] for each in day["entries"]}
    assert theirs
    entry = theirs.pop()
    assert f"Proven: entry {entry}" in proven(town, heir, entry)


def test_the_month_is_reviewed_and_history_is_judged_by_command(town: Onestop, day: Any) -> None:
    month = ["findings", "review", "--month", f"{datetime.now(UTC):%Y-%m}", "--data", str(town.directory), "--token"]
    reviewed = json.loads(town.command(*month, town.token("privacy-officer"), "--json"))
    assert (reviewed["organisation"], reviewed["byRule"]["BREAK_GLASS"] > 0) == ("서울특별시 노원구", True)
    assert "황동욱" not in str(reviewed)
    with pytest.raises(AssertionError, match="not over yet"):
        town.command(*month, town.token("privacy-officer"), "--sign-off")
    with pytest.raises(AssertionError, match="Only privacy officers and auditors"):
        town.command(*month, town.token("heir"))
    history = ["findings", "evaluate", "--data", str(town.directory), "--json"]
    twice = [json.loads(town.command(*history)) for _ in range(2)]
    assert twice[0]["rules"]["BREAK_GLASS"]["noticed"] > 0
    assert twice[1]["new"] == 0
    assert day["id"] in {each["id"] for each in findings(town.as_("privacy-officer"))}


def test_the_officer_searches_by_every_filter_and_each_look_is_recorded(town: Onestop, day: Any) -> None:
    officer = town.as_("privacy-officer")
    everything = edges(officer)
    looked = [each for each in everything if each["id"] in {entry["id"] for entry in day["entries"]}]
    assert looked
    assert all(each["actor"]["agency"] == "서울특별시 노원구" for each in everything)
    assert not {each["actor"]["kind"] for each in everything} & {"CITIZEN"}
    assert all(each["actor"]["name"] for each in everything)

    of_official = {each["id"] for each in edges(officer, actor=looked[0]["id"])}
    assert of_official == {each["id"] for each in edges(officer, actor=day["id"])}
    assert of_official >= {each["id"] for each in looked}
    whom = next(each["subject"]["id"] for each in looked if each["subject"])
    complaint = officer.seen(LOOK_UP, p=named(town.case("heir")["deceased"]), r=WHY)["lookUpSubject"]
    assert complaint == {"id": whom, "name": None}
    assert {each["subject"]["id"] for each in edges(officer, subject=whom)} == {whom}
    assert {each["outcome"] for each in edges(officer, outcome="REFUSED")} == {"REFUSED"}
    reads = edges(officer, coordinate="Deposit.balance")
    assert reads
    assert all(each["purpose"] == "ESTATE_DISCOVERY" for each in edges(officer, purpose="ESTATE_DISCOVERY"))
    assert edges(officer, minSensitivity="AMOUNT", agency="FINANCE", actor=day["id"])
    assert edges(officer, until="2020-01-01T00:00:00Z") == []
    reply = officer.ask(LOG, {"filter": {"outcome": "REFUSED"}, "first": 1})
    (mine,) = [each for each in edges(officer, purpose="LOG_REVIEW") if each["id"] in reply.entries]
    assert (mine["task"], mine["legalBasis"], mine["actor"]["kind"]) == (
        "LOG_VIEW",
        "PIPA safety standard 8",
        "PRIVACY_OFFICER",
    )
    for persona in ("curious-official", "stranger"):
        assert town.as_(persona).ask(LOG, {"filter": {"actor": mine["id"]}}).code == "BAD_INPUT"
    assert officer.ask(LOG, {"filter": {"actor": "nonsense"}}).errors[0]["extensions"]["field"] == "filter.actor"


def test_pages_hold_every_entry_once(town: Onestop, day: Any) -> None:
    officer, found, after, pages = town.as_("privacy-officer"), [], None, 0
    until = max(each["at"] for each in edges(officer, actor=day["id"]))
    whole = [each["id"] for each in edges(officer, until=until)]
    while pages == 0 or after:
        page = officer.seen(LOG, filter={"until": until}, first=2, after=after)["accessLog"]
        found += [each["node"]["id"] for each in page["edges"]]
        after, pages = page["pageInfo"]["hasNextPage"] and page["pageInfo"]["endCursor"], pages + 1
    assert found == whole
    assert pages > 1


def test_a_name_is_told_for_a_reason_and_the_official_sees_that_it_was(town: Onestop, day: Any) -> None:
    officer, official = town.as_("privacy-officer"), town.as_("curious-official")
    short = officer.ask(REVEAL, {"of": day["id"], "reason": "Because."})
    assert (short.code, short.errors[0]["extensions"]["field"]) == ("BAD_INPUT", "reason")
    told = officer.ask(REVEAL, {"of": day["id"], "reason": WHY})
    assert told.data["revealActor"]["name"] == "황동욱"
    assert set(told.entries) & {each["id"] for each in edges(official)}
    assert official.ask(REVEAL, {"of": day["id"], "reason": WHY}).code == "NOT_ACCESSIBLE"


def test_an_overdue_explanation_goes_over_to_the_supervisor(town: Onestop) -> None:
    officer, official = town.as_("privacy-officer"), town.as_("welfare-officer")
    supervise = ["findings", "supervise", "--office", "노원구청 복지정책과", "--to", "case-officer"]
    told = [*supervise, "--data", str(town.directory), "--token"]
    assert town.command(*told, town.token("privacy-officer")) == "Named.\n"
    with pytest.raises(AssertionError, match="Only a privacy officer"):
        town.command(*told, town.token("case-officer"))
    asked = {"kind": "ESTATE", "person": named(town.case("executor")["deceased"]), "reason": REASON}
    assert official.seen(BREAK, input=asked)["breakGlass"]["case"]
    ends, mine = time.monotonic() + 60, []
    while not mine and time.monotonic() < ends:
        mine = [each for each in findings(officer, state="OPEN") if "복지정책과" in str(each["entries"])]
    due = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    asked = {"finding": mine[0]["id"], "dueAt": due}
    assert officer.seen(REQUEST, input=asked)["requestExplanation"]["finding"]
    gone: list[Any] = []
    while not gone and time.monotonic() < ends:
        gone = findings(town.as_("case-officer"))
    assert gone[0]["history"][-1] == {
        "at": gone[0]["history"][-1]["at"],
        "by": "onestop",
        "state": "EXPLANATION_REQUESTED",
        "note": "Overdue: went over to the supervisor.",
    }


def test_who_looks_at_somebody_on_the_protected_list_is_asked_why(town: Onestop) -> None:
    officer, official = town.as_("privacy-officer"), town.as_("welfare-officer")
    where = ["--data", str(town.directory), "--token", town.token("privacy-officer")]
    whom = ["--person", persona_subject("heir-in-debt/deceased")]
    because = ["--reason", "A singer; newspapers would pay for it.", *where]
    assert town.command("protected", "add", *whom, *because).startswith("Added.")
    asked = {"kind": "ESTATE", "person": named(town.case("heir-in-debt")["deceased"]), "reason": REASON}
    assert official.seen(BREAK, input=asked)["breakGlass"]["case"]
    assert "보호 명단에 있는 사람" in noticed(officer, "The person is on the protected list")["ko"]

    let_in = ["--official", "case-officer", *because]
    assert town.command("protected", "allow", *whom, *let_in) == "Allowed.\n"
    assert [each["deed"] for each in json.loads(town.command("protected", "list", *where, "--json"))] == [
        "ADD",
        "ALLOW",
    ]
    assert town.command("protected", "disallow", *whom, *let_in) == "Disallowed.\n"
    assert town.command("protected", "remove", *whom, *because) == "Removed.\n"
    assert town.command("protected", "list", *where) == "Nobody is on the list.\n"
    assert len(town.command("protected", "list", "--history", *where).splitlines()) == 4
    for wrong, why in (
        (["remove", *whom, *because], "not on your organisation's list"),
        (["allow", *whom, *let_in], "add them first"),
        (["add", "--person", "somebody", *because], "--person: give the 26 characters"),
        (["add", "--person", "privacy-officer", *because], "nobody decides about themself"),
        (["add", *whom, "--reason", " ", *where], "--reason: say why"),
        (["list", "--data", where[1], "--token", town.token("case-officer")], "Only a privacy officer"),
    ):
        with pytest.raises(AssertionError, match=why):
            town.command("protected", *wrong)


def test_other_organisations_and_the_six_agencies_stay_closed_to_a_privacy_officer(town: Onestop, day: Any) -> None:
    officer = town.as_("privacy-officer")
    elsewhere = town.as_("other-office")
    reply = elsewhere.ask(ESTATE, {"id": str(uuid.uuid4())})
    assert reply.entries
    assert not set(reply.entries) & {each["id"] for each in edges(officer)}
    assert officer.ask("query Q($i: ID!) { accessEntry(id: $i) { id } }", {"i": reply.entries[0]}).data == {
        "accessEntry": None
    }
    case = day["entries"][0]["case"] or town.as_("heir").case()
    assert officer.ask(ESTATE, {"id": case}).code == "NOT_ACCESSIBLE"
    assert town.as_("stranger").ask(FINDINGS, {}).code == "NOT_ACCESSIBLE"
