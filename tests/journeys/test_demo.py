"""`onestop demo`: the whole command once, and its parts with small answers."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from serving import demo, pictures
from serving.pictures import Line, Side

Facts = dict[str, Any]

pytestmark = pytest.mark.xdist_group("demo")  # two of its fixtures take ten seconds each

TODAY = date(2026, 11, 22)


def text(picture: RenderableType, width: int = 80) -> str:
    """A picture as a pipe gets it."""
    out = StringIO()
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(picture)
    return out.getvalue()


def flat(shown: str) -> str:
    """Words alone, however they were broken into lines."""
    return " ".join(re.sub(r"[┃━┏┓┗┛─]", " ", shown).split())


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the command prints on a pipe of 80 columns, and where it kept its files."""
    directory = tmp_path_factory.mktemp("demo")
    unset = {"COLUMNS", "FORCE_COLOR", "XDG_RUNTIME_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    # Settings of the shell do not reach the demo.
    environment |= {"TMPDIR": str(directory), "ONESTOP_MODE": "production", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "app", "demo"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, directory


def known(persona: str) -> Facts:
    said = demo.Command(Path.cwd()).output("sandbox", "people", "--json", "--persona", persona)
    facts: Facts = json.loads(said)["personas"][0]["case"]
    return facts


def test_the_demo_shows_the_known_answers_and_what_is_missing_from_them(shown: tuple[str, Path]) -> None:
    words, case = flat(shown[0]), known("heir")
    absent = {"NH농협은행"}
    sections = case["sections"]
    amounts = [
        *(parcel["assessedValue"] for parcel in sections["land"]["parcels"]),
        *(each["balance"] for each in sections["finance"]["deposits"] if each["institution"]["name"] not in absent),
        *(each["marketValue"] for each in sections["finance"]["securities"]),
        *(each["surrenderValue"] for each in sections["finance"]["insurance"]),
        *(each["unpaid"] for each in sections["finance"]["cards"]),
        *(each["amount"] for each in sections["health"]["refunds"]),
        *(each["assessedValue"] for each in sections["vehicles"]["vehicles"]),
        *(each["refundable"] for each in sections["tax"]["items"] if each["state"] == "REFUNDABLE"),
    ]
    for amount in amounts:
        assert f"₩{amount:,}" in words
    for heir in case["heirs"]:
        assert f"{heir['name']} {heir['relation'].lower()}" in words
        assert pictures.fraction(heir["share"]) in words
    hidden = [each for each in sections["finance"]["deposits"] if each["institution"]["name"] in absent]
    assert hidden
    for deposit in hidden:
        assert f"₩{deposit['balance']:,}" not in words


def test_the_demo_tells_both_faults_and_never_looks_complete(shown: tuple[str, Path]) -> None:
    estate, _, birth = shown[0].partition("The birth of")
    words = flat(estate)
    assert "INCOMPLETE: FINANCE and PENSIONS may hold more" in words
    assert re.search(r"NH농협은행: .* \(institution timeout\)", words)
    assert re.search(r"KTCU: .* \(pending\)\. Expected by \d{4}-\d\d-\d\d", words)
    assert words.count("Together, as far as is known") == 2
    assert words.count("Incomplete: what is with NH농협은행, KTCU") == 3
    assert "Outlook: undecided" in words
    assert "INCOMPLETE" not in birth


def test_the_demo_tells_what_was_withheld_and_what_would_change_it(shown: tuple[str, Path]) -> None:
    words = flat(shown[0].partition("What was withheld")[2])
    assert "What would change it" in words
    assert "Person.birthDate" in words
    assert "out of scope" in words


def test_the_demo_shows_the_birth(shown: tuple[str, Path]) -> None:
    words, case = flat(shown[0].partition("The birth of")[2]), known("parent")
    for voucher in case["sections"]["finance"]["vouchers"]:
        assert f"₩{voucher['balance']:,}" in words
    for parent in case["parents"]:
        assert f"{parent['name']} {parent['relation'].lower()}" in words
    assert f"₩{case['sections']['tax']['birthTaxCredit']:,}" in words
    assert "hearing" in words
    assert "recheck" in words


def test_the_demo_shows_the_entries_of_both_questions_and_the_log_is_whole(shown: tuple[str, Path]) -> None:
    words = flat(shown[0].partition("What the log kept of")[2])
    assert "in the question Estate" in words
    assert "in the question Birth" in words
    assert re.search(r"deceased disclosed|deceased partial", words)
    exported = re.search(r"onestop log export: (\d+) entries", words)
    verified = re.search(r"onestop log verify: Intact: (\d+) entries", words)
    assert exported is not None
    assert verified is not None
    assert exported[1] == verified[1]
    assert words.endswith("All of it held.")


def test_a_pipe_gets_no_colours_and_no_line_wider_than_the_screen(shown: tuple[str, Path]) -> None:
    assert "\x1b" not in shown[0]
    assert max(cell_len(line) for line in shown[0].splitlines()) <= 80


def test_nothing_is_left_behind(shown: tuple[str, Path]) -> None:
    assert list(shown[1].glob("onestop-demo-*")) == []
    announced = list(shown[1].glob("onestop-*"))
    assert announced, "a server tells where it runs, for as long as it does"
    assert [file for folder in announced for file in folder.iterdir()] == []


@dataclass(frozen=True, slots=True)
class Kept:
    """A demo that goes on serving."""

    process: subprocess.Popen[str]
    url: str
    directory: Path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    directory = tmp_path_factory.mktemp("kept")
    with subprocess.Popen(
        [sys.executable, "-m", "app", "demo", "--keep"],
        env=os.environ | {"TMPDIR": str(directory), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        try:
            url = next(found[1] for line in process.stdout if (found := re.match(r"Serving on (\S+)", line)))
            yield Kept(process, url, directory)
        finally:
            process.terminate()
            process.stdout.read()


def test_a_log_that_was_tampered_with_is_told(kept: Kept, tmp_path: Path) -> None:
    (source,) = kept.directory.glob("onestop-demo-*/var/access-log.db")
    command = demo.Command(tmp_path)
    command.data.mkdir()
    target = command.data / "access-log.db"
    with closing(sqlite3.connect(source)) as theirs, closing(sqlite3.connect(target)) as ours, ours:
        theirs.backup(ours)
    verify = ("log", "verify", "--data", str(command.data))
    assert list(demo.unverified(*command.result(*verify))) == []
    with closing(sqlite3.connect(target)) as ours, ours:
        for (trigger,) in ours.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ours.execute(f"DROP TRIGGER {trigger}")
        assert ours.execute("UPDATE entry SET at_us = at_us + 1 WHERE leaf_index = 2").rowcount == 1
    (doubt,) = demo.unverified(*command.result(*verify))
    assert re.search(r"ended with 1: Tampered with: leaf 2 ", doubt)


def test_with_keep_it_serves_until_it_is_told_to_end(kept: Kept) -> None:
    status, _, _ = demo.exchange("GET", f"{kept.url}/readyz")
    assert status == 200
    kept.process.terminate()
    assert kept.process.wait(60) == 0
    assert list(kept.directory.glob("onestop-demo-*")) == []
    with pytest.raises(demo.NotHeld):
        demo.exchange("GET", f"{kept.url}/readyz")


def test_a_server_that_does_not_start_ends_the_demo_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    broken = (sys.executable, "-c", "import sys; sys.exit('no room')")
    assert demo.run(keep=False, onestop=broken) == 1
    assert re.search(r"This did not hold: the server did not become ready.*no room", capsys.readouterr().err, re.DOTALL)


# ---------------------------------------------------------------- what has to hold


def answer(agency: str, status: str = "COMPLETE", **more: Any) -> Facts:
    at = "2026-11-21T15:00:00Z"
    its = {"agency": agency, "status": status, "source": f"Register of {agency}", "asOf": at, "problems": []}
    return its | {"expectedBy": None, "visibleUntil": None} | more


def problem(code: str, institution: str) -> Facts:
    return {"code": code, "institution": institution, "message": f"{institution} did not answer."}


def estate(**more: Any) -> Facts:
    """An estate of one deposit, one loan and nothing else, unless told otherwise."""
    empty: Facts = {
        "land": {"parcels": [], "buildings": []},
        "finance": {"securities": [], "insurance": [], "cards": [], "guarantees": [], "custody": []},
        "pensions": {"memberships": []},
        "tax": {"items": []},
        "health": {"unpaidPremiums": [], "refunds": []},
        "vehicles": {"vehicles": [], "fishingBoats": []},
    }
    case = {name: {"answer": answer(name.upper())} | lists for name, lists in empty.items()}
    case["finance"] |= {
        "deposits": [
            {
                "institution": {"name": "KB국민은행"},
                "product": "정기예금",
                "numberSuffix": "4417",
                "balance": 42_000_000,
                "dormant": False,
                "jointlyHeld": False,
            }
        ],
        "loans": [
            {
                "institution": {"name": "KB국민은행"},
                "product": "신용대출",
                "principal": 8_000_000,
                "interestDue": 31_560,
                "secured": False,
            }
        ],
    }
    case["summary"] = {
        "assets": 42_000_000,
        "debts": 8_031_560,
        "net": 33_968_440,
        "complete": True,
        "missing": [],
        "outlook": "ASSETS_EXCEED_DEBTS",
        "byAgency": [{"agency": "FINANCE", "assets": 42_000_000, "debts": 8_031_560}],
    }
    for name, told in more.items():
        case[name] = case[name] | told
    return case


BROKEN = {"complete": False, "missing": ["FINANCE"], "outlook": "UNDECIDED"}
AS_SET = (
    answer("FINANCE", "PARTIAL", problems=[problem("INSTITUTION_FAILED", "NH농협은행")]),
    answer("PENSIONS", "PARTIAL", problems=[problem("PENDING", "KTCU")], expectedBy="2026-12-05"),
)


def test_an_agency_that_does_not_answer_is_a_doubt_unless_it_was_made_to() -> None:
    finance, pensions = AS_SET
    as_set = estate(finance={"answer": finance}, pensions={"answer": pensions})
    assert list(demo.unanswered(as_set, demo.faults(TODAY))) == []
    assert len(list(demo.unanswered(as_set, ()))) == 2
    assert len(list(demo.unanswered(estate(), demo.faults(TODAY)))) == 3


@pytest.mark.parametrize(
    "finance",
    [
        answer("FINANCE", "UNAVAILABLE"),
        answer("FINANCE", "PARTIAL", problems=[problem("INSTITUTION_FAILED", "신한은행")]),
        answer("FINANCE", "PARTIAL", problems=[*AS_SET[0]["problems"], problem("INSTITUTION_FAILED", "신한은행")]),
        AS_SET[0] | {"expectedBy": "2026-12-05"},
    ],
)
def test_more_or_else_going_wrong_than_was_made_to_is_a_doubt(finance: Facts) -> None:
    case = estate(finance={"answer": finance}, pensions={"answer": AS_SET[1]})
    assert len(list(demo.unanswered(case, demo.faults(TODAY)))) == 1


def test_a_summary_that_calls_itself_complete_while_a_bank_is_silent_is_a_doubt() -> None:
    silent = {"answer": AS_SET[0]}
    assert list(demo.glossed_over(estate(finance=silent, summary=BROKEN))) == []
    assert len(list(demo.glossed_over(estate(finance=silent)))) == 1
    assert len(list(demo.glossed_over(estate(finance=silent, summary=BROKEN | {"missing": []})))) == 1


def test_sums_that_are_not_those_of_the_lines_are_a_doubt() -> None:
    assert list(demo.glossed_over(estate())) == []
    (doubt,) = demo.glossed_over(estate(summary={"debts": 8_000_000}))
    assert "owed comes to 8,031,560 line by line and to 8,000,000" in doubt


SHOWN = {
    "__typename": "Query",
    "case": {
        "__typename": "EstateCase",
        "number": "E26-1",
        "heirs": [],
        "withheld": [{"__typename": "Withheld", "coordinate": "Person.birthDate"}],
        "land": {"__typename": "EstateLand", "parcels": [{"__typename": "LandParcel", "pnu": "1", "category": None}]},
    },
}
REPLY = demo.Reply(SHOWN, ("entry-1",), "sha256:d0", 0.1)
EXPORTED: Mapping[str, Facts] = {"entry-1": {"document_hash": "sha256:d0"}}


def entry(*coordinates: str) -> Facts:
    return {"id": "entry-1", "disclosed": [{"agency": "LAND", "type": "Any", "coordinates": list(coordinates)}]}


def test_what_an_answer_shows_is_what_has_a_value_and_is_about_somebody() -> None:
    assert set(demo.leaves(SHOWN)) == {"EstateCase.number", "LandParcel.pnu"}


def test_an_answer_whose_every_field_is_in_its_entries_raises_no_doubt() -> None:
    assert list(demo.unrecorded(REPLY, [entry("EstateCase.number", "LandParcel.pnu")], EXPORTED)) == []


@pytest.mark.parametrize(
    ("entries", "exported", "doubt"),
    [
        ([entry("EstateCase.number")], EXPORTED, "no entry has LandParcel.pnu"),
        ([entry("EstateCase.number", "LandParcel.pnu", "Person.name")], EXPORTED, "an entry has Person.name"),
        ([], EXPORTED, "lacks 1 of the entries"),
        ([entry("EstateCase.number", "LandParcel.pnu")], {}, "has no entry entry-1"),
        (
            [entry("EstateCase.number", "LandParcel.pnu")],
            {"entry-1": {"document_hash": "sha256:d1"}},
            "has no entry entry-1",
        ),
    ],
)
def test_a_gap_between_answer_and_log_is_a_doubt(
    entries: list[Facts], exported: Mapping[str, Facts], doubt: str
) -> None:
    assert any(doubt in found for found in demo.unrecorded(REPLY, entries, exported))


# ---------------------------------------------------------------- pictures


def test_a_list_that_is_not_known_is_told_apart_from_one_that_is_empty() -> None:
    case = estate(finance={"answer": answer("FINANCE", "UNAVAILABLE"), "deposits": None}, summary=BROKEN)
    words = flat(text(pictures.sided(case, Side.ASSET, "What is there")))
    assert "FINANCE: deposits not known" in words
    assert "No parcels, no buildings, no securities" in words
    assert "Incomplete: what is with FINANCE is not in this list." in words


def test_sums_say_whether_they_are_all() -> None:
    whole = flat(text(pictures.summary(estate())))
    assert "COMPLETE: every agency has answered. Outlook: assets exceed debts." in whole
    assert "All ₩42,000,000 ₩8,031,560 net ₩33,968,440" in whole
    part = flat(text(pictures.summary(estate(finance={"answer": AS_SET[0]}, summary=BROKEN))))
    assert "INCOMPLETE: FINANCE may hold more" in part
    assert "NH농협은행: NH농협은행 did not answer (institution failed)." in part
    assert "All" not in part


def test_a_policy_with_a_beneficiary_is_shown_beside_the_estate() -> None:
    policy = {"institution": {"name": "삼성생명"}, "product": "종신보험", "role": "POLICYHOLDER", "policyLoan": 0}
    named = policy | {"surrenderValue": 21_400_000, "partOfEstate": False, "beneficiaryName": "박**"}
    unclear = policy | {"surrenderValue": 1, "partOfEstate": None, "beneficiaryName": None}
    lines = [
        line
        for line in pictures.estate_lines(estate(finance={"insurance": [named, unclear]}))
        if line.kind == "Insurance"
    ]
    assert lines == [
        Line(Side.BESIDE, "FINANCE", "Insurance", "삼성생명 종신보험, to 박**", 21_400_000),
        Line(Side.ASSET, "FINANCE", "Insurance", "삼성생명 종신보험, perhaps somebody else's", None),
    ]


def test_deadlines_come_nearest_first_and_those_that_are_over_last() -> None:
    due = [
        {"title": title, "dueOn": "2026-12-13", "daysLeft": days, "legalBasis": "Act 1", "consequence": "It is lost."}
        for title, days in (("Later", 40), ("Over", -5), ("Soon", 3), ("Now", 0))
    ]
    words = flat(text(pictures.deadlines({"deadlines": due})))
    assert re.search("today Now .* 3 Soon .* 40 Later .* 5 ago Over ", words)


def test_a_refusal_names_the_reason_and_the_remedy() -> None:
    refusal = {"code": "STEP_UP_REQUIRED", "message": "Sign in anew.", "remedy": "Use the strongest means."}
    case = {"withheld": [{"coordinate": "Deposit.balance", "sensitivity": "AMOUNT", "refusal": refusal}]}
    words = flat(text(pictures.withheld(case), width=110))
    assert "Deposit.balance Sign in anew. (step up required; amount) Use the strongest means." in words


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "₩0"), (1234567, "₩1,234,567"), (-5000, "-₩5,000"), (None, "not told")]
)
def test_money_has_thousands_apart_and_unknown_money_is_not_nought(amount: int | None, shown: str) -> None:
    assert str(pictures.won(amount)) == shown


@pytest.mark.parametrize("width", range(60, 84))
def test_wide_letters_are_never_lost_at_the_edge(width: int) -> None:
    item = {"kind": "SAFE_BOX", "institution": {"name": "KB국민은행"}, "location": "상계역지점 대여금고 117호"}
    shown = text(pictures.sided(estate(finance={"custody": [item]}), Side.ASSET, "What is there"), width)
    assert "…" not in shown.replace("…4417", "")
    assert all(cell_len(line) <= width for line in shown.splitlines())
    assert "상계역지점대여금고117호" in "".join(shown.replace("not told", "").split())
