"""However often a case is opened, there is one case, and one mandate for each who may act on it."""

import uuid
from concurrent.futures import ThreadPoolExecutor

from sandbox.identifiers import persona_subject
from tests.journeys.client import Asker, Onestop
from tests.journeys.documents import OPEN_ESTATE


def test_fifty_openings_at_once_with_one_key_open_one_case(onestop: Onestop) -> None:
    asker = onestop.as_("heir-in-debt")
    (candidate,) = asker.candidates()
    given = {"input": {"idempotencyKey": str(uuid.uuid4()), "candidate": candidate["person"]["id"]}}
    with ThreadPoolExecutor(50) as together:
        replies = list(together.map(lambda _: asker.ask(OPEN_ESTATE, given), range(50)))
    cases = [reply.data["openEstateCase"]["case"] for reply in replies]
    assert len({case["id"] for case in cases}) == 1
    assert {len([m for m in case["mandates"] if m["revokedAt"] is None]) for case in cases} == {1}


def test_twenty_keys_at_once_open_one_case_with_one_mandate(onestop: Onestop) -> None:
    asker = onestop.as_("heir-substitute")
    (candidate,) = asker.candidates()
    with ThreadPoolExecutor(20) as together:
        payloads = list(together.map(lambda _: asker.open_estate(candidate=candidate["person"]["id"]), range(20)))
    assert len({each["case"]["id"] for each in payloads}) == 1
    assert {len(each["case"]["mandates"]) for each in payloads} == {1}


def test_two_heirs_share_the_case_and_have_a_mandate_each(onestop: Onestop) -> None:
    sister, brother = onestop.as_("heir"), Asker(onestop, onestop.token_of_relative(persona_subject("heir/co-heir")))
    opened = [
        asker.open_estate(candidate=asker.candidates()[0]["person"]["id"])["case"]
        for asker in (sister, brother, sister)
    ]
    assert len({case["id"] for case in opened}) == 1
    assert len({case["number"] for case in opened}) == 1
    live = [mandate for mandate in opened[-1]["mandates"] if mandate["revokedAt"] is None]
    assert [mandate["role"] for mandate in live] == ["HEIR", "HEIR"]
    assert len({mandate["holder"]["id"] for mandate in live}) == 2


def test_a_key_is_its_viewers_own(onestop: Onestop) -> None:
    key = str(uuid.uuid4())
    cases = []
    for persona in ("heir", "heir-in-debt"):
        asker = onestop.as_(persona)
        cases.append(asker.open_estate(key, candidate=asker.candidates()[0]["person"]["id"])["case"]["id"])
    assert len(set(cases)) == 2
