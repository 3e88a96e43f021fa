"""The cadastre and the building ledger: REST and JSON, cursor pages.

Source: docs/wire/README.md, "LAND".
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import (
    PAGE,
    AgencyState,
    Question,
    about,
    application,
    bad_request,
    json_response,
    members,
)
from sandbox.facts import LandFacts

Item = dict[str, Any]
Answer = Callable[[Question, LandFacts], Response]


def land(state: AgencyState) -> Starlette:
    """Build the agency."""

    def page(name: str, items_of: Callable[[LandFacts], list[Item]]) -> Answer:
        def answer(question: Question, facts: LandFacts) -> Response:
            items = items_of(facts)
            start = _start(question.request.query_params.get("cursor"), name, len(items))
            if start is None:
                raise bad_request(question.request_id)
            end = start + PAGE
            return said(
                question,
                total=len(items),
                items=[{"ownerId": question.sid, **item} for item in items[start:end]],
                next=_cursor(name, end) if end < len(items) else None,
            )

        return answer

    def reliefs(question: Question, facts: LandFacts) -> Response:
        return said(question, newHomeTaxRelief=facts.new_home_relief)

    def said(question: Question, **rest: object) -> Response:
        return json_response({"requestId": question.request_id, "ownerId": question.sid, "asOf": state.as_of, **rest})

    def route(name: str, answer: Answer) -> Route:
        return Route(
            f"/v1/owners/{{sid}}/{name}", about(state, "ownerId", lambda subject: state.holder(subject).land, answer)
        )

    return application(
        state,
        [
            route("parcels", page("parcels", _parcels)),
            route("buildings", page("buildings", _buildings)),
            route("encumbrances", page("encumbrances", _encumbrances)),
            route("reliefs", reliefs),
        ],
    )


def _parcels(facts: LandFacts) -> list[Item]:
    return [members(parcel, "encumbrances") for parcel in facts.parcels]


def _buildings(facts: LandFacts) -> list[Item]:
    return [members(building, "encumbrances") for building in facts.buildings]


def _encumbrances(facts: LandFacts) -> list[Item]:
    return [{"pnu": parcel.pnu, **members(each)} for parcel in facts.parcels for each in parcel.encumbrances] + [
        {"registerNumber": building.register_number, **members(each)}
        for building in facts.buildings
        for each in building.encumbrances
    ]


def _cursor(name: str, start: int) -> str:
    return urlsafe_b64encode(f"{name}/{start}".encode()).decode()


def _start(cursor: str | None, name: str, total: int) -> int | None:
    """First item of the page that a cursor points to; None for a cursor that was never given out."""
    if cursor is None:
        return 0
    starts = range(PAGE, total, PAGE)
    return next((start for start in starts if _cursor(name, start) == cursor), None)
