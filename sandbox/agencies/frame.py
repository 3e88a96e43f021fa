"""What the HTTP agencies have in common: who may ask, whose data it is, faults, and JSON as they write it.

Source: docs/wire/README.md, "Common to all HTTP agencies" and "Faults of the sandbox".
"""

import asyncio
import dataclasses
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from sandbox.facts import Fault, Holdings, Nation, Subject
from sandbox.faults import FaultBook, read_faults, write_faults

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Facts = TypeVar("Facts")
Holder = Callable[[Subject], Holdings]

PURPOSES: Final = frozenset(
    {
        "ESTATE_DISCOVERY",
        "ESTATE_SETTLEMENT",
        "WARD_ADMINISTRATION",
        "BIRTH_BENEFITS",
        "MEANS_TEST",
        "SUBJECT_ACCESS",
        "LOG_REVIEW",
    }
)
KOREA: Final = timezone(timedelta(hours=9))  # no summer time since 1988
PAGE: Final = 20

DOWN_PAGE: Final = "<!doctype html><title>503</title><h1>점검 중입니다</h1>{}\n"
SURPLUS: Final[ContextVar[str | None]] = ContextVar("SURPLUS", default=None)
"""What the answer to this request says beside everything it was asked for."""
_SID: Final = re.compile(r"[a-z]{3}1_[a-z2-7]{26}")


@dataclass(frozen=True, slots=True)
class AgencyState:
    """What one agency is built from. `sids` knows everybody by this agency's sector identifiers."""

    agency: str
    nation: Nation
    holder: Holder
    sids: Mapping[str, Subject]
    faults: FaultBook
    now: Callable[[], datetime]
    client_id: str = "onestop"
    purposes: frozenset[str] = PURPOSES

    @property
    def today(self) -> date:
        """The day in Korea by the agency's clock."""
        return self.now().astimezone(KOREA).date()

    @property
    def as_of(self) -> str:
        """The instant for which the nation's facts hold: the first of its day in Korea."""
        return instant(datetime.combine(self.nation.today, time(), KOREA))


class NoAnswerError(Exception):
    """Ends a question early, with the response to give: refused, unknown, late or down."""

    def __init__(self, response: Response) -> None:
        """Keep the response."""
        super().__init__(response.status_code)
        self.response = response


def application(state: AgencyState, routes: list[Route], *, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Put an agency's routes and the sandbox's own together."""
    return Starlette(
        routes=[*routes, *fault_routes(state.faults)],
        exception_handlers={NoAnswerError: _no_answer},
        lifespan=lifespan,
    )


def no_answer(status: int, members: Mapping[str, object]) -> NoAnswerError:
    """Raise this to answer with a status and a body of the common table."""
    return NoAnswerError(json_response(members, status))


def bad_request(request_id: str | None) -> NoAnswerError:
    """Raise this when the question is malformed."""
    return no_answer(400, {"error": "BAD_REQUEST", "requestId": request_id})


def checked(state: AgencyState, request: Request) -> str:
    """Check the client, the purpose and the request's id, and give that id."""
    request_id = request.headers.get("x-request-id")
    try:
        UUID(request_id)
    except (ValueError, TypeError, AttributeError):
        raise bad_request(None) from None
    if request.headers.get("x-client-id") != state.client_id:
        raise no_answer(403, {"error": "CLIENT_REFUSED", "requestId": request_id})
    if request.headers.get("x-purpose") not in state.purposes:
        raise no_answer(403, {"error": "PURPOSE_REFUSED", "requestId": request_id})
    return str(request_id)


async def met(state: AgencyState, sid: str, request_id: str, late: Callable[[Fault], Response] | None = None) -> None:
    """Meet the faults about the person that befall the whole agency: wait, be down, or `late`."""
    faults = state.faults
    slow, down, surplus = (faults.find(sid, kind) for kind in ("SLOW", "DOWN", "SURPLUS"))
    waiting = faults.find(sid, "LATE") if late else None
    if waiting is not None and not is_late(state, waiting):
        waiting = None
    if slow or down or waiting or surplus:
        faults.fire(sid, request_id)
    if surplus:
        SURPLUS.set(surplus.text)
    if slow:
        await asyncio.sleep(slow.seconds)
    if down:
        raise NoAnswerError(HTMLResponse(DOWN_PAGE.format(SURPLUS.get() or ""), 503))
    if late and waiting:
        raise NoAnswerError(late(waiting))


def is_late(state: AgencyState, fault: Fault) -> bool:
    """Tell whether the day of a LATE fault is still to come."""
    return fault.expected_by is not None and state.today < fault.expected_by


@dataclass(frozen=True, slots=True)
class Question:
    """A checked question about one person: the sector identifier in it and whom it means."""

    request: Request
    request_id: str
    sid: str
    subject: Subject


Unknown = Callable[[str, str, str], NoAnswerError]
"""How the agency says that it has never heard of a person: from the member's name, the sid and the request's id."""


def unknown(person_key: str, sid: str, request_id: str) -> NoAnswerError:
    """Raise this when the agency has never heard of the person."""
    return no_answer(404, {"error": "UNKNOWN_PERSON", person_key: sid, "requestId": request_id})


def about(
    state: AgencyState,
    person_key: str,
    facts_of: Callable[[Subject], Facts | None],
    answer: Callable[[Question, Facts], Response],
    *,
    sid_of: Callable[[Request], str | None] = lambda request: str(request.path_params["sid"]),
    unknown: Unknown = unknown,
) -> Callable[[Request], Awaitable[Response]]:
    """Endpoint that is asked about one person: checks, then faults, then the answer from what the agency holds."""

    async def endpoint(request: Request) -> Response:
        request_id, sid = checked(state, request), sid_of(request)
        if sid is None or not is_sid(state, sid):
            raise bad_request(request_id)

        def late(fault: Fault) -> Response:
            body = {"requestId": request_id, person_key: sid, "state": "PENDING", "expectedBy": fault.expected_by}
            return json_response(body, 202)

        await met(state, sid, request_id, late)
        subject = state.sids.get(sid)
        facts = facts_of(subject) if subject else None
        if subject is None or facts is None:
            raise unknown(person_key, sid, request_id)
        return answer(Question(request, request_id, sid, subject), facts)

    return endpoint


def is_sid(state: AgencyState, sid: str) -> bool:
    """Tell whether this is a sector identifier of this agency, by its form."""
    return bool(_SID.fullmatch(sid)) and sid[:3] == state.agency[:3].lower()


def fault_routes(book: FaultBook) -> list[Route]:
    """Routes to set and see the faults about one person."""

    async def put(request: Request) -> Response:
        try:
            faults = read_faults(await request.json(), book.kinds)
        except ValueError as error:
            return json_response({"error": "BAD_REQUEST", "reason": str(error)}, 400)
        book.replace(request.path_params["sid"], faults)
        return await get(request)

    async def get(request: Request) -> Response:
        sid = request.path_params["sid"]
        return json_response({"faults": write_faults(book.of(sid)), "fired": book.fired(sid)})

    path = "/sandbox/faults/{sid}"
    return [Route(path, put, methods=["PUT"]), Route(path, get, methods=["GET"])]


# ---------------------------------------------------------------- words on the wire


def json_bytes(body: object) -> bytes:
    """JSON in UTF-8: days in ISO form, decimals as strings, fractions as numerator and denominator."""
    if text := SURPLUS.get():
        body = with_surplus(json.loads(json.dumps(body, default=_written)), text)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_written).encode()


def with_surplus(body: object, text: str) -> object:
    """JSON with one member more in every object."""
    match body:
        case dict():
            return {name: with_surplus(inner, text) for name, inner in body.items()} | {"registrationNumber": text}
        case list():
            return [with_surplus(inner, text) for inner in body]
        case _:
            return body


def json_response(body: object, status: int = 200, media_type: str = "application/json") -> Response:
    """Response with that JSON."""
    text = SURPLUS.get()
    return Response(json_bytes(body), status, {"X-Person": text} if text else None, media_type)


def members(record: "DataclassInstance", *without: str) -> dict[str, Any]:
    """Members of a fact under its names on the wire: ``area_m2`` is ``areaM2``."""
    return {name: getattr(record, attribute) for attribute, name in _names(type(record), without)}


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with ``Z``, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def camel(attribute: str) -> str:
    """``area_m2`` as ``areaM2``."""
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


@cache
def _names(kind: type["DataclassInstance"], without: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, camel(each.name)) for each in dataclasses.fields(kind) if each.name not in without)


def _written(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case Fraction():
            return {"numerator": value.numerator, "denominator": value.denominator}
        case _:
            raise TypeError(type(value).__name__)


async def _no_answer(_request: Request, error: Exception) -> Response:
    if not isinstance(error, NoAnswerError):
        raise error
    return error.response
