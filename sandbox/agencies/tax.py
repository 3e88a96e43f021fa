"""National and local tax: REST; every answer is a JWS that the agency signs.

Source: docs/wire/README.md, "TAX"; RFC 7515, RFC 7517.
"""

from collections.abc import Callable
from typing import Final

from joserfc import jws
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import (
    AgencyState,
    Question,
    about,
    application,
    bad_request,
    json_bytes,
    json_response,
    members,
)
from sandbox.facts import TaxFacts

ISSUER: Final = "https://tax.sandbox.invalid"


def tax(state: AgencyState) -> Starlette:
    """Build the agency with a signing key of its own."""
    key = ECKey.generate_key("P-256", auto_kid=True)

    def signed(question: Question, **said: object) -> Response:
        payload = {
            "iss": ISSUER,
            "iat": int(state.now().timestamp()),
            "requestId": question.request_id,
            "taxpayerId": question.sid,
            "asOf": state.as_of,
            **said,
        }
        header = {"alg": "ES256", "typ": "tax+jws", "kid": key.kid}
        body = jws.serialize_compact(header, json_bytes(payload), key, algorithms=["ES256"])
        return Response(body, media_type="application/jose")

    def items(question: Question, facts: TaxFacts) -> Response:
        level = question.request.query_params.get("level")
        if level not in {"NATIONAL", "LOCAL"}:
            raise bad_request(question.request_id)
        found = [item for item in facts.items if item.level == level]
        return signed(question, level=level, items=[{"taxpayerId": question.sid, **members(item)} for item in found])

    def allowances(question: Question, facts: TaxFacts) -> Response:
        return signed(question, **members(facts, "items"))

    def route(name: str, answer: Callable[[Question, TaxFacts], Response]) -> Route:
        return Route(
            f"/v1/taxpayers/{{sid}}/{name}",
            about(state, "taxpayerId", lambda subject: state.holder(subject).tax, answer),
        )

    async def keys(_request: Request) -> Response:
        return json_response({"keys": [key.as_dict(private=False)]})

    return application(state, [route("items", items), route("credits", allowances), Route("/v1/jwks.json", keys)])
