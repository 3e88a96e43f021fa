"""The roster's twin: its staff are the personas in office, on duty until they are sent home."""

from collections.abc import Callable
from typing import Any

from sandbox.agencies.roster import roster
from sandbox.identifiers import sector_id
from sandbox.personas import PERSONAS
from tests.sandbox.conftest import World


async def test_who_is_in_office_is_on_duty_until_sent_home(world: World, opened: Callable[..., Any]) -> None:
    state = world.state("ROSTER")
    sids = {sector_id("ROSTER", each.subject): each.subject for each in PERSONAS.values()}
    port = await opened(roster(type(state)(**{**{n: getattr(state, n) for n in state.__slots__}, "sids": sids})))
    for persona in PERSONAS.values():
        sid = sector_id("ROSTER", persona.subject)
        reply = await port.ask(f"/v1/staff/{sid}")
        assert (reply.status, reply.json["personId"]) == (200 if persona.office else 404, sid)
        if persona.office:
            assert (reply.json["office"], reply.json["agency"]) == (persona.office, persona.agency)
            assert (reply.json["onDuty"], bool(reply.json["tasks"])) == (True, True)
    officer = sector_id("ROSTER", PERSONAS["case-officer"].subject)
    for on_duty in (False, True):
        said = await port.ask(f"/sandbox/duty/{officer}", method="PUT", body={"onDuty": on_duty})
        assert (said.status, (await port.ask(f"/v1/staff/{officer}")).json["onDuty"]) == (200, on_duty)
    for sid, body in ((officer, {"onDuty": "no"}), (officer, []), ("garbage", {"onDuty": True})):
        assert (await port.ask(f"/sandbox/duty/{sid}", method="PUT", body=body)).status == 400
    assert (await port.ask(f"/v1/staff/{officer}", headers={"X-Client-Id": "somebody"})).status == 403
