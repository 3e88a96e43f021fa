"""Heirs see what a deceased person leaves: exactly the known answers, as far as their sign-in reaches."""

import base64
import calendar
import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.journeys import known
from tests.journeys.client import Onestop, Reply
from tests.journeys.documents import CASE_LOG, ESTATE, LOG, ONE_ENTRY, OPEN_ESTATE, SECTIONS, VIEWER
from tests.journeys.graph import Graph

KOREA = timezone(timedelta(hours=9))
MOVES = frozenset({"requestedAt", "retrievedAt", "sourceReference", "asOf", "accessLog"})
"""Members that say when and how an answer was got."""


def settled(value: Any) -> Any:
    """An answer without what differs from one asking to the next."""
    if isinstance(value, Mapping):
        return {name: settled(inner) for name, inner in value.items() if name not in MOVES}
    return [settled(each) for each in value] if isinstance(value, list) else value


def the_estate(onestop: Onestop, persona: str, **how: Any) -> tuple[Any, Reply]:
    """The persona's whole estate, and the answer it came in."""
    case_id = onestop.as_(persona).case()
    reply = onestop.as_(persona, **how).ask(ESTATE, {"id": case_id})
    return reply.data["estateCase"], reply


def month_end(day: date, months: int) -> date:
    """The end of the month so many months after the day's."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, calendar.monthrange(year, month + 1)[1])


def same_day(day: date, months: int) -> date:
    """The corresponding day so many months later, or the last of a month that lacks it."""
    return month_end(day, months).replace(day=min(day.day, month_end(day, months).day))


# ---------------------------------------------------------------- the heir


def test_the_register_tells_a_daughter_that_she_may_open_her_fathers_estate(onestop: Onestop) -> None:
    me = onestop.known["heir"]
    reply = onestop.as_("heir").ask(VIEWER)
    viewer = reply.data["viewer"]
    assert viewer["person"]["name"] == me["name"]
    assert viewer["person"]["maskedRegistrationNumber"] == f"{me['registrationNumber'][:8]}******"
    assert (viewer["official"], viewer["roles"], viewer["assurance"]) == (None, ["CITIZEN"], "HIGH")
    (candidate,) = viewer["candidates"]
    deceased = onestop.case("heir")["deceased"]
    assert known.graph(candidate["person"]) == known.person(deceased)
    died = date.fromisoformat(deceased["deathDate"])
    assert (candidate["kind"], candidate["relation"], candidate["obstacle"]) == ("ESTATE", "CHILD", None)
    assert candidate["opensUntil"] == month_end(died, 12).isoformat()


@pytest.mark.parametrize("persona", ["heir", "heir-in-debt"])
def test_an_heir_sees_the_whole_estate(onestop: Onestop, persona: str) -> None:
    expected = onestop.case(persona)
    case, _ = the_estate(onestop, persona)
    known.require(case, expected)
    assert known.heirs(case["heirs"]) == expected["heirs"]
    assert case["summary"] == expected["summary"]
    assert known.graph(case["deceased"]) == known.person(expected["deceased"])
    assert case["withheld"] == []
    assert [each["agency"] for each in case["answers"]] == list(known.AGENCIES)
    assert case["answers"] == [case[name]["answer"] for name in known.SECTIONS]
    assert [each["problems"] for each in case["answers"]] == [[]] * 6
    assert (case["kind"], case["purpose"]) == ("ESTATE", "ESTATE_DISCOVERY")
    mandate = case["mandate"]
    assert (mandate["role"], mandate["holder"]["name"]) == ("HEIR", onestop.known[persona]["name"])
    assert mandate in case["mandates"]


def test_the_estate_of_heir_has_what_the_contract_promises(onestop: Onestop) -> None:
    case, _ = the_estate(onestop, "heir")
    whole = {"numerator": 1, "denominator": 1}
    parcels = case["land"]["parcels"]
    assert len(parcels) >= 3
    assert {"numerator": 1, "denominator": 3} in [each["ownershipShare"] for each in parcels]
    assert "MORTGAGE" in [burden["kind"] for each in parcels for burden in each["encumbrances"]]
    assert [each["purpose"] for each in case["land"]["buildings"] if each["ownershipShare"] == whole] == ["아파트"]
    finance = case["finance"]
    assert len(finance["deposits"]) >= 6
    assert len({each["institution"]["code"] for each in finance["deposits"]}) >= 4
    assert [len(finance[name]) for name in ("loans", "securities", "insurance", "cards")] == [2, 3, 2, 1]
    assert len([each for each in finance["insurance"] if each["beneficiaryName"]]) == 1
    assert len(case["pensions"]["memberships"]) == 2
    assert len([each for each in case["pensions"]["memberships"] if each["receiving"] is None]) == 1
    assert len(case["tax"]["items"]) == 5
    assert {"ARREARS", "REFUNDABLE"} <= {each["state"] for each in case["tax"]["items"]}
    assert case["health"]["unpaidPremiums"]
    assert case["health"]["refunds"]
    assert len(case["vehicles"]["vehicles"]) == 2
    assert "SEIZURE" in [lien["kind"] for each in case["vehicles"]["vehicles"] for lien in each["liens"]]


def test_a_scheme_that_says_only_yes_leaves_the_sum_open(onestop: Onestop) -> None:
    case, _ = the_estate(onestop, "heir")
    assert (case["status"], case["pensions"]["answer"]["status"]) == ("COMPLETE", "COMPLETE")
    summary = case["summary"]
    assert (summary["complete"], summary["missing"], summary["outlook"]) == (False, ["PENSIONS"], "UNDECIDED")


def test_an_estate_of_debts_is_told_as_one(onestop: Onestop) -> None:
    case, _ = the_estate(onestop, "heir-in-debt")
    summary = case["summary"]
    assert (summary["complete"], summary["missing"]) == (True, [])
    assert summary["outlook"] == "DEBTS_EXCEED_ASSETS"
    assert summary["net"] == summary["assets"] - summary["debts"] < 0
    assert sum(each["assets"] for each in summary["byAgency"]) == summary["assets"]
    assert sum(each["debts"] for each in summary["byAgency"]) == summary["debts"]


def test_an_heir_is_told_what_falls_due(onestop: Onestop) -> None:
    case, reply = the_estate(onestop, "heir")
    died = date.fromisoformat(onestop.case("heir")["deceased"]["deathDate"])
    kept_until = datetime.fromisoformat(case["finance"]["answer"]["visibleUntil"])
    today = datetime.strptime(reply.headers["date"], "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
    due = {
        "ACCEPTANCE_OR_RENUNCIATION": same_day(died, 3),
        "INHERITANCE_TAX": month_end(died, 6),
        "FINAL_INCOME_TAX": month_end(died, 6),
        "ACQUISITION_TAX": month_end(died, 6),
        "VEHICLE_TRANSFER": month_end(died, 6),
        "ESTATE_INQUIRY": month_end(died, 12),
        "SURVIVOR_PENSION_CLAIM": same_day(died, 60),
        "FINANCE_ANSWER_EXPIRES": kept_until.astimezone(KOREA).date(),
    }
    told = case["deadlines"]
    assert {each["code"]: each["dueOn"] for each in told} == {code: day.isoformat() for code, day in due.items()}
    assert [each["dueOn"] for each in told] == sorted(each["dueOn"] for each in told)
    left = {each["code"]: each["daysLeft"] for each in told}
    assert left == {code: (day - today.astimezone(KOREA).date()).days for code, day in due.items()}
    assert all(each["title"] and each["legalBasis"] and each["consequence"] for each in told)


def test_ids_are_opaque_and_stay(onestop: Onestop) -> None:
    first, _ = the_estate(onestop, "heir")
    again, _ = the_estate(onestop, "heir")
    assert settled(first) == settled(again)
    found = list(known.ids({**first, "accessLog": None}))
    assert found
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32,}", each) for each in found)
    records = [
        each["id"] for name in ("deposits", "loans", "securities", "insurance") for each in first["finance"][name]
    ]
    assert len(records) == len(set(records))


def test_nothing_that_must_never_leave_is_in_the_answer(onestop: Onestop) -> None:
    _, reply = the_estate(onestop, "heir")
    text = reply.body.decode()
    me, deceased = onestop.known["heir"], onestop.case("heir")["deceased"]
    secrets = [each["registrationNumber"] for each in (me, deceased)]
    secrets += [each["subject"] for each in (me, deceased)]
    secrets += [sid for each in (me, deceased) for sid in each["sectorIds"].values()]
    assert [each for each in secrets if each in text or each.replace("-", "") in text] == []


# ---------------------------------------------------------------- weaker sign-ins


@pytest.mark.parametrize("how", [{"assurance": "substantial"}, {"signed_in": 1200}], ids=["SUBSTANTIAL", "20 min ago"])
def test_without_a_fresh_sign_in_at_high_an_heir_sees_what_there_is_but_no_amount(
    onestop: Onestop, graph: Graph, how: dict[str, Any]
) -> None:
    high, _ = the_estate(onestop, "heir")
    case, _ = the_estate(onestop, "heir", **how)
    fields = list(graph.fields(ESTATE, {"estateCase": case}))
    hidden = {c for c in graph.selected(ESTATE) if graph.withheld_below_high(c)}
    if "signed_in" in how:
        hidden.remove("Person.maskedRegistrationNumber")  # asks for HIGH, not for a fresh sign-in
    told = {each["coordinate"]: each for each in case["withheld"]}
    assert set(told) == hidden
    assert {each["refusal"]["code"] for each in told.values()} == {"STEP_UP_REQUIRED"}
    assert all(each["refusal"]["message"] and each["refusal"]["remedy"] for each in told.values())
    assert {f.coordinate for f in fields if f.coordinate in hidden and f.value is not None} == set()
    assert case["summary"] is None
    # nothing else is lost: the answer at HIGH with exactly these fields taken out
    lost = {f.path for f in graph.fields(ESTATE, {"estateCase": high}) if f.coordinate in hidden}
    expected = {name: taken_out(value, lost, ("estateCase", name)) for name, value in high.items()}
    for name in ("deceased", "heirs", *(each for each in known.SECTIONS if each != "health")):
        assert known.graph(case[name]) == known.graph(expected[name])
    assert known.graph(case["health"]) == {"eligibility": None, "unpaidPremiums": None, "refunds": None}
    assert [each["status"] for each in case["answers"]] == [
        "REFUSED" if name == "HEALTH" else "COMPLETE" for name in known.AGENCIES
    ]


def taken_out(value: Any, lost: set[tuple[str | int, ...]], path: tuple[str | int, ...]) -> Any:
    """The value with null at the paths that are lost."""
    if path in lost:
        return None
    if isinstance(value, Mapping):
        return {name: taken_out(inner, lost, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [taken_out(each, lost, (*path, index)) for index, each in enumerate(value)]
    return value


def test_at_low_an_heir_is_told_to_sign_in_better_and_no_agency_is_asked(onestop: Onestop) -> None:
    case_id = onestop.as_("heir").case()
    sids = onestop.case("heir")["deceased"]["sectorIds"]
    counting = {"kind": "SLOW", "seconds": 0.001}
    with onestop.faults("LAND", sids["LAND"], counting) as land, onestop.faults("TAX", sids["TAX"], counting) as tax:
        reply = onestop.as_("heir", "low").ask(ESTATE, {"id": case_id})
        assert (land.fired, tax.fired) == (0, 0)
        onestop.as_("heir").seen(SECTIONS, id=case_id)
        assert (land.fired > 0, tax.fired > 0) == (True, True)
    assert (reply.status, reply.json["data"]) == (401, {"estateCase": None})  # RFC 9470
    assert reply.code == "STEP_UP_REQUIRED"
    challenge = reply.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="onestop", error="insufficient_user_authentication", ')
    assert 'acr_values="urn:onestop:loa:3", max_age="900"' in challenge
    extensions = reply.errors[0]["extensions"]
    assert (extensions["acrValues"], extensions["maxAge"]) == (["urn:onestop:loa:3"], 900)


def test_at_low_no_case_is_opened(onestop: Onestop) -> None:
    (candidate,) = onestop.as_("heir").candidates()
    payload = onestop.as_("heir", "low").open_estate(candidate=candidate["person"]["id"])
    assert (payload["case"], payload["refusal"]["code"]) == (None, "STEP_UP_REQUIRED")


def test_a_token_narrowed_to_a_case_opens_that_one_only(onestop: Onestop) -> None:
    mine, debts = onestop.as_("heir"), onestop.as_("heir-in-debt")
    case_id, other = mine.case(), debts.case()
    from_other = onestop.token("heir", case=other)
    narrowed = onestop.token("heir", case=case_id)
    asker = type(mine)
    assert asker(onestop, narrowed).seen(SECTIONS, id=case_id)["estateCase"]["id"] == case_id
    assert asker(onestop, from_other).ask(SECTIONS, {"id": case_id}).code == "NOT_ACCESSIBLE"


# ---------------------------------------------------------------- the record


def test_receipts_are_signed_by_the_log(onestop: Onestop) -> None:
    _, reply = the_estate(onestop, "heir")
    pem = (onestop.directory / "access-log-key.pem").read_bytes()
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    receipts = reply.json["extensions"]["access"]["receipts"]
    assert [each["id"] for each in receipts] == reply.entries
    assert receipts
    for each in receipts:
        signed = f"onestop/receipt/1\n{each['id']}\n{each['leafHash']}\n".encode()
        key.public_key().verify(base64.b64decode(each["signature"]), signed)  # raises unless it is so


def test_every_entry_of_a_question_can_be_looked_up(onestop: Onestop) -> None:
    case, reply = the_estate(onestop, "heir")
    leaves = {each["id"]: each["leafHash"] for each in reply.json["extensions"]["access"]["receipts"]}
    asker = onestop.as_("heir")
    for entry_id in reply.entries:
        entry = asker.seen(ONE_ENTRY, id=entry_id)["accessEntry"]
        assert (entry["id"], entry["operationName"]) == (entry_id, "Estate")
        assert entry["task"] in {"VIEW", "LOG_VIEW"}  # the question reads the case's log, too
        assert entry["integrity"]["leafHash"] == leaves[entry_id]
        assert (entry["actor"]["kind"], entry["actor"]["name"]) == ("CITIZEN", None)
        if entry["case"] is not None:
            assert (entry["case"], entry["caseNumber"]) == (case["id"], case["number"])
            assert (entry["purpose"], entry["legalBasis"]) == ("ESTATE_DISCOVERY", case["mandate"]["legalBasis"])


def test_a_person_sees_who_looked_at_their_data_this_question_included(onestop: Onestop) -> None:
    case, reply = the_estate(onestop, "heir")
    asker = onestop.as_("heir")
    own = [each["node"] for each in asker.seen(LOG, first=100)["accessLog"]["edges"]]
    assert {each["subject"]["name"] for each in own} == {onestop.known["heir"]["name"]}
    assert set(reply.entries) & {each["id"] for each in own}
    of_case = asker.seen(CASE_LOG, id=case["id"])["node"]["accessLog"]["edges"]
    assert set(reply.entries) <= {each["node"]["id"] for each in of_case}
    assert {each["node"]["caseNumber"] for each in of_case} == {case["number"]}


def test_whose_data_an_entry_is_about_is_told_to_who_may_know(onestop: Onestop) -> None:
    case, reply = the_estate(onestop, "heir")
    asker, me = onestop.as_("heir"), onestop.known["heir"]["name"]
    shown = [asker.seen(ONE_ENTRY, id=each)["accessEntry"]["subject"] for each in reply.entries]
    assert me in {each["name"] for each in shown if each}
    of_case = asker.seen(CASE_LOG, id=case["id"])["node"]["accessLog"]["edges"]
    names = {each["node"]["subject"]["name"] for each in of_case if each["node"]["subject"]}
    assert names == {me, case["deceased"]["name"]}


def test_the_log_pages_without_a_gap(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    the_estate(onestop, "heir")
    the_estate(onestop, "heir")
    first = asker.seen(LOG, first=2)["accessLog"]
    assert first["pageInfo"]["hasNextPage"]
    then = asker.seen(LOG, first=2, after=first["pageInfo"]["endCursor"])["accessLog"]
    assert then["pageInfo"]["hasPreviousPage"]
    places = [int(each["node"]["integrity"]["leafIndex"]) for page in (first, then) for each in page["edges"]]
    assert places == sorted(set(places), reverse=True)
    assert len(places) == 4


def test_another_persons_entries_are_not_shown(onestop: Onestop) -> None:
    _, reply = the_estate(onestop, "heir")
    stranger = onestop.as_("stranger")
    assert [stranger.seen(ONE_ENTRY, id=each)["accessEntry"] for each in reply.entries] == [None] * len(reply.entries)


def test_the_log_on_disk_has_no_name_number_or_amount_in_it(onestop: Onestop) -> None:
    the_estate(onestop, "heir")
    with sqlite3.connect(onestop.directory / "access-log.db") as store:
        text = "\n".join(store.iterdump())
    store.close()
    deceased = onestop.case("heir")["deceased"]
    words = [deceased["name"], deceased["subject"], deceased["registrationNumber"], "1135010500101230004", "204297333"]
    assert [each for each in words if each in text] == []


# ---------------------------------------------------------------- other heirs


def test_the_daughter_in_law_of_a_predeceased_son_stands_in_his_place(onestop: Onestop) -> None:
    expected = onestop.case("heir-substitute")
    case, _ = the_estate(onestop, "heir-substitute")
    known.require(case, expected)
    assert known.heirs(case["heirs"]) == expected["heirs"]
    representing = {each["person"]["name"]: each["representing"] for each in case["heirs"] if each["representing"]}
    assert {name: who["name"] for name, who in representing.items()} == {"윤미경": "노경수", "노하윤": "노경수"}
    assert case["summary"] == expected["summary"]


def test_an_institution_that_failed_is_named_and_the_rest_is_there(onestop: Onestop) -> None:
    expected = onestop.case("heir-substitute")
    case, _ = the_estate(onestop, "heir-substitute")
    assert expected["sections"]["finance"]["silent"] == ["088"]
    answer = case["finance"]["answer"]
    (problem,) = answer["problems"]
    assert (answer["status"], problem["code"], problem["institution"]) == ("PARTIAL", "INSTITUTION_TIMEOUT", "신한은행")
    assert "신한은행" in problem["message"]
    assert case["status"] == "PARTIAL"
    assert "FINANCE" in case["summary"]["missing"]
    assert case["finance"]["deposits"]


def test_the_first_step_of_opening_says_nothing_was_asked_yet(onestop: Onestop) -> None:
    (candidate,) = onestop.as_("heir").candidates()
    reply = onestop.as_("heir").ask(
        OPEN_ESTATE, {"input": {"candidate": candidate["person"]["id"], "idempotencyKey": "first-step"}}
    )
    case = reply.data["openEstateCase"]["case"]
    assert case["id"] in [each["id"] for each in onestop.as_("heir").seen(VIEWER)["viewer"]["cases"]]
    assert reply.entries


def test_an_executor_sees_the_estate_but_nothing_of_health(onestop: Onestop) -> None:
    """Row D11: appointed by the will, at high assurance; third parties in full (D32), shares to nobody but heirs."""
    asker, known = onestop.as_("executor"), onestop.case("executor")
    (candidate,) = asker.seen("{ viewer { candidates { kind relation opensUntil obstacle { code } person { id } } } }")[
        "viewer"
    ]["candidates"]
    assert (candidate["kind"], candidate["relation"], candidate["obstacle"]) == ("ESTATE", "OTHER", None)
    opened = asker.seen(
        """mutation($i: OpenEstateCaseInput!) {
        openEstateCase(input: $i) { case { id mandate { role purpose legalBasis } } } }""",
        i={"candidate": candidate["person"]["id"], "idempotencyKey": "executor"},
    )["openEstateCase"]["case"]
    assert opened["mandate"] == {
        "role": "EXECUTOR",
        "purpose": "ESTATE_SETTLEMENT",
        "legalBasis": "Civil Act 1101",
    }
    document = """query($id: ID!) { estateCase(id: $id) {
        heirs { share { numerator } } health { answer { status } refunds { amount } }
        land { buildings { registerNumber assessedValue encumbrances { kind holder } } }
        pensions { answer { status } } } }"""
    seen = asker.seen(document, id=opened["id"])["estateCase"]
    assert (seen["heirs"], seen["health"]) == (None, {"answer": {"status": "REFUSED"}, "refunds": None})
    assert seen["pensions"]["answer"]["status"] == "PARTIAL"  # one scheme is late
    assert {each["registerNumber"]: each["assessedValue"] for each in seen["land"]["buildings"]} == {
        each["registerNumber"]: each["assessedValue"] for each in known["sections"]["land"]["buildings"]
    }
    holders = {burden["holder"] for each in seen["land"]["buildings"] for burden in each["encumbrances"]}
    assert holders == {"임차인"}
    whole = asker.seen(ESTATE, id=opened["id"])["estateCase"]
    assert (whole["heirs"], whole["mandate"]["holder"]) == (None, None)
    assert {"Heir.share", "Person.id"} <= {each["coordinate"] for each in whole["withheld"]}
