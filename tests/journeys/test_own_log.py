"""What persons are told of who saw their data: in their language, to keep, with proofs, and of nobody else's case."""

import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner, Result
from pypdf import PdfReader

import app
from audit.checkpoint import VerifierKey
from audit.proof import proofs_in, proven
from tests.journeys.client import Onestop, Reply, sent
from tests.journeys.documents import ESTATE
from tests.journeys.test_tree import until

ONESTOP = Path(sys.executable).with_name("onestop")
HANGUL = re.compile("[가-힣]")
IN_WORDS = """
query InWords($first: Int, $language: Language) {
  accessLog(first: $first) { edges { node {
    id purpose purposeLabel(language: $language) taskLabel(language: $language) outcomeLabel(language: $language)
    reduced caseNumber actor { kind kindLabel(language: $language) pseudonym }
    disclosed {
      agencyLabel(language: $language) typeLabel(language: $language) labels(language: $language) coordinates
    }
  } } }
}
"""


def fetched(onestop: Onestop, persona: str | None, place: str, accept: str = "", **given: Any) -> Reply:
    headers = {"Authorization": f"Bearer {onestop.token(persona)}"} if persona else {}
    if accept:
        headers["Accept-Language"] = accept
    return sent("GET", f"{onestop.url}/{place}?{urlencode(given)}", headers=headers)


def text_of(pdf: bytes) -> str:
    """All its text, without the breaks of its lines."""
    return re.sub(r"\s+", "", "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages))


def looked(onestop: Onestop, persona: str) -> str:
    """Something to be in one's own log: the id of an entry."""
    asker = onestop.as_(persona)
    return asker.ask("query Me { viewer { person { name birthDate } } }").entries[0]


@pytest.mark.parametrize("language", ["KO", "EN"])
@pytest.mark.parametrize("persona", ["heir", "protected-person"])
def test_the_log_speaks_the_language_of_the_person(onestop: Onestop, persona: str, language: str) -> None:
    mine = looked(onestop, persona)
    seen = onestop.as_(persona).seen(IN_WORDS, first=100, language=language)["accessLog"]["edges"]
    entry = next(each["node"] for each in seen if each["node"]["id"] == mine)
    labels = dict(zip(entry["disclosed"][0]["coordinates"], entry["disclosed"][0]["labels"], strict=True))
    words = [entry["purposeLabel"], entry["taskLabel"], entry["outcomeLabel"], entry["actor"]["kindLabel"]]
    assert labels["Person.name"] == {"KO": "성명", "EN": "name"}[language]
    assert entry["purposeLabel"] == {"KO": "본인 정보 열람", "EN": "To see one's own data"}[language]
    assert [bool(HANGUL.search(each)) for each in words] == [language == "KO"] * 4
    assert (entry["reduced"], entry["actor"]["pseudonym"]) == (False, None)


@pytest.mark.parametrize(("language", "title"), [("ko", "내정보접근기록"), ("en", "Accesslogofmydata")])
@pytest.mark.parametrize("persona", ["heir", "protected-person"])
def test_the_paper_says_what_the_file_says(onestop: Onestop, persona: str, language: str, title: str) -> None:
    looked(onestop, persona)
    reply = fetched(onestop, persona, "access-log.pdf", accept=f"{language};q=0.9, fr", first=20)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/pdf")
    assert reply.headers["content-disposition"] == 'attachment; filename="access-log.pdf"'
    text = text_of(reply.body)
    assert text.startswith(title)
    held = json.loads(PdfReader(io.BytesIO(reply.body)).attachments["access-log.json"][0])
    assert held["language"] == language.upper()
    assert held["entries"]
    for entry in held["entries"]:
        said = [entry["purposeLabel"], entry["outcomeLabel"], entry["taskLabel"], entry["integrity"]["leafHash"]]
        said += [label for group in entry["disclosed"] for label in (group["typeLabel"], *group["labels"])]
        assert [each for each in said if re.sub(r"\s+", "", each) not in text] == []


def test_every_entry_of_the_file_is_proven_offline(onestop: Onestop, tmp_path: Path) -> None:
    mine = looked(onestop, "heir")

    def covered() -> Any:
        reply = fetched(onestop, "heir", "access-log.json", first=50)
        (entry,) = [each for each in reply.json["entries"] if each["id"] == mine]
        return entry["proof"] and reply

    reply = until(covered)
    key = onestop.command("log", "key", "--data", str(onestop.directory)).strip()
    proofs = proofs_in(reply.body)
    assert mine in {proven(each, VerifierKey.parsed(key)).told["id"] for each in proofs}
    file = tmp_path / "access-log.json"
    file.write_bytes(reply.body)
    said = onestop.command("log", "proof", "--check", str(file), "--key", key)
    assert said.count("Proven: entry ") == len(proofs)
    file.write_bytes(reply.body.replace(b'"SUBJECT_ACCESS"', b'"LOG_REVIEW"'))
    ran = subprocess.run(
        [ONESTOP, "log", "proof", "--check", file, "--key", key], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")


def test_taking_the_log_out_is_an_export_in_it(onestop: Onestop) -> None:
    reply = fetched(onestop, "heir", "access-log.json")
    assert reply.entries
    told = {each["id"]: each for each in fetched(onestop, "heir", "access-log.json").json["entries"]}
    (mine,) = [told[each] for each in reply.entries if each in told]
    assert (mine["task"], mine["purpose"], mine["operationName"]) == ("EXPORT", "SUBJECT_ACCESS", "AccessLogDownload")


def test_heirs_take_out_the_log_of_their_case_with_what_was_refused(onestop: Onestop) -> None:
    case_id = onestop.as_("heir").case()
    (refused,) = onestop.as_("stranger").ask(ESTATE, {"id": case_id}).entries
    reply = fetched(onestop, "heir", "access-log.json", case=case_id, language="ko")
    told = {each["id"]: each for each in reply.json["entries"]}
    assert told[refused]["outcomeLabel"] == "거부됨: 아무것도 제공되지 않음"
    assert told[refused]["actor"]["pseudonym"]
    assert told[refused]["withheld"]
    stranger = fetched(onestop, "stranger", "access-log.json", case=case_id)
    unknown = fetched(onestop, "stranger", "access-log.json", case="unknown")
    assert (stranger.status, stranger.code) == (unknown.status, unknown.code) == (403, "NOT_ACCESSIBLE")


def test_the_same_stranger_is_the_same_to_one_heir_and_another_to_the_next(onestop: Onestop) -> None:
    found: dict[str, set[str]] = {}
    for persona in ("heir", "heir-in-debt"):
        case_id = onestop.as_(persona).case()
        entries = [onestop.as_("stranger").ask(ESTATE, {"id": case_id}).entries[0] for _ in range(2)]
        told = fetched(onestop, persona, "access-log.json", case=case_id).json["entries"]
        found[persona] = {each["actor"]["pseudonym"] for each in told if each["id"] in entries}
    (one,), (other,) = found.values()
    assert one != other


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"language": "fr"}, "language"),
        ({"first": "0"}, "first"),
        ({"first": "1001"}, "first"),
        ({"first": "x"}, "first"),
        ({"from": "yesterday"}, "from"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"until": "9999-12-31T23:59:59-23:59"}, "until"),
        ({"from": "0001-01-01T00:00:00+23:59"}, "from"),
        ({"after": "nonsense"}, "after"),
        ({"color": "red"}, "color"),
        ({"case": "x", "from": "2026-01-01T00:00:00Z"}, "from"),
    ],
)
@pytest.mark.parametrize("place", ["access-log.json", "access-log.pdf"])
def test_wrong_input_names_the_field(onestop: Onestop, place: str, given: dict[str, str], field: str) -> None:
    reply = fetched(onestop, "heir", place, **given)
    assert (reply.status, reply.code) == (400, "BAD_INPUT")
    assert reply.errors[0]["extensions"]["field"] == field


def test_a_page_of_the_log_goes_on_where_the_last_one_ended(onestop: Onestop) -> None:
    looked(onestop, "heir")
    looked(onestop, "heir")
    whole = [each["id"] for each in fetched(onestop, "heir", "access-log.json").json["entries"]]
    first = fetched(onestop, "heir", "access-log.json", first=1).json
    second = fetched(onestop, "heir", "access-log.json", first=1, after=first["next"]).json
    newest = first["entries"][0]["id"]
    assert newest not in whole
    assert second["entries"][0]["id"] == whole[0] or second["entries"][0]["task"] == "EXPORT"


@pytest.mark.parametrize("place", ["access-log.json", "access-log.pdf"])
def test_nobody_reads_without_a_token_and_a_weak_sign_in_is_told_so(onestop: Onestop, place: str) -> None:
    reply = fetched(onestop, None, place)
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert "www-authenticate" in reply.headers
    assert sent("POST", f"{onestop.url}/{place}").status == 405


# ---------------------------------------------------------------- as Estonia's Data Tracker asks


@pytest.mark.parametrize(("language", "purpose"), [("ko", "본인 정보 열람"), ("en", "To see one's own data")])
@pytest.mark.parametrize("persona", ["heir", "protected-person"])
def test_usages_come_in_the_shape_of_the_data_tracker(
    onestop: Onestop, persona: str, language: str, purpose: str
) -> None:
    for _ in range(3):
        looked(onestop, persona)
    me = onestop.as_(persona).seen("{ viewer { person { id } } }")["viewer"]["person"]["id"]
    reply = fetched(onestop, persona, "v2/findUsage", userCode=me, offset=1, limit=2, language=language)
    told = reply.json
    assert (reply.status, told.keys(), len(told["usages"])) == (200, {"totalUsages", "usages"}, 2)
    assert told["totalUsages"] > 2
    for usage in told["usages"]:
        assert usage.keys() == {"logtime", "action", "receiverCode", "receiverName", "receiverSystem"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", usage["logtime"])
        assert usage["action"].startswith(purpose)
    assert told["usages"] == sorted(told["usages"], key=lambda each: each["logtime"], reverse=True)
    (entry,) = [
        each for each in fetched(onestop, persona, "access-log.json").json["entries"] if each["id"] in reply.entries
    ]
    assert (entry["task"], entry["operationName"]) == ("EXPORT", "FindUsage")


def test_a_period_without_accesses_has_no_usages(onestop: Onestop) -> None:
    told = fetched(onestop, "heir", "findUsage", periodStart="2020-01-01T00:00:00Z", periodEnd="2020-02-01T00:00:00Z")
    assert (told.status, told.json) == (200, {"totalUsages": 0, "usages": []})


def test_the_tracker_names_nobody_but_whose_token_it_is(onestop: Onestop) -> None:
    other = onestop.as_("heir-in-debt").seen("{ viewer { person { id } } }")["viewer"]["person"]["id"]
    for code in (other, "EE12345678901"):
        reply = fetched(onestop, "heir", "v2/findUsage", userCode=code)
        assert (reply.status, reply.code, reply.errors[0]["extensions"]["field"]) == (403, "NOT_ACCESSIBLE", "userCode")
    headers = {"Authorization": f"Bearer {onestop.token('heir')}", "X-Road-UserId": "EE1"}
    differs = sent("GET", f"{onestop.url}/v2/findUsage?userCode=EE2", headers=headers)
    assert (differs.status, differs.code) == (400, "BAD_INPUT")


@pytest.mark.parametrize("given", [{"offset": "-1"}, {"limit": "0"}, {"periodStart": "1"}, {"page": "2"}])
def test_the_tracker_is_told_what_it_asked_wrongly(onestop: Onestop, given: dict[str, str]) -> None:
    reply = fetched(onestop, "heir", "v2/findUsage", **given)
    assert (reply.status, reply.code) == (400, "BAD_INPUT")
    assert fetched(onestop, None, "v2/findUsage").status == 401


def test_the_tracker_sees_that_the_log_lives_and_how_far_it_goes_back(onestop: Onestop) -> None:
    assert sent("GET", f"{onestop.url}/v2/heartbeat").json == {"status": "OK"}
    assert re.fullmatch(r"\d{4}-\d\d-01T00:00:00Z", sent("GET", f"{onestop.url}/v2/usagePeriod").json["periodStart"])


# ---------------------------------------------------------------- told later, by order


def delayed(onestop: Onestop, persona: str = "privacy-officer", **changed: str) -> Result:
    said = {"until": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}", "authority": "Seoul Central"}
    said |= {"order": "2026-7", "reason": "An inquiry", "token": onestop.token(persona), **changed}
    options = [word for name, value in said.items() for word in (f"--{name}", value)]
    environment = {"XDG_RUNTIME_DIR": str(onestop.runtime)}
    return CliRunner().invoke(app.main, ["log", "delay", *options, "--data", str(onestop.directory)], env=environment)


def exported(onestop: Onestop) -> dict[str, Any]:
    lines = onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
    return {each["id"]: each for each in map(json.loads, lines)}


def test_an_officials_look_under_an_order_is_not_told_and_everything_about_it_is_logged(onestop: Onestop) -> None:
    case_id = onestop.as_("heir-second-rank").case()
    (before,) = onestop.as_("curious-official").ask(ESTATE, {"id": case_id}).entries
    person = exported(onestop)[before]["staff"]["subject"]
    done = delayed(onestop, person=person)
    assert done.exit_code == 0, done.stderr
    (after,) = onestop.as_("curious-official").ask(ESTATE, {"id": case_id}).entries
    told = {
        each["id"] for each in fetched(onestop, "heir-second-rank", "access-log.json", case=case_id).json["entries"]
    }
    assert (before in told, after in told) == (True, False)
    hidden = sent(
        "GET",
        f"{onestop.url}/log/proof/{after}",
        headers={"Authorization": f"Bearer {onestop.token('heir-second-rank')}"},
    )
    assert (hidden.status, hidden.code) == (404, "NOT_ACCESSIBLE")
    log = exported(onestop)
    assert log[after]["staff"]["visibility"]["order"] == "2026-7"
    (noted,) = [each for each in log.values() if each["operation_name"] == "DelayVisibility"]
    assert (noted["staff"]["subject"], noted["staff"]["reason"], noted["task"]) == (person, "An inquiry", "UPDATE")
    listed = json.loads(onestop.command("log", "delays", "--json", "--data", str(onestop.directory)))
    assert [(each["person"], each["order"]) for each in listed] == [(person, "2026-7")]


@pytest.mark.parametrize(
    ("changed", "status", "why"),
    [
        ({"persona": "case-officer"}, 1, "Only a privacy officer"),
        ({"until": "2099-01-01T00:00:00Z"}, 1, "--until: give a moment to come, at most 180 days ahead."),
        ({"until": "2020-01-01T00:00:00Z"}, 1, "--until: give a moment to come"),
        ({"until": "2099-01-01T00:00:00"}, 2, "--until: give a moment with its offset"),
        ({"until": "soon"}, 2, "--until: give a moment with its offset"),
        ({"person": "EE1"}, 1, "--person: give the person as `subject`"),
        ({"reason": " "}, 1, "--reason: say it"),
        ({"token": "x"}, 1, "privacy officer's fresh access token"),
    ],
)
def test_an_order_that_may_not_be_entered_is_refused_with_its_reason(
    onestop: Onestop, changed: dict[str, str], status: int, why: str
) -> None:
    done = delayed(onestop, **{"person": "a" * 26, **changed})
    assert (done.exit_code, done.stdout) == (status, "")
    assert why in done.stderr
