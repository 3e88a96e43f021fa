"""An heir lets a friend act in their place: given, seen, watched, and taken back."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.journeys import known
from tests.journeys.client import ANSWER_S, Onestop
from tests.journeys.documents import ESTATE, UPDATED, VIEWER

GRANT = """
mutation Grant($input: GrantProxyInput!) {
  grantProxy(input: $input) { mandate { id role holder { name } validUntil revokedAt } refusal { code remedy } }
}
"""
REVOKE = """
mutation Revoke($input: RevokeMandateInput!) {
  revokeMandate(input: $input) { mandate { id revokedAt } refusal { code } }
}
"""


def given(onestop: Onestop, case_id: str) -> dict[str, Any]:
    """What the friend is given by `heir`."""
    friend = onestop.as_("proxy").seen(VIEWER)["viewer"]["person"]
    asked = {
        "case": case_id,
        "holder": {
            "name": friend["name"],
            "birthDate": friend["birthDate"],
            "registrationNumber": onestop.known["proxy"]["registrationNumber"],
        },
        "until": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
        "idempotencyKey": str(uuid.uuid4()),
    }
    payload = onestop.as_("heir").seen(GRANT, input=asked)["grantProxy"]
    assert payload["refusal"] is None
    found: dict[str, Any] = payload["mandate"]
    return found


def test_a_friend_sees_the_estate_in_an_heirs_place_until_the_heir_takes_it_back(other_onestop: Onestop) -> None:
    onestop = other_onestop
    heir, friend = onestop.as_("heir"), onestop.as_("proxy")
    case_id = heir.case()
    assert friend.ask(ESTATE, {"id": case_id}).code == "NOT_ACCESSIBLE"
    mandate = given(onestop, case_id)
    assert (mandate["role"], mandate["holder"]["name"]) == ("PROXY", onestop.known["proxy"]["name"])

    # what the heir may see, and nothing of health
    assert case_id in [each["id"] for each in friend.seen(VIEWER)["viewer"]["cases"]]
    seen, heirs = [each.seen(ESTATE, id=case_id)["estateCase"] for each in (friend, heir)]
    known.require({**seen, "health": heirs["health"]}, onestop.case("heir"))
    for agency in ("land", "finance", "pensions", "tax", "vehicles"):
        assert known.graph(seen[agency]) == known.graph(heirs[agency])
    assert [seen["health"][name] for name in ("eligibility", "unpaidPremiums", "refunds")] == [None] * 3
    assert (seen["health"]["answer"]["status"], "HEALTH" in seen["summary"]["missing"]) == ("REFUSED", True)
    assert "SPECIAL_CATEGORY" in {each["refusal"]["code"] for each in seen["withheld"]}
    assert (seen["mandate"]["role"], seen["mandate"]["onBehalfOf"]["name"]) == ("PROXY", onestop.known["heir"]["name"])

    # taken back: the stream ends though no agency changed, and the next question finds nothing
    with friend.watching(UPDATED, id=case_id) as events:
        ended = heir.seen(REVOKE, input={"mandate": mandate["id"], "reason": "I can do it myself now."})
        assert ended["revokeMandate"]["mandate"]["revokedAt"] is not None
        last = events.next()
        assert last["errors"][0]["extensions"]["code"] == "NOT_ACCESSIBLE"
        assert events.ended.wait(ANSWER_S)
    assert friend.ask(ESTATE, {"id": case_id}).code == "NOT_ACCESSIBLE"
    assert friend.seen(VIEWER)["viewer"]["cases"] == []


def test_what_is_taken_back_while_an_agency_is_being_asked_is_not_shown(other_onestop: Onestop) -> None:
    onestop = other_onestop
    heir, friend = onestop.as_("heir"), onestop.as_("proxy")
    case_id = heir.case()
    mandate = given(onestop, case_id)
    sid = onestop.case("heir")["deceased"]["sectorIds"]["TAX"]
    answers: list[Any] = []
    with onestop.faults("TAX", sid, {"kind": "SLOW", "seconds": 1.5}) as slow:
        asking = threading.Thread(target=lambda: answers.append(friend.ask(ESTATE, {"id": case_id})))
        asking.start()
        while not slow.fired:
            assert asking.is_alive()
        heir.seen(REVOKE, input={"mandate": mandate["id"], "reason": "I can do it myself now."})
        asking.join()
    (reply,) = answers
    assert (reply.json["data"], reply.code) == (None, "NOT_ACCESSIBLE")
