"""What the register says makes mandates and ends them: absence, survivors, orders, and news while an agency is slow."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.facts import Subject
from sandbox.identifiers import persona_subject, sector_id
from tests.journeys.client import Asker, Onestop, sent
from tests.journeys.documents import OPEN_ESTATE, VIEWER

CLIENT = "sandbox-portal"
SEEN = """query Seen($id: ID!) { estateCase(id: $id) {
  purpose mandate { role purpose legalBasis } mandates { holder { name } } deceased { id name }
  heirs { person { name } }
  land { answer { status } parcels { address } } finance { deposits { balance } }
  pensions { answer { status } memberships { member contributionMonths } }
  health { eligibility { kind } } vehicles { answer { status } vehicles { plate } }
  withheld { coordinate refusal { code } } } }"""
BIRTH = """query Born($id: ID!) { birthCase(id: $id) {
  child { name address } parents { person { name address } } mandates { holder { name address } }
  health { screenings { test result } } finance { vouchers { balance } } withheld { coordinate refusal { code } } } }"""


def relative(onestop: Onestop, key: str) -> Asker:
    return Asker(onestop, onestop.token_of_relative(persona_subject(key)))


def opened(asker: Asker) -> str:
    (candidate,) = asker.candidates()
    opening = asker.open_estate if candidate["kind"] == "ESTATE" else asker.open_birth
    payload = opening(candidate=candidate["person"]["id"])
    assert payload["refusal"] is None, payload
    return str(payload["case"]["id"])


def codes(case: Mapping[str, Any]) -> dict[str, str]:
    return {each["coordinate"]: each["refusal"]["code"] for each in case["withheld"]}


def test_an_heir_of_the_missing_sees_all_but_health(onestop: Onestop) -> None:
    son = relative(onestop, "missing/son")
    case = son.seen(SEEN, id=opened(son))["estateCase"]
    assert (case["mandate"]["role"], case["purpose"]) == ("HEIR", "ESTATE_DISCOVERY")
    assert case["deceased"]["name"] == "곽태식"
    assert {each["person"]["name"] for each in case["heirs"]} == {"엄현주", "곽민재"}
    assert case["finance"]["deposits"]
    assert (case["health"]["eligibility"], codes(case)["EstateHealth.eligibility"]) == (None, "OUT_OF_SCOPE")


def test_a_mother_who_does_not_inherit_sees_as_a_survivor_what_the_pension_bodies_hold(onestop: Onestop) -> None:
    mother = relative(onestop, "missing/mother")
    case_id = opened(mother)
    case = mother.seen(SEEN, id=case_id)["estateCase"]
    assert (case["mandate"]["role"], case["mandate"]["purpose"]) == ("HEIR", "ESTATE_SETTLEMENT")
    assert "National Pension Act" in case["mandate"]["legalBasis"]
    assert "YES" in {each["member"] for each in case["pensions"]["memberships"]}
    assert [case["deceased"]["name"], case["heirs"], case["land"]["parcels"], case["finance"]["deposits"]] == [None] * 4
    assert {each["holder"] and each["holder"]["name"] for each in case["mandates"]} == {None}
    told = codes(case)
    assert {told[name] for name in ("Person.name", "EstateLand.parcels", "Deposit.balance")} == {"OUT_OF_SCOPE"}
    assert case_id in {each["id"] for each in mother.seen(VIEWER)["viewer"]["cases"]}


def approved(onestop: Onestop, folder: Path, text: str, purpose: str) -> str:
    """The id of a document that may be asked for the purpose."""
    file, data = folder / f"{hashlib.sha256(text.encode()).hexdigest()}.graphql", ["--data", str(onestop.directory)]
    file.write_text(text)
    said = onestop.command("documents", "register", str(file), "--client", CLIENT, "--purpose", purpose, *data)
    officer = ["--token", onestop.token("privacy-officer"), "--purpose", purpose]
    onestop.command("documents", "approve", said.split()[0], "--client", CLIENT, *officer, *data)
    return said.split()[0]


def test_with_a_document_for_settling_an_heir_sees_the_vehicles_they_take_over_and_their_pension(
    onestop: Onestop, tmp_path: Path
) -> None:
    son, wife = relative(onestop, "missing/son"), relative(onestop, "missing/wife")
    opening, seeing = (approved(onestop, tmp_path, text, "ESTATE_SETTLEMENT") for text in (OPEN_ESTATE, SEEN))

    def by_id(asker: Asker, document: str, **variables: Any) -> Any:
        headers = {"Authorization": f"Bearer {asker.token}", "Accept": "application/graphql-response+json"}
        body = {"documentId": document, "variables": variables}
        return sent("POST", f"{onestop.url}/graphql", body, headers).data

    seen = {}
    for name, asker in (("son", son), ("wife", wife)):
        (candidate,) = asker.candidates()
        asked = {"candidate": candidate["person"]["id"], "idempotencyKey": f"settle-{name}"}
        payload = by_id(asker, opening, input=asked)["openEstateCase"]
        seen[name] = by_id(asker, seeing, id=payload["case"]["id"])["estateCase"]
        assert seen[name]["purpose"] == "ESTATE_SETTLEMENT"
        assert seen[name]["pensions"]["memberships"]
        assert seen[name]["finance"]["deposits"] is None
    assert "EstateVehicles.vehicles" not in codes(seen["son"])
    assert codes(seen["wife"])["EstateVehicles.vehicles"] == "OUT_OF_SCOPE"  # the heirs agreed on the son


def test_a_father_under_an_order_learns_nothing_of_who_and_where_the_mother_is(onestop: Onestop) -> None:
    mother, father = relative(onestop, "under-order/mother"), relative(onestop, "under-order/father")
    case_id = opened(mother)
    hers = mother.seen(BIRTH, id=case_id)["birthCase"]
    assert {each["person"]["name"] for each in hers["parents"]} == {"도예진", "변상훈"}
    assert opened(father) == case_id
    reply = father.ask(BIRTH, {"id": case_id})
    his = reply.data["birthCase"]
    # the child lives with her: where the child is tells where she is
    assert (his["child"], his["parents"]) == ({"name": None, "address": None}, None)
    assert his["finance"]["vouchers"]
    assert {each["holder"] for each in his["mandates"]} == {None}
    assert set(codes(his).values()) == {"NOT_ACCESSIBLE"}
    told = reply.body.decode()
    assert not [word for word in ("도예진", "변지안", "율곡로") if word in told]
    assert "율곡로" not in json.dumps(father.seen(VIEWER), ensure_ascii=False)


# ---------------------------------------------------------------- news from the register

ESTATE = """query Slow($id: ID!) { estateCase(id: $id) {
  deceased { name } tax { items { arrears } } finance { deposits { balance } } } }"""


@contextmanager
def happening(onestop: Onestop, subject: Subject, *events: Mapping[str, str]) -> Iterator[None]:
    """The register is told of somebody."""
    url = f"{onestop.controls['REGISTRY']}/sandbox/events/{sector_id('REGISTRY', subject)}"
    assert sent("PUT", url, list(events)).status == 200
    try:
        yield
    finally:
        assert sent("PUT", url, []).status == 200


HEIR, FATHER = persona_subject("heir"), persona_subject("heir/deceased")
NEWS = {
    "a renunciation": (HEIR, {"kind": "RENOUNCED", "deceased": sector_id("REGISTRY", FATHER)}, "NOT_ACCESSIBLE"),
    "a death": (HEIR, {"kind": "DIED"}, "NOT_ACCESSIBLE"),
    "protection": (FATHER, {"kind": "PROTECTED"}, "NOT_ACCESSIBLE"),
    "a dispute": (FATHER, {"kind": "DISPUTED"}, "OVERLOADED"),
}


@pytest.mark.parametrize("news", NEWS)
def test_what_the_register_is_told_while_an_agency_is_being_asked_counts_at_once(onestop: Onestop, news: str) -> None:
    heir = onestop.as_("heir")
    case_id = heir.case()
    assert heir.seen(ESTATE, id=case_id)["estateCase"]["tax"]["items"]
    subject, event, code = NEWS[news]
    sid = onestop.case("heir")["deceased"]["sectorIds"]["TAX"]
    answers: list[Any] = []
    with onestop.faults("TAX", sid, {"kind": "SLOW", "seconds": 1.5}) as slow:
        asking = threading.Thread(target=lambda: answers.append(heir.ask(ESTATE, {"id": case_id})))
        asking.start()
        while not slow.fired:
            assert asking.is_alive()
        with happening(onestop, subject, event):
            asking.join()
            (reply,) = answers
            assert (reply.json["data"], reply.code) == (None, code)
            assert reply.entries
            after = heir.ask(ESTATE, {"id": case_id})
            if news == "a dispute":
                assert after.data["estateCase"]["finance"]["deposits"][0] == {"balance": None}
            else:
                assert (after.json["data"], after.code) == ({"estateCase": None}, code)
    assert heir.seen(ESTATE, id=case_id)["estateCase"]["deceased"]["name"] == "이정호"
