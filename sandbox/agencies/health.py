"""Health insurance and child health: HL7 FHIR R4, searchset bundles in pages.

Source: docs/wire/README.md, "HEALTH"; HL7 FHIR R4 (4.0.1), Bundle, Coverage, Immunization, Observation, Appointment.
"""

from collections.abc import Callable
from datetime import date
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import (
    PAGE,
    AgencyState,
    NoAnswerError,
    Question,
    about,
    application,
    bad_request,
    json_response,
)
from sandbox.facts import Checkup, HealthFacts, Immunization, Screening

Resource = dict[str, Any]

SYSTEM: Final = "urn:onestop:health"
MEDIA_TYPE: Final = "application/fhir+json"


def health(state: AgencyState) -> Starlette:
    """Build the agency."""

    def search(kind: str, resources_of: Callable[[HealthFacts, str], list[Resource]]) -> Route:
        def answer(question: Question, facts: HealthFacts) -> Response:
            found = resources_of(facts, question.sid)
            window = _window(question.request)
            if window is None:
                raise bad_request(question.request_id)
            return _fhir(_bundle(question, kind, found, window, state.as_of))

        parameter = "identifier" if kind == "Patient" else "patient:identifier"
        return Route(
            f"/fhir/{kind}",
            about(
                state,
                "personId",
                lambda subject: state.holder(subject).health,
                answer,
                sid_of=lambda request: _sid(request.query_params.get(parameter)),
                unknown=_unknown,
            ),
        )

    return application(
        state,
        [
            search("Patient", lambda _facts, sid: [{"identifier": [_person(sid)], "active": True}]),
            search("Coverage", _coverage),
            search("Immunization", lambda facts, sid: [_immunization(each, sid) for each in facts.immunizations]),
            search("Observation", lambda facts, sid: [_screening(each, sid) for each in facts.screenings]),
            search("Appointment", lambda facts, sid: [_checkup(each, sid) for each in facts.checkups]),
        ],
    )


# ---------------------------------------------------------------- bundles


def _bundle(question: Question, kind: str, found: list[Resource], window: tuple[int, int], as_of: str) -> Resource:
    start, count = window
    url = question.request.url
    links = [{"relation": "self", "url": str(url)}]
    if start + count < len(found):
        links.append({"relation": "next", "url": str(url.include_query_params(_count=count, _offset=start + count))})
    bundle: Resource = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": as_of},
        "identifier": {"system": "urn:onestop:request-id", "value": question.request_id},
        "type": "searchset",
        "total": len(found),
        "link": links,
    }
    ids = [str(uuid5(NAMESPACE_URL, f"{question.sid}/{kind}/{place}")) for place in range(len(found))]
    entries = [
        {
            "fullUrl": f"urn:uuid:{own}",
            "resource": {"resourceType": kind, "id": own, **resource},
            "search": {"mode": "match"},
        }
        for own, resource in list(zip(ids, found, strict=True))[start : start + count]
    ]
    return bundle | ({"entry": entries} if entries else {})  # FHIR knows no empty list


def _window(request: Request) -> tuple[int, int] | None:
    """First resource and number of resources of the page asked for; None for numbers that are none."""
    count, offset = request.query_params.get("_count", str(PAGE)), request.query_params.get("_offset", "0")
    if not (count.isdecimal() and offset.isdecimal() and int(count)):
        return None
    return int(offset), min(int(count), PAGE)


def _sid(identifier: str | None) -> str | None:
    system, _, sid = (identifier or "").partition("|")
    return sid if system == SYSTEM else None


def _unknown(_person_key: str, _sid: str, request_id: str) -> NoAnswerError:
    issue = {"severity": "error", "code": "not-found", "diagnostics": "UNKNOWN_PERSON"}
    return NoAnswerError(_fhir({"resourceType": "OperationOutcome", "id": request_id, "issue": [issue]}, 404))


def _fhir(body: Resource, status: int = 200) -> Response:
    return json_response(body, status, MEDIA_TYPE)


# ---------------------------------------------------------------- resources


def _coverage(facts: HealthFacts, sid: str) -> list[Resource]:
    eligibility = facts.eligibility
    if eligibility is None:
        return []
    extensions: list[Resource] = []
    if eligibility.loss_reason:
        extensions.append(_extension("loss-reason", valueString=eligibility.loss_reason))
    if facts.dependant_of:
        extensions.append(_extension("dependant-of", valueCode=facts.dependant_of))
    extensions += [
        _parts(
            "unpaid-premium",
            insurance={"valueCode": premium.insurance},
            unpaid={"valueMoney": _won(premium.unpaid)},
            surcharge={"valueMoney": _won(premium.surcharge)},
            months={"valueInteger": premium.months},
        )
        for premium in facts.premiums
    ]
    extensions += [
        _parts(
            "refund",
            kind={"valueCode": refund.kind},
            amount={"valueMoney": _won(refund.amount)},
            claimBy={"valueDate": refund.claim_by},
        )
        for refund in facts.refunds
    ]
    coverage = {
        "status": "active" if eligibility.valid_until is None else "cancelled",
        "type": _coded("insurance-kind", eligibility.kind),
        "beneficiary": {"identifier": _person(sid)},
        "period": _period(eligibility.valid_from, eligibility.valid_until),
        "payor": [{"display": "국민건강보험공단"}],
    }
    return [coverage | ({"extension": extensions} if extensions else {})]


def _immunization(dose: Immunization, sid: str) -> Resource:
    resource: Resource = {
        "vaccineCode": _coded("vaccine", dose.vaccine),
        "patient": {"identifier": _person(sid)},
        "protocolApplied": [{"doseNumberPositiveInt": dose.dose}],
    }
    if dose.due_from or dose.due_until:
        due = _period(dose.due_from, dose.due_until)
        resource["extension"] = [_parts("due", period={"valuePeriod": due})]
    if dose.given_on:
        return resource | {"status": "completed", "occurrenceDateTime": dose.given_on}
    return resource | {"status": "not-done", "occurrenceString": "not given"}  # R4 wants an occurrence even so


def _screening(screening: Screening, sid: str) -> Resource:
    final = screening.taken_on is not None and screening.result not in {None, "PENDING"}
    resource: Resource = {
        "status": "final" if final else "registered",
        "code": _coded("screening", screening.test),
        "subject": {"identifier": _person(sid)},
    }
    if screening.taken_on:
        resource["effectiveDateTime"] = screening.taken_on
    if screening.result:
        resource["valueCodeableConcept"] = _coded("screening-result", screening.result)
    return resource


def _checkup(checkup: Checkup, sid: str) -> Resource:
    resource: Resource = {
        "identifier": [{"system": f"{SYSTEM}:round", "value": str(checkup.round)}],
        "status": "fulfilled" if checkup.taken_on else "proposed",
        "requestedPeriod": [_period(checkup.due_from, checkup.due_until)],
        "participant": [
            {
                "actor": {"identifier": _person(sid)},
                "status": "accepted" if checkup.taken_on else "needs-action",
            }
        ],
    }
    if checkup.taken_on:
        resource["start"] = f"{checkup.taken_on}T10:00:00+09:00"
        resource["end"] = f"{checkup.taken_on}T10:30:00+09:00"  # R4, app-2: both or neither
    return resource


def _person(sid: str) -> Resource:
    return {"system": SYSTEM, "value": sid}


def _coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{SYSTEM}:{system}", "code": code}]}


def _period(start: date | None, end: date | None) -> Resource:
    return {name: day for name, day in (("start", start), ("end", end)) if day}


def _won(amount: int) -> Resource:
    return {"value": amount, "currency": "KRW"}


def _extension(name: str, **value: object) -> Resource:
    return {"url": f"{SYSTEM}:{name}", **value}


def _parts(name: str, **parts: Resource) -> Resource:
    return _extension(name, extension=[{"url": part, **value} for part, value in parts.items()])
