"""Who has no ground to look learns nothing: not what there is, and not whether there is anything."""

import re
import uuid
from typing import Any

import pytest

from auth.ids import SANDBOX_ROOT, Ids
from tests.journeys.client import Asker, Onestop, Reply
from tests.journeys.documents import BIRTH, ESTATE, OPEN_BIRTH, OPEN_ESTATE, SECTIONS, VIEWER

KEY = "why-not"
CITIZENS = ["renounced", "proxy", "stranger", "protected-person"]
OFFICIALS = ["case-officer", "other-office", "curious-official", "welfare-officer", "privacy-officer"]


def bare(reply: Reply) -> bytes:
    """The body without what is new in every answer: ids, hashes and signatures of the entries."""
    text = re.sub(rb'"id":"[0-9a-f-]{36}"', b'"id":""', reply.body)
    text = re.sub(rb'"leafHash":"[0-9a-f]{64}"', b'"leafHash":""', text)
    return re.sub(rb'"signature":"[A-Za-z0-9+/=]{88}"', b'"signature":""', text)


def headers(reply: Reply) -> dict[str, Any]:
    """The headers without those that are new in every answer; of the entries only how many."""
    new = {"date", "x-request-id", "access-log"}
    return {name: value for name, value in reply.headers.items() if name not in new} | {"entries": len(reply.entries)}


def lookup(person: Any, *, number: bool) -> dict[str, Any]:
    """Somebody named by what is known of them."""
    return {name: person[name] for name in ("name", "birthDate", *(["registrationNumber"] if number else []))}


def opened(asker: Asker, document: str, whom: str, person: dict[str, Any]) -> Reply:
    """What comes of opening the case of a person looked up."""
    return asker.ask(document, {"input": {"idempotencyKey": KEY, whom: person}})


@pytest.mark.parametrize("persona", CITIZENS + OFFICIALS)
def test_the_register_offers_nothing_to_who_is_nobodys_heir_or_parent(onestop: Onestop, persona: str) -> None:
    viewer = onestop.as_(persona).seen(VIEWER)["viewer"]
    assert (viewer["cases"], viewer["candidates"]) == ([], [])
    assert viewer["person"]["name"] == onestop.known[persona]["name"]


@pytest.mark.parametrize("persona", OFFICIALS)
def test_an_official_is_shown_as_one(onestop: Onestop, persona: str) -> None:
    me = onestop.known[persona]
    viewer = onestop.as_(persona).seen(VIEWER)["viewer"]
    assert viewer["roles"] == me["roles"]
    official = viewer["official"]
    assert (official["name"], official["office"], official["agency"]) == (me["name"], me["office"], me["agency"])


@pytest.mark.parametrize("number", [False, True], ids=["by name and birthday", "by registration number too"])
@pytest.mark.parametrize("persona", ["renounced", "protected-person", "stranger", "curious-official"])
def test_looking_up_a_person_whose_case_is_not_ones_own_is_as_looking_up_nobody(
    onestop: Onestop, persona: str, number: bool
) -> None:
    asker = onestop.as_(persona)
    about = persona if onestop.known[persona]["case"] else "heir"
    nobody = {"name": "하아무도", "birthDate": "1949-07-07", "registrationNumber": "490707-1900099"}
    real = opened(asker, OPEN_ESTATE, "deceased", lookup(onestop.case(about)["deceased"], number=number))
    none = opened(asker, OPEN_ESTATE, "deceased", lookup(nobody, number=number))
    payload = real.data["openEstateCase"]
    assert (payload["case"], payload["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")
    assert bare(real) == bare(none)
    assert headers(real) == headers(none)


@pytest.mark.parametrize("number", [False, True], ids=["by name and birthday", "by registration number too"])
def test_an_heir_may_name_the_deceased_instead_of_picking_a_candidate(onestop: Onestop, number: bool) -> None:
    asker = onestop.as_("heir")
    payload = opened(asker, OPEN_ESTATE, "deceased", lookup(onestop.case("heir")["deceased"], number=number))
    assert payload.data["openEstateCase"]["case"]["id"] == asker.case()


def test_a_wrong_registration_number_finds_nobody(onestop: Onestop) -> None:
    wrong = {**lookup(onestop.case("heir")["deceased"], number=False), "registrationNumber": "500231-1900001"}
    payload = opened(onestop.as_("heir"), OPEN_ESTATE, "deceased", wrong).data["openEstateCase"]
    assert (payload["case"], payload["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")


def test_the_living_leave_no_estate_and_the_grown_up_have_no_birth_case(onestop: Onestop) -> None:
    asker = onestop.as_("parent")
    me = {"name": onestop.known["parent"]["name"], "birthDate": asker.seen(VIEWER)["viewer"]["person"]["birthDate"]}
    for document, whom, field in ((OPEN_ESTATE, "deceased", "openEstateCase"), (OPEN_BIRTH, "child", "openBirthCase")):
        payload = opened(asker, document, whom, me).data[field]
        assert (payload["case"], payload["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")


def test_foreign_unknown_and_garbled_case_ids_are_answered_alike(onestop: Onestop) -> None:
    mine, other = onestop.as_("heir"), onestop.as_("heir-in-debt")
    birth = onestop.as_("parent")
    ids = Ids(SANDBOX_ROOT)
    case_id = mine.case()
    foreign = [
        other.case(),
        ids.sealed("sandbox-portal", "ESTATE", str(uuid.uuid4())),
        ids.sealed("another-portal", "ESTATE", str(uuid.uuid4())),
        ids.sealed("sandbox-portal", "ESTATE"),
        birth.case(),
        mine.candidates()[0]["person"]["id"],
        case_id[:-1] + ("A" if case_id[-1] != "A" else "B"),
        "garbage",
        "",
        "한글",
        "A" * 5000,
    ]
    replies = [mine.ask(SECTIONS, {"id": each}) for each in foreign]
    assert {reply.code for reply in replies} == {"NOT_ACCESSIBLE"}
    assert {bare(reply) for reply in replies} == {bare(replies[0])}
    assert [headers(reply) for reply in replies] == [headers(replies[0])] * len(foreign)
    assert replies[0].json["data"] == {"estateCase": None}
    assert mine.ask(BIRTH, {"id": case_id}).code == "NOT_ACCESSIBLE"
    assert mine.ask("query($id: ID!) { node(id: $id) { id } }", {"id": foreign[0]}).code == "NOT_ACCESSIBLE"


def test_a_foreign_candidate_opens_nothing(onestop: Onestop) -> None:
    (theirs,) = onestop.as_("heir").candidates()
    payload = onestop.as_("stranger").open_estate(candidate=theirs["person"]["id"])
    assert (payload["case"], payload["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")
    payload = onestop.as_("stranger").open_estate(candidate="nonsense")
    assert (payload["case"], payload["refusal"]["code"]) == (None, "NOT_ACCESSIBLE")


def test_a_refused_question_asks_no_agency_and_is_written_down(onestop: Onestop) -> None:
    case_id = onestop.as_("heir").case()
    sids = onestop.case("heir")["deceased"]["sectorIds"]
    counting = {"kind": "SLOW", "seconds": 0.001}
    with (
        onestop.faults("LAND", sids["LAND"], counting) as land,
        onestop.faults("REGISTRY", sids["REGISTRY"], counting) as reg,
    ):
        reply = onestop.as_("stranger").ask(ESTATE, {"id": case_id})
        assert (land.fired, reg.fired) == (0, 0)
    assert reply.code == "NOT_ACCESSIBLE"
    assert len(reply.entries) == 1


def test_a_brother_with_nobody_nearer_is_offered_the_case(onestop: Onestop) -> None:
    """Row D07: what there is at every agency but health, and no amounts unless an officer opened the case (D08)."""
    viewer = onestop.as_("sibling").seen(VIEWER)["viewer"]
    assert [(each["kind"], each["relation"], each["obstacle"]) for each in viewer["candidates"]] == [
        ("ESTATE", "SIBLING", None)
    ]


@pytest.mark.parametrize("assurance", ["substantial", "low"])
def test_a_weaker_sign_in_still_learns_who_is_asking(onestop: Onestop, assurance: str) -> None:
    viewer = onestop.as_("heir", assurance).seen("{ viewer { assurance roles person { id name } } }")["viewer"]
    assert (viewer["assurance"], viewer["roles"]) == (assurance.upper(), ["CITIZEN"])
    assert viewer["person"] is None or viewer["person"]["name"] is None


def test_at_low_a_candidate_is_shown_with_the_step_that_is_missing(onestop: Onestop) -> None:
    document = "{ viewer { candidates { kind person { id name } obstacle { code } } } }"
    candidates = onestop.as_("heir", "low").seen(document)["viewer"]["candidates"]
    assert [(each["kind"], each["person"]["name"], each["obstacle"]["code"]) for each in candidates] == [
        ("ESTATE", None, "STEP_UP_REQUIRED")
    ]
