"""The staff roster of the municipalities: where an official works, when, on what, and whether they are on duty now.

Whether somebody is on duty is attendance, noted by the office, and does not follow from working hours: the sandbox's
officials are on duty around the clock until they are sent home (`PUT /sandbox/duty/{sid}`).
Source: docs/wire/README.md, "ROSTER".
"""

from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import AgencyState, Question, about, application, is_sid, json_response
from sandbox.facts import Subject
from sandbox.personas import PERSONAS, PersonaRecord

TASKS: Final = {
    "case-officer": ["ESTATE", "BIRTH"],
    "other-office": ["ESTATE", "BIRTH"],
    "curious-official": ["ESTATE", "BIRTH"],
    "welfare-officer": ["WELFARE"],
    "privacy-officer": ["LOG_REVIEW"],
}
HOURS: Final = {"days": ["MON", "TUE", "WED", "THU", "FRI"], "from": "09:00", "until": "18:00"}


def roster(state: AgencyState) -> Starlette:
    """Build the roster: the personas in office are its staff."""
    staff = {persona.subject: persona for persona in PERSONAS.values() if persona.office}
    at_home: set[Subject] = set()

    def member(question: Question, persona: PersonaRecord) -> Response:
        return json_response(
            {
                "requestId": question.request_id,
                "personId": question.sid,
                "asOf": state.as_of,
                "office": persona.office,
                "agency": persona.agency,
                "tasks": TASKS[persona.name],
                "workingHours": HOURS,
                "onDuty": persona.subject not in at_home,
            }
        )

    async def duty(request: Request) -> Response:
        sid = request.path_params["sid"]
        subject = state.sids.get(sid) if is_sid(state, sid) else None
        said: Any = await request.json()
        if subject not in staff or not isinstance(said, dict) or not isinstance(said.get("onDuty"), bool):
            return json_response({"error": "BAD_REQUEST", "reason": 'name staff, and send {"onDuty": true}'}, 400)
        (at_home.discard if said["onDuty"] else at_home.add)(staff[subject].subject)
        return json_response(said)

    return application(
        state,
        [
            Route("/v1/staff/{sid}", about(state, "personId", staff.get, member)),
            Route("/sandbox/duty/{sid}", duty, methods=["PUT"]),
        ],
    )
