"""Officials at work: a case taken at the counter, handed over, closed; colleagues who look; an emergency."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from click.testing import CliRunner
from joserfc import jwt

import app
from sandbox.issuer import PORTAL_KEY, signing_key
from sandbox.personas import PERSONAS
from tests.journeys import known
from tests.journeys.client import Asker, Onestop, Reply, sent
from tests.journeys.documents import BIRTH, ESTATE, VIEWER

BREAK = """
mutation Break($input: BreakGlassInput!) {
  breakGlass(input: $input) {
    case { id number mandate { role validUntil legalBasis } }
    refusal { code message(language: KO) remedy(language: KO) }
  }
}
"""
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
REASON = "The tenant's gas valve must be shut and only her pension office knows where she is."


def named(person: Mapping[str, Any]) -> dict[str, Any]:
    return {name: person[name] for name in ("name", "birthDate", "registrationNumber")}


def exchanged(onestop: Onestop, official: str, applicant: str) -> str:
    """The token that the sign-in gives for the official's and the applicant's own."""
    now = int(datetime.now(UTC).timestamp())
    said = {"iss": "sandbox-portal", "sub": "sandbox-portal", "aud": onestop.issuer, "exp": now + 60}
    key = signing_key(onestop.directory / "sandbox" / PORTAL_KEY)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "ES256"}, {**said, "jti": uuid.uuid4().hex}, key, algorithms=["ES256"]),
        "subject_token": onestop.token(applicant),
        "subject_token_type": ACCESS_TOKEN,
        "actor_token": onestop.token(official),
        "actor_token_type": ACCESS_TOKEN,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = sent("POST", f"{onestop.issuer}/token", urlencode(form).encode(), headers)
    assert reply.status == 200, reply.body
    return str(reply.json["access_token"])


def recorded(onestop: Onestop, reply: Reply, persona: str) -> Any:
    """The reply's entry about the persona's deceased, as the officers' part of the log has it."""
    lines = onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
    of_reply = [entry for entry in map(json.loads, lines) if entry["id"] in reply.entries]
    whom = PERSONAS[persona].about[0]
    (found,) = [each for each in of_reply if (each["staff"]["subject"], each["task"] == "LOG_VIEW") == (whom, False)]
    return found


def cases(onestop: Onestop, *arguments: str) -> tuple[int, str]:
    """`onestop cases …` at this program's state."""
    environment = {"XDG_RUNTIME_DIR": str(onestop.runtime)}
    said = CliRunner().invoke(app.main, ["cases", *arguments, "--data", str(onestop.directory)], env=environment)
    return said.exit_code, said.output


def own_cases(asker: Asker) -> list[str]:
    return [each["id"] for each in asker.seen(VIEWER)["viewer"]["cases"]]


def test_an_heir_at_the_counter_has_the_officer_see_what_the_heir_would(office: Onestop) -> None:
    case = office.case("heir-in-debt")
    officer, heir = office.as_("case-officer"), office.as_("heir-in-debt")
    counter = Asker(office, exchanged(office, "case-officer", "heir-in-debt"))
    opened = counter.open_estate(deceased=named(case["deceased"]))
    assert opened["refusal"] is None
    case_id = opened["case"]["id"]
    assert (case_id in own_cases(officer), case_id in own_cases(heir)) == (True, True)

    reply = officer.ask(ESTATE, {"id": case_id})
    seen, heirs = reply.data["estateCase"], heir.seen(ESTATE, id=case_id)["estateCase"]
    assert (seen["mandate"]["role"], heirs["mandate"]["role"]) == ("CASE_OFFICER", "HEIR")
    for agency in ("land", "finance", "pensions", "tax", "vehicles"):
        assert known.graph(seen[agency]) == known.graph(heirs[agency])
    known.require({**seen, "health": heirs["health"], "heirs": heirs["heirs"], "summary": heirs["summary"]}, case)
    assert [seen["health"][name] for name in ("eligibility", "unpaidPremiums", "refunds")] == [None] * 3
    assert (seen["health"]["answer"]["status"], seen["heirs"]) == ("REFUSED", None)
    entry = recorded(office, reply, "heir-in-debt")
    assert (entry["staff"]["viewer"], entry["staff"]["on_behalf_of"]) == (
        PERSONAS["case-officer"].subject,
        PERSONAS["heir-in-debt"].subject,
    )
    assert entry["staff"]["office"] == PERSONAS["case-officer"].office
    assert {"officer-estate", "officer-estate-amounts"} <= set(entry["policy_ids"])

    # the heir reads who looked and for whom, and not the officer's name
    edges = heir.seen(ESTATE, id=case_id)["estateCase"]["accessLog"]["edges"]
    (told,) = [each["node"] for each in edges if each["node"]["id"] == entry["id"]]
    actor = told["actor"]
    assert (actor["kind"], actor["name"], actor["agency"]) == ("OFFICIAL", None, PERSONAS["case-officer"].agency)
    assert told["onBehalfOf"] == heir.seen(VIEWER)["viewer"]["person"]["id"]


def test_other_officials_learn_nothing_and_their_attempt_says_which_row_refused_it(office: Onestop) -> None:
    case = office.case("heir-second-rank")
    counter = office.at_counter_of("case-officer", "heir-second-rank")
    case_id = counter.open_estate(deceased=named(case["deceased"]))["case"]["id"]
    for persona, policies in {
        "other-office": {"official-without-case", "official-of-another-office"},
        "curious-official": {"official-without-case"},
        "welfare-officer": {"official-without-case", "official-of-another-office"},
        "privacy-officer": set(),
    }.items():
        reply = office.as_(persona).ask(ESTATE, {"id": case_id})
        assert (reply.code, reply.json["data"]) == ("NOT_ACCESSIBLE", {"estateCase": None})
        entry = recorded(office, reply, "heir-second-rank")
        assert (entry["outcome"], set(entry["policy_ids"])) == ("REFUSED", policies)
        assert entry["staff"]["viewer"] == PERSONAS[persona].subject
        alone = office.as_(persona).open_estate(deceased=named(case["deceased"]))
        assert (alone["case"], alone["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")
    with office.off_duty("case-officer"):
        reply = office.as_("case-officer").ask(ESTATE, {"id": case_id})
        assert reply.code == "NOT_ACCESSIBLE"
        assert "officer-out-of-time" in recorded(office, reply, "heir-second-rank")["policy_ids"]
    assert office.as_("case-officer").ask(ESTATE, {"id": case_id}).data


def test_a_welfare_officer_takes_no_applications_for_estates(office: Onestop) -> None:
    counter = office.at_counter_of("welfare-officer", "heir")
    refused = counter.open_estate(deceased=named(office.case("heir")["deceased"]))
    assert (refused["case"], refused["refusal"]["code"]) == (None, "OUT_OF_SCOPE")


def test_a_birth_case_at_the_counter_has_no_amounts_and_no_findings(office: Onestop) -> None:
    case = office.case("parent")
    counter = office.at_counter_of("case-officer", "parent")
    case_id = counter.open_birth(child=named(case["child"]))["case"]["id"]
    seen = office.as_("case-officer").seen(BIRTH, id=case_id)["birthCase"]
    assert (seen["mandate"]["role"], seen["child"]["name"]) == ("CASE_OFFICER", case["child"]["name"])
    withheld = {each["coordinate"]: each["refusal"]["code"] for each in seen["withheld"]}
    assert (withheld["Voucher.balance"], withheld["Screening.result"]) == ("OUT_OF_SCOPE", "SPECIAL_CATEGORY")
    assert [each["balance"] for each in seen["finance"]["vouchers"]] == [None]


def test_a_brother_whose_application_an_officer_took_sees_amounts_of_finance_and_tax(office: Onestop) -> None:
    """Row D08."""
    brother, deceased = office.as_("sibling"), office.case("sibling")["deceased"]
    case_id = brother.open_estate(deceased=named(deceased))["case"]["id"]

    def withheld() -> dict[str, str]:
        case = brother.seen(ESTATE, id=case_id)["estateCase"]
        return {each["coordinate"]: each["refusal"]["code"] for each in case["withheld"]}

    before = withheld()
    assert (before["Deposit.balance"], before["LandParcel.assessedValue"]) == ("EVIDENCE_REQUIRED", "OUT_OF_SCOPE")
    office.at_counter_of("case-officer", "sibling").open_estate(deceased=named(deceased))
    after = withheld()
    assert ("Deposit.balance" in after, "TaxItem.assessed" in after) == (False, False)
    assert after["LandParcel.assessedValue"] == "OUT_OF_SCOPE"


def test_an_office_hands_a_case_over_and_closes_it_and_running_programs_follow_at_once(office: Onestop) -> None:
    heir = office.as_("heir-substitute")
    opened = heir.open_estate(deceased=named(office.case("heir-substitute")["deceased"]))["case"]
    case_id, number = opened["id"], opened["number"]
    mine, colleague = office.as_("case-officer"), office.as_("curious-official")
    status, said = cases(
        office, "assign", number, "--to", "case-officer", "--reason", "Applied for online.", "--token",
        office.token("curious-official"),
    )  # fmt: skip
    assert (status, said) == (0, "Assigned.\n")
    seen = mine.seen(ESTATE, id=case_id)["estateCase"]
    withheld = {each["coordinate"]: each["refusal"]["code"] for each in seen["withheld"]}
    assert (withheld["Deposit.balance"], "LandParcel.pnu" in withheld) == ("CONSENT_REQUIRED", False)

    token = office.token("case-officer")
    arguments = ["assign", number, "--to", "curious-official", "--reason", "On leave.", "--token", token]
    assert cases(office, *arguments) == (0, "Assigned.\n")
    assert mine.ask(ESTATE, {"id": case_id}).code == "NOT_ACCESSIBLE"
    assert colleague.seen(ESTATE, id=case_id)["estateCase"]["mandate"]["role"] == "CASE_OFFICER"
    assert cases(office, "close", number, "--reason", "All answered.", "--token", token) == (0, "Closed.\n")
    assert colleague.ask(ESTATE, {"id": case_id}).code == "NOT_ACCESSIBLE"
    assert heir.seen(ESTATE, id=case_id)["estateCase"]["status"] == "CLOSED"
    status, said = cases(office, "show", number, "--json", "--token", token)
    shown = json.loads(said)
    assert [(each["event"], each["reason"]) for each in shown["history"]] == [
        ("ASSIGN", "Applied for online."),
        ("ASSIGN", "On leave."),
        ("CLOSE", "All answered."),
    ]
    assert (shown["officer"], shown["closedAt"] is None) == (PERSONAS["curious-official"].subject, False)
    assert office.case("heir-substitute")["deceased"]["name"] not in said


def test_the_command_does_nothing_for_anybody_else(office: Onestop) -> None:
    heir = office.as_("heir")
    number = heir.open_estate(deceased=named(office.case("heir")["deceased"]))["case"]["number"]
    to = ["--to", "case-officer", "--reason", "Mine now.", "--token"]
    for arguments, wanted in (
        (["assign", number, *to, office.token("case-officer")], "other than yourself"),
        (["assign", number, *to, office.token("heir")], "Only an official"),
        (["assign", number, *to, office.token("curious-official", "substantial")], "high assurance"),
        (["assign", "E26-XXXX-XXXX", *to, office.token("curious-official")], "no such case"),
        (["assign", number, *to, "garbage"], "an official's fresh access token"),
        (["assign", number, "--to", "x", "--reason", "r", "--token", office.token("curious-official")], "--to"),
        (
            ["assign", number, "--to", "other-office", "--reason", " ", "--token", office.token("case-officer")],
            "--reason",
        ),
    ):
        status, said = cases(office, *arguments)
        assert (status, wanted in said) == (1, True), said


def test_an_emergency_is_half_an_hours_look_and_stands_in_the_log_with_its_words(office: Onestop) -> None:
    official, deceased = office.as_("welfare-officer"), office.case("executor")["deceased"]
    asked = {"kind": "ESTATE", "person": named(deceased), "reason": REASON}
    short = official.ask(BREAK, {"input": {**asked, "reason": "Let me in."}})
    assert (short.code, short.errors[0]["extensions"]["field"]) == ("BAD_INPUT", "input.reason")
    for persona in ("stranger", "heir", "privacy-officer"):
        refused = office.as_(persona).seen(BREAK, input=asked)["breakGlass"]
        assert (refused["case"], refused["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")
    protected = {**asked, "person": named(office.case("protected-person")["deceased"])}
    nobody = {**asked, "person": {"name": "하아무도", "birthDate": "1949-07-07"}}
    answers = [official.seen(BREAK, input=each)["breakGlass"] for each in (protected, nobody)]
    assert answers[0] == answers[1]
    assert answers[0]["refusal"]["code"] == "NOT_ACCESSIBLE"

    reply = official.ask(BREAK, {"input": asked})
    case = reply.data["breakGlass"]["case"]
    assert case["mandate"]["role"] == "BREAK_GLASS"
    until = datetime.fromisoformat(case["mandate"]["validUntil"])
    assert timedelta(minutes=29) < until - datetime.now(UTC) <= timedelta(minutes=30)
    looked = official.ask(ESTATE, {"id": case["id"]})
    assert looked.data["estateCase"]["finance"]["deposits"][0]["balance"] is not None
    for each in (reply, looked):
        entry = recorded(office, each, "executor")
        assert (entry["staff"]["reason"], "break-glass" in entry["policy_ids"]) == (REASON, True)
    assert office.as_("case-officer").ask(ESTATE, {"id": case["id"]}).code == "NOT_ACCESSIBLE"
