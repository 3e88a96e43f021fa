"""Finance answers days later: the heir waits without asking again, and keeps the answer when its source deletes it."""

from datetime import datetime

from tests.journeys import known
from tests.journeys.client import Fault, Onestop, sent
from tests.journeys.documents import ESTATE, SECTIONS, UPDATED

DOWN = {"kind": "DOWN"}
PERSONA = "heir-second-rank"


def test_an_answer_that_comes_later_arrives_by_itself_and_stays(other_onestop: Onestop) -> None:
    onestop = other_onestop
    asker, expected = onestop.as_(PERSONA), onestop.case(PERSONA)
    sids = expected["deceased"]["sectorIds"]
    case_id = asker.case()

    # at first: pending, with the day, and nothing else lost
    case = asker.seen(ESTATE, id=case_id)["estateCase"]
    known.require(case, expected)
    finance = case["finance"]
    assert finance["answer"]["status"] == "PENDING"
    assert finance["answer"]["expectedBy"] == expected["sections"]["finance"]["expectedBy"]
    assert set(known.graph(finance).values()) == {None}
    assert known.heirs(case["heirs"]) == expected["heirs"]
    assert case["summary"] == expected["summary"]
    assert (case["status"], case["mandate"]["role"]) == ("COLLECTING", "HEIR")
    assert "FINANCE_ANSWER_EXPIRES" not in [each["code"] for each in case["deadlines"]]
    waiting = Fault(f"{onestop.controls['FINANCE']}/sandbox/faults/{sids['FINANCE']}")
    assert waiting.fired > 0

    with asker.watching(UPDATED, id=case_id) as events:
        # the agency answers: exactly one event, and whatever changes next comes after it
        released = sent("POST", f"{onestop.controls['FINANCE']}/sandbox/release/{sids['FINANCE']}")
        assert released.json == {"released": 1}
        first = events.next()["data"]["caseUpdated"]
        assert (first["answer"]["agency"], first["answer"]["status"]) == ("FINANCE", "COMPLETE")
        assert first["case"]["id"] == case_id

        # nobody is asked for it again: the agency could not even answer
        with onestop.faults("FINANCE", sids["FINANCE"], DOWN) as deaf:
            arrived = asker.seen(ESTATE, id=case_id)["estateCase"]
            assert deaf.fired == 0
        with onestop.faults("LAND", sids["LAND"], DOWN):
            asker.seen(SECTIONS, id=case_id)
            then = events.next()["data"]["caseUpdated"]
        assert (then["answer"]["agency"], then["answer"]["status"]) == ("LAND", "UNAVAILABLE")

    answer = arrived["finance"]["answer"]
    assert (answer["status"], answer["expectedBy"], arrived["status"]) == ("COMPLETE", None, "COMPLETE")
    until = datetime.fromisoformat(answer["visibleUntil"])
    assert 88 <= (until - datetime.fromisoformat(arrived["openedAt"])).days <= 92
    assert "FINANCE_ANSWER_EXPIRES" in [each["code"] for each in arrived["deadlines"]]
    held = known.graph(arrived["finance"])
    assert all(isinstance(each, list) for each in held.values())
    assert held["deposits"]
    assert "FINANCE" not in arrived["summary"]["missing"]

    # three months are over at the source
    deleted = sent("POST", f"{onestop.controls['FINANCE']}/sandbox/delete/{answer['sourceReference']}")
    assert deleted.json == {"deleted": answer["sourceReference"]}
    kept = asker.seen(SECTIONS, id=case_id)["estateCase"]
    assert kept["finance"]["answer"] == answer
    assert known.graph(kept["finance"]) == held


def test_what_arrived_later_is_shown_by_the_rights_of_then(other_onestop: Onestop) -> None:
    """The kept body holds amounts; a weaker sign-in still does not see them."""
    asker = other_onestop.as_("heir-substitute")
    case_id = asker.case()
    asker.seen(SECTIONS, id=case_id)
    weaker = other_onestop.as_("heir-substitute", "substantial").seen(SECTIONS, id=case_id)["estateCase"]
    assert weaker["finance"]["deposits"]
    assert {each["balance"] for each in weaker["finance"]["deposits"]} == {None}
    assert weaker["summary"] is None
