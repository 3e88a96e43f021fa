"""The roster's connector: who is on duty, and no yes that was not said about the one who was asked about."""

from typing import Any

import pytest

from auth.ids import SANDBOX_ROOT, Ids
from connectors.roster import Duty, Roster
from connectors.transport import AgencyError, Transport
from schema.identifiers import PersonId
from tests.connectors.wire import Reply, Seen, reply_json, serving

OFFICIAL = PersonId("o" * 26)
IDS = Ids(SANDBOX_ROOT)
STAFF = IDS.staff_id(OFFICIAL)
SAID = {"personId": STAFF, "office": "민원여권과", "agency": "노원구", "tasks": ["ESTATE", "ARCHIVE"], "onDuty": True}


def said(seen: Seen, **changed: Any) -> Reply:
    return reply_json({**SAID, "requestId": seen.headers["X-Request-Id"], **changed})


async def duty(answering: Any) -> Duty | None:
    async with serving(answering) as served:
        transport = Transport(None, served.base_url, timeout_s=1)
        try:
            found = await Roster(transport, IDS.staff_id).duty(OFFICIAL, "ESTATE_DISCOVERY")
        finally:
            await transport.close()
        assert [one.path for one in served.seen] == [f"/v1/staff/{STAFF}"]
        assert OFFICIAL not in str(served.seen)
        return found


async def test_the_roster_says_where_an_official_works_and_whether_they_are_on_duty() -> None:
    assert await duty(said) == Duty("민원여권과", "노원구", frozenset({"ESTATE", "ARCHIVE"}), on_duty=True)
    assert STAFF.startswith("ros1_")


async def test_an_official_whom_it_does_not_know_has_no_duty() -> None:
    def unknown(seen: Seen) -> Reply:
        body = {"error": "UNKNOWN_PERSON", "personId": STAFF, "requestId": seen.headers["X-Request-Id"]}
        return reply_json(body, 404)

    assert await duty(unknown) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"personId": IDS.staff_id(PersonId("p" * 26))},
        {"requestId": "another"},
        {"onDuty": "yes"},
        {"onDuty": None},
        {"office": None},
    ],
    ids=["somebody else's", "another request's", "a word for a yes", "nothing said", "no office"],
)
async def test_what_cannot_be_believed_is_no_answer(changed: dict[str, Any]) -> None:
    with pytest.raises(AgencyError):
        await duty(lambda seen: said(seen, **changed))


async def test_a_roster_that_is_down_says_nothing() -> None:
    with pytest.raises(AgencyError):
        await duty(lambda _: Reply(status=503, body=b"<html>", content_type="text/html"))
